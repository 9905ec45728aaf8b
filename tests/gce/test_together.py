"""Two clusters in one project, and Services as anybody may write them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lbctl.clock import ManualClock
from lbctl.model.objects import Service
from tests.clouds.gce.server import ComputeServer
from tests.clouds.gce.world import Google
from tests.world import change, service

CLASS = "networking.gke.io/l4-regional-"
CLASSES = (f"{CLASS}external-legacy", f"{CLASS}external", f"{CLASS}internal-legacy", f"{CLASS}internal")


@pytest.fixture
def clusters(tmp_path: Path) -> Iterator[tuple[Google, Google]]:
    """Two clusters with nodes of their own in one project; their Services have the same names and other uids."""
    clock = ManualClock()
    with ComputeServer(clock.monotonic) as server:
        one = Google(server, tmp_path, clock=clock)
        other = Google(
            server, tmp_path, clock=clock, nodes=("m1", "m2"), uid="kubesystem-uid2", ingress_uid="fedcba9876543210"
        )
        other.kube.put(service("shifts-the-uids", type="ClusterIP"))
        for world in (one, other):
            world.settle()
        yield one, other
        for world in (one, other):
            world.driver.close()
            world.others = world.bystanders()
            world.all_done()


@pytest.mark.parametrize("load_balancer_class", CLASSES)
def test_two_clusters_of_one_project_do_not_touch_each_other(
    clusters: tuple[Google, Google], load_balancer_class: str
) -> None:
    """Both serve a Service of the same name; neither takes the other's objects for its own or for leftovers."""
    one, other = clusters
    empty = one.state()
    one.apply(service(load_balancer_class=load_balancer_class))
    alone = one.state()
    other.apply(service(load_balancer_class=load_balancer_class))
    assert one.addresses() != other.addresses()
    assert [world.condition().status for world in clusters] == ["True", "True"]
    both, writes = one.state(), one.compute.journal.writes
    for world in clusters:
        world.crash()
        world.settle(1300)
        assert world.plans() == []
        assert list(world.account.orphan_watch.confirmed()) == []
    assert (one.state(), one.compute.journal.writes) == (both, writes)
    other.delete("web")
    other.settle(60)
    assert one.state() == alone
    one.delete("web")
    one.settle(60)
    assert one.state() == empty


SPECS = st.fixed_dictionaries(
    {
        "load_balancer_class": st.sampled_from(CLASSES),
        "session_affinity": st.sampled_from(["None", "ClientIP"]),
        "load_balancer_source_ranges": st.sets(
            st.sampled_from(["10.0.0.0/8", "192.168.0.0/16", "0.0.0.0/0", "2001:db8::/32"]), max_size=3
        ).map(lambda found: tuple(sorted(found))),
        "traffic_distribution": st.sampled_from([None, "PreferSameZone"]),
        "policy": st.sampled_from(
            [{}, {"external_traffic_policy": "Local", "health_check_node_port": 32000}],
        ),
        "families": st.sampled_from(
            [{}, {"ip_families": ("IPv4", "IPv6"), "ip_family_policy": "PreferDualStack"}],
        ),
        "numbers": st.sets(st.integers(1, 65535), min_size=1, max_size=8),
        "protocol": st.sampled_from(["TCP", "UDP"]),
    }
)
ANNOTATIONS = st.dictionaries(
    st.sampled_from(
        [
            "networking.gke.io/internal-load-balancer-allow-global-access",
            "cloud.google.com/load-balancer-backend-share",
            "cloud.google.com/l4-rbs",
            "networking.gke.io/weighted-load-balancing",
        ]
    ),
    st.sampled_from(["true", "enabled", "pods-per-node", "nonsense"]),
    max_size=3,
)


def built(spec: dict[str, Any], annotations: dict[str, str]) -> Service:
    """A Service of these parts."""
    flat = {key: value for key, value in spec.items() if key not in ("policy", "families", "numbers", "protocol")}
    made = service(ports=sorted(spec["numbers"]), annotations=annotations, **flat, **spec["policy"], **spec["families"])
    ports = tuple(change(port, protocol=spec["protocol"], node_port=0) for port in made.spec.ports)
    return change(made, spec=change(made.spec, ports=ports))


@pytest.mark.slow
def test_whatever_a_service_says_a_second_pass_and_a_restart_do_nothing(world: Google) -> None:
    """Any ports, kind, policy, families, ranges and annotations: served, stable, and gone without a trace."""
    before = world.state()

    @settings(max_examples=15, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
    @given(spec=SPECS, annotations=ANNOTATIONS)
    def holds(spec: dict[str, Any], annotations: dict[str, str]) -> None:
        world.apply(built(spec, annotations))
        world.settle(60)
        assert world.condition().status == "True", world.condition()
        assert world.plans() == []
        writes = world.compute.journal.writes
        world.crash()
        world.settle(60)
        assert world.compute.journal.writes == writes
        world.delete("web")
        world.settle(60)
        assert world.state() == before

    holds()
