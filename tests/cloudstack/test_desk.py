"""The commands as a person types them, in each kind of network: what they print, and what is in the cloud after."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest
import yaml

from lbctl.clock import SystemClock
from lbctl.engine.claim import SHARED_FINALIZER
from lbctl.sandbox.api import ApiServer
from tests.cli.console import Said
from tests.cli.office import Office
from tests.clouds.cloudstack.catalog import published
from tests.clouds.cloudstack.cloud import Cloud
from tests.clouds.cloudstack.server import API_KEY, SECRET_KEY, CloudStackServer
from tests.clouds.cloudstack.topology import (
    BYSTANDING_REASONS,
    BYSTANDING_RULES,
    OTHER_RULE,
    OTHER_UID,
    add_bystanders,
    add_machine,
    add_network,
    add_pool,
    add_shared,
    add_tier,
    picture,
    served,
)
from tests.clouds.cloudstack.upstream import Wish, mutations, provision
from tests.cloudstack.stage import forbid_the_rest

AT_ONCE = ("--delete", "--apart", "0s", "--older-than", "0s", "--yes")
UPSTREAMS_ADDRESS = "203.0.113.50"


@dataclass
class Desk(Office):
    """An office whose cloud is a CloudStack, with the account's settings in a file."""

    cloud: Cloud

    def lbctl(self, *arguments: str) -> Said:
        """What `lbctl` answers with the settings file."""
        return self.run(*arguments, "--config", str(self.config))

    @property
    def network(self):
        """The nodes' network."""
        (network,) = self.cloud.networks.values()
        return network

    def uid(self, name: str) -> str:
        """The uid of a Service."""
        return self.hands.get(f"shop/{name}").metadata.uid

    def left_by_upstream(self, name: str) -> None:
        """A Service that upstream's controller served, with its finalizer and its status."""
        self.create(name, ports=(80, 443))
        ports = [(port.port, port.node_port) for port in self.hands.get(f"shop/{name}").spec.ports]
        provision(self.cloud, self.network, self.uid(name), ports=ports, ip=UPSTREAMS_ADDRESS)
        (stored,) = (one for one in self.api.store.objects("v1", "Service") if one["metadata"]["name"] == name)
        stored["metadata"]["finalizers"] = [SHARED_FINALIZER]
        stored["status"] = {"loadBalancer": {"ingress": [{"ip": UPSTREAMS_ADDRESS}]}}
        self.api.store.seed([{"apiVersion": "v1", "kind": "Service", **stored}])

    def writes(self) -> int:
        """Calls so far that change something in the cloud."""
        return self.cloud.faults.writes


@pytest.fixture(params=[add_network, add_tier], ids=["isolated", "vpc"])
def make(request) -> Callable:
    """A kind of network."""
    return request.param


@pytest.fixture
def desk(make, tmp_path) -> Iterator[Desk]:
    """A cluster with two nodes on a cloud with bystanders, whose jobs are quick."""
    cloud = Cloud()
    cloud.now = SystemClock().monotonic
    cloud.jobs.seconds = 0.01
    network = make(cloud)
    add_pool(cloud)
    add_bystanders(cloud, network)
    for name in ("n1", "n2"):
        add_machine(cloud, name, network)
    forbid_the_rest(cloud)
    with CloudStackServer(cloud) as server, ApiServer() as api:
        found = Desk.open(api, cloud, tmp_path)
        account = {"api_url": server.url, "api_key": API_KEY, "secret_key": SECRET_KEY, "job_poll_max": 1}
        settings = {
            "cluster": {"name": "demo", "id": "demo"},
            "kube": {"qps": 1000, "burst": 1000},
            "accounts": {"cloudstack": {"provider": "cloudstack", "settings": account}},
        }
        found.config.write_text(yaml.safe_dump(settings))
        yield found


def rules_of(desk: Desk, name: str) -> set[str]:
    """Names of the rules that the cloud holds for a Service."""
    uid = desk.uid(name) if desk.hands.get(f"shop/{name}") else name
    balancer = f"a{uid.replace('-', '')[:31]}"
    return {rule.name for rule in desk.cloud.rules.values() if rule.name.startswith(balancer)}


def test_a_plan_says_each_call_and_makes_none(desk, make):
    """Exit code 2: address, rules, members, filter and tags by line, ten calls at most; the cloud is as before."""
    desk.create("web", ports=(80, 443))
    before = picture(desk.cloud)
    said, document = desk.lbctl("plan"), desk.lbctl("plan", "-o", "json").document
    assert said.code == 2, said.err
    (plan,) = document["plans"]
    calls = [action["call"] for action in plan["actions"]]
    filters = ["createNetworkACL"] * 2 if make is add_tier else []
    assert sorted(calls) == sorted(
        [
            "remember the address",
            "associateIpAddress",
            "createTags",
            *["createLoadBalancerRule"] * 2,
            *filters,
            *["assignToLoadBalancerRule"] * 2,
            "createTags",
        ]
    )
    (address,) = (line for line in said.out.splitlines() if line.startswith("  + address"))
    (planned,) = (c["new"] for a in plan["actions"] for s in a["steps"] for c in s["changes"] if c["field"] == "ip")
    assert f"ip {planned}" in address
    assert "False" not in address
    assert "timeout" not in said.out
    assert "No effect on traffic." in said.out
    assert picture(desk.cloud) == before
    assert desk.writes() == 0


def test_one_run_serves_and_every_command_after_it_says_so(desk):
    """`once` publishes what the router serves; then `plan`, `status`, `explain` and `adopt` have nothing to do."""
    desk.create("web", ports=(80, 443))
    said = desk.lbctl("once", "-o", "json")
    assert said.code == 0, said.err
    (web,) = said.document["services"]
    (ip,) = web["addresses"]
    assert served(desk.cloud, ip).keys() == {80, 443}
    assert (web["state"], web["provider"]) == ("ready", "cloudstack")
    writes = desk.writes()
    assert desk.lbctl("plan").out == "Nothing to do.\n"
    (shown,) = desk.lbctl("status", "-o", "json").document["services"]
    assert (shown["state"], shown["addresses"], shown["ports"]) == ("ready", [ip], ["80/TCP", "443/TCP"])
    assert ip in desk.lbctl("status").out
    desk.cloud.monitored |= dict.fromkeys(desk.cloud.machines, "UP")
    (told,) = desk.lbctl("status", "--targets", "-o", "json").document["services"]
    assert told["targets"] is None, "a virtual router tells no health"
    explained = desk.lbctl("explain", "shop/web")
    assert explained.code == 0
    assert "the cloud holds what the Service asks for" in explained.out
    assert desk.lbctl("explain", "shop/web", "-o", "json").document["state"] == "ready"
    (adopted,) = desk.lbctl("adopt", "--from", "cloudstack", "-o", "json").document["services"]
    assert (adopted["verdict"], adopted["calls"]) == ("nothing", 0)
    assert desk.writes() == writes


def test_what_cannot_be_served_is_explained_with_what_to_do(desk):
    """UDP on a virtual router: exit code 6, the network's name, what its balancer lacks, and a hint; no write."""
    desk.create("names", ports=(5353,))
    desk.hands.patch("shop/names", {"spec": {"ports": [{"name": "dns", "port": 5353, "protocol": "UDP"}]}})
    assert desk.lbctl("once", "--timeout", "5s").code != 0
    said = desk.lbctl("explain", "shop/names")
    assert said.code == 6
    assert f"network {desk.network.name} balances no UDP" in said.out
    assert "use TCP" in said.out
    (shown,) = desk.lbctl("status", "-o", "json").document["services"]
    assert (shown["state"], shown["reason"]) == ("failed", "InvalidService")
    assert desk.writes() == 0


def test_taking_over_from_upstream_writes_nothing(desk):
    """`adopt --from cloudstack` finds upstream's balancer whole; `once` publishes its address without a write."""
    desk.left_by_upstream("web")
    before = picture(desk.cloud)
    said = desk.lbctl("adopt", "--from", "cloudstack")
    assert said.code == 0, said.out + said.err
    assert UPSTREAMS_ADDRESS in said.out
    assert "1 nothing" in said.out
    (web,) = desk.lbctl("adopt", "--from", "cloudstack", "-o", "json").document["services"]
    assert (web["verdict"], web["hazard"]) == ("nothing", "none")
    assert {one["id"] for one in web["deletes"] if one["kind"] == "rule"} == {"80", "443"}
    assert desk.lbctl("plan").code == 0
    (shown,) = desk.lbctl("once", "-o", "json").document["services"]
    assert shown["addresses"] == [UPSTREAMS_ADDRESS]
    assert picture(desk.cloud) == before
    assert desk.writes() == 0


def test_what_a_lost_service_left_is_listed_and_removed(desk):
    """`gc` names owner, address and what it costs, removes exactly that with --delete, and then finds nothing."""
    before = picture(desk.cloud)
    desk.serve("lost", ports=(80, 443))
    uid = desk.uid("lost")
    (ip,) = (entry.ip for entry in desk.hands.get("shop/lost").status.load_balancer.ingress)
    desk.lose("lost")
    said = desk.lbctl("gc", "-o", "json")
    assert said.code == 2
    (orphan,) = said.document["orphans"]
    assert (orphan["owner"]["name"], orphan["owner"]["uid"]) == ("lost", uid)
    billed = {(one["kind"], one["name"]) for one in orphan["objects"] if one["billed"]}
    assert billed == {("address", ip)} | {("rule", name) for name in rules_of(desk, uid)}
    assert ip in desk.lbctl("gc", "-o", "wide").out
    assert served(desk.cloud, ip).keys() == {80, 443}
    assert desk.lbctl("gc", *AT_ONCE).code == 0
    assert picture(desk.cloud) == before
    assert "Nothing is left behind" in desk.lbctl("gc").out


def test_everything_of_a_cluster_that_is_gone_is_removed_and_no_other_clusters(desk):
    """With --cluster-id no kubeconfig is read: the other cluster's balancer goes whole, this one's serves on."""
    desk.serve("web", ports=(80, 443))
    (ip,) = (entry.ip for entry in desk.hands.get("shop/web").status.load_balancer.ingress)
    desk.kubeconfig.unlink()
    named = ("--cluster-id", "another", "--cluster-name", "another")
    listed = desk.lbctl("gc", *named, "-o", "json")
    assert listed.code == 2, listed.err
    (orphan,) = listed.document["orphans"]
    assert orphan["owner"] == {"namespace": "shop", "name": "web", "uid": OTHER_UID}
    assert ("address", "203.0.113.4") in {(one["kind"], one["name"]) for one in orphan["objects"]}
    removed = desk.lbctl("gc", *named, "--all", *AT_ONCE)
    assert removed.code == 0, removed.out + removed.err
    assert [a.state for a in desk.cloud.addresses.values() if a.ip == "203.0.113.4"] == ["Free"]
    assert BYSTANDING_RULES - {r.name for r in desk.cloud.rules.values()} == {OTHER_RULE}
    assert "ssh" in {item.reason for item in desk.cloud.acl_items.values()} or not desk.network.acl_id
    assert served(desk.cloud, ip).keys() == {80, 443}


def test_what_is_released_serves_on_as_upstreams(desk):
    """No mark of ours is left on address, rules and entries; upstream finds its own, `gc` nothing; back again works."""
    desk.serve("web", ports=(80, 443))
    (ip,) = (entry.ip for entry in desk.hands.get("shop/web").status.load_balancer.ingress)
    said = desk.lbctl("release", "shop/web", "--yes", "-o", "json")
    assert said.code == 0, said.err
    assert {one["kind"] for one in said.document["kept"]} >= {"rule", "address", "members"}
    assert served(desk.cloud, ip).keys() == {80, 443}
    assert desk.hands.get("shop/web").metadata.finalizers == ()
    ours = json.dumps(picture(desk.cloud)).replace("another", "").count("cluster=demo")
    marks = [thing.tags for kind in ("addresses", "rules") for thing in getattr(desk.cloud, kind).values()]
    assert ours == 0
    assert [tags for tags in marks if "demo" in tags.values()] == []
    ports = tuple((port.port, port.node_port) for port in desk.hands.get("shop/web").spec.ports)
    hosts = frozenset(machine.id for machine in desk.cloud.machines.values())
    assert mutations(desk.cloud, desk.network, Wish(desk.uid("web"), ports, hosts)) == []
    before = picture(desk.cloud)
    assert desk.lbctl("gc", *AT_ONCE).code == 0
    assert desk.lbctl("once").code == 0
    assert picture(desk.cloud) == before
    desk.hands.delete("shop/web")
    assert desk.lbctl("once").code == 0
    assert not rules_of(desk, "web")
    assert {item.reason for item in desk.cloud.acl_items.values()} <= BYSTANDING_REASONS


def test_the_doctor_finds_everything_in_order(desk):
    """Exit code 0; server, account, limits, each command of the role, the network and what it can do; in JSON too."""
    said = desk.lbctl("doctor")
    assert said.code == 0, said.out
    for text in ("CloudStack 4.22", "account lbctl of domain ROOT/shop", "permission createLoadBalancerRule"):
        assert text in said.out
    assert f"network {desk.network.name}:" in said.out
    assert "1 balancer has upstream's name and no cluster's mark" in said.out
    found = {one["subject"]: one for one in desk.lbctl("doctor", "-o", "json").document["findings"]}
    assert found["machines"]["message"] == "2 virtual machines are visible"
    assert API_KEY not in said.out
    assert SECRET_KEY not in said.out
    assert desk.writes() == 0


def test_the_doctor_fails_for_a_right_that_is_missing(desk):
    """Exit code 2, the command by name, and what to do."""
    desk.cloud.catalog.forbidden.add("assignToLoadBalancerRule")
    said = desk.lbctl("doctor")
    assert said.code == 2
    assert "x permission assignToLoadBalancerRule: missing, for targets" in said.out
    assert "allow it in the account's role" in said.out


def test_the_role_is_what_these_services_need(desk):
    """`permissions` prints the role as `importRole` takes it; for one plain Service it has no policies."""
    desk.create("web")
    role = json.loads(desk.lbctl("permissions").out)
    asked = json.loads(desk.lbctl("permissions", "shop/web").out)
    allowed = {rule["rule"] for rule in asked["rules"] if rule["permission"] == "allow"}
    assert role["rules"][-1] == {"rule": "*", "permission": "deny", "description": "nothing else"}
    assert "createLBStickinessPolicy" not in allowed
    desk.cloud.catalog.forbidden = set(published()) - allowed
    desk.serve()
    assert desk.lbctl("plan").code == 0


@pytest.mark.parametrize("make", [add_shared], ids=["shared"], indirect=True)
def test_the_health_of_targets_is_told_where_the_provider_tells_it(desk):
    """A NetScaler finds one of two nodes up, on each of two ports; before its first report nothing is told."""
    desk.serve("web", ports=(80, 443))
    desk.create("new")
    silent = desk.lbctl("status", "--targets", "-o", "json").document["services"]
    assert [one["targets"] for one in silent] == [None, None]
    n1, n2 = (machine.id for machine in desk.cloud.machines.values())
    desk.cloud.monitored |= {n1: "UP", n2: "DOWN"}
    said = desk.lbctl("status", "--targets", "-o", "json")
    told = {one["name"]: one["targets"] for one in said.document["services"]}
    assert told == {"web": {"healthy": 2, "total": 4}, "new": None}
    (row,) = (line for line in desk.lbctl("status", "--targets").out.splitlines() if " web " in line)
    assert " 2/4 " in row
