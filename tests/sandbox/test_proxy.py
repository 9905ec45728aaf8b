"""One node's proxy with real sockets, driven by rules as values."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from dataclasses import replace

import pytest

from lbctl.sandbox.nodes.choose import Mode
from lbctl.sandbox.nodes.echo import ContainerPort, EchoPort, Identity, Speech
from lbctl.sandbox.nodes.proxy import NodeProxy
from lbctl.sandbox.nodes.rules import HealthRule, PortRule, ServiceRules, Target
from lbctl.sandbox.nodes.traffic import Kind, NoAnswer, Request
from tests.sandbox.udp_client import UdpClient

NODE_PORT = 30080


class Bench:
    """A proxy and echo servers on one loop."""

    def __init__(self, *, loop, addresses, clock, rng, mode=Mode.ROUND_ROBIN) -> None:
        self._loop = loop
        self._addresses = addresses
        self._servers: dict[Target, EchoPort] = {}
        self.address = addresses.take()
        self.client = addresses.take()
        self.proxy = NodeProxy(self.address, mode=mode, clock=clock, rng=rng)
        loop.call(self.proxy.start())

    def pod(self, name, *, protocol="TCP", speech=Speech.TCP) -> Target:
        """Where a new pod serves."""
        address = self._addresses.take()
        server = EchoPort(Identity(name, "n", "shop"), address, ContainerPort(8080, protocol, speech, ("web",)))
        target = Target(address, self._loop.call(server.open()))
        self._servers[target] = server
        return target

    def kill(self, target) -> None:
        """Stop a pod without telling the proxy."""
        self._loop.call(_call(self._servers.pop(target).close))

    def serve(self, *rules, health=None, service="shop/web") -> None:
        """Give the proxy rules that it can hold."""
        assert self._loop.call(self.proxy.apply(service, ServiceRules(rules, health)))

    def expire(self) -> None:
        """Let the proxy forget what has run out."""
        self._loop.call(_call(self.proxy.expire))

    def request(self, kind=Kind.TCP, port=NODE_PORT, **fields) -> Request:
        """A request to the node port from this test's client address."""
        return Request(kind, self.address, port, source=self.client, **fields)

    def close(self) -> None:
        """Stop the proxy and all pods."""
        self._loop.call(self.proxy.stop())
        for target in list(self._servers):
            self.kill(target)


@pytest.fixture
def bench(loop, addresses, clock, rng):
    """A proxy that ends with the test."""
    made = Bench(loop=loop, addresses=addresses, clock=clock, rng=rng)
    yield made
    made.close()


def rule(*targets, protocol="TCP", alive=None, **fields) -> PortRule:
    """A rule for the node port of these tests."""
    return PortRule(
        protocol, fields.pop("port", NODE_PORT), targets, frozenset(targets if alive is None else alive), **fields
    )


def status(url) -> tuple[int, dict]:
    """Status and body that a URL answers."""
    try:
        with urllib.request.urlopen(url, timeout=3) as response:
            return response.status, json.load(response)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.load(error)


@pytest.mark.parametrize("kind", [Kind.TCP, Kind.HTTP, Kind.UDP])
def test_connections_reach_all_targets_evenly(bench, traffic, kind):
    """Thirty requests over three pods are ten each."""
    protocol = "UDP" if kind is Kind.UDP else "TCP"
    speech = Speech.UDP if kind is Kind.UDP else Speech.DETECT
    bench.serve(rule(*(bench.pod(name, protocol=protocol, speech=speech) for name in "abc"), protocol=protocol))
    tally = traffic.ask_many(bench.request(kind), count=30)
    assert tally.pods == dict.fromkeys("abc", 10)
    assert tally.failed == 0


def test_two_hundred_datagrams_are_as_many_flows(bench, traffic):
    """No port of the client is met twice, which would be the flow of before: two pods get a hundred each."""
    bench.serve(rule(*(bench.pod(name, protocol="UDP", speech=Speech.UDP) for name in "ab"), protocol="UDP"))
    tally = traffic.ask_many(bench.request(Kind.UDP), count=200, at_once=4)
    assert (tally.pods, tally.failed) == ({"a": 100, "b": 100}, 0)


def test_random_mode_reaches_all_targets(loop, addresses, clock, rng, traffic):
    """In random mode every pod is reached, and unevenly."""
    bench = Bench(loop=loop, addresses=addresses, clock=clock, rng=rng, mode=Mode.RANDOM)
    bench.serve(rule(bench.pod("a"), bench.pod("b")))
    tally = traffic.ask_many(bench.request(), count=60)
    assert tally.failed == 0
    assert set(tally.pods) == {"a", "b"}
    assert tally.pods["a"] != 30
    bench.close()


def test_a_large_echo_comes_back_whole(bench, traffic):
    """Four megabytes pass in both directions, half-close included, without a byte lost."""
    bench.serve(rule(bench.pod("a")))
    payload = b"0123456789abcdef" * (1 << 18)
    answer = traffic.ask(bench.request(payload=payload))
    assert answer.echo == payload


def test_without_targets_connections_are_refused(bench, traffic):
    """TCP is refused, and UDP rejected, when no pod is left; both work again when one is back."""
    tcp, udp = bench.pod("a"), bench.pod("a", protocol="UDP", speech=Speech.UDP)
    for kind, target in ((Kind.TCP, tcp), (Kind.UDP, udp)):
        protocol = kind.value.upper()
        bench.serve(rule(protocol=protocol), service=protocol)
        with pytest.raises(NoAnswer, match="ConnectionRefusedError"):
            traffic.ask(bench.request(kind))
        bench.serve(rule(target, protocol=protocol), service=protocol)
        assert traffic.ask(bench.request(kind)).pod == "a"
        bench.serve(rule(protocol=protocol), service=protocol)
        with pytest.raises(NoAnswer, match="ConnectionRefusedError"):
            traffic.ask(bench.request(kind))


def test_datagrams_to_a_local_service_without_endpoints_are_dropped(bench, traffic):
    """With policy Local nobody says that the port is closed: the datagram just vanishes."""
    bench.serve(rule(protocol="UDP", silent=True))
    with pytest.raises(NoAnswer, match="no answer within"):
        traffic.ask(bench.request(Kind.UDP, timeout_seconds=0.2))


@pytest.mark.parametrize("kind", [Kind.TCP, Kind.UDP])
def test_the_client_address_is_kept_with_policy_local_only(bench, traffic, kind):
    """A pod sees the client with policy Local, and the node with policy Cluster."""
    protocol = kind.value.upper()
    target = bench.pod("a", protocol=protocol, speech=Speech(kind.value))
    for keeps_source, seen in ((True, bench.client), (False, bench.address)):
        bench.serve(rule(target, protocol=protocol, keeps_source=keeps_source))
        assert traffic.ask(bench.request(kind)).client.rpartition(":")[0] == seen


def test_a_change_of_one_service_leaves_the_connections_of_others_alone(bench, traffic):
    """A connection lives on while its own Service gets new pods and another Service comes and goes."""
    first = bench.pod("a")
    bench.serve(rule(first))
    conversation = traffic.connect(bench.request())
    bench.serve(rule(first, bench.pod("b")))
    bench.serve(rule(bench.pod("c"), port=30081), service="shop/other")
    bench.serve(service="shop/other")
    assert conversation.say("still there") == "still there"
    conversation.close()


def test_connections_stay_with_an_endpoint_until_it_is_gone(bench, traffic):
    """An endpoint that gets no new connections keeps its old ones; when it is removed they are closed."""
    old, new = bench.pod("old"), bench.pod("new")
    bench.serve(rule(old))
    conversation = traffic.connect(bench.request())
    bench.serve(rule(new, alive=(old, new)))
    assert conversation.say("still there") == "still there"
    assert traffic.ask(bench.request()).pod == "new"
    bench.serve(rule(new))
    assert conversation.is_closed()
    conversation.close()


def test_connections_survive_without_any_eligible_target(bench, traffic):
    """When the last pod turns unready the port refuses new connections, and the old ones go on."""
    only = bench.pod("only")
    bench.serve(rule(only))
    conversation = traffic.connect(bench.request())
    bench.serve(rule(alive=(only,)))
    with pytest.raises(NoAnswer, match="ConnectionRefusedError"):
        traffic.ask(bench.request())
    assert conversation.say("still there") == "still there"
    bench.serve(rule())
    assert conversation.is_closed()
    conversation.close()


def test_datagrams_of_one_client_stay_with_one_pod_until_it_goes(bench, loop):
    """One source port talks to one pod; when that pod is removed its next datagram reaches another one."""
    pods = [bench.pod(name, protocol="UDP", speech=Speech.UDP) for name in "ab"]
    bench.serve(rule(*pods, protocol="UDP"))
    with UdpClient(loop, bench.address, NODE_PORT) as client:
        assert {client.ask() for _ in range(5)} == {"a"}
        bench.serve(rule(pods[1], protocol="UDP"))
        assert {client.ask() for _ in range(5)} == {"b"}


def test_an_idle_udp_flow_is_forgotten(bench, loop, clock):
    """After two minutes of silence the same source port is balanced anew; before that it is not."""
    bench.serve(rule(*(bench.pod(name, protocol="UDP", speech=Speech.UDP) for name in "ab"), protocol="UDP"))
    with UdpClient(loop, bench.address, NODE_PORT) as client:
        assert client.ask() == "a"
        clock.advance(119)
        bench.expire()
        assert client.ask() == "a"
        clock.advance(121)
        bench.expire()
        assert client.ask() == "b"


def test_affinity_holds_and_expires(bench, traffic, clock):
    """One client stays with one pod, another has its own, and both move on after the time-out."""
    bench.serve(rule(bench.pod("a"), bench.pod("b"), affinity_seconds=60))
    other = replace(bench.request(), source=bench.address)
    assert traffic.ask_many(bench.request(), count=15).pods == {"a": 15}
    assert traffic.ask_many(other, count=15).pods == {"b": 15}
    clock.advance(61)
    bench.expire()
    assert traffic.ask_many(other, count=15).pods == {"a": 15}


def test_affinity_can_be_switched_on_and_off_live(bench, traffic):
    """Without affinity requests spread, with it they do not, on the same open port."""
    pods = bench.pod("a"), bench.pod("b")
    bench.serve(rule(*pods))
    assert len(traffic.ask_many(bench.request(), count=6).pods) == 2
    bench.serve(rule(*pods, affinity_seconds=60))
    assert len(traffic.ask_many(bench.request(), count=6).pods) == 1
    bench.serve(rule(*pods))
    assert len(traffic.ask_many(bench.request(), count=6).pods) == 2


def test_a_pod_that_refuses_is_passed_over(bench, traffic):
    """In round-robin mode a dead target costs no request, even for a client that was stuck to it."""
    dead, alive = bench.pod("dead"), bench.pod("alive")
    bench.serve(rule(dead, alive, affinity_seconds=60))
    assert traffic.ask(bench.request()).pod == "dead"
    bench.kill(dead)
    assert traffic.ask_many(bench.request(), count=5).pods == {"alive": 5}


def test_the_health_port_follows_the_local_endpoints(bench):
    """200 with the number of endpoints while there are any, 503 without, closed when the port is given back."""
    url = f"http://{bench.address}:30999/healthz"
    bench.serve(health=HealthRule(30999, 2))
    assert status(url) == (
        200,
        {"service": {"namespace": "shop", "name": "web"}, "localEndpoints": 2, "serviceProxyHealthy": True},
    )
    bench.serve(health=HealthRule(30999, 0))
    code, body = status(url)
    assert (code, body["localEndpoints"]) == (503, 0)
    bench.serve()
    with pytest.raises(urllib.error.URLError, match="refused"):
        status(url)


def test_the_health_port_can_move(bench):
    """A new health port answers and the former one is closed."""
    bench.serve(health=HealthRule(30999, 1))
    bench.serve(health=HealthRule(30998, 1))
    assert status(f"http://{bench.address}:30998/healthz")[0] == 200
    with pytest.raises(urllib.error.URLError, match="refused"):
        status(f"http://{bench.address}:30999/healthz")


def test_kube_proxys_own_health_tells_that_the_node_is_about_to_go(bench):
    """/healthz is 503 on a node that is to be deleted, /livez stays 200."""
    base = f"http://{bench.address}:10256"
    assert status(f"{base}/healthz")[0] == 200
    bench.proxy.eligible = False
    code, body = status(f"{base}/healthz")
    assert (code, body["nodeEligible"]) == (503, False)
    assert status(f"{base}/livez")[0] == 200


@pytest.mark.parametrize("kind", [Kind.TCP, Kind.UDP])
def test_a_node_port_can_pass_from_one_service_to_another(bench, traffic, kind):
    """The new owner is served although the news that the former one is gone comes later."""
    protocol, speech = kind.value.upper(), Speech(kind.value)
    bench.serve(rule(bench.pod("a", protocol=protocol, speech=speech), protocol=protocol))
    bench.serve(rule(bench.pod("b", protocol=protocol, speech=speech), protocol=protocol), service="shop/other")
    assert traffic.ask(bench.request(kind)).pod == "b"
    bench.serve()
    assert traffic.ask(bench.request(kind)).pod == "b"


def test_a_port_that_is_taken_is_served_once_it_is_free(bench, loop, traffic):
    """`apply` says that a port could not be bound, and the same rules work later."""
    squatter = EchoPort(Identity("x", "x", "x"), bench.address, ContainerPort(NODE_PORT, "TCP", Speech.TCP))
    loop.call(squatter.open())
    rules = ServiceRules((rule(bench.pod("a")),))
    assert not loop.call(bench.proxy.apply("shop/web", rules))
    loop.call(_call(squatter.close))
    assert loop.call(bench.proxy.apply("shop/web", rules))
    assert traffic.ask(bench.request()).pod == "a"


def test_a_stopped_node_closes_everything(bench, loop, traffic):
    """Connections are reset and ports refuse."""
    bench.serve(rule(bench.pod("a")))
    conversation = traffic.connect(bench.request())
    loop.call(bench.proxy.stop())
    assert conversation.is_closed()
    conversation.close()
    with pytest.raises(NoAnswer, match="ConnectionRefusedError"):
        traffic.ask(bench.request())


async def _call(function):
    return function()
