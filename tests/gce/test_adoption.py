"""Balancers that upstream made are taken over as they are, without a write; leftovers are recognised by their names."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import pytest

from lbctl.model.objects import Service
from lbctl_gce.modes import FINALIZERS, Mode
from tests.clouds.gce.store import ROOT, Store
from tests.clouds.gce.world import HOME, INGRESS_UID, REGION, REGIONAL, Google, nothing_happens
from tests.gce.conftest import Build
from tests.gce.test_crash import Crash
from tests.world import change, service

UID = "0f1e2d3c-4b5a-6978-8796-a5b4c3d2e1f0"
LB = "a0f1e2d3c4b5a69788796a5b4c3d2e1f"
BE = "k8s2-7kpbhpki-shop-web-a5j1vv26"
IG = f"k8s-ig--{INGRESS_UID}"
GLOBAL = f"{HOME}/global"
ZONE = f"{HOME}/zones/{REGION}-b"
OTHER_HOST = "https://compute.googleapis.com/compute/beta/"
NETWORK = f"{OTHER_HOST}{GLOBAL}/networks/default"
SUBNET = f"{OTHER_HOST}{REGIONAL}/subnetworks/default"
L4 = '{"networking.gke.io/service-name":"shop/web","networking.gke.io/api-version":"ga"}'
L4_IP = L4[:-1] + ',"networking.gke.io/service-ip":"%s"}'
LEGACY = '{"kubernetes.io/service-name":"shop/web"}'
SHARED = "This resource is shared by all L4 %sServices using ExternalTrafficPolicy: Cluster."
SHARED_TEXT = '{"networking.gke.io/api-version":"ga","networking.gke.io/resource-description":"%s"}'
HTTP = {"port": 10256, "requestPath": "/healthz"}
NUMBERS = {"checkIntervalSec": 8, "timeoutSec": 1, "healthyThreshold": 1, "unhealthyThreshold": 3}
RANGES = ["130.211.0.0/22", "35.191.0.0/16", "209.85.152.0/22", "209.85.204.0/22"]
Objects = Iterator[tuple[str, dict[str, Any]]]


def link(path: str) -> str:
    """A link as another version of the API writes it, with the project's number."""
    return f"{OTHER_HOST}{path}".replace("projects/shop-project", "projects/123456789")


def firewall(sources: list[str], port: str, protocol: str, text: str, *destinations: str) -> dict[str, Any]:
    """A firewall rule of upstream's."""
    body = {
        "network": NETWORK,
        "sourceRanges": sources,
        "targetTags": ["nodes"],
        "priority": 1000,
        "direction": "INGRESS",
        "allowed": [{"IPProtocol": protocol, "ports": [port]}],
        "description": text,
    }
    return {**body, "destinationRanges": list(destinations)} if destinations else body


def groups() -> Objects:
    """The instance group, which all kinds but pools use."""
    yield f"{ZONE}/instanceGroups/{IG}", {"network": NETWORK}


def backends() -> list[dict[str, str]]:
    """The group among a backend service's backends."""
    return [{"group": link(f"{ZONE}/instanceGroups/{IG}"), "balancingMode": "CONNECTION"}]


def target_pool() -> Objects:
    """What cloud-provider-gcp makes of an external Service."""
    node_check = f"k8s-{INGRESS_UID}-node"
    text = f'{{"kubernetes.io/service-name":"{node_check}"}}'
    yield f"{GLOBAL}/httpHealthChecks/{node_check}", {**HTTP, **NUMBERS, "description": text}
    cluster = f'{{"kubernetes.io/cluster-id":"{INGRESS_UID}"}}'
    yield f"{GLOBAL}/firewalls/{node_check}-http-hc", firewall(RANGES, "10256", "tcp", cluster)
    instances = [link(f"{ZONE}/instances/{name}") for name in ("n1", "n2")]
    pool = {"healthChecks": [link(f"{GLOBAL}/httpHealthChecks/{node_check}")], "instances": instances}
    yield f"{REGIONAL}/targetPools/{LB}", {**pool, "sessionAffinity": "NONE", "description": LEGACY}
    rule = {"IPAddress": "203.0.113.40", "target": link(f"{REGIONAL}/targetPools/{LB}"), "description": LEGACY}
    yield f"{REGIONAL}/forwardingRules/{LB}", {**rule, **external("80-80")}
    text = '{"kubernetes.io/service-name":"shop/web", "kubernetes.io/service-ip":"203.0.113.40"}'
    yield f"{GLOBAL}/firewalls/k8s-fw-{LB}", firewall(["0.0.0.0/0"], "80", "tcp", text, "203.0.113.40")


def external(ports: str) -> dict[str, Any]:
    """Common fields of external forwarding rules."""
    return {
        "IPProtocol": "TCP",
        "portRange": ports,
        "loadBalancingScheme": "EXTERNAL",
        "networkTier": "PREMIUM",
    }


def backend_service() -> Objects:
    """What ingress-gce makes of an external Service with instance groups."""
    yield from groups()
    check = f"{REGIONAL}/healthChecks/k8s2-7kpbhpki-l4-shared-hc"
    yield check, {"type": "HTTP", "httpHealthCheck": HTTP, **NUMBERS, "description": SHARED_TEXT % (SHARED % "XLB ")}
    shared = firewall(RANGES, "10256", "TCP", SHARED_TEXT % (SHARED % " "))
    yield f"{GLOBAL}/firewalls/k8s2-7kpbhpki-l4-shared-hc-fw", shared
    body = {
        "protocol": "TCP",
        "loadBalancingScheme": "EXTERNAL",
        "sessionAffinity": "NONE",
        "healthChecks": [link(check)],
        "connectionDraining": {"drainingTimeoutSec": 30},
        "localityLbPolicy": "MAGLEV",
        "backends": backends(),
    }
    yield f"{REGIONAL}/backendServices/{BE}", {**body, "description": L4}
    rule = {"IPAddress": "203.0.113.40", "backendService": link(f"{REGIONAL}/backendServices/{BE}")}
    yield f"{REGIONAL}/forwardingRules/{LB}", {**rule, **external("80-80"), "description": L4_IP % "203.0.113.40"}
    yield f"{GLOBAL}/firewalls/{BE}", firewall(["0.0.0.0/0"], "80", "TCP", L4, "203.0.113.40")


def internal_groups() -> Objects:
    """What cloud-provider-gcp makes of an internal Service."""
    yield from groups()
    node_check = f"k8s-{INGRESS_UID}-node"
    check = f"{GLOBAL}/healthChecks/{node_check}"
    yield check, {"type": "HTTP", "httpHealthCheck": HTTP, **NUMBERS}
    yield f"{GLOBAL}/firewalls/{node_check}-hc", firewall(RANGES, "10256", "tcp", "")
    body = {
        "protocol": "TCP",
        "loadBalancingScheme": "INTERNAL",
        "sessionAffinity": "NONE",
        "healthChecks": [link(check)],
        "backends": backends(),
    }
    yield f"{REGIONAL}/backendServices/{LB}", {**body, "description": LEGACY}
    yield f"{REGIONAL}/forwardingRules/{LB}", {**internal(LB), "description": LEGACY}
    text = '{"kubernetes.io/service-name":"shop/web", "kubernetes.io/service-ip":"10.1.0.40"}'
    yield f"{GLOBAL}/firewalls/k8s-fw-{LB}", firewall(["0.0.0.0/0"], "80", "tcp", text, "10.1.0.40")


def internal(backend: str) -> dict[str, Any]:
    """Common fields of internal forwarding rules."""
    return {
        "IPAddress": "10.1.0.40",
        "IPProtocol": "TCP",
        "ports": ["80"],
        "loadBalancingScheme": "INTERNAL",
        "networkTier": "PREMIUM",
        "subnetwork": SUBNET,
        "network": NETWORK,
        "backendService": link(f"{REGIONAL}/backendServices/{backend}"),
    }


def endpoint_groups(scheme: str) -> Objects:
    """What ingress-gce makes with endpoint groups."""
    inside = scheme == "INTERNAL"
    place, kind = (GLOBAL, "ILB ") if inside else (REGIONAL, "XLB ")
    check = f"{place}/healthChecks/k8s2-7kpbhpki-l4-shared-hc"
    yield check, {"type": "HTTP", "httpHealthCheck": HTTP, **NUMBERS, "description": SHARED_TEXT % (SHARED % kind)}
    shared = firewall(RANGES, "10256", "TCP", SHARED_TEXT % (SHARED % " "))
    yield f"{GLOBAL}/firewalls/k8s2-7kpbhpki-l4-shared-hc-fw", shared
    group = f"{ZONE}/networkEndpointGroups/{BE}"
    yield group, {"networkEndpointType": "GCE_VM_IP", "network": NETWORK, "subnetwork": SUBNET}
    body = {
        "protocol": "TCP",
        "loadBalancingScheme": scheme,
        "sessionAffinity": "NONE",
        "healthChecks": [link(check)],
        "connectionDraining": {"drainingTimeoutSec": 30},
        "backends": [{"group": link(group), "balancingMode": "CONNECTION"}],
    }
    yield f"{REGIONAL}/backendServices/{BE}", {**body, "description": L4}
    name = "k8s2-tcp-7kpbhpki-shop-web-a5j1vv26" if inside else LB
    backend = link(f"{REGIONAL}/backendServices/{BE}")
    rule = internal(BE) if inside else {"IPAddress": "203.0.113.40", "backendService": backend, **external("80-80")}
    address = rule["IPAddress"]
    yield f"{REGIONAL}/forwardingRules/{name}", {**rule, "description": L4_IP % address}
    yield f"{GLOBAL}/firewalls/{BE}", firewall(["0.0.0.0/0"], "80", "TCP", L4, address)


RECORDED = {
    Mode.TARGET_POOL: target_pool,
    Mode.EXTERNAL_GROUPS: backend_service,
    Mode.INTERNAL_GROUPS: internal_groups,
    Mode.INTERNAL_ENDPOINTS: lambda: endpoint_groups("INTERNAL"),
    Mode.EXTERNAL_ENDPOINTS: lambda: endpoint_groups("EXTERNAL"),
}


def lay_objects(store: Store, mode: Mode) -> None:
    """Put upstream's objects there."""
    for path, body in RECORDED[mode]():
        store.put(path, body)
        store.objects[path]["selfLink"] = link(path)
    nodes = [f"{ZONE}/instances/{name}" for name in ("n1", "n2")]
    known = {f"{ZONE}/instanceGroups/{IG}": nodes}
    addresses = (f"10.0.0.{sum(name.encode()) % 250 + 1}" for name in ("n1", "n2"))
    endpoints = [f"{path} {address}" for path, address in zip(nodes, addresses, strict=True)]
    known[f"{ZONE}/networkEndpointGroups/{BE}"] = endpoints
    store.members.update({path: members for path, members in known.items() if path in store.objects})


def upstreams_service(mode: Mode) -> Service:
    """The Service as upstream has marked it."""
    annotations = {"networking.gke.io/load-balancer-type": "Internal"} if mode.is_internal else {}
    wanted = service(annotations=annotations)
    marks = ("service.kubernetes.io/load-balancer-cleanup", FINALIZERS[mode])
    return change(wanted, metadata=change(wanted.metadata, uid=UID, finalizers=marks))


def lay(world: Google, mode: Mode) -> None:
    """Put upstream's objects and its Service there."""
    lay_objects(world.compute.store, mode)
    world.kube.overwrite(upstreams_service(mode))


@pytest.mark.spec("GCE-018", "GCE-021")
@pytest.mark.parametrize("mode", RECORDED)
def test_what_upstream_made_is_taken_over_without_a_write(build: Build, mode: Mode) -> None:
    """Another host, version and project number in links, another case of protocols: none of it is a difference."""
    world = build()
    lay(world, mode)
    before = world.state()
    world.crash()
    world.settle(60)
    assert world.compute.journal.writes == 0, world.compute.journal.calls
    assert world.state() == before
    assert world.condition().status == "True", world.condition()
    assert world.addresses() == ["10.1.0.40" if mode.is_internal else "203.0.113.40"]


def lay_two_rules(world: Google) -> None:
    """Upstream's other way of serving several protocols: a rule for each on one address."""
    lay(world, Mode.EXTERNAL_GROUPS)
    store = world.compute.store
    rule = store.objects.pop(f"{REGIONAL}/forwardingRules/{LB}")
    del rule["portRange"]
    store.objects[f"{REGIONAL}/backendServices/{BE}"].update(
        protocol="UNSPECIFIED", connectionDraining={"drainingTimeoutSec": 0}
    )
    shared = {"IPProtocol": "udp", "ports": ["80"]}
    store.objects[f"{GLOBAL}/firewalls/{BE}"]["allowed"].append(shared)
    for protocol in ("TCP", "UDP"):
        path = f"{REGIONAL}/forwardingRules/{two_rules(protocol)}"
        store.put(path, {**rule, "IPProtocol": protocol, "ports": ["80"]})
        store.objects[path]["selfLink"] = link(path)
    live = world.live()
    (tcp,) = live.spec.ports
    both = (tcp, change(tcp, protocol="UDP", name="udp", node_port=30999))
    world.kube.overwrite(change(live, spec=change(live.spec, ports=both)))
    world.crash()
    world.settle(120)


def two_rules(protocol: str) -> str:
    """Name of the rule for one of the protocols."""
    return f"k8s2-{protocol.lower()}-7kpbhpki-shop-web-a5j1vv26"


@pytest.mark.spec("GCE-018", "GCE-044")
def test_two_rules_that_upstream_made_for_two_protocols_are_taken_over_as_they_are(build: Build) -> None:
    """Without a write; both are told on the Service; deletion leaves nothing."""
    world = build()
    before = world.state()
    lay_two_rules(world)
    assert world.compute.journal.writes == 0, world.compute.journal.calls
    assert world.condition().status == "True", world.condition()
    assert world.addresses() == ["203.0.113.40"]
    told = world.live().metadata.annotations
    for protocol in ("tcp", "udp"):
        assert told[f"service.kubernetes.io/{protocol}-forwarding-rule"] == two_rules(protocol)
    world.delete("web")
    world.settle(60)
    assert world.state() == before


@pytest.mark.spec("GCE-044")
def test_two_rules_change_apart_and_become_one_for_one_protocol(build: Build) -> None:
    """A port of one protocol recreates that rule alone; the address stays through that and through the last change."""
    world = build()
    lay_two_rules(world)
    rules = world.objects("forwardingRules")
    tcp, udp = world.live().spec.ports
    second = change(tcp, port=443, name="https", node_port=30443)
    world.edit("web", ports=(tcp, udp, second))
    world.settle(60)
    now = world.objects("forwardingRules")
    assert sorted(now[two_rules("TCP")]["ports"]) == ["443", "80"]
    assert now[two_rules("UDP")]["id"] == rules[two_rules("UDP")]["id"]
    assert world.plans() == []
    six = [change(udp, port=number, name=f"u{number}", node_port=30000 + number) for number in range(53, 59)]
    world.edit("web", ports=(tcp, second, *six))
    world.settle(60)
    assert world.objects("forwardingRules")[two_rules("UDP")]["portRange"] == "53-58"
    world.edit("web", session_affinity="ClientIP")
    assert world.plans() == []
    world.edit("web", ports=(tcp,))
    world.settle(120)
    (rule,) = world.objects("forwardingRules").values()
    assert (rule["name"], rule["IPProtocol"], rule["IPAddress"]) == (LB, "TCP", "203.0.113.40")
    assert world.objects("addresses") == {}
    assert world.addresses() == ["203.0.113.40"]
    assert world.plans() == []


@pytest.mark.parametrize("crash", [False, True], ids=["undisturbed", "crashing"])
def test_two_rules_that_change_together_take_turns(build: Build, crash: bool) -> None:
    """One of the two is always there, the address is held until both are back; also when every write is the last."""
    world = build()
    lay_two_rules(world)
    lost: list[str] = []

    def look(target: str) -> None:
        rules = world.objects("forwardingRules")
        held = world.objects("addresses")
        lost.extend([] if rules else [f"no rule: {target}"])
        lost.extend([] if held or len(rules) == 2 else [f"not held: {target}"])

    def die(_call: str, _number: int) -> None:
        raise Crash

    world.compute.operations.after = look
    world.kube.listeners.clear()
    tcp, udp = world.live().spec.ports
    live = world.live()
    world.kube.put(change(live, spec=change(live.spec, ports=(change(tcp, port=81), change(udp, port=81)))))
    for _ in range(20 if crash else 0):
        world.after = die
        with contextlib.suppress(Crash):
            world.crash()
            world.settle(120)
    world.after = nothing_happens
    world.crash()
    world.settle(120)
    assert lost == []
    rules = world.objects("forwardingRules")
    assert {name: rule["ports"] for name, rule in rules.items()} == {two_rules(p): ["81"] for p in ("TCP", "UDP")}
    assert world.objects("addresses") == {}
    assert world.addresses() == ["203.0.113.40"]
    assert world.plans() == []


def test_a_new_balancer_of_several_protocols_has_one_rule_also_where_an_internal_one_was(build: Build) -> None:
    """The rule of an internal balancer of one protocol bears a name of theirs, and is none of them."""
    world = build(subsetting=True)
    inside = {"networking.gke.io/load-balancer-type": "Internal"}
    world.apply(service(annotations=inside))
    assert list(world.objects("forwardingRules")) == [two_rules("TCP")]
    live = world.live()
    (tcp,) = live.spec.ports
    both = (tcp, change(tcp, protocol="UDP", name="udp", node_port=30999))
    metadata = change(live.metadata, annotations={})
    world.kube.put(change(live, metadata=metadata, spec=change(live.spec, ports=both)))
    world.settle(120)
    (rule,) = world.objects("forwardingRules").values()
    assert (rule["IPProtocol"], rule["loadBalancingScheme"]) == ("L3_DEFAULT", "EXTERNAL")
    assert world.plans() == []


@pytest.mark.parametrize("mode", RECORDED)
def test_what_upstream_made_goes_with_its_service(build: Build, mode: Mode) -> None:
    """Nothing of it is left."""
    world = build()
    before = world.state()
    lay(world, mode)
    world.crash()
    world.settle(60)
    world.delete("web")
    world.settle(60)
    assert not world.exists()
    assert world.state() == before


@pytest.mark.spec("GCE-023", "GCE-024")
def test_numbers_that_an_operator_raised_are_kept_and_smaller_ones_raised(build: Build) -> None:
    """Slower checks and longer draining are somebody's wish; faster checks are below what upstream makes."""
    world = build()
    lay(world, Mode.EXTERNAL_GROUPS)
    check = world.compute.store.objects[f"{REGIONAL}/healthChecks/k8s2-7kpbhpki-l4-shared-hc"]
    check.update(checkIntervalSec=20, unhealthyThreshold=1)
    backend = world.compute.store.objects[f"{REGIONAL}/backendServices/{BE}"]
    backend["connectionDraining"] = {"drainingTimeoutSec": 300}
    world.crash()
    world.settle(60)
    now = world.compute.store.objects[f"{REGIONAL}/healthChecks/k8s2-7kpbhpki-l4-shared-hc"]
    assert (now["checkIntervalSec"], now["unhealthyThreshold"]) == (20, 3)
    backend = world.compute.store.objects[f"{REGIONAL}/backendServices/{BE}"]
    assert backend["connectionDraining"] == {"drainingTimeoutSec": 300}
    assert world.plans() == []


@pytest.mark.spec("GCE-079")
def test_a_firewall_rule_of_the_old_name_goes_once_the_new_one_is_there(build: Build) -> None:
    """At no moment is there none."""
    world = build()
    lay(world, Mode.INTERNAL_GROUPS)
    old, new = f"{GLOBAL}/firewalls/{LB}", f"{GLOBAL}/firewalls/k8s-fw-{LB}"
    body = world.compute.store.objects.pop(new)
    world.compute.store.put(old, body)
    there = []
    world.after = lambda _call, _n: there.append({old, new} & set(world.compute.store.objects))
    world.crash()
    world.settle(60)
    assert new in world.compute.store.objects
    assert old not in world.compute.store.objects
    assert all(there)


@pytest.mark.spec("GCE-093", "GCE-094")
def test_leftovers_are_reported_by_their_names_and_left_alone(build: Build) -> None:
    """Objects with this cluster's mark and no Service are orphans; those of another cluster and of Ingress are not."""
    world = build()
    for path, body in backend_service():
        world.compute.store.put(path, body)
    nodes = [f"{ZONE}/instances/{name}" for name in ("n1", "n2")]
    world.compute.store.members[f"{ZONE}/instanceGroups/{IG}"] = nodes
    foreign = f"{REGIONAL}/backendServices/k8s2-zzzzzzzz-shop-web-a5j1vv26"
    check = {"healthChecks": [ROOT + f"{REGIONAL}/healthChecks/somebody-elses"]}
    world.compute.store.put(foreign, {"protocol": "TCP", "loadBalancingScheme": "EXTERNAL", **check, "description": L4})
    ingress = f"{GLOBAL}/backendServices/k8s-be-30000--{INGRESS_UID}"
    world.compute.store.put(ingress, {"protocol": "HTTP", "backends": backends()})
    before = world.state()
    world.crash()
    world.settle(1300)
    assert world.state() == before
    orphans = {(owner.namespace, owner.name) for _, owner in world.account.orphan_watch.confirmed()}
    assert orphans == {("shop", "web")}


def test_a_group_that_ingress_uses_stays_when_the_last_service_goes(build: Build) -> None:
    """It is shared with Ingress, whose backend service refers to it."""
    world = build()
    world.apply(service())
    ingress = f"{GLOBAL}/backendServices/k8s-be-30000--{INGRESS_UID}"
    world.compute.store.put(ingress, {"protocol": "HTTP", "backends": backends()})
    world.crash()
    world.settle(60)
    world.delete("web")
    world.settle(60)
    assert set(world.objects("instanceGroups")) == {IG}
    assert world.members() == {"n1", "n2"}
    assert world.objects("healthChecks") == {}
