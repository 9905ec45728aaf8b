"""What the driver shows of its pools."""

from __future__ import annotations

from lbctl.driver import Figure
from tests.local.gateway import NET, Gateway
from tests.world import service


def test_each_pool_shows_how_much_of_it_is_in_use(gateway: Gateway):
    """An address that a balancer has counts, one that was given back does not."""
    pool = str(gateway.driver._pools[0])

    def used():
        gateway.driver.snapshot(None)
        return gateway.figures[Figure.ADDRESSES_IN_USE, pool]

    assert used() == 0
    assert gateway.figures[Figure.ADDRESSES, pool] > 1
    gateway.apply(service(ports=(80,), load_balancer_ip=f"{NET}.64.9"))
    assert used() == 1
    gateway.delete("web")
    assert used() == 0
