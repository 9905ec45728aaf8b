"""Promises that hold for any Service, not only for the examples."""

from __future__ import annotations

from typing import Any

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from tests.clouds.cloudstack.cloud import Cloud
from tests.clouds.cloudstack.server import CloudStackServer
from tests.clouds.cloudstack.topology import add_network, add_shared, add_tier, picture
from tests.cloudstack.stage import Stage
from tests.cloudstack.test_wishes import PROXY, SOURCES, STICKINESS
from tests.world import service

JOB_SECONDS = 0.5
CIDRS = ("10.0.0.0/8", "192.0.2.0/24", "198.51.100.0/24")
PORTS = st.sets(st.sampled_from((80, 443, 8080)), min_size=1, max_size=2)
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
    """A valid Service: somebody may come through both of its filters."""
    affinity = draw(st.sampled_from(("None", "ClientIP")))
    annotations, ranges = draw(ANNOTATIONS), draw(RANGES)
    ranges |= {"10.0.0.0/8"} if ranges and SOURCES in annotations else set()
    fields = {"session_affinity": affinity, "load_balancer_source_ranges": tuple(sorted(ranges))}
    return service(ports=sorted(draw(PORTS)), annotations=annotations, **fields)


# An example is a whole life over HTTP: a failing one is reported as it is, since shrinking would take minutes.
@settings(
    max_examples=12,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
    derandomize=True,
    phases=(Phase.explicit, Phase.generate),
)
@given(first=wishes(), second=wishes(), make=st.sampled_from((add_network, add_tier, add_shared)))
def test_any_change_settles_survives_a_restart_and_leaves_nothing(first, second, make):
    """From any wish to any other: the plan gets empty, stays so after a restart, and deletion restores the cloud."""
    with CloudStackServer(Cloud()) as server:
        server.cloud.jobs.seconds = JOB_SECONDS
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
