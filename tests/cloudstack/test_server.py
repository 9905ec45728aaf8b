"""The server keeps the cloud's rules: each is shown by a client that breaks it, without any driver."""

from __future__ import annotations

import json
import urllib.error
import urllib.parse
import urllib.request
from datetime import UTC, datetime, timedelta

import pytest

from tests.clouds.cloudstack.server import API_KEY, SECRET_KEY, CloudStackServer
from tests.clouds.cloudstack.signing import java_encoded, signature_of
from tests.clouds.cloudstack.topology import (
    ISOLATED,
    VPC_ID,
    add_address,
    add_machine,
    add_network,
    add_pool,
    add_tier,
    served,
)

NOBODY = "00000000-0000-4000-8000-00000000dead"


class Refused(Exception):
    """An error answer with its code."""

    def __init__(self, code, text):
        super().__init__(text)
        self.code = code


class Caller:
    """A client of few lines, with a signature of its own, that finishes jobs by moving the server's clock."""

    def __init__(self, server: CloudStackServer) -> None:
        self.server, self.cloud, self.seconds = server, server.cloud, 1000.0
        self.cloud.now = lambda: self.seconds

    def __call__(self, command, **parameters):
        raw = {"command": command, "response": "json", "apiKey": API_KEY, "signatureVersion": "3", **parameters}
        raw["expires"] = (datetime.now(UTC) + timedelta(minutes=10)).strftime("%Y-%m-%dT%H:%M:%S%z")  # noqa: TID251 - signed by real time
        raw["signature"] = signature_of(raw, SECRET_KEY)
        body = urllib.parse.urlencode(raw).encode()
        try:
            with urllib.request.urlopen(self.server.url, body) as reply:
                (answer,) = json.load(reply).values()
        except urllib.error.HTTPError as error:
            (answer,) = json.load(error).values()
            raise Refused(answer["errorcode"], answer["errortext"]) from None
        return answer

    def finished(self, command, **parameters):
        """The job of a command, after its time."""
        answer = self(command, **parameters)
        self.seconds += 60
        return self("queryAsyncJobResult", jobid=answer["jobid"])


@pytest.fixture
def call(server):
    """A caller of the server."""
    return Caller(server)


class Parts:
    """An isolated network with a machine and an allocated address."""

    def __init__(self, call, network=None):
        self.call, self.cloud = call, call.cloud
        self.network = network or add_network(self.cloud)
        self.machine = add_machine(self.cloud, "vm", self.network)
        where = {"vpc_id": VPC_ID} if self.network.vpc_id else {"network_id": self.network.id}
        self.address = add_address(self.cloud, "203.0.113.9", state="Allocated", **where)

    def rule(self, port=80, **more):
        """The arguments of a rule, with some changed."""
        fields = {"name": "r", "publicipid": self.address.id, "networkid": self.network.id, "algorithm": "roundrobin"}
        fields |= {"publicport": str(port), "privateport": "30080", "protocol": "tcp", **more}
        return self.call("createLoadBalancerRule", **fields)["id"]

    def serving(self, port=80, **more):
        """A rule with a member."""
        rule = self.rule(port, **more)
        self.call.finished("assignToLoadBalancerRule", id=rule, virtualmachineids=self.machine.id)
        return rule


@pytest.fixture
def parts(call):
    """The usual objects."""
    return Parts(call)


def test_encoding_is_javas():
    """Blank, plus, slash and tilde are escaped, star and dash are not."""
    assert java_encoded("a b*~/+-_.é") == "a%20b*%7E%2F%2B-_.%C3%A9"


def test_requests_without_a_right_signature_are_refused(server, call):
    """A wrong secret and a signature that has expired are 401."""
    call("listNetworks")
    server.secrets[API_KEY] = "other"
    with pytest.raises(Refused, match="unable to verify user credentials"):
        call("listNetworks")
    server.secrets[API_KEY] = SECRET_KEY
    server.skew_seconds = 3600
    with pytest.raises(Refused, match="unable to verify user credentials"):
        call("listNetworks")


@pytest.mark.parametrize(
    ("command", "parameters", "code", "text"),
    [
        ("noSuchCommand", {}, 432, "does not exist or is not available"),
        ("listManagementServersMetrics", {}, 432, "not available for the account"),
        ("listNetworks", {"colour": "red"}, 431, "no parameter colour"),
        ("createFirewallRule", {"protocol": "tcp"}, 431, "missing parameter ipaddressid"),
        ("listFirewallRules", {"ipaddressid": "7"}, 431, "Unable to parse"),
        ("listFirewallRules", {"ipaddressid": NOBODY}, 431, "entity does not exist"),
        ("listNetworks", {"page": "1"}, 431, "pageSize"),
    ],
)
def test_requests_are_held_against_the_published_description(call, command, parameters, code, text):
    """Unknown commands and parameters, missing and malformed ones are refused as the server words it."""
    with pytest.raises(Refused, match=text) as caught:
        call(command, **parameters)
    assert caught.value.code == code


def test_sources_cannot_be_updated_before_4_22(serve):
    """The parameter is unknown to the older release."""
    from tests.clouds.cloudstack.cloud import Cloud

    parts = Parts(Caller(serve(Cloud("4.18"))))
    with pytest.raises(Refused, match="no parameter cidrlist"):
        parts.call("updateLoadBalancerRule", id=parts.serving(), cidrlist="10.0.0.0/8")


@pytest.mark.parametrize("protocol", ["tcp", "tcp-proxy"])
def test_a_port_carries_one_rule_whatever_its_protocol(parts, protocol):
    """A second rule on the port is 537."""
    parts.rule()
    with pytest.raises(Refused, match="The range specified, 80-80, conflicts with rule") as caught:
        parts.rule(protocol=protocol)
    assert caught.value.code == 537


def test_the_router_takes_no_udp(parts):
    """UDP on a virtual router is 431."""
    with pytest.raises(Refused, match="LB service provider cannot support this rule"):
        parts.rule(protocol="udp")


def test_port_53_of_a_source_nat_address_is_refused(parts):
    """The network's DNS is there."""
    parts.address.is_source_nat = True
    with pytest.raises(Refused, match="cannot add port 53"):
        parts.rule(53)


def test_addresses_that_cannot_carry_rules_are_refused(parts):
    """Static NAT, and one that is not allocated."""
    parts.address.is_static_nat = True
    with pytest.raises(Refused, match="Can't do load balance on ip address"):
        parts.rule()
    parts.address.is_static_nat, parts.address.state = False, "Allocating"
    with pytest.raises(Refused, match="invalid IP address"):
        parts.rule()


def test_a_rule_is_served_with_its_first_member_and_not_before(parts):
    """Creation tells the router nothing; the last removal makes it `Add` again."""
    rule = parts.rule()
    parts.call.seconds += 60
    assert served(parts.cloud, "203.0.113.9") == {}
    parts.call.finished("assignToLoadBalancerRule", id=rule, virtualmachineids=parts.machine.id)
    assert served(parts.cloud, "203.0.113.9")[80]["members"] == [parts.machine.id]
    parts.call.finished("removeFromLoadBalancerRule", id=rule, virtualmachineids=parts.machine.id)
    assert served(parts.cloud, "203.0.113.9") == {}
    assert parts.cloud.rules[rule].state == "Add"


def test_assign_is_not_idempotent_and_hides_why(parts):
    """A member that is mapped, and one without a NIC there, fail the job with the wrapped text."""
    rule = parts.serving()
    again = parts.call.finished("assignToLoadBalancerRule", id=rule, virtualmachineids=parts.machine.id)
    assert again["jobstatus"] == 2
    assert again["jobresult"] == {"errorcode": 530, "errortext": "Failed to assign load balancer rule"}
    stranger = add_machine(parts.cloud, "far", add_network(parts.cloud, "far"))
    assert parts.call.finished("assignToLoadBalancerRule", id=rule, virtualmachineids=stranger.id)["jobstatus"] == 2
    stranger.state = "Destroyed"
    with pytest.raises(Refused, match="Invalid instance id"):
        parts.call("assignToLoadBalancerRule", id=rule, virtualmachineids=stranger.id)


def test_a_changed_protocol_is_stored_and_not_served(parts):
    """Only algorithm and sources reach the router at once."""
    rule = parts.serving()
    parts.call.finished("updateLoadBalancerRule", id=rule, protocol="tcp-proxy")
    assert parts.cloud.rules[rule].protocol == "tcp-proxy"
    assert served(parts.cloud, "203.0.113.9")[80]["protocol"] == "tcp"
    parts.call.finished("updateLoadBalancerRule", id=rule, algorithm="source")
    assert served(parts.cloud, "203.0.113.9")[80]["protocol"] == "tcp-proxy"


def test_sources_are_joined_by_blanks_and_then_by_commas(parts):
    """Creation and update store the list in different ways."""
    rule = parts.serving(cidrlist="10.0.0.0/8,192.0.2.0/24")
    assert parts.cloud.rules[rule].cidrs == "10.0.0.0/8 192.0.2.0/24"
    parts.call("updateLoadBalancerRule", id=rule, cidrlist="10.0.0.0/8,198.51.100.0/24")
    assert parts.cloud.rules[rule].cidrs == "10.0.0.0/8,198.51.100.0/24"


def test_firewall_rules_clash_only_over_equal_texts(parts):
    """Disjoint lists share a port; an equal CIDR is 537."""
    fields = {"ipaddressid": parts.address.id, "protocol": "tcp", "startport": "80", "endport": "80"}
    parts.call("createFirewallRule", **fields, cidrlist="10.0.0.0/8")
    parts.call("createFirewallRule", **fields, cidrlist="192.0.2.0/24")
    with pytest.raises(Refused, match="conflicts with rule"):
        parts.call("createFirewallRule", **fields, cidrlist="198.51.100.0/24,10.0.0.0/8")


def test_a_rule_takes_the_firewall_rule_along_that_it_opened(parts):
    """Others stay."""
    rule = parts.rule(openfirewall="true")
    fields = {"ipaddressid": parts.address.id, "protocol": "tcp", "startport": "80", "endport": "80"}
    other = parts.call("createFirewallRule", **fields, cidrlist="10.0.0.0/8")["id"]
    assert len(parts.cloud.firewalls) == 2
    parts.call.finished("deleteLoadBalancerRule", id=rule)
    assert set(parts.cloud.firewalls) == {other}


def test_a_release_takes_everything_along(parts):
    """Rules, firewall rules and port forwardings of anybody go with the address."""
    parts.serving(openfirewall="true")
    parts.call.finished("disassociateIpAddress", id=parts.address.id)
    assert (parts.cloud.rules, parts.cloud.firewalls, parts.address.state) == ({}, {}, "Free")
    again = parts.call.finished("disassociateIpAddress", id=parts.address.id)
    assert again["jobstatus"] == 1


def test_special_addresses_cannot_be_released(parts):
    """Source NAT and system addresses are refused."""
    parts.address.is_source_nat = True
    with pytest.raises(Refused, match="source nat purposes"):
        parts.call("disassociateIpAddress", id=parts.address.id)
    parts.address.is_source_nat, parts.address.is_system = False, True
    with pytest.raises(Refused, match="system IP"):
        parts.call("disassociateIpAddress", id=parts.address.id)


def test_limits_and_exhaustion_have_their_codes(call):
    """532 at the account's limit, 533 when nothing is free or the one asked for is taken."""
    network = add_network(call.cloud)
    with pytest.raises(Refused) as caught:
        call("associateIpAddress", networkid=network.id)
    assert caught.value.code == 533
    add_pool(call.cloud, 2)
    call("associateIpAddress", networkid=network.id, ipaddress="203.0.113.10")
    with pytest.raises(Refused) as caught:
        call("associateIpAddress", networkid=network.id, ipaddress="203.0.113.10")
    assert caught.value.code == 533
    call.cloud.address_limit = 1
    with pytest.raises(Refused) as caught:
        call("associateIpAddress", networkid=network.id)
    assert caught.value.code == 532


def test_a_tier_has_its_own_rules(call):
    """A VPC's address opens no firewall, has ACLs that know no tcp-proxy, and loses its tier with its last rule."""
    parts = Parts(call, add_tier(call.cloud))
    with pytest.raises(Refused, match="Can't have openFirewall=true"):
        parts.rule(openfirewall="true")
    rule = parts.rule()
    assert parts.address.network_id == parts.network.id
    with pytest.raises(Refused, match="belongs to VPC"):
        call("createFirewallRule", ipaddressid=parts.address.id, protocol="tcp", startport="80", endport="80")
    with pytest.raises(Refused, match="Invalid protocol"):
        call("createNetworkACL", protocol="tcp-proxy", aclid=parts.network.acl_id)
    call.finished("deleteLoadBalancerRule", id=rule)
    assert parts.address.network_id == ""
    closed = add_tier(call.cloud, "closed", acl="default_deny")
    with pytest.raises(Refused, match="Default ACL cannot be modified"):
        call("createNetworkACL", protocol="tcp", aclid=closed.acl_id)


def test_jobs_of_one_network_run_one_after_another(parts):
    """Two assigns take twice the time of one, in the order of their arrival."""
    rules = [parts.rule(port) for port in (80, 81)]
    parts.call.seconds += 60
    jobs = [
        parts.call("assignToLoadBalancerRule", id=rule, virtualmachineids=parts.machine.id)["jobid"] for rule in rules
    ]
    parts.call.seconds += parts.cloud.jobs.seconds
    assert [parts.call("queryAsyncJobResult", jobid=job)["jobstatus"] for job in jobs] == [1, 0]
    parts.call.seconds += parts.cloud.jobs.seconds
    assert [parts.call("queryAsyncJobResult", jobid=job)["jobstatus"] for job in jobs] == [1, 1]


def test_lists_are_cut_at_the_servers_page(parts):
    """Without a page an answer has at most the default number of rows; `count` tells the whole; none is `{}`."""
    parts.cloud.page_limit = 3
    for number in range(7):
        add_machine(parts.cloud, f"vm{number}", parts.network)
    answer = parts.call("listVirtualMachines")
    assert (answer["count"], len(answer["virtualmachine"])) == (8, 3)
    assert len(parts.call("listVirtualMachines", page="3", pagesize="3")["virtualmachine"]) == 2
    assert parts.call("listLoadBalancerRules") == {}


def test_keywords_match_parts_of_names_and_descriptions(parts):
    """In any case, which is why a hit proves nothing."""
    parts.rule(80, name="Shop-Web")
    parts.rule(81, name="x", description="for SHOP")
    assert parts.call("listLoadBalancerRules", keyword="shop")["count"] == 2


def test_firewall_rules_of_an_unready_address_are_an_error(parts):
    """Not an empty list."""
    parts.address.state = "Allocating"
    with pytest.raises(Refused, match="not ready for firewall rules yet"):
        parts.call("listFirewallRules", ipaddressid=parts.address.id)


def test_health_checks_need_the_capability(call):
    """The virtual router has none; a provider with the capability takes one."""
    parts = Parts(call)
    rule = parts.serving()
    with pytest.raises(Refused, match="HealthCheck Policy is not supported"):
        call("createLBHealthCheckPolicy", lbruleid=rule, pingpath="/healthz")
    parts.network.services = ISOLATED | {"Lb": "Netscaler"}
    parts.network.capabilities = {"Lb": {"HealthCheckPolicy": "true"}}
    call.finished("createLBHealthCheckPolicy", lbruleid=rule, pingpath="/healthz")
    assert served(call.cloud, "203.0.113.9")[80]["health"] == "/healthz"


def test_a_tag_key_is_given_once(parts):
    """A second value for a key fails the job."""
    fields = {"resourceids": parts.address.id, "resourcetype": "PublicIpAddress"}
    pair = {"tags[0].key": "a", "tags[0].value": "b"}
    assert parts.call.finished("createTags", **fields, **pair)["jobstatus"] == 1
    assert parts.call.finished("createTags", **fields, **pair)["jobstatus"] == 2
    parts.call.finished("deleteTags", **fields, **{"tags[0].key": "a"})
    assert parts.address.tags == {}
