"""Which address a Service has, and that it keeps it."""

from __future__ import annotations

import pytest

from tests.local.gateway import NET, Gateway, ask, echoes
from tests.world import service

NODE_PORT = 30080


def test_an_address_survives_a_restart_of_everything(build):
    """After lbctl has lost its memory and Envoy has been stopped, the Service has the same address."""
    gateway = build()
    gateway.apply(service(ports=(80,)))
    before = gateway.addresses()
    gateway.crash()
    gateway.settle()
    assert gateway.addresses() == before


def test_an_address_survives_the_loss_of_the_state_directory(build):
    """With the state directory gone, the published address is taken again, since clients know it."""
    gateway = build()
    with echoes(NODE_PORT, "n1", "n2"):
        gateway.apply(service(ports=(80,), load_balancer_ip=f"{NET}.64.77"))
        gateway.edit("web", load_balancer_ip=None)
        gateway.stop()
        gateway.start()
        gateway.until(lambda: gateway.plans() == [])
        assert gateway.addresses() == [f"{NET}.64.77"]
        assert ask(f"{NET}.64.77", 80)


def test_a_requested_address_is_used_and_can_be_changed(gateway: Gateway):
    """`loadBalancerIP` decides the address; another value moves the Service, and the old address is closed and free."""
    with echoes(NODE_PORT, "n1", "n2"):
        gateway.apply(service(ports=(80,), load_balancer_ip=f"{NET}.64.9"))
        assert gateway.addresses() == [f"{NET}.64.9"]
        gateway.edit("web", load_balancer_ip=f"{NET}.64.10")
        assert gateway.addresses() == [f"{NET}.64.10"]
        assert ask(f"{NET}.64.10", 80)
        assert ask(f"{NET}.64.9", 80) == ""
        gateway.apply(service("next", ports=(80,), load_balancer_ip=f"{NET}.64.9"))
        assert gateway.addresses("next") == [f"{NET}.64.9"]


def test_a_taken_address_names_who_has_it(gateway: Gateway):
    """Asking for another Service's address fails with that Service's name, and the other one goes on."""
    with echoes(NODE_PORT, "n1", "n2"):
        gateway.apply(service("first", ports=(80,), load_balancer_ip=f"{NET}.64.9"))
        gateway.apply(service("second", ports=(80,), load_balancer_ip=f"{NET}.64.9"))
        assert gateway.addresses("second") == []
        assert f"{NET}.64.9 is taken by shop/first" in gateway.condition("second").message
        assert ask(f"{NET}.64.9", 80)


@pytest.mark.parametrize("wanted", ["127.9.9.9", "fd00::1", "nonsense"])
def test_an_address_outside_of_the_pools_is_refused(gateway: Gateway, wanted: str):
    """An address that no pool has, of a family that is not served, or that is none, is the author's mistake."""
    gateway.apply(service(ports=(80,), load_balancer_ip=wanted))
    assert gateway.condition().reason == "InvalidService"
    assert "spec.loadBalancerIP" in gateway.condition().message


def test_an_exhausted_pool_tells_used_and_limit(build):
    """The third Service on a pool of two addresses is told so, and gets the first one that becomes free."""
    gateway = build(addresses=(f"{NET}.64.0/30",))
    for name in ("a", "b", "c"):
        gateway.apply(service(name, ports=(80,)))
    assert sorted(gateway.addresses("a") + gateway.addresses("b")) == [f"{NET}.64.1", f"{NET}.64.2"]
    assert gateway.addresses("c") == []
    assert "2 used, limit 2" in gateway.condition("c").message
    assert gateway.condition("c").reason == "QuotaExceeded"
    freed = gateway.addresses("a")
    gateway.delete("a")
    gateway.crash()
    gateway.settle()
    assert gateway.addresses("c") == freed
