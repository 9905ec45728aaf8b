"""The protocol around resources: versions, tokens, roles, ETags, operations that take time, limits, and reads."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

import pytest
from azure.core.exceptions import HttpResponseError

from tests.azure.asking import VERSION, code_of, get
from tests.azure.bodies import PUBLIC_IP, first, internal_balancer, public_balancer, security_group, security_rule
from tests.clouds.azure.access import Principal
from tests.clouds.azure.client import network_client, send
from tests.clouds.azure.cloud import SUBSCRIPTION
from tests.clouds.azure.limits import PUBLISHED, Limits
from tests.clouds.azure.world import GROUP

if TYPE_CHECKING:
    from tests.azure.conftest import HandClock
    from tests.clouds.azure.server import ArmServer
    from tests.clouds.azure.world import World


# Asking at all


@pytest.mark.parametrize(
    ("query", "code"),
    [("", "MissingApiVersionParameter"), ("?api-version=2026-03-01", "InvalidApiVersionParameter")],
)
def test_only_the_pinned_version_is_answered(arm: ArmServer, world: World, query: str, code: str) -> None:
    """A call without a version, or with one whose description is not known, is refused."""
    assert code_of(get(arm, f"{world.network}{query}")) == (400, code)


@pytest.mark.parametrize(
    ("token", "code"), [("", "AuthenticationFailed"), ("not-a-token", "InvalidAuthenticationToken")]
)
def test_a_call_without_a_good_token_is_refused(arm: ArmServer, world: World, token: str, code: str) -> None:
    """No token, no answer."""
    assert code_of(get(arm, f"{world.network}{VERSION}", token=token)) == (401, code)


def test_a_missing_permission_is_named_with_its_scope(arm: ArmServer, world: World) -> None:
    """403 tells the action and the scope."""
    arm.access.principals["reader"] = Principal("reader", frozenset({"Microsoft.Network/*/read"}))
    client = network_client(arm.url, token="reader")
    target = world.id("publicIPAddresses", "web")
    assert send(client, "GET", f"{world.network}{VERSION}").status_code == 200
    response = send(client, "PUT", f"{target}{VERSION}", body=PUBLIC_IP)
    assert code_of(response) == (403, "AuthorizationFailed")
    message = response.json()["error"]["message"]
    assert f"action 'Microsoft.Network/publicIPAddresses/write' over scope '{target}'" in message


def test_joining_needs_a_permission_of_its_own(arm: ArmServer, world: World) -> None:
    """A balancer's writer who may not join the address is refused, foreign addresses included."""
    actions = frozenset({"Microsoft.Network/loadBalancers/*"})
    arm.access.principals["writer"] = Principal("writer", actions)
    client = network_client(arm.url, token="writer")
    target = f"{world.id('loadBalancers', 'kubernetes')}{VERSION}"
    response = send(client, "PUT", target, body=public_balancer(world))
    assert code_of(response) == (403, "LinkedAuthorizationFailed")
    assert "'Microsoft.Network/publicIPAddresses/join/action'" in response.json()["error"]["message"]
    more = actions | {"Microsoft.Network/publicIPAddresses/join/action"}
    arm.access.principals["writer"] = Principal("writer", more)
    assert send(client, "PUT", target, body=public_balancer(world, public_ip="more")).status_code == 201


def test_an_unregistered_provider_refuses_writes_until_registered(arm: ArmServer, network: Any, world: World) -> None:
    """The subscription has to be registered with Microsoft.Network."""
    arm.cloud.registered.discard("microsoft.network")
    target = f"{world.id('publicIPAddresses', 'web')}{VERSION}"
    assert code_of(send(network, "PUT", target, body=PUBLIC_IP)) == (409, "MissingSubscriptionRegistration")
    assert send(network, "GET", f"{world.network}{VERSION}").status_code == 200


_GROUP = f"/subscriptions/{SUBSCRIPTION}/resourceGroups/cluster-rg/providers/Microsoft.Network"


@pytest.mark.parametrize(
    ("path", "code"),
    [
        (_GROUP.replace(SUBSCRIPTION, "other") + "/loadBalancers/x", "SubscriptionNotFound"),
        (_GROUP.replace("cluster-rg", "none") + "/loadBalancers/x", "ResourceGroupNotFound"),
        (f"{_GROUP}/loadBalancers/x", "ResourceNotFound"),
        (f"{_GROUP}/loadBalancers/x/probes/y", "ResourceNotFound"),
        (f"{_GROUP}/toasters/x", "InvalidResourceType"),
        ("/nowhere", "InvalidResourceType"),
    ],
)
def test_what_is_not_there_is_not_found(network: Any, world: World, path: str, code: str) -> None:
    """Each missing step of a path has its own code."""
    assert code_of(send(network, "GET", f"{path}{VERSION}")) == (404, code)


def test_lists_and_groups_cannot_be_written(compute: Any, world: World) -> None:
    """Groups are the test's to make, and a collection takes no write."""
    group = f"/subscriptions/{SUBSCRIPTION}/resourceGroups/new?api-version=2021-04-01"
    pinned = f"{_GROUP}/publicIPAddresses{VERSION}"
    assert code_of(send(compute, "POST", pinned, body={})) == (405, "MethodNotAllowed")
    assert code_of(send(compute, "PUT", group, body={})) == (405, "MethodNotAllowed")
    assert world.cloud.group(SUBSCRIPTION, "new") is None


def test_names_are_compared_without_case(network: Any, world: World) -> None:
    """A path in capitals finds the resource, whose own spelling is kept."""
    identity = world.put_public_ip("web")
    shown = send(network, "GET", f"{identity.upper()}{VERSION}").json()
    assert shown["id"] == identity


# What writes leave behind


def test_the_service_fills_in_what_was_left_out(network: Any, world: World) -> None:
    """Defaults, back references, ids and types are the server's, and sending them back changes nothing else."""
    network.load_balancers.begin_create_or_update(GROUP, "kubernetes", public_balancer(world)).result()
    before = world.state()
    shown = network.load_balancers.get(GROUP, "kubernetes").as_dict()
    rule, probe = first(shown, "loadBalancingRules"), first(shown, "probes")
    assert rule["loadDistribution"] == "Default"
    assert rule["allowBackendPortConflict"] is False
    assert [pool["id"] for pool in rule["backendAddressPools"]] == [rule["backendAddressPool"]["id"]]
    assert probe["numberOfProbes"] == 1
    assert probe["probeThreshold"] == 1
    for collection in ("frontendIPConfigurations", "backendAddressPools", "probes"):
        assert first(shown, collection)["loadBalancingRules"] == [{"id": f"{shown['id']}/loadBalancingRules/web"}]
    network.load_balancers.begin_create_or_update(GROUP, "kubernetes", shown).result()
    assert world.state() == before


def test_an_address_shows_who_holds_it(network: Any, world: World) -> None:
    """The frontend stands on the address as a back reference while it is attached."""
    world.put("loadBalancers", "kubernetes", public_balancer(world))
    shown = network.public_ip_addresses.get(GROUP, "web")
    holder = f"{world.id('loadBalancers', 'kubernetes')}/frontendIPConfigurations/web"
    assert shown.ip_configuration.id == holder
    network.load_balancers.begin_delete(GROUP, "kubernetes").result()
    assert network.public_ip_addresses.get(GROUP, "web").ip_configuration is None


def test_members_by_interface_are_shown_and_may_be_sent_back(network: Any, world: World) -> None:
    """A pool lists interface members twice; a write that repeats them takes none by address from it."""
    body = public_balancer(world)
    balancer = world.put("loadBalancers", "kubernetes", body)
    world.machine("node-1", pools=[f"{balancer}/backendAddressPools/nodes"])
    shown = network.load_balancers.get(GROUP, "kubernetes").as_dict()
    member = f"{world.id('networkInterfaces', 'node-1-nic')}/ipConfigurations/ipconfig-ipv4"
    pool = first(shown, "backendAddressPools")
    assert pool["backendIPConfigurations"] == [{"id": member}]
    assert pool["loadBalancerBackendAddresses"][0]["properties"]["networkInterfaceIPConfiguration"] == {"id": member}
    network.load_balancers.begin_create_or_update(GROUP, "kubernetes", shown).result()
    stored = arm_body(world, balancer)
    assert first(stored, "backendAddressPools")["loadBalancerBackendAddresses"] == []


def arm_body(world: World, identity: str) -> Any:
    """A resource's body as it is stored."""
    found = world.cloud.find(identity)
    assert found is not None
    return found.body


def test_a_dynamic_address_stays_while_the_frontend_stays(network: Any, world: World) -> None:
    """Rewriting an internal balancer keeps its address; another frontend gets another."""
    body = internal_balancer(world)
    poller = network.load_balancers.begin_create_or_update(GROUP, "kubernetes-internal", body)
    address = first(poller.result().as_dict(), "frontendIPConfigurations")["privateIPAddress"]
    body["properties"]["frontendIPConfigurations"].insert(
        0, {"name": "second", "properties": {"subnet": {"id": world.subnet}}}
    )
    again = network.load_balancers.begin_create_or_update(GROUP, "kubernetes-internal", body).result().as_dict()
    second, web = [part["properties"]["privateIPAddress"] for part in again["properties"]["frontendIPConfigurations"]]
    assert web == address
    assert second != address


def test_a_tag_write_leaves_everything_else(network: Any, world: World) -> None:
    """PATCH replaces tags alone."""
    world.put_public_ip("web", tags={"old": "1"})
    network.public_ip_addresses.update_tags(GROUP, "web", {"tags": {"new": "2"}})
    shown = network.public_ip_addresses.get(GROUP, "web")
    assert shown.tags == {"new": "2"}
    assert shown.public_ip_allocation_method == "Static"


# Limits


def test_writes_are_throttled_as_published(arm: ArmServer, network: Any, world: World, clock: HandClock) -> None:
    """The 201st write at once is refused; a second later ten more pass; reads go on all the time."""
    arm.arm.throttle.limits = PUBLISHED
    target = f"{world.id('publicIPAddresses', 'web')}{VERSION}"
    answers = [send(network, "PUT", target, body=PUBLIC_IP) for _ in range(201)]
    assert [answer.status_code for answer in answers].count(429) == 1
    assert answers[0].headers["x-ms-ratelimit-remaining-subscription-writes"] == "199"
    assert code_of(answers[-1]) == (429, "SubscriptionRequestsThrottled")
    assert answers[-1].headers["Retry-After"] == "1"
    assert send(network, "GET", target).status_code == 200
    clock.advance(1)
    codes = [send(network, "PUT", target, body=PUBLIC_IP).status_code for _ in range(11)]
    assert codes == [200] * 10 + [429]


def test_the_provider_has_limits_of_its_own(arm: ArmServer, network: Any, world: World, clock: HandClock) -> None:
    """Microsoft.Network takes a thousand writes at once, deletes among them, whoever sends them."""
    arm.arm.throttle.limits = Limits(provider=PUBLISHED.provider)
    target = f"{world.id('publicIPAddresses', 'web')}{VERSION}"
    codes = [send(network, "DELETE", target).status_code for _ in range(1000)]
    assert set(codes) == {204}
    refused = send(network, "PUT", target, body=PUBLIC_IP)
    assert code_of(refused) == (429, "TooManyRequests")
    clock.advance(float(refused.headers["Retry-After"]))
    assert send(network, "PUT", target, body=PUBLIC_IP).status_code == 201


# Reading around


def test_lists_are_of_a_group_or_of_the_subscription(network: Any, world: World) -> None:
    """A list shows one group's resources, or everybody's."""
    world.put_public_ip("web")
    world.put_public_ip("users", group="user-rg")
    assert [item.name for item in network.public_ip_addresses.list(GROUP)] == ["web"]
    assert [item.name for item in network.public_ip_addresses.list_all()] == ["web", "users"]


def test_parts_can_be_listed_and_read_alone(network: Any, world: World) -> None:
    """A part has a path of its own."""
    body = security_group()
    body["properties"]["securityRules"].append(security_rule("second", priority=501))
    world.put("networkSecurityGroups", "nodes-nsg", body)
    names = [rule.name for rule in network.security_rules.list(GROUP, "nodes-nsg")]
    assert names == ["web", "second"]
    assert network.security_rules.get(GROUP, "nodes-nsg", "second").priority == 501
    network.security_rules.begin_delete(GROUP, "nodes-nsg", "web").result()
    assert [rule.name for rule in network.security_rules.list(GROUP, "nodes-nsg")] == ["second"]
    assert len(list(network.default_security_rules.list(GROUP, "nodes-nsg"))) == 6


def test_a_subnet_in_use_cannot_be_deleted(network: Any, world: World) -> None:
    """The refusal names the user, and an unused subnet goes."""
    world.machine("node-1")
    with pytest.raises(HttpResponseError, match="InUseSubnetCannotBeDeleted"):
        network.subnets.begin_delete(GROUP, "cluster-vnet", "nodes")
    network.subnets.begin_delete(GROUP, "cluster-vnet", "links").result()
    assert [subnet.name for subnet in network.subnets.list(GROUP, "cluster-vnet")] == ["nodes", "internal"]


def test_the_region_tells_its_zones_and_service_tags(arm: ArmServer, network: Any, world: World) -> None:
    """Provider metadata carries the zones; the tag list carries what security rules may name."""
    shown = get(arm, f"/subscriptions/{SUBSCRIPTION}/providers/Microsoft.Compute?api-version=2021-04-01").json()
    machines = next(kind for kind in shown["resourceTypes"] if kind["resourceType"] == "virtualMachines")
    assert machines["zoneMappings"] == [{"location": "westeurope", "zones": ["1", "2", "3"]}]
    tags = network.service_tags.list("westeurope")
    assert "AzureFrontDoor.Backend" in [value["name"] for value in tags["values"]]


def test_the_journal_counts_reads_writes_and_polls_apart(arm: ArmServer, network: Any, world: World) -> None:
    """One creation through the SDK is one write, one poll and one final read."""
    arm.journal.clear()
    network.public_ip_addresses.begin_create_or_update(GROUP, "web", PUBLIC_IP).result()
    counts = arm.journal.counts()
    assert (counts.reads, counts.writes, counts.polls) == (1, 1, 1)
    assert counts.by_action["Microsoft.Network/publicIPAddresses/write"] == 1
    assert {call.api_version for call in arm.journal.calls} == {"2025-05-01"}


def test_state_is_a_value(world: World) -> None:
    """What was read does not change when the cloud does."""
    world.put_public_ip("web")
    before = world.state()
    kept = copy.deepcopy(before)
    world.put_public_ip("more")
    assert before == kept != world.state()
