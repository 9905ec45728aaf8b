"""What the upstream end-to-end suite checks of balancers, here through a real Envoy and simulated nodes.

kubernetes/kubernetes, test/e2e/network/loadbalancer.go: one test here for each that a data plane without
in-cluster routing can show.
"""

from __future__ import annotations

import contextlib
from concurrent.futures import ThreadPoolExecutor

import pytest

from lbctl.sandbox.nodes.traffic import Kind

pytestmark = [
    pytest.mark.slow,
    pytest.mark.xdist_group("e2e"),
    # A node port that closes drops its relays, as a kernel does; their sockets end when they are collected.
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


CHECKED_EACH_SECOND = {"lbctl.io/health-check-interval": "1"}


@pytest.mark.parametrize(("protocol", "kind"), [("TCP", Kind.TCP), ("UDP", Kind.UDP)])
def test_types_and_ports_change_and_the_address_stays(bench, protocol, kind):
    """To LoadBalancer it serves, node port and port change in place, and back to ClusterIP it is closed."""
    key = bench.create(protocol=protocol, type="ClusterIP", wait=False)
    bench.patch(key, type="NodePort")
    node_port = bench.live(key).spec.ports[0].node_port
    bench.patch(key, type="LoadBalancer")
    bench.until(lambda: bench.address(key))
    assert bench.live(key).spec.ports[0].node_port == node_port
    address = bench.address(key)
    request = bench.request(key, protocol=kind)
    bench.until(lambda: bench.answers(request))

    port = {"name": f"{protocol.lower()}-x", "port": 8000, "targetPort": 9000, "protocol": protocol}
    other = next(p for p in range(31000, 31100) if p != node_port)
    bench.patch(key, ports=[{**port, "nodePort": other}])
    bench.until(lambda: bench.ask(request).failed == 0)
    assert bench.address(key) == address

    bench.patch(key, ports=[{**port, "nodePort": other, "port": 8001}])
    moved = bench.request(key, port=8001, protocol=kind)
    bench.until(lambda: bench.answers(moved))
    assert bench.address(key) == address
    assert bench.live(key).spec.ports[0].node_port == other

    bench.fleet.scale(key, 0)
    bench.until(lambda: not bench.answers(moved))
    bench.fleet.scale(key, 1)
    bench.until(lambda: bench.answers(moved))

    bench.patch(key, type="ClusterIP")
    bench.until(lambda: not bench.live(key).metadata.finalizers)
    assert bench.address(key) == ""
    assert bench.live(key).spec.ports[0].node_port == 0
    assert not bench.answers(moved)


def test_source_ranges_let_in_only_whom_they_name(bench):
    """One source, then the other, then everybody."""
    key = bench.create(loadBalancerSourceRanges=["127.0.0.9/32"])
    nine, eight = bench.request(key, source="127.0.0.9"), bench.request(key, source="127.0.0.8")
    bench.until(lambda: bench.answers(nine))
    assert not bench.answers(eight)
    bench.patch(key, loadBalancerSourceRanges=["127.0.0.8/32"])
    bench.until(lambda: bench.answers(eight) and not bench.answers(nine))
    bench.patch(key, loadBalancerSourceRanges=None)
    bench.until(lambda: bench.answers(eight) and bench.answers(nine))


@pytest.mark.parametrize("policy", ["Cluster", "Local"])
def test_affinity_can_be_switched_on_and_off_while_serving(bench, policy):
    """Fifteen hits in a row at one pod prove it."""
    key = bench.create(externalTrafficPolicy=policy)
    request = bench.request(key)
    bench.until(lambda: len(bench.ask(request, count=24).pods) >= 2)
    bench.patch(key, sessionAffinity="ClientIP")
    bench.until(lambda: len(bench.ask(request, count=15).pods) == 1)
    bench.patch(key, sessionAffinity="None")
    bench.until(lambda: len(bench.ask(request, count=24).pods) >= 2)


def test_the_finalizer_comes_and_goes_with_the_type(bench):
    """LoadBalancer: there. ClusterIP: gone. LoadBalancer again: there. Deleted: gone with the object."""
    key = bench.create()
    assert bench.live(key).metadata.finalizers
    bench.patch(key, type="ClusterIP")
    bench.until(lambda: not bench.live(key).metadata.finalizers)
    bench.patch(key, type="LoadBalancer")
    bench.until(lambda: bench.live(key).metadata.finalizers and bench.address(key))
    bench.hands.delete(key)
    bench.until(lambda: bench.hands.get(key) is None)


def test_without_node_ports_it_says_so_and_with_them_it_serves(bench):
    """AllocateLoadBalancerNodePorts false is refused by name here; true allocates and serves."""
    key = bench.create(allocateLoadBalancerNodePorts=False, wait=False)
    bench.until(lambda: any("node port" in c.message for c in bench.live(key).status.conditions))
    assert bench.live(key).spec.ports[0].node_port == 0
    bench.patch(key, allocateLoadBalancerNodePorts=True)
    bench.until(lambda: bench.address(key))
    bench.until(lambda: bench.answers(bench.request(key)))


@pytest.mark.parametrize("same_node", [True, False], ids=["same node", "another node"])
def test_udp_moves_to_the_new_pod_when_pods_cycle(bench, same_node):
    """From one source port: the old pod goes, and the next datagram reaches the new one."""
    key = bench.create(replicas=1, protocol="UDP")
    request = bench.request(key, protocol=Kind.UDP)
    bench.until(lambda: bench.answers(request))
    old = bench.fleet.pods(key)[0]
    others = [node.name for node in bench.fleet.nodes() if node.name != old.node]
    new = bench.fleet.move_pod(old.key, node=old.node if same_node else others[0], grace_seconds=0.2)
    bench.until(lambda: set(bench.ask(request, count=4).pods) == {new.split("/")[-1]})


def test_rolling_updates_disturb_almost_nobody(bench):
    """Five roll-outs with either policy, both at once, under steady traffic: at least 99 % of the requests of each."""
    keys = [bench.create(replicas=3, externalTrafficPolicy=policy) for policy in ("Cluster", "Local")]
    with contextlib.ExitStack() as stack:
        streams = []
        for key in keys:
            request = bench.request(key)
            bench.until(lambda asked=request: bench.ask(asked).failed == 0)
            streams.append(stack.enter_context(bench.traffic.steady(request, pause_seconds=0.02)))
        with ThreadPoolExecutor() as pool:
            list(pool.map(lambda key: _roll_out(bench, key, times=5), keys))
    for stream in streams:
        assert stream.tally.requests > 100
        assert stream.tally.answered / stream.tally.requests >= 0.99, stream.tally.errors


def _roll_out(bench, key: str, *, times: int) -> None:
    for _ in range(times):
        before = {pod.key for pod in bench.fleet.pods(key)}
        bench.fleet.roll(key, grace_seconds=3.0)
        bench.until(lambda old=before: old.isdisjoint({p.key for p in bench.fleet.pods(key) if p.ready}))
        bench.clock.wait(1.0)


def test_local_policy_has_a_health_port_that_tells_and_keeps_the_second_hop_away(bench):
    """Allocated with Local, answered by nodes with endpoints only, gone with Cluster and closed."""
    key = bench.create(replicas=1, externalTrafficPolicy="Local")
    port = bench.live(key).spec.health_check_node_port
    assert port
    home = bench.fleet.pods(key)[0].node
    bench.until(lambda: set(bench.ask(bench.request(key)).nodes) == {home})
    healthy = {node.name: _health(bench, node.address, port) for node in bench.fleet.nodes()}
    assert {name for name, code in healthy.items() if code == 200} == {home}
    bench.patch(key, externalTrafficPolicy="Cluster")
    bench.until(lambda: bench.live(key).spec.health_check_node_port == 0)
    bench.until(lambda: all(_health(bench, node.address, port) == 0 for node in bench.fleet.nodes()))
    bench.until(lambda: bench.ask(bench.request(key)).failed == 0)


def test_only_nodes_with_endpoints_are_served_as_the_pod_moves(bench):
    """Policy Local: the only pod goes from node to node, and the balancer stays reachable."""
    key = bench.create(replicas=1, externalTrafficPolicy="Local", annotations=CHECKED_EACH_SECOND)
    request = bench.request(key)
    for node in bench.fleet.nodes():
        pod = bench.fleet.pods(key)[0]
        if pod.node != node.name:
            bench.fleet.move_pod(pod.key, node=node.name, grace_seconds=0.5)
        bench.until(lambda there=node.name: set(bench.ask(request, count=6).nodes) == {there})


def test_switching_local_and_cluster_and_back_keeps_the_address(bench):
    """Health port gone and back, a requested one honoured, the address the same throughout."""
    key = bench.create(externalTrafficPolicy="Local")
    address = bench.address(key)
    for policy in ("Cluster", "Local", "Cluster", "Local"):
        bench.patch(key, externalTrafficPolicy=policy)
        bench.until(lambda: bench.ask(bench.request(key)).failed == 0)
        assert bench.address(key) == address
    wished = bench.create(externalTrafficPolicy="Local", healthCheckNodePort=32222)
    assert bench.live(wished).spec.health_check_node_port == 32222


def _health(bench, address: str, port: int) -> int:
    """Code that a node's health port answers, 0 when it is closed."""
    import http.client

    connection = http.client.HTTPConnection(address, port, timeout=1)
    try:
        connection.request("GET", "/healthz")
        return connection.getresponse().status
    except OSError:
        return 0
    finally:
        connection.close()
