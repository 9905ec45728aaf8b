"""Refuses Services that are wrong in themselves or that change what may not change.

Every problem of a Service is told at once. Source of the rules: kube-apiserver 1.36, `ValidateService` and
`ValidateServiceUpdate` in `apis/core/validation/validation.go`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lbctl.sandbox.api import names
from lbctl.sandbox.api.objects import Json, Obj, section
from lbctl.sandbox.api.service_defaults import is_external, needs_health_port
from lbctl.sandbox.api.service_families import POLICIES, family_of, is_headless

if TYPE_CHECKING:
    from lbctl.sandbox.api.status import Problems

TYPES = ("ClusterIP", "ExternalName", "LoadBalancer", "NodePort")
PROTOCOLS = ("SCTP", "TCP", "UDP")
WORDS = {
    "sessionAffinity": ("ClientIP", "None"),
    "internalTrafficPolicy": ("Cluster", "Local"),
    "trafficDistribution": ("PreferClose", "PreferSameNode", "PreferSameZone"),
    "type": TYPES,
    "ipFamilyPolicy": POLICIES,
}
BALANCER_ONLY = "may only be used when `type` is 'LoadBalancer'"
RANGES_ANNOTATION = "service.beta.kubernetes.io/load-balancer-source-ranges"
NOT_ONCE_SET = "may not change once set"
HEALTH_PORT = "may only be set when `type` is 'LoadBalancer' and `externalTrafficPolicy` is 'Local'"
LONGEST_AFFINITY = 86_400
CIDR_FAULT = "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)"
ADDRESS_FAULT = "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)"


def check_service(problems: Problems, obj: Obj) -> None:
    """Note everything that is wrong with a complete Service."""
    spec: Obj = obj["spec"]
    _check_words(problems, spec)
    _check_ports(problems, spec)
    _check_by_type(problems, spec)
    _check_affinity(problems, spec)
    _check_addresses(problems, spec)
    _check_balancer_fields(problems, spec)
    _check_ranges(problems, obj)
    _check_traffic_policy(problems, spec)
    check_ingress(problems, obj)


def check_service_update(problems: Problems, new: Obj, old: Obj) -> None:
    """Note every field that changed and may not."""
    fresh, former = new["spec"], old["spec"]
    kept_balancer = fresh["type"] == former["type"] == "LoadBalancer"
    if kept_balancer and fresh.get("loadBalancerClass") != former.get("loadBalancerClass"):
        problems.invalid("spec.loadBalancerClass", fresh.get("loadBalancerClass"), NOT_ONCE_SET)
    both_probed = needs_health_port(fresh) and needs_health_port(former)
    if both_probed and fresh.get("healthCheckNodePort") != former.get("healthCheckNodePort"):
        problems.forbidden("spec.healthCheckNodePort", "field is immutable")
    if "ExternalName" not in (fresh["type"], former["type"]):
        _check_first_address(problems, fresh, former)


def check_ingress(problems: Problems, obj: Obj) -> None:
    """Note what is wrong with the addresses in the status."""
    ingresses = section(obj, "status", "loadBalancer").get("ingress", [])
    if ingresses and obj["spec"]["type"] != "LoadBalancer":
        problems.forbidden("status.loadBalancer.ingress", "may only be used when `spec.type` is 'LoadBalancer'")
        return
    for index, ingress in enumerate(ingresses):
        _check_one_ingress(problems, ingress, f"status.loadBalancer.ingress[{index}]")


def _check_one_ingress(problems: Problems, ingress: Obj, path: str) -> None:
    address, mode, host = ingress.get("ip", ""), ingress.get("ipMode"), ingress.get("hostname", "")
    if address and not names.is_address(address):
        problems.invalid(f"{path}.ip", address, ADDRESS_FAULT)
    if mode is None and address:
        problems.required(f"{path}.ipMode", "must be specified when `ip` is set")
    elif mode is not None and not address:
        problems.forbidden(f"{path}.ipMode", "may not be specified when `ip` is not set")
    elif mode not in (None, "Proxy", "VIP"):
        problems.unsupported(f"{path}.ipMode", mode, ("Proxy", "VIP"))
    if host and (fault := names.subdomain_fault(host)):
        problems.invalid(f"{path}.hostname", host, fault)
    if host and names.is_address(host):
        problems.invalid(f"{path}.hostname", host, "must be a DNS name, not an IP address")


def _check_first_address(problems: Problems, fresh: Obj, former: Obj) -> None:
    was, now = former.get("clusterIPs", []), fresh.get("clusterIPs", [])
    if was and now[:1] != was[:1]:
        problems.invalid("spec.clusterIPs[0]", now[0] if now else "", NOT_ONCE_SET)
    families, wanted = former.get("ipFamilies", []), fresh.get("ipFamilies", [])
    if families and wanted and wanted[0] != families[0]:
        problems.invalid("spec.ipFamilies[0]", wanted[0], NOT_ONCE_SET)


def _check_words(problems: Problems, spec: Obj) -> None:
    for name, allowed in WORDS.items():
        if name in spec and spec[name] not in allowed:
            problems.unsupported(f"spec.{name}", spec[name], allowed)


def _check_ports(problems: Problems, spec: Obj) -> None:
    ports = spec.get("ports", [])
    if not ports and not is_headless(spec) and spec["type"] != "ExternalName":
        problems.required("spec.ports")
    for index, port in enumerate(ports):
        _check_port(problems, port, f"spec.ports[{index}]", several=len(ports) > 1)
        if "nodePort" in port and spec["type"] in ("ClusterIP", "ExternalName"):
            problems.forbidden(f"spec.ports[{index}].nodePort", f"may not be used when `type` is '{spec['type']}'")
    _check_twice(problems, ports)


def _check_port(problems: Problems, port: Obj, path: str, *, several: bool) -> None:
    if several and not port.get("name"):
        problems.required(f"{path}.name")
    if port.get("name") and (fault := names.label_fault(port["name"])):
        problems.invalid(f"{path}.name", port["name"], fault)
    if fault := names.port_fault(port["port"]):
        problems.invalid(f"{path}.port", port["port"], fault)
    if port["protocol"] not in PROTOCOLS:
        problems.unsupported(f"{path}.protocol", port["protocol"], PROTOCOLS)
    _check_target_port(problems, port["targetPort"], f"{path}.targetPort")
    if "appProtocol" in port and (fault := names.qualified_name_fault(port["appProtocol"])):
        problems.invalid(f"{path}.appProtocol", port["appProtocol"], fault)


def _check_target_port(problems: Problems, target: Json, path: str) -> None:
    fault = names.port_fault(target) if isinstance(target, int) else names.port_name_fault(target)
    if fault:
        problems.invalid(path, target, fault)


def _check_twice(problems: Problems, ports: list[Obj]) -> None:
    seen: set[Json] = set()
    for index, port in enumerate(ports):
        path = f"spec.ports[{index}]"
        for identity, where, value in _identities(port, path):
            if identity in seen:
                problems.duplicate(where, value)
            seen.add(identity)


def _identities(port: Obj, path: str) -> list[tuple[Json, str, Json]]:
    protocol = port["protocol"]
    found: list[tuple[Json, str, Json]] = [
        (("port", protocol, port["port"]), path, {"protocol": protocol, "port": port["port"]})
    ]
    if port.get("name"):
        found.append((("name", port["name"]), f"{path}.name", port["name"]))
    if port.get("nodePort"):
        value = {"protocol": protocol, "nodePort": port["nodePort"]}
        found.append((("nodePort", protocol, port["nodePort"]), f"{path}.nodePort", value))
    return found


def _check_by_type(problems: Problems, spec: Obj) -> None:
    kind = spec["type"]
    if kind in ("LoadBalancer", "NodePort") and is_headless(spec):
        problems.invalid("spec.clusterIPs[0]", "None", f"may not be set to 'None' for {kind} services")
    if kind != "ExternalName":
        return
    for name in ("clusterIPs", "ipFamilies", "ipFamilyPolicy"):
        if spec.get(name):
            problems.forbidden(f"spec.{name}", "may not be set for ExternalName services")
    host = spec.get("externalName", "").rstrip(".")
    if not host:
        problems.required("spec.externalName")
    elif fault := names.subdomain_fault(host):
        problems.invalid("spec.externalName", host, fault)


def _check_affinity(problems: Problems, spec: Obj) -> None:
    if spec["sessionAffinity"] != "ClientIP":
        return
    seconds = section(spec, "sessionAffinityConfig", "clientIP").get("timeoutSeconds", 0)
    if not 0 < seconds <= LONGEST_AFFINITY:
        why = f"must be greater than 0 and less than {LONGEST_AFFINITY}"
        problems.invalid("spec.sessionAffinityConfig.clientIP.timeoutSeconds", seconds, why)


def _check_addresses(problems: Problems, spec: Obj) -> None:
    for index, address in enumerate(spec.get("externalIPs", [])):
        if not names.is_address(address):
            problems.invalid(f"spec.externalIPs[{index}]", address, ADDRESS_FAULT)
    addresses = spec.get("clusterIPs", [])
    if spec.get("clusterIP") and addresses and spec["clusterIP"] != addresses[0]:
        problems.invalid("spec.clusterIP", spec["clusterIP"], "must match `clusterIPs[0]`")
    known = [family for address in addresses if (family := family_of(address))]
    if len(known) > len(set(known)):
        problems.invalid("spec.clusterIPs", addresses, "may specify no more than one IP for each IP family")


def _check_balancer_fields(problems: Problems, spec: Obj) -> None:
    if spec["type"] != "LoadBalancer":
        for name in ("loadBalancerClass", "allocateLoadBalancerNodePorts"):
            if name in spec:
                problems.forbidden(f"spec.{name}", BALANCER_ONLY)
    elif "loadBalancerClass" in spec and (fault := names.qualified_name_fault(spec["loadBalancerClass"])):
        problems.invalid("spec.loadBalancerClass", spec["loadBalancerClass"], fault)


def _check_ranges(problems: Problems, obj: Obj) -> None:
    spec, annotations = obj["spec"], section(obj, "metadata", "annotations")
    ranges, path = spec.get("loadBalancerSourceRanges"), "spec.LoadBalancerSourceRanges"
    if ranges and spec["type"] != "LoadBalancer":
        problems.forbidden(path, BALANCER_ONLY)
    elif ranges:
        for index, cidr in enumerate(ranges):
            if not names.is_cidr(cidr.strip()):
                problems.invalid(f"{path}[{index}]", cidr, CIDR_FAULT)
    elif annotations.get(RANGES_ANNOTATION):
        _check_ranges_annotation(problems, annotations[RANGES_ANNOTATION], balancer=spec["type"] == "LoadBalancer")


def _check_ranges_annotation(problems: Problems, text: str, *, balancer: bool) -> None:
    path = f"metadata.annotations[{RANGES_ANNOTATION}]"
    if not balancer:
        problems.forbidden(path, BALANCER_ONLY)
    elif not all(names.is_cidr(part.strip()) for part in text.split(",")):
        problems.invalid(path, text, CIDR_FAULT)


def _check_traffic_policy(problems: Problems, spec: Obj) -> None:
    policy = spec.get("externalTrafficPolicy")
    if policy and not is_external(spec):
        problems.invalid("spec.externalTrafficPolicy", policy, "may only be set for externally-accessible services")
    elif policy not in (None, "Cluster", "Local"):
        problems.unsupported("spec.externalTrafficPolicy", policy, ("Cluster", "Local"))
    if "healthCheckNodePort" in spec and not needs_health_port(spec):
        problems.invalid("spec.healthCheckNodePort", spec["healthCheckNodePort"], HEALTH_PORT)
