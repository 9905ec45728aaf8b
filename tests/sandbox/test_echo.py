"""What the servers in a simulated pod say, over real connections."""

from __future__ import annotations

import json
import socket

import pytest

from lbctl.sandbox.nodes.echo import ContainerPort, EchoPort, Identity, Speech
from tests.sandbox.test_preface import V1, V2


@pytest.fixture
def serve(loop, addresses):
    """Starts a pod port and returns where it listens."""
    servers = []

    def start(speech: Speech, protocol: str = "TCP") -> tuple[str, int]:
        address = addresses.take()
        server = EchoPort(Identity("web-1", "node-1", "shop"), address, ContainerPort(8080, protocol, speech, ("web",)))
        servers.append(server)
        return address, loop.call(server.open())

    yield start
    for server in servers:
        loop.call(_closed(server))


async def _closed(server: EchoPort) -> None:
    server.close()


def exchange(place, *pieces: bytes, half_close: bool = True) -> bytes:
    """Everything that comes back for `pieces`, each of which is sent as a segment of its own."""
    with socket.create_connection(place, timeout=3) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for piece in pieces:
            connection.sendall(piece)
        if half_close:
            connection.shutdown(socket.SHUT_WR)
        return connection.makefile("rb").read()


GET = b"GET /cart?id=7 HTTP/1.1\r\nHost: shop\r\nX-Colour: blue\r\nConnection: close\r\n\r\n"


def http_answer(place, *pieces) -> dict:
    """The JSON of an HTTP answer."""
    head, _, body = exchange(place, *pieces, half_close=False).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200")
    return json.loads(body)


@pytest.mark.parametrize("speech", [Speech.HTTP, Speech.DETECT])
def test_http_says_who_answered_and_what_was_asked(serve, speech):
    """The JSON names pod, node, Service, port and client, and repeats path and headers."""
    answer = http_answer(serve(speech), GET)
    assert answer.pop("client").startswith("127.")
    assert answer == {
        "pod": "web-1",
        "node": "node-1",
        "namespace": "shop",
        "service": "web",
        "port": 8080,
        "method": "GET",
        "path": "/cart?id=7",
        "bodyBytes": 0,
        "headers": {"host": "shop", "x-colour": "blue", "connection": "close"},
    }


@pytest.mark.parametrize("header", [V1, V2])
@pytest.mark.parametrize("speech", [Speech.HTTP, Speech.DETECT])
def test_a_proxy_header_before_http_is_reported(serve, speech, header):
    """The addresses of the PROXY header are in the answer, however the stream is cut."""
    for pieces in ((header + GET,), (header[:5], header[5:], GET[:3], GET[3:])):
        answer = http_answer(serve(speech), *pieces)
        assert answer["proxyProtocol"]["source"] == "192.0.2.1:40000"
        assert answer["proxyProtocol"]["destination"] == "198.51.100.2:443"


@pytest.mark.parametrize("speech", [Speech.TCP, Speech.DETECT])
def test_tcp_says_who_answers_and_echoes_lines(serve, speech):
    """The first line names pod and node, then everything comes back, an unfinished last line too."""
    greeting, echo = exchange(serve(speech), b"one\ntwo", b" and a half\nrest").split(b"\n", 1)
    assert json.loads(greeting)["pod"] == "web-1"
    assert echo == b"one\ntwo and a half\nrest"


@pytest.mark.parametrize("header", [V1, V2])
def test_a_proxy_header_before_tcp_is_reported_and_not_echoed(serve, header):
    """The greeting has the header's addresses, the echo only what followed."""
    greeting, echo = exchange(serve(Speech.TCP), header + b"hello\n").split(b"\n", 1)
    assert json.loads(greeting)["proxyProtocol"]["source"] == "192.0.2.1:40000"
    assert echo == b"hello\n"


def test_tcp_greets_a_client_that_says_nothing(serve):
    """A port known to speak TCP does not wait for the client."""
    with socket.create_connection(serve(Speech.TCP), timeout=3) as connection:
        assert json.loads(connection.makefile("rb").readline())["node"] == "node-1"


def test_a_damaged_proxy_header_ends_the_connection(serve):
    """Nothing is answered to a stream that begins like a PROXY header and is none."""
    with pytest.raises(ConnectionResetError):
        exchange(serve(Speech.DETECT), b"PROXY TCP4 nowhere\r\n", half_close=False)


@pytest.mark.parametrize("header", [b"", V2])
def test_udp_answers_in_one_datagram(serve, header):
    """One JSON line and the payload, with a PROXY header reported and taken off."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.settimeout(3)
        client.sendto(header + b"hello", serve(Speech.UDP, "UDP"))
        said, _, payload = client.recv(65536).partition(b"\n")
    assert json.loads(said)["pod"] == "web-1"
    assert ("proxyProtocol" in json.loads(said)) == bool(header)
    assert payload == b"hello"


def test_connections_end_with_the_pod(serve, loop, addresses):
    """When the process in a pod is gone its connections are reset."""
    server = EchoPort(Identity("a", "n", "shop"), addresses.take(), ContainerPort(8080, "TCP", Speech.HTTP))
    place = (server.address, loop.call(server.open()))
    with socket.create_connection(place, timeout=3) as connection:
        connection.sendall(GET.replace(b"Connection: close\r\n", b""))
        assert connection.recv(65536).startswith(b"HTTP/1.1 200")
        loop.call(_closed(server))
        with pytest.raises(ConnectionResetError):
            connection.recv(1)
