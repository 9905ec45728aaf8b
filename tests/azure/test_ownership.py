"""Nothing is removed without proof that it is ours, and what is ours is found again."""

from __future__ import annotations

import copy

import pytest

from tests.azure.cluster import GROUPS, cluster
from tests.world import change, service

NAME = "a0000000100004000800000000000000"


@pytest.mark.spec("AZ-094")
def test_what_an_unknown_service_left_is_an_orphan_and_stays() -> None:
    """Objects whose Service vanished while nobody looked are kept and listed, not swept."""
    with cluster() as world:
        world.add_nodes("n1")
        world.apply(service("gone"))
        world.apply(service("stays", ports=(81,)))
        before = world.azure.state()
        del world.kube.services["shop/gone"]
        world.server.journal.clear()
        world.crash()
        world.settle(60)
        assert world.writes() == {}
        assert world.azure.state() == before
        # Rules tell a uid and the address's tags a name: together they are one owner.
        assert {identity.key for _, identity in world.account.strangers()} == {"shop/gone"}
        world.delete("stays")
        world.settle(60)
        assert not world.exists("stays")
        assert set(world.lb_rules()) == {f"{NAME}-TCP-80"}


@pytest.mark.spec("AZ-018")
def test_ids_in_another_case_are_the_same() -> None:
    """ARM may echo ids in any case: that is no difference."""
    with cluster() as world:
        world.add_nodes("n1")
        world.apply(service())
        found = world.azure.cloud.find(world.azure.id("loadBalancers", "kubernetes"))
        assert found is not None
        properties = copy.deepcopy(found.properties)
        for rule in properties["loadBalancingRules"]:
            for reference in ("frontendIPConfiguration", "backendAddressPool", "probe"):
                rule["properties"][reference]["id"] = rule["properties"][reference]["id"].upper()
        for frontend in properties["frontendIPConfigurations"]:
            public_ip = frontend["properties"]["publicIPAddress"]
            public_ip["id"] = (
                public_ip["id"].replace("resourceGroups", "resourcegroups").replace("cluster-rg", "CLUSTER-RG")
            )
        with world.azure.cloud.lock:
            world.azure.cloud.replace_properties(found, properties)
        world.server.journal.clear()
        world.crash()
        world.settle()
        assert world.writes() == {}
        assert world.addresses()


@pytest.mark.spec("AZ-076")
def test_a_full_security_group_refuses_the_next_service_before_the_write() -> None:
    """A Service with more sources than fit is told so; its neighbours go on."""
    with cluster() as world:
        world.add_nodes("n1")
        many = ",".join(f"10.{n // 128}.{2 * (n % 128)}.0/24" for n in range(4001))
        greedy = {"service.beta.kubernetes.io/azure-allowed-ip-ranges": many}
        world.server.journal.clear()
        world.kube.put(service("greedy", annotations=greedy))
        world.kube.put(service("modest", ports=(81,)))
        world.settle(60)
        assert world.writes()[f"{GROUPS}/write"] == 1
        assert len(world.security_rules()) == 1
        assert "4000 sources" in str(world.kube.events)


@pytest.mark.spec("AZ-093")
def test_a_plan_reads_and_names_every_difference() -> None:
    """Planning a change asks Azure nothing but GETs, and shows each field that would be written."""
    with cluster() as world:
        world.add_nodes("n1")
        world.apply(service())
        live = world.live()
        annotations = {"service.beta.kubernetes.io/azure-load-balancer-tcp-idle-timeout": "10"}
        world.kube.listeners.clear()
        stored = world.kube.put(change(live, metadata=change(live.metadata, annotations=annotations)))
        world.controller.see_service(live, stored)
        world.server.journal.clear()
        (plan,) = world.plans()
        assert {call.method for call in world.server.journal.calls} == {"GET"}
        changes = [(c.field, c.old, c.new) for a in plan.actions for step in a.steps for c in step.changes]
        assert changes == [("idle_minutes", 4, 10)]


def test_released_addresses_are_the_users_own() -> None:
    """A Service that retains what it has leaves an address without our tags."""
    with cluster() as world:
        world.add_nodes("n1")
        world.apply(service(annotations={"lbctl.io/deletion-policy": "retain"}))
        world.delete("web")
        world.settle(60)
        assert not world.exists(), world.kube.events
        (address,) = world.public_ips().values()
        assert not address.get("tags")
        assert len(world.lb_rules()) == 1


def test_a_label_that_two_services_want_stays_where_it_is() -> None:
    """The first keeps it, the other is told whose it is, and a restart tries nothing."""
    label = {"service.beta.kubernetes.io/azure-dns-label-name": "some-label"}
    with cluster() as world:
        world.add_nodes("n1", "n2")
        for number in range(2):
            world.kube.put(service(f"s{number}", ports=(80 + number,), annotations=label))
            world.settle(60)
        assert world.condition("s0").status == "True"
        assert "belongs to shop/s0" in world.condition("s1").message
        world.server.journal.clear()
        world.crash()
        world.settle(60)
        assert world.writes() == {}
