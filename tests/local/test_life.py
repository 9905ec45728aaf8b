"""The life of a Service, seen by its clients through a real Envoy."""

from __future__ import annotations

from tests.local.gateway import Gateway, ask, echoes
from tests.world import service

NODE_PORT = 30080


def test_a_service_gets_an_address_that_serves_and_loses_it_when_deleted(gateway: Gateway):
    """A Service is published with ipMode Proxy on an address of the pool, serves on its port, and is closed after its deletion."""
    with echoes(NODE_PORT, "n1", "n2"):
        gateway.apply(service(ports=(80,)))
        (address,) = gateway.addresses()
        assert address.startswith("127.0.")
        assert gateway.live().status.load_balancer.ingress[0].ip_mode == "Proxy"
        assert {ask(address, 80) for _ in range(8)} == {"n1 hello", "n2 hello"}
        assert gateway.plans() == []
        gateway.delete("web")
        assert not gateway.exists()
        assert ask(address, 80) == ""
        assert gateway.plans() == []
