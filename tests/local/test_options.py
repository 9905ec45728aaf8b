"""Each annotation and each way to choose targets, seen from both ends of the connection."""

from __future__ import annotations

import contextlib
import http.server
import json
import socket
import threading
from collections.abc import Iterator

import pytest

from lbctl.model.objects import Endpoint, EndpointConditions, EndpointPort, EndpointSlice, ObjectMeta, ServicePort
from tests.local.gateway import NET, Echo, Gateway, ask, ask_udp, connection, echoes, node_address, talk, with_ports
from tests.local.test_life import answers
from tests.world import service

NODE_PORT = 30080


class Recorder(Echo):
    """Answers each connection with the first bytes that it got, whatever they are."""

    def _answer(self, opened: socket.socket) -> None:
        with opened, contextlib.suppress(OSError):
            opened.sendall(opened.recv(4096))


@pytest.fixture
def recorder(gateway: Gateway) -> Iterator[None]:
    """A recording target as the only node."""
    gateway.see_node(None, "n2")
    target = Recorder("n1", NODE_PORT)
    yield
    target.close()


@contextlib.contextmanager
def health(address: str, port: int, *, status: int) -> Iterator[http.server.HTTPServer]:
    """A health server as kube-proxy's: answers `/healthz` with its `status`, which may be changed."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(self.server.status if self.path == "/healthz" else 404)
            self.end_headers()

        def log_message(self, *_args: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer((address, port), Handler)
    server.status = status
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.mark.usefixtures("recorder")
@pytest.mark.parametrize(("version", "start"), [("v1", b"PROXY TCP4 127.0.9.3 127."), ("v2", b"\r\n\r\n\0\r\nQUIT\n")])
def test_proxy_protocol_tells_the_client(gateway: Gateway, version: str, start: bytes):
    """With the PROXY protocol a target's first bytes are the header of that version, with the client's address."""
    gateway.apply(service(ports=(80,), annotations={"lbctl.io/proxy-protocol": version}))
    with connection(gateway.addresses()[0], 80, source="127.0.9.3") as opened:
        opened.sendall(b"hello")
        got = opened.recv(4096)
    assert got.startswith(start)
    assert version == "v1" or socket.inet_aton("127.0.9.3") in got


def test_an_idle_connection_is_closed(gateway: Gateway):
    """A connection without a byte for the idle timeout ends; the default one does not in that time."""
    with echoes(NODE_PORT, "n1", "n2"):
        gateway.apply(service(ports=(80,), annotations={"lbctl.io/idle-timeout": "1"}))
        with connection(gateway.addresses()[0], 80) as opened:
            talk(opened)
            assert opened.recv(1) == b""


def test_a_connection_over_the_limit_is_refused(gateway: Gateway):
    """With two connections allowed, a third is closed without an answer; once one has ended, a new one is served."""
    with echoes(NODE_PORT, "n1", "n2"):
        gateway.apply(service(ports=(80,), annotations={"lbctl.io/max-connections": "2"}))
        (address,) = gateway.addresses()
        with connection(address, 80) as first:
            talk(first)
            with connection(address, 80) as second:
                talk(second)
                assert ask(address, 80) == ""
            gateway.until(lambda: ask(address, 80) != "")


def test_the_access_log_has_a_line_for_each_connection(gateway: Gateway):
    """With `access-log` each finished connection is one JSON line with client and target."""
    with echoes(NODE_PORT, "n1", "n2"):
        gateway.apply(service(ports=(80,), annotations={"lbctl.io/access-log": "true"}))
        ask(gateway.addresses()[0], 80, source="127.0.9.4")
        folder = gateway.root / "access"
        gateway.until(lambda: any(path.stat().st_size for path in folder.iterdir()), seconds=15)
        (path,) = folder.iterdir()
        line = json.loads(path.read_text().splitlines()[0])
        assert line["client"].startswith("127.0.9.4:")
        assert line["target"] in {f"{node_address('n1')}:{NODE_PORT}", f"{node_address('n2')}:{NODE_PORT}"}


@pytest.mark.parametrize("algorithm", ["round-robin", "random", "least-request", "maglev"])
def test_every_algorithm_serves_from_all_targets(gateway: Gateway, algorithm: str):
    """Each algorithm uses both targets for many clients; only maglev binds a client to one."""
    with echoes(NODE_PORT, "n1", "n2"):
        gateway.apply(service(ports=(80,), annotations={"lbctl.io/algorithm": algorithm}))
        (address,) = gateway.addresses()
        by_client = [answers(address, source=f"127.0.9.{number}", times=6) for number in range(1, 13)]
        assert set().union(*by_client) == {"n1", "n2"}
        assert all(len(names) == 1 for names in by_client) == (algorithm == "maglev")


def test_traffic_policy_local_uses_only_nodes_that_say_they_have_endpoints(gateway: Gateway):
    """With policy Local only nodes whose health port answers 200 get connections, and a change is followed."""
    gateway.clock.wait(0)
    options = {"lbctl.io/health-check-interval": "1", "lbctl.io/health-check-unhealthy-threshold": "1"}
    wanted = service(ports=(80,), annotations=options, external_traffic_policy="Local", health_check_node_port=32100)
    with (
        echoes(NODE_PORT, "n1", "n2"),
        health(node_address("n1"), 32100, status=503) as first,
        health(node_address("n2"), 32100, status=200) as second,
    ):
        gateway.apply(wanted)
        (address,) = gateway.addresses()
        assert answers(address) == {"n2"}
        first.status, second.status = 200, 503
        gateway.until(lambda: answers(address) == {"n1"})
        first.status = 503
        gateway.until(lambda: answers(address) == {""})


def test_a_node_without_the_port_open_gets_no_connection(gateway: Gateway):
    """A node that refuses the node port is left out by the TCP check, so every connection succeeds."""
    with echoes(NODE_PORT, "n2"):
        gateway.apply(service(ports=(80,)))
        assert answers(gateway.addresses()[0], times=20) == {"n2"}


def piece(*endpoints: Endpoint) -> EndpointSlice:
    """A slice of the Service `web` with the port that Services of these tests have."""
    meta = ObjectMeta(name="web-1", namespace="shop", labels={"kubernetes.io/service-name": "web"})
    return EndpointSlice(metadata=meta, endpoints=endpoints, ports=(EndpointPort(name="p80", port=8080),))


def pod(address: str, *, ready: bool = True) -> Endpoint:
    """An endpoint at an address."""
    return Endpoint(addresses=(address,), conditions=EndpointConditions(ready=ready))


def test_target_type_ip_goes_straight_to_ready_endpoints(gateway: Gateway):
    """With target type `ip` ready endpoints of the Service are the targets, without any node port, and are followed."""
    port = ServicePort(port=80, name="p80")
    pods = [Echo(name, 8080, address=address) for name, address in (("a", f"{NET}.2.1"), ("b", f"{NET}.2.2"))]
    try:
        before = piece(pod(f"{NET}.2.1"), pod(f"{NET}.2.2", ready=False))
        gateway.controller.see_slice(None, before)
        gateway.apply(with_ports(port, annotations={"lbctl.io/target-type": "ip"}))
        (address,) = gateway.addresses()
        assert answers(address) == {"a"}
        gateway.controller.see_slice(before, piece(pod(f"{NET}.2.2")))
        gateway.until(lambda: answers(address) == {"b"})
    finally:
        for target in pods:
            target.close()


def test_a_udp_session_ends_when_idle(gateway: Gateway):
    """A UDP session's target socket is closed after the idle timeout, and the next datagram opens another one."""
    udp = ServicePort(port=80, node_port=NODE_PORT, name="udp", protocol="UDP")
    with echoes(NODE_PORT, "n1", "n2", udp=True):
        gateway.apply(with_ports(udp, annotations={"lbctl.io/idle-timeout": "1"}))
        (address,) = gateway.addresses()
        with socket.socket(type=socket.SOCK_DGRAM) as client:
            client.settimeout(3)
            names = set()
            for _ in range(2):
                client.sendto(b"x", (address, 80))
                names.add(client.recv(100))
            assert len(names) == 1, "one session stays with its target"
        assert ask_udp(address, 80)
