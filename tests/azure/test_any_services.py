"""Whatever mixture of Services there is: served once, nothing is left to do, and order does not matter."""

from __future__ import annotations

from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lbctl.model.objects import Service, ServicePort
from tests.azure.cluster import cluster
from tests.world import change, service

PREFIX = "service.beta.kubernetes.io/"
CHOICES: dict[str, list[str]] = {
    "azure-load-balancer-internal": ["true", "false"],
    "azure-load-balancer-tcp-idle-timeout": ["4", "30", "500"],
    "azure-disable-load-balancer-floating-ip": ["true"],
    "azure-load-balancer-enable-high-availability-ports": ["true"],
    "azure-allowed-ip-ranges": ["198.51.100.0/24", "198.51.100.0/24,2001:db8::/32", "junk"],
    "azure-allowed-service-tags": ["AzureCloud"],
    "azure-disable-load-balancer-nsg-rule": ["true"],
    "azure-load-balancer-internal-subnet": ["internal"],
    "azure-dns-label-name": ["some-label"],
    "azure-deny-all-except-load-balancer-source-ranges": ["true"],
    "azure-additional-public-ips": ["20.9.9.9", "20.9.9.9,2603:1020:999::1"],
    "azure-load-balancer-resource-group": ["user-rg"],
    "azure-pip-tags": ["team=web,junk"],
    "azure-load-balancer-health-probe-protocol": ["http", "gopher"],
    "azure-load-balancer-health-probe-interval": ["20"],
    "port_80_no_probe_rule": ["true"],
    "port_80_health-probe_port": ["443", "9000"],
    "port_443_no_lb_rule": ["true"],
    "load-balancer-source-ranges": ["203.0.113.0/24"],
}


@st.composite
def services(draw: st.DrawFn) -> list[Service]:
    """Up to four Services with ports, families, policies and annotations of all kinds."""
    return [_service(draw, number) for number in range(draw(st.integers(1, 4)))]


def _service(draw: st.DrawFn, number: int) -> Service:
    keys = draw(st.lists(st.sampled_from(sorted(CHOICES)), max_size=3, unique=True))
    annotations = {PREFIX + key: draw(st.sampled_from(CHOICES[key])) for key in keys}
    numbers = draw(st.lists(st.sampled_from([53, 80, 443, 8080]), min_size=1, max_size=3, unique=True))
    protocols = [draw(st.sampled_from(["TCP", "UDP"])) for _ in numbers]
    ports = tuple(
        ServicePort(port=port, protocol=protocol, node_port=30000 + 10 * number + index, name=f"p{port}")
        for index, (port, protocol) in enumerate(zip(numbers, protocols, strict=True))
    )
    spec: dict[str, Any] = {"ports": ports, "ip_families": draw(st.sampled_from([("IPv4",), ("IPv4", "IPv6")]))}
    if draw(st.booleans()):
        spec |= {"external_traffic_policy": "Local", "health_check_node_port": 31000 + number}
    if draw(st.booleans()):
        spec |= {"session_affinity": "ClientIP"}
    made = service(f"s{number}", annotations=annotations)
    return change(made, spec=change(made.spec, **spec))


@settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck))
@given(services())
def test_nothing_is_left_to_do_whatever_was_asked(wanted: list[Service]) -> None:
    """After all was served, planned against a fresh read, the plan is empty; after all was deleted, so is Azure."""
    with cluster() as world:
        world.add_nodes("n1", "n2")
        before = world.azure.state()
        for one in wanted:
            world.kube.put(one)
        world.settle(120)
        assert world.plans() == []
        world.server.journal.clear()
        world.crash()
        world.settle(60)
        assert world.writes() == {}
        for key in list(world.kube.services):
            world.kube.delete(key)
        world.settle(120)
        assert not world.kube.services, world.kube.events
        assert world.azure.state() == before


@settings(max_examples=8, deadline=None, suppress_health_check=list(HealthCheck))
@given(services(), st.randoms(use_true_random=False))
def test_the_plan_does_not_depend_on_the_order_of_arrival(wanted: list[Service], source: Any) -> None:
    """The same Services in another order of arrival are planned in the same words."""
    texts = []
    for shuffled in (False, True):
        with cluster(started=False) as world:
            stored = [world.kube.put(one) for one in wanted]
            if shuffled:
                source.shuffle(stored)
            world.kube.services = {one.key: one for one in stored}
            world.start()
            world.controller.tick()
            work = world.controller.next_work()
            while work is not None and work.scope is None:
                world.do(work)
                work = world.controller.next_work()
            texts.append([(str(plan.scope), plan.digest) for plan in world.plans()])
    assert texts[0] == texts[1]
