"""Promises that hold for any Service, not only for the examples."""

from __future__ import annotations

from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.clouds.cloudstack.cloud import Cloud
from tests.clouds.cloudstack.server import CloudStackServer
from tests.clouds.cloudstack.topology import add_network, add_tier, picture
from tests.cloudstack.stage import Stage
from tests.cloudstack.test_wishes import PROXY, SOURCES, STICKINESS
from tests.world import service

CIDRS = ("10.0.0.0/8", "192.0.2.0/24", "198.51.100.0/24")
PORTS = st.sets(st.sampled_from((80, 443, 8080, 8443)), min_size=1, max_size=3)
RANGES = st.sets(st.sampled_from(CIDRS), max_size=2)
ANNOTATIONS = st.fixed_dictionaries(
    {},
    optional={
        PROXY: st.sampled_from(("true", "false")),
        SOURCES: st.sampled_from(("10.0.0.0/8", "10.0.0.0/8,192.0.2.0/24")),
        STICKINESS: st.sampled_from(("SourceBased", "LbCookie")),
        "lbctl.io/cloudstack-algorithm": st.sampled_from(("leastconn", "source")),
    },
)


@st.composite
def wishes(draw: Any) -> Any:
    """A valid Service."""
    affinity = draw(st.sampled_from(("None", "ClientIP")))
    fields = {"session_affinity": affinity, "load_balancer_source_ranges": tuple(sorted(draw(RANGES)))}
    return service(ports=sorted(draw(PORTS)), annotations=draw(ANNOTATIONS), **fields)


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize=True)
@given(first=wishes(), second=wishes(), make=st.sampled_from((add_network, add_tier)))
def test_any_change_settles_survives_a_restart_and_leaves_nothing(first, second, make):
    """From any wish to any other: the plan gets empty, stays so after a restart, and deletion restores the cloud."""
    with CloudStackServer(Cloud()) as server:
        stage = Stage(server, make(server.cloud))
        before = picture(server.cloud)
        for wish in (first, second):
            stage.apply(wish)
            stage.settle(200)
            assert stage.condition().reason == "Ready"
            assert stage.plans() == []
        stage.crash()
        server.cloud.faults.clear()
        stage.settle(60)
        assert server.cloud.faults.writes == 0
        assert stage.plans() == []
        stage.delete("web")
        stage.settle(200)
        assert not stage.exists()
        assert picture(server.cloud) == before
        assert not stage.bugs
        stage.driver.close()
