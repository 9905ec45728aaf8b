"""What a Service gets without asking, and what it loses when its type changes.

Runs before allocation and before the checks. Source of the rules: kube-apiserver 1.36, `apis/core/v1/defaults.go` and
`registry/core/service/strategy.go`; each was also observed on a running server.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lbctl.sandbox.api.objects import Obj, drop_empty

if TYPE_CHECKING:
    from collections.abc import Callable

CLIENT_IP_SECONDS = 10_800
OMITTED_WHEN_EMPTY = (
    *("clusterIP", "clusterIPs", "externalIPs", "externalName", "externalTrafficPolicy", "healthCheckNodePort"),
    *("ipFamilies", "loadBalancerIP", "loadBalancerSourceRanges", "ports", "selector", "sessionAffinity"),
    *("sessionAffinityConfig", "type"),
)


def needs_cluster_ip(spec: Obj) -> bool:
    """Every type but ExternalName."""
    return spec.get("type") in ("ClusterIP", "NodePort", "LoadBalancer")


def needs_node_ports(spec: Obj) -> bool:
    """The types that may have node ports."""
    return spec.get("type") in ("NodePort", "LoadBalancer")


def allocates_node_ports(spec: Obj) -> bool:
    """Whether missing node ports are filled in."""
    wanted = spec.get("allocateLoadBalancerNodePorts", True)
    return spec.get("type") == "NodePort" or (spec.get("type") == "LoadBalancer" and bool(wanted))


def needs_health_port(spec: Obj) -> bool:
    """Balancers that keep traffic on the node are probed on a port of their own."""
    return spec.get("type") == "LoadBalancer" and spec.get("externalTrafficPolicy") == "Local"


def is_external(spec: Obj) -> bool:
    """Whether traffic from outside the cluster can reach it: what externalTrafficPolicy is for."""
    return needs_node_ports(spec) or (spec.get("type") == "ClusterIP" and bool(spec.get("externalIPs")))


def set_defaults(spec: Obj) -> None:
    """Fill in every default that depends on the Service alone."""
    drop_empty(spec, *OMITTED_WHEN_EMPTY)
    spec.setdefault("type", "ClusterIP")
    _default_affinity(spec)
    for port in spec.get("ports", ()):
        _default_port(port)
    if is_external(spec):
        spec.setdefault("externalTrafficPolicy", "Cluster")
    if needs_cluster_ip(spec):
        spec.setdefault("internalTrafficPolicy", "Cluster")
    if spec["type"] == "LoadBalancer":
        spec.setdefault("allocateLoadBalancerNodePorts", True)


def _default_affinity(spec: Obj) -> None:
    if spec.setdefault("sessionAffinity", "None") == "ClientIP":
        config = spec.setdefault("sessionAffinityConfig", {}).setdefault("clientIP", {})
        config.setdefault("timeoutSeconds", CLIENT_IP_SECONDS)
    elif spec["sessionAffinity"] == "None":
        spec.pop("sessionAffinityConfig", None)


def _default_port(port: Obj) -> None:
    drop_empty(port, "name", "nodePort", "protocol", "targetPort")
    port.setdefault("protocol", "TCP")
    port.setdefault("port", 0)
    port.setdefault("targetPort", port["port"])


def default_ingress(obj: Obj) -> None:
    """An address of a balancer without a mode is a virtual IP."""
    status = obj.setdefault("status", {})
    for ingress in status.get("loadBalancer", {}).get("ingress", ()):
        drop_empty(ingress, "ip", "hostname")
        if ingress.get("ip") and obj["spec"]["type"] == "LoadBalancer":
            ingress.setdefault("ipMode", "VIP")


def sync_cluster_ips(new: Obj, old: Obj | None) -> None:
    """Keep clusterIP and the first of clusterIPs one value, as older clients know only the former."""
    single, listed = new.get("clusterIP", ""), new.get("clusterIPs", [])
    if old is None:
        if single and not listed:
            new["clusterIPs"] = [single]
    elif single != old.get("clusterIP", "") and listed == old.get("clusterIPs", []):
        new["clusterIPs"] = [single, *listed[1:]] if single else []
    if new.get("clusterIPs") and not single:
        new["clusterIP"] = new["clusterIPs"][0]
    drop_empty(new, "clusterIP", "clusterIPs")


def carry_allocated(new: Obj, old: Obj) -> None:
    """Give an update that leaves out allocated values those that the Service has."""
    if needs_cluster_ip(old) and needs_cluster_ip(new):
        _carry_cluster_ips(new, old)
    if needs_node_ports(old) and allocates_node_ports(new):
        _carry_node_ports(new, old)
    if needs_health_port(old) and needs_health_port(new) and "healthCheckNodePort" in old:
        new.setdefault("healthCheckNodePort", old["healthCheckNodePort"])


def _carry_cluster_ips(new: Obj, old: Obj) -> None:
    if "clusterIP" in old:
        new.setdefault("clusterIP", old["clusterIP"])
    if "clusterIPs" in old and new.get("clusterIP") == old.get("clusterIP"):
        new.setdefault("clusterIPs", old["clusterIPs"])


def _carry_node_ports(new: Obj, old: Obj) -> None:
    # By name: the number may be what the update changes.
    former = {port.get("name", ""): port.get("nodePort") for port in old.get("ports", ())}
    used = {port["nodePort"] for port in new.get("ports", ()) if "nodePort" in port}
    for port in new.get("ports", ()):
        known = former.get(port.get("name", ""))
        if known and "nodePort" not in port and known not in used:
            port["nodePort"] = known
            used.add(known)


def drop_type_fields(new: Obj, old: Obj) -> None:
    """Remove what only the former type has a use for, unless the update touched it (which the checks then refuse)."""
    for names, needed in TYPE_FIELDS:
        if needed(old) and not needed(new):
            _drop_unchanged(new, old, names)
    if needs_node_ports(old) and not needs_node_ports(new) and _node_ports(new) == _node_ports(old):
        for port in new.get("ports", ()):
            port.pop("nodePort", None)


def _drop_unchanged(new: Obj, old: Obj, names: tuple[str, ...]) -> None:
    for name in names:
        if name in new and new[name] == old.get(name):
            del new[name]


def _is_balancer(spec: Obj) -> bool:
    return spec.get("type") == "LoadBalancer"


def _node_ports(spec: Obj) -> list[int]:
    return [port.get("nodePort", 0) for port in spec.get("ports", ())]


TYPE_FIELDS: tuple[tuple[tuple[str, ...], Callable[[Obj], bool]], ...] = (
    (("clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy", "internalTrafficPolicy"), needs_cluster_ip),
    (("healthCheckNodePort",), needs_health_port),
    (("externalTrafficPolicy",), is_external),
    (("allocateLoadBalancerNodePorts", "loadBalancerClass"), _is_balancer),
)
