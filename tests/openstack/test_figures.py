"""What the driver shows of OpenStack: the health of members."""

from __future__ import annotations

from lbctl.driver import Figure
from tests.world import service


def test_a_snapshot_shows_the_health_of_all_members(scene):
    """Each member of each pool is counted in the state that Octavia gives it."""
    scene.apply(service(ports=(80,)))
    scene.settle()
    scene.crash()
    scene.settle()
    states = {label: value for (what, label), value in scene.figures.items() if what is Figure.TARGETS}
    assert set(states) == {"healthy", "unhealthy", "draining", "unknown"}
    assert sum(states.values()) == 2
