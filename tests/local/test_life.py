"""The life of a Service, seen by its clients through a real Envoy."""

from __future__ import annotations

from lbctl.model.objects import ServicePort
from tests.local.gateway import (
    NET,
    Gateway,
    ask,
    ask_udp,
    connection,
    echoes,
    local_node,
    node_address,
    talk,
    with_ports,
)
from tests.world import service

NODE_PORT = 30080


def answers(address: str, port: int = 80, *, source: str = "", times: int = 12) -> set[str]:
    """Who answers new connections."""
    return {ask(address, port, source=source).partition(" ")[0] for _ in range(times)}


def test_a_service_gets_an_address_that_serves_and_loses_it_when_deleted(gateway: Gateway):
    """A Service is published with ipMode Proxy on a pool's address, serves on its port, and is closed when deleted."""
    with echoes(NODE_PORT, "n1", "n2"):
        gateway.apply(service(ports=(80,)))
        (address,) = gateway.addresses()
        assert address.startswith(NET)
        assert gateway.live().status.load_balancer.ingress[0].ip_mode == "Proxy"
        assert answers(address) == {"n1", "n2"}
        assert gateway.plans() == []
        gateway.delete("web")
        assert not gateway.exists()
        assert ask(address, 80) == ""
        assert gateway.plans() == []
        assert list((gateway.root / "addresses").iterdir()) == []


def test_ports_come_and_go_on_the_same_address(gateway: Gateway):
    """A port that is added serves, one that is removed is closed, and the address stays."""
    with echoes(NODE_PORT, "n1"), echoes(30081, "n1"):
        gateway.apply(service(ports=(80,)))
        (address,) = gateway.addresses()
        gateway.edit("web", ports=service(ports=(80, 81)).spec.ports)
        assert (ask(address, 80), ask(address, 81)) == ("n1 hello", "n1 hello")
        gateway.edit("web", ports=service(ports=(81,)).spec.ports)
        assert (ask(address, 80), ask(address, 81)) == ("", "n1 hello")
        assert gateway.addresses() == [address]


def test_tcp_and_udp_share_a_port(gateway: Gateway):
    """TCP and UDP of one Service on the same port number both serve, and each can go without the other."""
    tcp = ServicePort(port=53, node_port=30053, name="tcp")
    udp = ServicePort(port=53, node_port=30053, name="udp", protocol="UDP")
    gateway.see_node(None, "n2")
    with echoes(30053, "n1"), echoes(30053, "n1", udp=True):
        gateway.apply(with_ports(tcp, udp))
        (address,) = gateway.addresses()
        assert (ask(address, 53), ask_udp(address, 53)) == ("n1 hello", "n1 hello")
        gateway.edit("web", ports=(udp,))
        assert (ask(address, 53), ask_udp(address, 53)) == ("", "n1 hello")


def test_nodes_join_and_leave_without_touching_open_connections(gateway: Gateway):
    """A node that joins gets connections, one that leaves gets no new ones, and an open connection outlives both."""
    with echoes(NODE_PORT, "n1", "n2", "n3"):
        gateway.apply(service(ports=(80,)))
        (address,) = gateway.addresses()
        with connection(address, 80) as opened:
            name = talk(opened).partition(" ")[0]
            gateway.see_node(local_node("n3"))
            gateway.until(lambda: "n3" in answers(address, times=20))
            gateway.see_node(None, name)
            gateway.until(lambda: name not in answers(address, times=20))
            assert talk(opened) == f"{name} hello"


def test_a_node_that_changes_its_address_is_followed(gateway: Gateway):
    """New connections go to the new InternalIP of a node."""
    with echoes(NODE_PORT, "n1", "n9"):
        gateway.see_node(None, "n2")
        gateway.apply(service(ports=(80,)))
        (address,) = gateway.addresses()
        assert answers(address) == {"n1"}
        gateway.see_node(local_node("n1", node_address("n9")))
        gateway.until(lambda: answers(address) == {"n9"})


def test_only_listed_sources_are_let_in(gateway: Gateway):
    """With source ranges only their members get an answer, over TCP and UDP; without, everybody does again."""
    tcp = ServicePort(port=80, node_port=NODE_PORT, name="tcp")
    udp = ServicePort(port=80, node_port=NODE_PORT, name="udp", protocol="UDP")
    with echoes(NODE_PORT, "n1", "n2"), echoes(NODE_PORT, "n1", "n2", udp=True):
        gateway.apply(with_ports(tcp, udp, load_balancer_source_ranges=("127.0.9.1/32",)))
        (address,) = gateway.addresses()
        assert ask(address, 80, source="127.0.9.1")
        assert ask(address, 80, source="127.0.9.2") == ""
        assert ask_udp(address, 80, source="127.0.9.1")
        assert ask_udp(address, 80, source="127.0.9.2") == ""
        gateway.edit("web", load_balancer_source_ranges=("127.0.9.2/32",))
        assert ask(address, 80, source="127.0.9.1") == ""
        assert ask(address, 80, source="127.0.9.2")
        gateway.edit("web", load_balancer_source_ranges=())
        assert ask(address, 80, source="127.0.9.1")
        assert ask_udp(address, 80, source="127.0.9.1")


def test_ranges_of_the_other_family_alone_let_nobody_in(gateway: Gateway):
    """A Service whose ranges are all IPv6 refuses every IPv4 client rather than letting all in."""
    with echoes(NODE_PORT, "n1", "n2"):
        gateway.apply(service(ports=(80,), load_balancer_source_ranges=("2001:db8::/32",)))
        assert ask(gateway.addresses()[0], 80) == ""


def test_affinity_keeps_a_client_at_its_target(gateway: Gateway):
    """With ClientIP affinity all connections of a client reach one target; it can be undone."""
    with echoes(NODE_PORT, "n1", "n2"):
        gateway.apply(service(ports=(80,), session_affinity="ClientIP"))
        (address,) = gateway.addresses()
        by_client = [answers(address, source=f"127.0.9.{number}", times=5) for number in range(1, 21)]
        assert all(len(names) == 1 for names in by_client)
        assert set().union(*by_client) == {"n1", "n2"}
        gateway.edit("web", session_affinity="None")
        assert answers(address, source="127.0.9.1") == {"n1", "n2"}


def test_a_udp_client_with_affinity_keeps_its_target(gateway: Gateway):
    """Datagrams from one address but many ports all reach the same target with ClientIP affinity."""
    udp = ServicePort(port=80, node_port=NODE_PORT, name="udp", protocol="UDP")
    with echoes(NODE_PORT, "n1", "n2", udp=True):
        gateway.apply(with_ports(udp, session_affinity="ClientIP"))
        (address,) = gateway.addresses()
        assert len({ask_udp(address, 80, source="127.0.9.7") for _ in range(10)}) == 1


def test_open_connections_of_a_deleted_service_drain(build):
    """Deleting a Service closes its port at once, and its open connections after the drain time."""
    gateway = build(drain_seconds=1)
    with echoes(NODE_PORT, "n1", "n2"):
        gateway.apply(service(ports=(80,)))
        (address,) = gateway.addresses()
        with connection(address, 80) as opened:
            talk(opened)
            gateway.delete("web")
            assert ask(address, 80) == ""
            assert talk(opened).endswith("hello")
            opened.settimeout(5)
            assert opened.recv(1) == b""


def test_changing_the_type_removes_the_balancer(gateway: Gateway):
    """A Service that becomes ClusterIP is closed and loses its status; turned back, it has the same address."""
    with echoes(NODE_PORT, "n1", "n2"):
        gateway.apply(service(ports=(80,)))
        (address,) = gateway.addresses()
        gateway.edit("web", type="ClusterIP")
        assert ask(address, 80) == ""
        assert gateway.addresses() == []
        gateway.edit("web", type="LoadBalancer", ports=service(ports=(80,)).spec.ports)
        assert gateway.addresses() == [address]
        assert ask(address, 80)
