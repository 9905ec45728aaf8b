"""Rows of the annotation table that move, share or refuse something: what Azure holds, and what the author is told."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from lbctl.plan.actions import Hazard
from tests.azure.cluster import Cluster, cluster
from tests.azure.test_variants import INTERNAL, NAME, PREFIX
from tests.clouds.azure.bystanders import add_bystanders
from tests.clouds.azure.journal import Call
from tests.world import change, node, service

BOTH = {"ip_families": ("IPv4", "IPv6"), "ip_family_policy": "RequireDualStack"}
NIC_POOLS = {"loadBalancerBackendPoolConfigurationType": "nodeIPConfiguration"}
TWO = {"multipleStandardLoadBalancerConfigurations": [{"name": "kubernetes"}, {"name": "second"}]}
LINK = INTERNAL | {PREFIX + "pls-create": "true", PREFIX + "pls-ip-configuration-subnet": "links"}
SUBSCRIPTION = "12345678-1234-1234-1234-123456789012"


@pytest.fixture
def world() -> Iterator[Cluster]:
    """A cluster with a node and pools of addresses."""
    with cluster() as world:
        world.add_nodes("n1")
        yield world


def held(world: Cluster, name: str = "web") -> str:
    """Why the Service waits; empty when it does not."""
    condition = world.condition(name)
    return "" if condition.status == "True" else condition.message


# -- addresses ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("way", ["annotation", "spec"])
def test_an_existing_address_is_pinned_by_its_digits(world: Cluster, way: str) -> None:
    """The Service gets the public address whose digits it names; one that nobody has is told and not made up."""
    identity = world.azure.put_public_ip("mine")
    digits = world.azure.address(identity)
    by_annotation = {PREFIX + "load-balancer-ipv4": digits} if way == "annotation" else {}
    world.apply(service(annotations=by_annotation, load_balancer_ip=digits if way == "spec" else ""))
    assert world.addresses() == [digits]
    assert set(world.public_ips()) == {"mine"}
    assert world.plans() == []
    world.apply(service("other", annotations={PREFIX + "load-balancer-ipv4": "20.99.99.99"}))
    assert "20.99.99.99" in held(world, "other")
    assert set(world.public_ips()) == {"mine"}


def test_each_family_has_an_address_of_its_own_name(world: Cluster) -> None:
    """A dual-stack Service names one address a family; a single-stack IPv6 one takes the plain name too."""
    four = world.azure.put_public_ip("four")
    six, seven = (world.azure.put_public_ip(name, version="IPv6") for name in ("six", "seven"))
    names = {PREFIX + "pip-name": "four", PREFIX + "pip-name-ipv6": "six"}
    world.apply(service(annotations=names, **BOTH))
    assert set(world.addresses()) == {world.azure.address(four), world.azure.address(six)}
    world.apply(service("lone", ports=(81,), annotations={PREFIX + "pip-name": "seven"}, ip_families=("IPv6",)))
    assert world.addresses("lone") == [world.azure.address(seven)]


def test_a_static_internal_address_of_each_family_is_taken(world: Cluster) -> None:
    """An internal dual-stack Service gets exactly the two addresses that it names."""
    static = {PREFIX + "load-balancer-ipv4": "10.1.77.7", PREFIX + "load-balancer-ipv6": "fd00:10:0:1::77"}
    world.apply(service(annotations=INTERNAL | static, **BOTH))
    assert world.addresses() == ["10.1.77.7", "fd00:10:0:1::77"]
    assert world.plans() == []


def test_a_group_that_is_not_there_is_named(world: Cluster) -> None:
    """Addresses cannot be made in a resource group that does not exist: the author learns which."""
    world.apply(service(annotations={PREFIX + "load-balancer-resource-group": "nowhere-rg"}))
    assert "nowhere-rg" in held(world)
    world.apply(service("other", ports=(81,)))
    assert world.addresses("other")


@pytest.fixture
def prefixed(world: Cluster) -> list[str]:
    """Two prefixes, and a Service whose address is out of the first."""
    body = {"sku": {"name": "Standard"}, "properties": {"prefixLength": 30}}
    prefixes = [world.azure.put("publicIPPrefixes", name, body) for name in ("one", "two")]
    world.apply(service(annotations={PREFIX + "pip-prefix-id": prefixes[0]}))
    return prefixes


def test_another_prefix_waits_for_approval(world: Cluster, prefixed: list[str]) -> None:
    """The new address, the switch to it and the end of the old one are held; neighbours go on; nothing else is done."""
    before, state = world.addresses(), world.azure.state()
    world.server.journal.clear()
    world.annotate("web", {PREFIX + "pip-prefix-id": prefixed[1]})
    world.settle(700)
    assert (world.writes(), world.addresses()) == ({}, before)
    (plan,) = world.plans()
    assert (plan.actions, plan.waits) == ((), ())
    assert [action.call for action in plan.held] == [
        "publicIPAddresses/write",
        "loadBalancers/write",
        "publicIPAddresses/delete",
    ]
    assert {action.hazard for action in plan.held} == {Hazard.MOVES_ADDRESS}
    assert "THE ADDRESS CHANGES" in held(world)
    assert f"lbctl.io/approve={plan.held_digest}" in held(world)
    world.apply(service("other", ports=(81,)))
    assert world.addresses("other")
    (plan,) = world.plans()
    assert f"lbctl.io/approve={plan.held_digest}" in held(world)

    world.delete("other")
    world.settle(120)
    assert world.azure.state() == state
    world.annotate("web", {PREFIX + "pip-prefix-id": prefixed[0]})
    assert world.plans() == []


def test_an_approved_prefix_gives_the_new_address_and_ends_the_old_one(world: Cluster, prefixed: list[str]) -> None:
    """The new address comes, serves and is let in before the old one is shut out and goes; one write for each."""
    world.annotate("web", {PREFIX + "pip-prefix-id": prefixed[1]})
    (plan,) = world.plans()
    world.server.journal.clear()
    world.annotate("web", {PREFIX + "pip-prefix-id": prefixed[1], "lbctl.io/approve": plan.held_digest})
    world.settle(120)
    (address,) = world.public_ips().values()
    assert address["name"] == f"kubernetes-{NAME}-two"
    assert address["properties"]["publicIPPrefix"]["id"] == prefixed[1]
    assert world.addresses() == [address["properties"]["ipAddress"]]
    destinations = {rule["destinationAddressPrefix"] for rule in world.security_rules().values()}
    assert destinations == {address["properties"]["ipAddress"]}
    assert [call.action.rpartition("/")[0].rpartition("/")[2] + "/" + call.method for call in _written(world)] == [
        "publicIPAddresses/PUT",
        "loadBalancers/PUT",
        "networkSecurityGroups/PUT",
        "networkSecurityGroups/PUT",
        "publicIPAddresses/DELETE",
    ]
    assert world.plans() == []


def test_another_subnet_waits_for_approval(world: Cluster) -> None:
    """The frontend in the new subnet and the end of the old one are held; what serves goes on, and neighbours come."""
    world.apply(service(annotations=INTERNAL, load_balancer_source_ranges=("10.0.0.0/8",)))
    before, state = world.addresses(), world.azure.state()
    world.server.journal.clear()
    world.annotate("web", INTERNAL | {PREFIX + "load-balancer-internal-subnet": "internal"})
    world.settle(700)
    assert (world.writes(), world.addresses()) == ({}, before)
    (plan,) = world.plans()
    assert (plan.actions, plan.waits) == ((), ())
    assert [(action.call, action.hazard) for action in plan.held] == [("loadBalancers/write", Hazard.MOVES_ADDRESS)]
    assert "its subnet changes, and the address with it" in {step.why for step in plan.held[0].steps}
    assert f"lbctl.io/approve={plan.held_digest}" in held(world)

    world.apply(service("other", annotations=INTERNAL, ports=(81,)))
    assert world.addresses("other")
    world.delete("other")
    world.settle(120)
    assert (world.azure.state(), world.addresses()) == (state, before)


def test_a_balancer_in_another_subnet_than_the_settings_say_stays_there(world: Cluster) -> None:
    """A frontend of the same name in another subnet, as after a change of the settings, is not moved unasked."""
    world.apply(service(annotations=INTERNAL))
    properties = world.balancer("kubernetes-internal") or {}
    fields = properties["frontendIPConfigurations"][0]["properties"]
    fields.pop("privateIPAddress", None)
    fields["subnet"]["id"] = fields["subnet"]["id"].rpartition("/")[0] + "/internal"
    world.azure.put("loadBalancers", "kubernetes-internal", {"sku": {"name": "Standard"}, "properties": properties})
    world.crash()
    world.settle(700)
    (plan,) = world.plans()
    assert plan.actions == ()
    assert {action.hazard for action in plan.held} == {Hazard.MOVES_ADDRESS}
    assert world.addresses()[0].startswith("10.2.0.")
    assert "THE ADDRESS CHANGES" in held(world)


def test_a_subnet_with_an_address_named_in_it_is_asked_for(world: Cluster) -> None:
    """Whoever names the new address too has said what is to happen: nothing waits."""
    world.apply(service(annotations=INTERNAL))
    there = {PREFIX + "load-balancer-internal-subnet": "internal", PREFIX + "load-balancer-ipv4": "10.2.0.77"}
    world.annotate("web", INTERNAL | there)
    world.settle(120)
    assert world.addresses() == ["10.2.0.77"]
    assert world.plans() == []


def test_another_group_of_addresses_waits_for_approval(world: Cluster) -> None:
    """The address stays where it is until the move is approved; then the new one serves, and the old one is gone."""
    world.apply(service())
    before = world.addresses()
    there = {PREFIX + "load-balancer-resource-group": "user-rg"}
    world.annotate("web", there)
    world.settle(700)
    assert world.addresses() == before
    assert "THE ADDRESS CHANGES" in held(world)
    (plan,) = world.plans()
    assert plan.actions == ()
    world.annotate("web", there | {"lbctl.io/approve": plan.held_digest})
    world.settle(120)
    assert len(world.addresses()) == 1
    assert world.addresses() != before
    assert before[0] not in str(world.azure.state())
    assert world.plans() == []


def _written(world: Cluster) -> list[Call]:
    return [call for call in world.server.journal.calls if call.counted.value in ("write", "delete")]


@pytest.mark.spec("AZ-078")
def test_a_label_that_the_region_has_given_away_is_told(world: Cluster) -> None:
    """A DNS label that is in use elsewhere holds its own Service back, and names the label."""
    label = {"properties": {"dnsSettings": {"domainNameLabel": "taken"}}}
    world.azure.put_public_ip("theirs", group="user-rg", **label)
    world.apply(service())
    world.annotate("web", {PREFIX + "dns-label-name": "taken"})
    world.settle(60)
    assert "taken" in str(world.kube.events)
    world.apply(service("other", ports=(81,)))
    assert world.addresses("other")


def test_ip_tags_change_in_place_where_azure_lets_them() -> None:
    """With `enableIPTagMutationForExistingPublicIP` the one mutable tag changes without a new address."""
    with cluster(config={"enableIPTagMutationForExistingPublicIP": True}) as world:
        world.add_nodes("n1")
        world.apply(service())
        before = world.addresses()
        world.annotate("web", {PREFIX + "pip-ip-tags": "FirstPartyUsage=/some"})
        (address,) = world.public_ips().values()
        assert address["properties"]["ipTags"] == [{"ipTagType": "FirstPartyUsage", "tag": "/some"}]
        assert world.addresses() == before
        assert world.plans() == []


@pytest.mark.spec("AZ-080")
def test_zones_are_all_at_birth_and_left_alone_later(world: Cluster) -> None:
    """A new internal frontend is in every zone; an address that a user made in one zone stays in that one."""
    world.apply(service(annotations=INTERNAL))
    found = world.azure.state()[world.azure.id("loadBalancers", "kubernetes-internal")]
    assert [frontend["zones"] for frontend in found["properties"]["frontendIPConfigurations"]] == [["1", "2", "3"]]
    world.apply(service("out", ports=(81,)))
    world.azure.cloud.zones = ("1", "2")
    world.crash()
    world.settle()
    assert world.plans() == []
    (address,) = world.public_ips().values()
    assert address["zones"] == ["1", "2", "3"]


# -- who may come ------------------------------------------------------------------------------------------------------


@pytest.mark.spec("AZ-071")
def test_the_others_are_denied_as_long_as_anybody_on_the_address_wants_it(world: Cluster) -> None:
    """Two Services share an address and one closes it: the neighbour's coming and going opens nothing."""
    closed = {PREFIX + "allowed-ip-ranges": "198.51.100.0/24"}
    closed[PREFIX + "deny-all-except-load-balancer-source-ranges"] = "true"
    world.apply(service("closed", annotations=closed))
    (name,) = world.public_ips()
    deny = {"k8s-azure-lb_deny-all_IPv4": world.addresses("closed")[0]}
    assert denied(world) == deny
    world.apply(service("guest", ports=(443,), annotations={PREFIX + "pip-name": name}))
    assert world.addresses("guest") == world.addresses("closed")
    assert denied(world) == deny
    world.delete("guest")
    world.settle(60)
    assert denied(world) == deny
    world.annotate("closed", {})
    assert denied(world) == {}


def denied(world: Cluster) -> dict[str, str]:
    """The destination of each rule that denies everybody else."""
    rules = {name: rule for name, rule in world.security_rules().items() if rule["access"] == "Deny"}
    return {name: rule["destinationAddressPrefix"] for name, rule in rules.items()}


# -- several load balancers --------------------------------------------------------------------------------------------


@pytest.mark.spec("AZ-085")
def test_an_annotation_names_the_balancer_and_a_pin_decides(world: Cluster) -> None:
    """The Service moves to the balancer that it names and keeps its address; an unknown one and a pin are refused."""
    del world
    with cluster(config=TWO) as many:
        many.add_nodes("n1", "n2")
        many.apply(service(annotations={PREFIX + "load-balancer-configurations": "kubernetes"}))
        address = many.addresses()
        many.annotate("web", {PREFIX + "load-balancer-configurations": "Second"})
        many.settle(300)
        assert (set(many.lb_rules("second")), many.lb_rules("kubernetes")) == ({f"{NAME}-TCP-80"}, {})
        assert many.addresses() == address
        assert many.plans() == []
        many.annotate("web", {PREFIX + "load-balancer-configurations": "third"})
        assert "names none of" in held(many)
        (name,) = many.public_ips()
        pinned = {PREFIX + "pip-name": name}
        many.annotate("web", pinned | {PREFIX + "load-balancer-configurations": "second"})
        assert "pinned address" in held(many)
        many.annotate("web", {})
        many.apply(service("guest", ports=(81,), annotations=pinned))
        assert len(many.lb_rules("second")) == 2


@pytest.mark.spec("AZ-085")
def test_a_selector_of_namespaces_takes_the_services_of_its_namespace_alone() -> None:
    """A balancer for one namespace, by the label that every namespace has, is for nobody else."""
    chosen = {"name": "second", "serviceNamespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "edge"}}}
    with cluster(config={"multipleStandardLoadBalancerConfigurations": [{"name": "kubernetes"}, chosen]}) as world:
        world.add_nodes("n1", "n2")
        world.apply(service())
        other = service("web", ports=(81,))
        stored = world.kube.put(change(other, metadata=change(other.metadata, namespace="edge")))
        world.settle(60)
        assert stored.metadata.namespace == "edge"
        assert (len(world.lb_rules("kubernetes")), len(world.lb_rules("second"))) == (1, 1)
        assert set(world.lb_rules("kubernetes")) == {f"{NAME}-TCP-80"}


# -- pools that somebody else fills ----------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["external", "all", "internal"])
@pytest.mark.parametrize("pools", ["nodeIP", "nodeIPConfiguration"])
def test_pools_that_others_fill_are_left_as_they_are(kind: str, pools: str) -> None:
    """`preConfiguredBackendPoolLoadBalancerTypes` names the balancers whose members are nobody's business of ours."""
    config = {"preConfiguredBackendPoolLoadBalancerTypes": kind, "loadBalancerBackendPoolConfigurationType": pools}
    with cluster(config=config) as world:
        add_bystanders(world.azure)
        world.add_machines(world.azure.flex_set(count=2))
        world.apply(service())
        world.apply(service("in", annotations=INTERNAL))
        world.settle(60)
        assert world.addresses()
        assert bool(_members(world, "kubernetes")) is (kind == "internal")
        world.see_node(None, min(world.kube.nodes))
        world.settle(60)
        assert world.plans() == []
        assert world.lb_rules("kubernetes")


def _members(world: Cluster, name: str) -> list[Any]:
    pool = world.parts("backendAddressPools", name)["kubernetes"]
    return pool.get("loadBalancerBackendAddresses") or pool.get("backendIPConfigurations") or []


# -- nodes -------------------------------------------------------------------------------------------------------------


@pytest.mark.spec("AZ-083")
@pytest.mark.parametrize(
    "labels",
    [
        {"node.kubernetes.io/exclude-from-external-load-balancers": ""},
        {"node-role.kubernetes.io/control-plane": ""},
        {"node-role.kubernetes.io/master": ""},
        {"kubernetes.io/role": "master"},
        {"kubernetes.azure.com/managed": "false"},
        {"kubernetes.azure.com/resource-group": "another-rg"},
    ],
    ids=lambda labels: next(iter(labels)),
)
def test_a_node_that_is_not_meant_is_no_member(world: Cluster, labels: dict[str, str]) -> None:
    """Excluded, control-plane, unmanaged and foreign nodes stay outside, and a member that becomes one leaves."""
    world.apply(service())
    world.see_node(node("n2", labels=labels))
    world.settle(60)
    assert member_names(world) == {"n1"}
    world.see_node(node("n2"))
    world.settle(60)
    assert member_names(world) == {"n1", "n2"}
    world.see_node(node("n2", labels=labels))
    world.settle(60)
    assert member_names(world) == {"n1"}


def member_names(world: Cluster) -> set[str]:
    """Members of the cluster's pool of addresses."""
    pool = world.parts("backendAddressPools")["kubernetes"]
    return {entry["name"] for entry in pool["loadBalancerBackendAddresses"]}


@pytest.mark.spec("AZ-042")
def test_a_scale_set_without_nodes_does_not_keep_the_balancer() -> None:
    """A set that is scaled to nothing holds the pool in its model: it is detached before the balancer goes."""
    with cluster(config=NIC_POOLS) as world:
        world.add_machines(world.azure.uniform_set(count=1))
        world.apply(service())
        pool = world.azure.id("loadBalancers", "kubernetes") + "/backendAddressPools/kubernetes"
        world.azure.uniform_set("empty", count=0, pools=[pool])
        world.delete("web")
        world.settle(300)
        assert not world.exists(), world.kube.events
        assert world.balancer() is None


# -- private links -----------------------------------------------------------------------------------------------------


@pytest.fixture
def linked() -> Iterator[Cluster]:
    """A cluster whose pools hold interfaces, with a Service behind a private link."""
    with cluster(config=NIC_POOLS) as world:
        world.apply(service(annotations=LINK))
        world.settle(60)
        yield world


def link(world: Cluster, name: str = f"pls-{NAME}") -> dict | None:
    """A private link service's properties."""
    found = world.azure.state().get(world.azure.id("privateLinkServices", name))
    return found["properties"] if found else None


def test_every_option_of_a_private_link_reaches_it(linked: Cluster) -> None:
    """Addresses, names, PROXY protocol, visibility and approval are set in place and taken back."""
    plain = link(linked)
    options = {
        "ip-configuration-ip-address-count": "2",
        "ip-configuration-ip-address": "10.3.0.9",
        "fqdns": "one.example two.example",
        "proxy-protocol": "true",
        "visibility": SUBSCRIPTION,
        "auto-approval": SUBSCRIPTION,
    }
    linked.annotate("web", LINK | {f"{PREFIX}pls-{name}": value for name, value in options.items()})
    linked.settle(60)
    found = link(linked)
    assert found is not None
    addresses = [entry["properties"].get("privateIPAddress") for entry in found["ipConfigurations"]]
    assert (len(addresses), addresses[0]) == (2, "10.3.0.9")
    assert found["fqdns"] == ["one.example", "two.example"]
    assert found["enableProxyProtocol"] is True
    assert found["visibility"]["subscriptions"] == found["autoApproval"]["subscriptions"] == [SUBSCRIPTION]
    assert linked.plans() == []
    linked.annotate("web", LINK)
    linked.settle(60)
    assert len((link(linked) or {})["ipConfigurations"]) == 1
    assert plain is not None
    assert (link(linked) or {})["enableProxyProtocol"] is plain["enableProxyProtocol"] is False


@pytest.mark.parametrize("option", ["name", "resource-group"])
def test_a_private_link_cannot_be_renamed_or_moved(linked: Cluster, option: str) -> None:
    """Name and group are fixed at birth: the author is told, and the link stays as it is."""
    before = linked.azure.state()
    linked.annotate("web", LINK | {f"{PREFIX}pls-{option}": "user-rg"})
    linked.settle(60)
    assert "private link" in held(linked)
    assert linked.azure.state() == before


@pytest.mark.spec("AZ-087")
@pytest.mark.parametrize("crashes", [False, True], ids=["at-work", "restarted"])
def test_a_link_that_is_no_longer_asked_for_goes_with_its_frontend(linked: Cluster, *, crashes: bool) -> None:
    """Without the annotation the link stays, because others may be connected; it goes when the Service goes."""
    linked.annotate("web", INTERNAL)
    linked.settle(60)
    assert link(linked) is not None
    if crashes:
        linked.crash()
        linked.settle()
    assert linked.plans() == []
    linked.delete("web")
    linked.settle(300)
    assert not linked.exists(), linked.kube.events
    assert link(linked) is None
    assert linked.balancer("kubernetes-internal") is None
