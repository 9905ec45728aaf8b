"""Names that cloud-provider-azure gives to its objects, byte for byte, because adoption depends on them.

Every function is pure and cites its origin (cloud-provider-azure 7b31c76, pkg/provider unless said otherwise).
`uid-name` is `lbctl.naming.default_balancer_name`. Nothing here knows annotations, the cloud's API or settings.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable

from lbctl_azure.ids import last_segment

NAME_LIMIT = 80
FAMILY_SUFFIX = "-IPv6"
BASE_LIMIT = NAME_LIMIT - len(FAMILY_SUFFIX)
UID_NAME = re.compile(r"a[0-9a-f]{31}", re.IGNORECASE)
INTERNAL_SUFFIX = "-internal"
SHARED_PROBE = "cluster-service-shared-health-probe"
MANAGED_RULE_PREFIX = "k8s-azure-lb"


def balancer_name(base: str, *, internal: bool) -> str:
    """Name of a load balancer object (azure_standard.go: getAzureLoadBalancerName)."""
    return base + INTERNAL_SUFFIX if internal else base


def base_of_balancer(name: str) -> str:
    """The name without the internal suffix, in any case."""
    return name[: -len(INTERNAL_SUFFIX)] if is_internal_name(name) else name


def is_internal_name(name: str) -> bool:
    """True for the name of an internal load balancer."""
    return name.lower().endswith(INTERNAL_SUFFIX)


def with_family(name: str, family: str, *, dual_stack: bool) -> str:
    """Only the IPv6 objects of a dual-stack Service carry a suffix (azure_utils.go: getResourceByIPFamily)."""
    return name + FAMILY_SUFFIX if dual_stack and family == "IPv6" else name


def frontend_name(uid_name: str, *, subnet: str = "", family: str = "IPv4", dual_stack: bool = False) -> str:
    """Name of a frontend IP configuration (azure_standard.go: getFrontendIPConfigName)."""
    return with_family(_cut(f"{uid_name}-{subnet}") if subnet else uid_name, family, dual_stack=dual_stack)


def _cut(name: str) -> str:
    if len(name) <= BASE_LIMIT:
        return name
    cut = name[:BASE_LIMIT]
    return cut if cut[-1].isalpha() or cut[-1] == "_" else cut[:-1] + "_"


def rule_name(
    uid_name: str, protocol: str, port: int, *, subnet: str = "", family: str = "IPv4", dual_stack: bool = False
) -> str:
    """Name of a rule and of the probe that serves it (azure_standard.go: getLoadBalancerRuleName)."""
    name = f"{uid_name}-{protocol}-{port}"
    if subnet:
        room = BASE_LIMIT - len(name) - 1
        name = f"{uid_name}-{subnet[:room]}-{protocol}-{port}"
    return with_family(name, family, dual_stack=dual_stack)


def pool_name(cluster: str, family: str) -> str:
    """Name of the cluster's backend pool; the IPv6 pool always has the suffix (getBackendPoolName)."""
    return cluster + FAMILY_SUFFIX if family == "IPv6" else cluster


def local_pool_name(namespace: str, name: str, family: str) -> str:
    """Pool of a Service with traffic policy Local in multi-SLB mode (getLocalServiceBackendPoolName)."""
    suffix = FAMILY_SUFFIX if family == "IPv6" else ""
    return f"{namespace}-{name}{suffix}".lower()


def family_of_pool(name: str) -> str:
    """Address family of a pool, told by its name alone (azure_utils.go: isBackendPoolIPv6)."""
    return "IPv6" if name.lower().endswith(FAMILY_SUFFIX.lower()) else "IPv4"


def public_ip_name(
    cluster: str, uid_name: str, *, prefix_id: str = "", family: str = "IPv4", dual_stack: bool = False
) -> str:
    """Name of a Service's own public IP (azure_standard.go: getPublicIPName)."""
    name = f"{cluster}-{uid_name}"
    if prefix_id:
        name = f"{name}-{last_segment(prefix_id)}"
    return with_family(name[:BASE_LIMIT], family, dual_stack=dual_stack)


def private_link_name(frontend: str) -> str:
    """Name of a private link service that the Service does not name itself."""
    return f"pls-{frontend}"


def port_order(ports: Iterable[int]) -> tuple[str, ...]:
    """Ports as upstream hashes and stores them: sorted as texts, so `443` comes before `80`."""
    return tuple(sorted({str(port) for port in ports}))


def allow_rule_name(family: str, protocol: str, sources: Iterable[str], ports: Iterable[int]) -> str:
    """Name of a shared allow rule: it depends on nothing but what it lets in.

    securitygroup.go: GenerateAllowSecurityRuleName.
    `protocol` is `Tcp`, `Udp` or `*`. The digest only makes a name; it protects nothing.
    """
    text = f"{protocol}_{','.join(sorted(sources))}_{','.join(port_order(ports))}"
    digest = hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()
    return f"{MANAGED_RULE_PREFIX}_allow_{family}_{digest}"


def deny_rule_name(family: str) -> str:
    """Name of the one deny-all rule of a family."""
    return f"{MANAGED_RULE_PREFIX}_deny-all_{family}"


def uid_name_in(name: str) -> str:
    """The `uid-name` at the start of an object's name, lower case; empty when there is none."""
    found = UID_NAME.match(name)
    return found.group().lower() if found else ""
