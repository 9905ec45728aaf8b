"""The role that is printed against the calls that are made: nothing is missing, and nothing is asked for in vain."""

from __future__ import annotations

import pytest

from lbctl.engine.planning import build_world
from lbctl.model.intent import identity_of
from lbctl_azure.permissions import Need, actions_for, possible_needs
from tests.azure.cluster import Cluster, cluster
from tests.clouds.azure.access import Principal
from tests.clouds.azure.bystanders import add_bystanders
from tests.clouds.azure.server import TOKEN
from tests.world import service

PREFIX = "service.beta.kubernetes.io/azure-"
INTERNAL = {PREFIX + "load-balancer-internal": "true"}
NIC_POOLS = {"loadBalancerBackendPoolConfigurationType": "nodeIPConfiguration"}
BOTH = {"ip_families": ("IPv4", "IPv6"), "ip_family_policy": "RequireDualStack"}
# Azure checks these links too, on what no object of this world has: a role without them fails in real clusters only.
NOT_SHOWN = {
    "Microsoft.Network/applicationSecurityGroups/joinIpConfiguration/action",
    "Microsoft.Network/loadBalancers/inboundNatPools/join/action",
    "Microsoft.Network/loadBalancers/inboundNatRules/join/action",
    "Microsoft.Network/loadBalancers/probes/join/action",
    "Microsoft.Network/natGateways/join/action",
    "Microsoft.Network/routeTables/join/action",
}


def live(world: Cluster) -> None:
    """Everything that the driver can do for Services of this cluster, and what `lbctl doctor` asks."""
    world.apply(service("out", **BOTH))
    prefix = world.azure.put(
        "publicIPPrefixes", "pool", {"sku": {"name": "Standard"}, "properties": {"prefixLength": 30}}
    )
    world.apply(service("prefix", ports=(81,), annotations={PREFIX + "pip-prefix-id": prefix}))
    world.apply(service("in", annotations=INTERNAL))
    if not world.config.uses_node_ips:
        link = {PREFIX + "pls-create": "true", PREFIX + "pls-ip-configuration-subnet": "links"}
        world.apply(service("link", ports=(82,), annotations=INTERNAL | link))
        world.settle(60)
        world.azure.connect(next(key for key in world.azure.state() if "/privateLinkServices/" in key), "somebody")
    else:
        world.add_nodes("n3")
    assert list(world.driver.check())
    known = build_world(world.account, world.account.services.values(), cluster=world.cluster, now=world.clock.now())
    assert world.driver.health([identity_of(one) for one in world.kube.services.values()], known)
    for name in list(world.kube.services):
        world.kube.delete(name)
    world.settle(300)
    assert not world.kube.services, world.kube.events


def under_role(world: Cluster, actions: tuple[str, ...]) -> Principal:
    """From now on the caller may do these actions only."""
    held = Principal("controller", frozenset(actions))
    world.server.access.principals[TOKEN] = held
    return held


@pytest.mark.parametrize("config", [{}, NIC_POOLS], ids=["addresses", "interfaces"])
def test_a_whole_life_needs_exactly_the_actions_of_the_role(config: dict[str, str]) -> None:
    """Nothing is refused under the role, and each of its actions is asked for at least once."""
    with cluster(config=config) as world:
        add_bystanders(world.azure)
        world.crash()
        held = under_role(world, actions_for(possible_needs(world.config)))
        if config:
            _add_every_kind_of_machine(world)
        else:
            world.add_nodes("n1", "n2")
        live(world)
        refused = [call for call in world.server.journal.calls if call.status in (401, 403)]
        assert refused == []
        assert held.actions is not None
        needed = {action.lower() for action in held.needed}
        assert {action for action in held.actions if action.lower() not in needed} - NOT_SHOWN == set()


def _add_every_kind_of_machine(world: Cluster) -> None:
    """Uniform and flexible scale sets, availability sets, and an instance whose model joins later."""
    world.add_machines(world.azure.uniform_set(count=2))
    world.add_machines(world.azure.flex_set(count=1))
    world.add_machines(world.azure.availability_set(count=1))


def test_the_right_that_is_taken_away_is_the_one_that_doctor_misses() -> None:
    """Doctor names each missing action, where it is missing and what to do, before anything fails."""
    with cluster() as world:
        every = actions_for(possible_needs(world.config))
        lost = {"Microsoft.Network/loadBalancers/write", "Microsoft.Network/publicIPPrefixes/join/action"}
        under_role(world, tuple(action for action in every if action not in lost))
        found = {f.subject: f for f in world.driver.check() if f.level.value != "ok"}
        assert set(found) == {"right Microsoft.Network/loadBalancers/write"}
        (finding,) = found.values()
        assert finding.level.value == "failed"
        assert "cluster-rg" in finding.message
        assert "lbctl permissions" in finding.hint


def test_a_right_of_private_links_alone_is_a_warning() -> None:
    """What only few Services need does not make doctor fail."""
    with cluster(config=NIC_POOLS) as world:
        under_role(world, actions_for(possible_needs(world.config) - {Need.LINK}))
        levels = {f.subject: f.level.value for f in world.driver.check() if f.subject.startswith("right ")}
        assert set(levels.values()) == {"warning"}
        assert "right Microsoft.Network/privateLinkServices/write" in levels
