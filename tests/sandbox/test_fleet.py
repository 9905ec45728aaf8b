"""The fleet over the embedded API: pods, slices, nodes and node ports follow what the API holds."""

from __future__ import annotations

import gc
import json
import urllib.error
import urllib.request
import warnings
from dataclasses import replace

import pytest

from lbctl.errors import KubeError, KubeUnreachable
from lbctl.sandbox.api import ApiServer
from lbctl.sandbox.demo.story import manifests
from lbctl.sandbox.nodes.addresses import has_ipv6
from lbctl.sandbox.nodes.fleet import Fleet, NotSettled
from lbctl.sandbox.nodes.machines import NoSuchNode, Options
from lbctl.sandbox.nodes.pods import NoSuchPod
from lbctl.sandbox.nodes.traffic import Kind, NoAnswer, Request
from tests.sandbox.udp_client import UdpClient

HTTP = {"name": "http", "port": 80}
DNS = {"name": "dns", "port": 53, "protocol": "UDP"}


class Api:
    """The embedded API with the few requests that these tests make."""

    def __init__(self, server: ApiServer) -> None:
        self.faults = server.faults
        self._store = server.store
        self.url = server.url
        self.token = server.token

    def request(self, verb: str, path: str, body: object = None, kind: str = "application/json"):
        """The decoded answer."""
        headers = {"Authorization": f"Bearer {self.token}", "Content-Type": kind}
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, data=data, headers=headers, method=verb)
        with urllib.request.urlopen(request, timeout=10) as response:
            return json.load(response)

    def patch(self, path: str, change: object):
        """The object after a merge patch."""
        return self.request("PATCH", path, change, "application/merge-patch+json")

    def seed(self, *objects: dict) -> None:
        """Store objects unchecked."""
        self._store.seed(objects)

    def expose(self, *ports: dict, name: str = "web", replicas: int | None = None, **spec):
        """A new LoadBalancer Service default/NAME with pods of its own."""
        annotations = {} if replicas is None else {"sandbox.lbctl.io/replicas": str(replicas)}
        body = {
            "metadata": {"name": name, "annotations": annotations},
            "spec": {"type": "LoadBalancer", "selector": {"app": name}, "ports": list(ports) or [HTTP], **spec},
        }
        return self.request("POST", "/api/v1/namespaces/default/services", body)

    def scale(self, name: str, replicas: int) -> None:
        """Change the number of pods of default/NAME, over a connection of its own."""
        annotations = {"sandbox.lbctl.io/replicas": str(replicas)}
        self.patch(f"/api/v1/namespaces/default/services/{name}", {"metadata": {"annotations": annotations}})

    def endpoints(self, name: str = "web") -> list[dict]:
        """All endpoints of default/NAME."""
        path = "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices"
        slices = self.request("GET", f"{path}?labelSelector=kubernetes.io/service-name={name}")["items"]
        return [endpoint for item in slices for endpoint in item["endpoints"] or ()]

    def pods(self) -> list[dict]:
        """All Pods."""
        return self.request("GET", "/api/v1/pods")["items"]

    def node(self, name: str) -> dict:
        """A Node."""
        return self.request("GET", f"/api/v1/nodes/{name}")


@pytest.fixture
def api():
    """An API server of this test's own."""
    with ApiServer(tls=False) as server:
        yield Api(server)


@pytest.fixture
def options(block):
    """Addresses that no other test uses."""
    nodes, pods = block.subnets(1)
    return Options(node_cidr=str(nodes), pod_cidr=str(pods))


@pytest.fixture
def fleet(api, options, clock):
    """Three nodes on that API."""
    with Fleet(api.url, token=api.token, nodes=3, options=options, clock=clock) as made:
        yield made


def at(node, service: dict, kind: Kind = Kind.HTTP, *, port: int = 0) -> Request:
    """A request to a Service's node port on a node."""
    return Request(kind, node.address, service["spec"]["ports"][port]["nodePort"])


def health(node, service: dict) -> tuple[int, int]:
    """Status and number of local endpoints that the health-check node port of a node tells."""
    url = f"http://{node.address}:{service['spec']['healthCheckNodePort']}/healthz"
    try:
        with urllib.request.urlopen(url, timeout=3) as response:
            return response.status, json.load(response)["localEndpoints"]
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.load(error)["localEndpoints"]


def test_nodes_are_real_node_objects(fleet, api):
    """Each node has a provider id, an address of its own, a zone and a Ready condition."""
    assert len({node.address for node in fleet.nodes()}) == 3
    for node in fleet.nodes():
        held = api.node(node.name)
        assert held["spec"]["providerID"] == f"sandbox://{node.name}"
        assert {"type": "InternalIP", "address": node.address} in held["status"]["addresses"]
        assert held["metadata"]["labels"]["topology.kubernetes.io/zone"] == node.zone
        assert [c["status"] for c in held["status"]["conditions"] if c["type"] == "Ready"] == ["True"]


def test_every_node_serves_every_pod(fleet, api, traffic):
    """A Service has three pods on three nodes, and each node spreads requests evenly over them."""
    service = api.expose(HTTP, {"name": "tcp-raw", "port": 9000}, DNS)
    fleet.wait_served("default/web", pods=3)
    assert {pod.node for pod in fleet.pods("default/web")} == {"node-1", "node-2", "node-3"}
    for node in fleet.nodes():
        for port, kind in enumerate((Kind.HTTP, Kind.TCP, Kind.UDP)):
            tally = traffic.ask_many(at(node, service, kind, port=port), count=9)
            assert tally.failed == 0
            assert sorted(tally.pods.values()) == [3, 3, 3]
            assert set(tally.nodes) == {"node-1", "node-2", "node-3"}


def test_pods_and_slices_are_in_the_api(fleet, api):
    """Pods are Running with their address, and endpoints name pod, node and zone."""
    api.expose()
    fleet.wait_served("default/web", pods=3)
    pods = {pod["metadata"]["name"]: pod for pod in api.pods()}
    assert {pod["status"]["phase"] for pod in pods.values()} == {"Running"}
    for endpoint in api.endpoints():
        pod = pods[endpoint["targetRef"]["name"]]
        assert endpoint["addresses"] == [pod["status"]["podIP"]]
        assert endpoint["nodeName"] == pod["spec"]["nodeName"]
        assert endpoint["zone"] == api.node(endpoint["nodeName"])["metadata"]["labels"]["topology.kubernetes.io/zone"]
        assert endpoint["conditions"] == {"ready": True, "serving": True, "terminating": False}


def test_a_service_scales_to_zero_and_back(fleet, api, traffic):
    """Without pods every node refuses, with pods it serves again on the same node port."""
    service = api.expose(replicas=2)
    fleet.wait_served("default/web", pods=2)
    fleet.scale("default/web", 0)
    fleet.wait_served("default/web", pods=0)
    for node in fleet.nodes():
        with pytest.raises(NoAnswer, match=r"(?i)refused"):
            traffic.ask(at(node, service))
    fleet.scale("default/web", 1)
    fleet.wait_served("default/web", pods=1)
    assert traffic.ask(at(fleet.nodes()[0], service)).said["service"] == "web"


def test_a_deployment_in_the_api_provides_the_pods(fleet, api):
    """A Deployment's replicas count, its named port is served, and scaling it is followed."""
    template = {
        "metadata": {"labels": {"app": "web", "tier": "front"}},
        "spec": {"containers": [{"name": "c", "image": "c", "ports": [{"name": "main", "containerPort": 3000}]}]},
    }
    spec = {"replicas": 2, "selector": {"matchLabels": {"app": "web"}}, "template": template}
    path = "/apis/apps/v1/namespaces/default/deployments"
    api.request("POST", path, {"metadata": {"name": "front"}, "spec": spec})
    api.expose({"name": "http", "port": 80, "targetPort": "main"})
    fleet.wait_served("default/web", pods=2)
    assert {target.port for target in fleet.rules("node-1", "default/web").ports[0].targets} == {3000}
    api.patch(f"{path}/front", {"spec": {"replicas": 4}})
    fleet.wait_served("default/web", pods=4)


def test_local_health_follows_the_endpoints(fleet, api, traffic):
    """Only the node that has the pod answers 200 and serves, wherever the pod moves; a readiness flip turns it off."""
    service = api.expose(externalTrafficPolicy="Local", replicas=1)
    fleet.wait_served("default/web", pods=1)
    (pod,) = fleet.pods("default/web")
    for target in fleet.nodes():
        if pod.node != target.name:
            fleet.move_pod(pod.key, node=target.name, grace_seconds=0)
        fleet.wait(lambda here=target: fleet.rules(here.name, "default/web").health.local_endpoints == 1)
        fleet.wait_served("default/web", pods=1)
        (pod,) = (pod for pod in fleet.pods("default/web") if not pod.terminating)
        for node in fleet.nodes():
            assert health(node, service) == ((200, 1) if node == target else (503, 0))
        assert traffic.ask(at(target, service)).node == target.name
        other = next(node for node in fleet.nodes() if node != target)
        with pytest.raises(NoAnswer, match=r"(?i)refused"):
            traffic.ask(at(other, service))
    fleet.set_pod_ready(pod.key, ready=False)
    fleet.wait_served("default/web", pods=0)
    assert {health(node, service) for node in fleet.nodes()} == {(503, 0)}
    fleet.set_pod_ready(pod.key, ready=True)
    fleet.wait_served("default/web", pods=1)
    assert sorted(health(node, service) for node in fleet.nodes()) == [(200, 1), (503, 0), (503, 0)]


def test_switching_the_traffic_policy_switches_source_and_health_port(fleet, api, traffic):
    """Local shows the client's address and has a health port, Cluster the node's and none; and back again."""
    service = api.expose(externalTrafficPolicy="Local")
    client = fleet.nodes()[1].address
    node = fleet.nodes()[0]
    path = "/api/v1/namespaces/default/services/web"
    for policy, seen in (("Local", client), ("Cluster", node.address), ("Local", client)):
        former, service = service, api.patch(path, {"spec": {"externalTrafficPolicy": policy}})
        fleet.wait(lambda local=policy == "Local": (fleet.rules(node.name, "default/web").health is not None) == local)
        fleet.wait_served("default/web", pods=3)
        request = Request(Kind.HTTP, node.address, service["spec"]["ports"][0]["nodePort"], source=client)
        assert traffic.ask(request).client.partition(":")[0] == seen
        if policy == "Local":
            assert health(node, service) == (200, 1)
        else:
            with pytest.raises(urllib.error.URLError, match=r"(?i)refused"):
                health(node, former)


def test_affinity_holds_over_fifteen_requests_and_expires(fleet, api, traffic, clock):
    """One client reaches one pod fifteen times in a row, and another one after the time-out."""
    affinity = {"sessionAffinity": "ClientIP", "sessionAffinityConfig": {"clientIP": {"timeoutSeconds": 30}}}
    service = api.expose(**affinity)
    fleet.wait_served("default/web", pods=3)
    request = at(fleet.nodes()[0], service)
    first = traffic.ask_many(request, count=15)
    assert list(first.pods.values()) == [15]
    clock.advance(31)
    second = traffic.ask_many(request, count=15)
    assert list(second.pods.values()) == [15]
    assert first.pods.keys() != second.pods.keys()


@pytest.mark.parametrize("policy", ["Cluster", "Local"])
def test_a_rolling_update_loses_no_request(fleet, api, traffic, policy):
    """While all pods of a Service are replaced, every request to a node that says it is healthy is answered."""
    service = api.expose(externalTrafficPolicy=policy, replicas=3)
    fleet.wait_served("default/web", pods=3)
    former = {pod.key for pod in fleet.pods("default/web")}
    with traffic.steady(at(fleet.nodes()[0], service)) as stream:
        fleet.roll("default/web", grace_seconds=0.3)
    present = {pod.key for pod in fleet.pods("default/web") if not pod.terminating}
    assert len(present) == 3
    assert not present & former
    assert stream.tally.errors == {}
    assert stream.tally.answered > 20


def test_other_services_do_not_notice_a_roll(fleet, api, traffic):
    """A connection to one Service lives on while another is rolled, scaled and deleted."""
    quiet = api.expose({"name": "tcp", "port": 9000}, name="quiet")
    api.expose(name="busy")
    fleet.wait_served("default/quiet", pods=3)
    fleet.wait_served("default/busy", pods=3)
    conversation = traffic.connect(at(fleet.nodes()[0], quiet, Kind.TCP))
    fleet.roll("default/busy", grace_seconds=0.05)
    fleet.scale("default/busy", 1)
    fleet.wait(lambda: len(fleet.pods("default/busy")) == 1)
    api.request("DELETE", "/api/v1/namespaces/default/services/busy")
    fleet.wait(lambda: not fleet.rules("node-1", "default/busy").ports)
    assert conversation.say("still there") == "still there"
    conversation.close()


def test_a_deleted_service_leaves_nothing(fleet, api, traffic):
    """Node ports are closed, pods and slices are gone from the API."""
    service = api.expose()
    fleet.wait_served("default/web", pods=3)
    api.request("DELETE", "/api/v1/namespaces/default/services/web")
    fleet.wait(lambda: not api.pods() and not api.endpoints())
    with pytest.raises(NoAnswer, match=r"(?i)refused"):
        traffic.ask(at(fleet.nodes()[0], service))


def test_a_pod_that_somebody_deletes_in_the_api_is_replaced(fleet, api):
    """As with kubectl delete pod: that pod stops, and the Service has three others soon."""
    api.expose()
    fleet.wait_served("default/web", pods=3)
    victim = fleet.pods("default/web")[0].key
    namespace, name = victim.split("/")
    api.request("DELETE", f"/api/v1/namespaces/{namespace}/pods/{name}")
    fleet.wait(lambda: victim not in {pod.key for pod in fleet.pods("default/web")})
    fleet.wait_served("default/web", pods=3)


def test_a_deleted_pod_is_terminating_until_its_grace_is_over(fleet, api, traffic):
    """It is not ready any more, still serves what it has, and its replacement is there at once."""
    service = api.expose({"name": "tcp", "port": 9000}, replicas=1)
    fleet.wait_served("default/web", pods=1)
    conversation = traffic.connect(at(fleet.nodes()[0], service, Kind.TCP))
    victim = f"default/{conversation.greeting.pod}"
    fleet.delete_pod(victim, grace_seconds=1.0)
    fleet.wait(lambda: len(api.endpoints()) == 2)
    conditions = {endpoint["targetRef"]["name"]: endpoint["conditions"] for endpoint in api.endpoints()}
    assert conditions.pop(conversation.greeting.pod) == {"ready": False, "serving": True, "terminating": True}
    assert list(conditions.values()) == [{"ready": True, "serving": True, "terminating": False}]
    assert conversation.say("still there") == "still there"
    assert conversation.is_closed(timeout_seconds=3)
    conversation.close()


def test_a_node_that_joins_serves_and_one_that_leaves_takes_its_pods_along(fleet, api, traffic):
    """The new node has every node port; the pods of the lost one come back elsewhere."""
    service = api.expose()
    fleet.wait_served("default/web", pods=3)
    joined = fleet.join(zone="zone-x")
    fleet.wait_served("default/web", pods=3)
    assert traffic.ask_many(at(joined, service), count=6).failed == 0
    lost = fleet.nodes()[0]
    fleet.leave(lost.name)
    fleet.wait(lambda: {pod.node for pod in fleet.pods("default/web")} == {"node-2", "node-3", "node-4"})
    fleet.wait_served("default/web", pods=3)
    with pytest.raises(NoAnswer):
        traffic.ask(at(lost, service))
    assert lost.name not in {node["metadata"]["name"] for node in api.request("GET", "/api/v1/nodes")["items"]}
    assert traffic.ask_many(at(joined, service), count=6).failed == 0


def test_a_node_can_come_back_under_its_name(fleet, api, traffic):
    """A node that left and joined again serves, although the news of its deletion comes late."""
    service = api.expose()
    fleet.wait_served("default/web", pods=3)
    former = {pod.key for pod in fleet.pods("default/web") if pod.node == "node-1"}
    with api.faults.stalled_watches():
        fleet.leave("node-1")
        assert "node-1" not in {pod.node for pod in fleet.pods("default/web")}
        back = fleet.join("node-1")
    fleet.scale("default/web", 6)
    fleet.wait_served("default/web", pods=6)
    present = {pod.key for pod in fleet.pods("default/web") if pod.node == "node-1"}
    assert present
    assert not present & former
    assert traffic.ask(at(back, service)).said["namespace"] == "default"
    assert api.node("node-1")["spec"]["providerID"] == "sandbox://node-1"


def test_a_node_deleted_in_the_api_is_switched_off(fleet, api, traffic):
    """As with kubectl delete node: its ports are closed and its pods move."""
    service = api.expose()
    fleet.wait_served("default/web", pods=3)
    lost = fleet.nodes()[0]
    api.request("DELETE", f"/api/v1/nodes/{lost.name}")
    fleet.wait(lambda: lost.name not in {pod.node for pod in fleet.pods("default/web")})
    fleet.wait_served("default/web", pods=3)
    with pytest.raises(NoAnswer):
        traffic.ask(at(lost, service))


@pytest.mark.parametrize("bar", ["cordon", "taint"])
def test_no_new_pods_come_onto_a_node_that_takes_none(fleet, api, bar):
    """A cordoned or tainted node keeps its pods, and gets new ones only when it is released."""
    api.expose(replicas=3)
    fleet.wait_served("default/web", pods=3)
    if bar == "cordon":
        fleet.cordon("node-1")
    else:
        fleet.taint("node-1", "dedicated")
    fleet.scale("default/web", 7)
    fleet.wait_served("default/web", pods=7)
    assert [pod.node for pod in fleet.pods("default/web")].count("node-1") == 1
    if bar == "cordon":
        fleet.uncordon("node-1")
    else:
        fleet.untaint("node-1")
    fleet.scale("default/web", 9)
    fleet.wait_served("default/web", pods=9)
    assert [pod.node for pod in fleet.pods("default/web")].count("node-1") == 3


def test_the_autoscalers_taint_makes_kube_proxy_unhealthy(fleet, api):
    """A node that is about to be deleted says so on port 10256."""
    node = fleet.nodes()[0]
    api.patch(
        f"/api/v1/nodes/{node.name}",
        {"spec": {"taints": [{"key": "ToBeDeletedByClusterAutoscaler", "effect": "NoSchedule"}]}},
    )
    url = f"http://{node.address}:10256/healthz"

    def refuses() -> bool:
        try:
            urllib.request.urlopen(url, timeout=3).close()
        except urllib.error.HTTPError as error:
            with error:
                return error.code == 503
        return False

    fleet.wait(lambda: not fleet.nodes()[0].eligible)
    assert refuses()


def test_pods_of_a_node_that_is_not_ready_get_no_traffic(fleet, api):
    """They leave the targets while the node is not ready, and come back with it."""
    api.expose()
    fleet.wait_served("default/web", pods=3)
    fleet.set_node_ready("node-1", ready=False)
    fleet.wait_served("default/web", pods=2)
    condition = {c["type"]: c["status"] for c in api.node("node-1")["status"]["conditions"]}
    assert condition["Ready"] == "False"
    fleet.set_node_ready("node-1", ready=True)
    fleet.wait_served("default/web", pods=3)


def test_a_node_changes_its_address_without_a_gap(fleet, api, traffic):
    """The new address serves when the call returns, the Node object shows it, the old one is closed."""
    service = api.expose()
    fleet.wait_served("default/web", pods=3)
    former = fleet.nodes()[0]
    address = fleet.change_address(former.name)
    assert address != former.address
    assert {"type": "InternalIP", "address": address} in api.node(former.name)["status"]["addresses"]
    present = fleet.nodes()[0]
    assert traffic.ask_many(at(present, service), count=6).failed == 0
    with pytest.raises(NoAnswer):
        traffic.ask(at(former, service))


def test_endpoints_written_by_hand_are_served(fleet, api, traffic):
    """A Service without selector leads where its EndpointSlice says."""
    api.expose(name="behind", replicas=1)
    fleet.wait_served("default/behind", pods=1)
    (pod,) = fleet.pods("default/behind")
    body = {
        "metadata": {"name": "byhand-1", "labels": {"kubernetes.io/service-name": "byhand"}},
        "addressType": "IPv4",
        "endpoints": [{"addresses": [pod.address]}],
        "ports": [{"name": "http", "port": 20080, "protocol": "TCP"}],
    }
    api.request("POST", "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices", body)
    service = api.request(
        "POST",
        "/api/v1/namespaces/default/services",
        {"metadata": {"name": "byhand"}, "spec": {"type": "LoadBalancer", "ports": [HTTP]}},
    )
    fleet.wait_served("default/byhand", pods=1)
    assert f"default/{traffic.ask(at(fleet.nodes()[0], service)).pod}" == pod.key


@pytest.mark.skipif(not has_ipv6(), reason="this machine has no ::1")
def test_ipv6_services_have_ipv6_endpoints(fleet, api, traffic):
    """Pods of an IPv6 Service are in IPv6 slices, each on ::1 with a port of its own, and are reached through nodes."""
    service = api.expose(ipFamilies=["IPv6"], ipFamilyPolicy="SingleStack")
    fleet.wait_served("default/web", pods=3)
    assert {address for endpoint in api.endpoints() for address in endpoint["addresses"]} == {"::1"}
    tally = traffic.ask_many(at(fleet.nodes()[0], service), count=9)
    assert tally.failed == 0
    assert len(tally.pods) == 3


def test_a_new_fleet_takes_over_what_an_earlier_one_left(api, options, clock, traffic):
    """Pods and slices of a fleet that was stopped are replaced by those of the next one, and nothing is left over."""
    with Fleet(api.url, token=api.token, nodes=2, options=options, clock=clock) as earlier:
        service = api.expose(replicas=4)
        api.expose(name="gone")
        earlier.wait_served("default/web", pods=4)
        earlier.wait_served("default/gone", pods=3)
    api.request("DELETE", "/api/v1/namespaces/default/services/gone")
    with Fleet(api.url, token=api.token, nodes=2, options=options, clock=clock) as fleet:
        fleet.wait_served("default/web", pods=4)
        fleet.wait(lambda: len(api.pods()) == 4 and not api.endpoints("gone"))
        tally = traffic.ask_many(at(fleet.nodes()[0], service), count=8)
        assert sorted(tally.pods.values()) == [2, 2, 2, 2]


def test_two_fleets_on_one_machine_do_not_meet(fleet, options, clock):
    """Nodes of a second cluster with the same CIDR get other addresses."""
    with ApiServer(tls=False) as server, Fleet(server.url, token=server.token, options=options, clock=clock) as second:
        assert not {node.address for node in fleet.nodes()} & {node.address for node in second.nodes()}


def test_two_hundred_services_are_served_within_seconds(api, options, clock, traffic):
    """200 Services with 2 ports and 2 pods on 5 nodes are served within 10 s after the start, each by its own pods."""
    services = [
        api.expose(HTTP, {"name": "tcp", "port": 9000}, name=f"web-{number}", replicas=2) for number in range(200)
    ]
    keys = [f"default/{service['metadata']['name']}" for service in services]
    with Fleet(api.url, token=api.token, nodes=5, options=options, clock=clock) as fleet:

        def targets() -> int:
            rules = (fleet.rules(node.name, key) for node in fleet.nodes() for key in keys)
            return sum(len(port.targets) for served in rules for port in served.ports)

        fleet.wait(lambda: targets() == 5 * 200 * 2 * 2, timeout_seconds=10)
        for index, service in enumerate(services):
            answer = traffic.ask(at(fleet.nodes()[index % 5], service))
            assert answer.said["service"] == service["metadata"]["name"]


def test_lost_connections_to_the_api_are_made_up_for(fleet, api):
    """What changed while the API was away is followed when it is back."""
    api.expose(replicas=1)
    fleet.wait_served("default/web", pods=1)
    api.faults.drop_connections()
    api.scale("web", 3)
    fleet.wait_served("default/web", pods=3)
    api.faults.expire_history()
    api.faults.drop_connections()
    api.scale("web", 2)
    fleet.wait_served("default/web", pods=2)


def test_an_api_that_refuses_or_is_away_is_said_at_once(api):
    """A wrong token and a wrong address end the start with the server's answer, not with a time-out."""
    with pytest.raises(KubeError, match="401"):
        Fleet(api.url, token="wrong").start()
    with pytest.raises(KubeUnreachable, match="does not answer"):
        Fleet("http://127.0.0.1:1", token="any").start()


def test_an_object_that_makes_no_sense_does_not_stop_the_rest(fleet, api):
    """A Deployment with a spec that cannot be read is skipped, and what comes after it is followed."""
    odd = {"replicas": "many", "template": {}}
    api.seed({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "odd"}, "spec": odd})
    labels = {"app": "web"}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "c", "image": "c"}]}}
    spec = {"replicas": 2, "selector": {"matchLabels": labels}, "template": template}
    body = {"metadata": {"name": "front"}, "spec": spec}
    api.request("POST", "/apis/apps/v1/namespaces/default/deployments", body)
    api.expose()
    fleet.wait_served("default/web", pods=2)


def test_heartbeats_renew_the_condition_and_nothing_else(api, options, clock):
    """A heartbeat moves `lastHeartbeatTime`; `lastTransitionTime` moves with a flip alone."""

    def ready() -> dict:
        return next(c for c in api.node("node-1")["status"]["conditions"] if c["type"] == "Ready")

    with Fleet(
        api.url, token=api.token, nodes=1, options=replace(options, heartbeat_seconds=0.01), clock=clock
    ) as fleet:
        joined = ready()
        clock.advance(60)
        later = next(now for _ in range(2000) if (now := ready()) != joined)
        assert later["lastHeartbeatTime"] == "2026-01-01T00:01:00Z"
        assert later["lastTransitionTime"] == joined["lastTransitionTime"]
        fleet.set_node_ready("node-1", ready=False)
        assert ready()["lastTransitionTime"] == "2026-01-01T00:01:00Z"


def test_datagrams_move_on_when_their_pod_goes(fleet, api, loop):
    """One source port reaches the only pod, and after that pod moved to another node, the new one."""
    service = api.expose(DNS, replicas=1)
    fleet.wait_served("default/web", pods=1)
    (pod,) = fleet.pods("default/web")
    goal = next(node.name for node in fleet.nodes() if node.name != pod.node)
    with UdpClient(loop, fleet.nodes()[0].address, service["spec"]["ports"][0]["nodePort"]) as client:
        assert client.ask() == pod.key.removeprefix("default/")
        moved = fleet.move_pod(pod.key, node=goal, grace_seconds=0)
        (new,) = (pod for pod in fleet.pods("default/web") if pod.key == moved)
        fleet.wait(lambda: {t.address for t in fleet.rules("node-1", "default/web").ports[0].alive} == {new.address})
        assert client.ask() == moved.removeprefix("default/")


def test_unknown_names_are_said_with_what_there_is(fleet, api):
    """Errors name what was asked for and what exists."""
    with pytest.raises(NoSuchNode, match=r"no simulated node moon.*node-1, node-2, node-3"):
        fleet.leave("moon")
    with pytest.raises(NoSuchPod, match="no pod default/moon runs"):
        fleet.delete_pod("default/moon")
    with pytest.raises(NotSettled, match=r"0\.05 s"):
        fleet.wait_served("default/moon", pods=1, timeout_seconds=0.05)


def test_nodes_that_stop_leave_no_connection_open(options):
    """They stop in the middle of watches and writes, time and again, and none is left to the garbage collector."""
    with ApiServer() as server, warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always", ResourceWarning)
        server.store.seed(manifests())
        for seed in range(10):
            with Fleet(server.url, token=server.token, ca=server.ca, nodes=2, options=options, seed=seed):
                pass
            gc.collect()
    assert [str(one.message) for one in told if "unclosed transport" in str(one.message)] == []
