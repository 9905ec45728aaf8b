"""Settles the IP families of a Service: how many addresses it gets, of which kind, in which order.

Runs between defaults and allocation. Source of the rules: kube-apiserver 1.36, `initIPFamilyFields` in
`registry/core/service/storage/alloc.go`.
"""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING

from lbctl.sandbox.api.service_defaults import needs_cluster_ip

if TYPE_CHECKING:
    from collections.abc import Iterable

    from lbctl.sandbox.api.objects import Obj
    from lbctl.sandbox.api.status import Problems

POLICIES = ("SingleStack", "PreferDualStack", "RequireDualStack")
ONE_FAMILY = "must be RequireDualStack or PreferDualStack when multiple ipFamilies are specified"


def settle_families(spec: Obj, *, old: Obj, cluster: tuple[str, ...], problems: Problems) -> None:
    """Fill in policy and families; note what the cluster's families (its first is the default one) cannot give."""
    if not needs_cluster_ip(spec):
        return
    _shrink_to_single(spec, old)
    _default_policy(spec, cluster)
    _refuse_impossible(spec, cluster=cluster, problems=problems)
    if problems.causes:
        return
    families = spec.setdefault("ipFamilies", _families_of(spec.get("clusterIPs", ())) or [cluster[0]])
    if spec["ipFamilyPolicy"] != "SingleStack" and len(families) == 1:
        families.extend(_others(families, cluster, spec))


def family_of(address: str) -> str:
    """The family of an address that parses; the empty string otherwise."""
    try:
        return "IPv6" if ipaddress.ip_address(address).version == 6 else "IPv4"  # noqa: PLR2004 - that is its name
    except ValueError:
        return ""


def is_headless(spec: Obj) -> bool:
    """Whether the Service has no address on purpose."""
    return spec.get("clusterIP") == "None"


def _families_of(addresses: Iterable[str]) -> list[str]:
    return [family for address in addresses if (family := family_of(address))]


def _others(families: list[str], cluster: tuple[str, ...], spec: Obj) -> list[str]:
    known = cluster
    if is_headless(spec) and not spec.get("selector"):
        # Its endpoints are somebody else's to choose, also of a family that the cluster lacks.
        known = ("IPv4", "IPv6")
    return [family for family in known if family not in families]


def _shrink_to_single(spec: Obj, old: Obj) -> None:
    if spec.get("ipFamilyPolicy") != "SingleStack" or old.get("ipFamilyPolicy") in (None, "SingleStack"):
        return
    for name in ("clusterIPs", "ipFamilies"):
        if len(spec.get(name, ())) > 1 and spec[name] == old.get(name):
            spec[name] = spec[name][:1]


def _default_policy(spec: Obj, cluster: tuple[str, ...]) -> None:
    if "ipFamilyPolicy" in spec:
        return
    anywhere = is_headless(spec) and not spec.get("selector") and len(cluster) > 1
    spec["ipFamilyPolicy"] = "RequireDualStack" if anywhere else "SingleStack"


def _refuse_impossible(spec: Obj, *, cluster: tuple[str, ...], problems: Problems) -> None:
    policy, families, addresses = spec["ipFamilyPolicy"], spec.get("ipFamilies", []), spec.get("clusterIPs", [])
    if policy == "SingleStack" and max(len(families), len(addresses)) > 1:
        problems.invalid("spec.ipFamilyPolicy", policy, ONE_FAMILY)
    elif policy == "RequireDualStack" and len(cluster) == 1 and not is_headless(spec):
        problems.invalid("spec.ipFamilyPolicy", policy, "this cluster is not configured for dual-stack services")
    for index, family in enumerate(families):
        _refuse_family(problems, family, index=index, cluster=cluster, spec=spec)


def _refuse_family(problems: Problems, family: str, *, index: int, cluster: tuple[str, ...], spec: Obj) -> None:
    path, addresses = f"spec.ipFamilies[{index}]", spec.get("clusterIPs", [])
    given = family_of(addresses[index]) if index < len(addresses) else ""
    if family not in ("IPv4", "IPv6"):
        problems.unsupported(path, family, ("IPv4", "IPv6"))
    elif given and given != family:
        problems.invalid(
            f"spec.clusterIPs[{index}]",
            addresses[index],
            f"expected an {family} value as indicated by `ipFamilies[{index}]`",
        )
    elif family not in cluster and not is_headless(spec):
        problems.invalid(path, family, "not configured on this cluster")
