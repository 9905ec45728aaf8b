"""What the driver shows of Azure: how many writes the subscription has left."""

from __future__ import annotations

from lbctl.driver import Figure
from tests.azure.cluster import cluster
from tests.clouds.azure.limits import PUBLISHED, Counted
from tests.world import service


def test_each_write_shows_what_is_left_of_the_subscriptions_budget():
    """After some writes it is less than what a principal may have."""
    with cluster(limits=PUBLISHED) as world:
        world.apply(service("web"))
        most = PUBLISHED.principal[Counted.WRITE].size
        assert 0 < world.figures[Figure.BUDGET_LEFT, "subscription writes"] < most
