"""Names, marks and keys: upstream's names byte for byte, and how the cloud's objects tell whose they are.

A rule is found by its name and the description that it is born with; an address by its tags. A scope is one public
address: named by the address where a Service names one, else by the Service's balancer, which both the Service and the
names and tags in the cloud yield before and after the address is known. Pure.
"""

from __future__ import annotations

import enum
import re
from dataclasses import dataclass

from lbctl.model.resource import Identity, Key, Scope
from lbctl.naming import default_balancer_name

SCOPE_KIND = "address"
PREFIX = "service.beta.kubernetes.io/cloudstack-load-balancer-"
ADDRESS_ANNOTATION = f"{PREFIX}address"
ASSOCIATED_ANNOTATION = f"{PREFIX}ip-associated-by-controller"
KEEP_IP_ANNOTATION = f"{PREFIX}keep-ip"
ID_ANNOTATION = f"{PREFIX}id"
CHOSEN_ANNOTATION = "lbctl.io/cloudstack-address"
CHOSEN_UDP_ANNOTATION = "lbctl.io/cloudstack-udp-address"

CLUSTER_TAG, SERVICE_TAG, UID_TAG, OWNER_TAG, HALF_TAG = (
    "lbctl.io/cluster",
    "lbctl.io/service",
    "lbctl.io/uid",
    "lbctl.io/ip-owner",
    "lbctl.io/half",
)
UDP_HALF = "udp"
# The description of a rule that was let go of: the server keeps no empty one.
RELEASED = "released by lbctl"

ADDRESS = Key("address", "")
PROTOCOLS = ("tcp-proxy", "tcp", "udp")
# `<balancer>-<port>` without a protocol is what releases before 1.0 wrote.
RULE_NAME = re.compile(r"(?P<balancer>a[0-9a-f]{1,31})-(?:(?P<protocol>tcp-proxy|tcp|udp)-)?(?P<port>[1-9]\d{0,4})")
MARK = re.compile(
    r"lbctl\.io cluster=(?P<cluster>\S*) service=(?P<namespace>[^/\s]+)/(?P<name>\S+)"
    r" uid=(?P<uid>\S+)(?: half=(?P<half>udp))?(?: (?P<opened>opened))?(?: ip=(?P<ip>\S+))?"
)


class Bond(enum.StrEnum):
    """What becomes of a port's firewall rule when the balancer's rule goes."""

    BORN = "born with its rule, and goes with it"
    APART = "stands by itself"
    UNKNOWN = "may go with its rule or not"


@dataclass(frozen=True, slots=True)
class RuleName:
    """The parts of a rule's name; `protocol` is empty in the old form."""

    balancer: str
    protocol: str
    port: int


@dataclass(frozen=True, slots=True)
class Mark:
    """Whose an object is: the cluster's id, the Service, and the address that it is for where it is not on one.

    `is_udp_half`: it belongs to the Service's second address. `opened`: a firewall rule for everybody was born with the
    rule and goes with it; no list tells that, and no later change leaves the word standing when it stops being true.
    """

    cluster: str
    owner: Identity
    ip: str = ""
    is_udp_half: bool = False
    opened: bool = False

    @property
    def own_scope(self) -> Scope:
        """The scope of the Service's own address that the object is for."""
        return udp_scope(self.owner.uid) if self.is_udp_half else own_scope(self.owner.uid)


def upstreams_reason(balancer: str) -> str:
    """The reason that upstream's releases after 1.2 give to ACL entries."""
    return f"Managed by the CloudStack Kubernetes Provider for {balancer}"


def balancer_name(uid: str) -> str:
    """Upstream's name of the balancer (kubernetes/cloud-provider, DefaultLoadBalancerName)."""
    return default_balancer_name(uid)


def rule_name(balancer: str, protocol: str, port: int) -> str:
    """`<balancer>-<tcp|udp|tcp-proxy>-<port>` (cloudstack-kubernetes-provider 1.2.0, cloudstack_loadbalancer.go)."""
    return f"{balancer}-{protocol}-{port}"


def read_rule_name(name: str) -> RuleName | None:
    """The parts of a name that upstream or we gave; None for every other name."""
    found = RULE_NAME.fullmatch(name)
    if found is None or int(found["port"]) > 65535:  # noqa: PLR2004 - the last port
        return None
    return RuleName(found["balancer"], found["protocol"] or "", int(found["port"]))


def write_mark(mark: Mark) -> str:
    """The description that a rule is born with, and the reason of an ACL entry."""
    text = f"lbctl.io cluster={mark.cluster} service={mark.owner.key} uid={mark.owner.uid}"
    text += f" half={UDP_HALF}" if mark.is_udp_half else ""
    text += " opened" if mark.opened else ""
    return text + (f" ip={mark.ip}" if mark.ip else "")


def read_mark(text: str) -> Mark | None:
    """Whose an object is by its description; None for what is not from here."""
    found = MARK.fullmatch(text)
    if found is None:
        return None
    owner = Identity(found["namespace"], found["name"], found["uid"])
    return Mark(found["cluster"], owner, found["ip"] or "", bool(found["half"]), bool(found["opened"]))


def chosen_annotation(scope: Scope) -> str:
    """Where the address that was chosen for an own scope is written down."""
    return CHOSEN_UDP_ANNOTATION if is_udp_half(scope) else CHOSEN_ANNOTATION


def owner_tags(cluster: str, owner: Identity) -> dict[str, str]:
    """The tags of everything that we make for a Service."""
    return {CLUSTER_TAG: cluster, SERVICE_TAG: owner.key, UID_TAG: owner.uid}


def read_owner(tags: dict[str, str]) -> Identity | None:
    """The Service that an object's tags name."""
    namespace, _, name = tags.get(SERVICE_TAG, "").partition("/")
    uid = tags.get(UID_TAG, "")
    return Identity(namespace, name, uid) if namespace and name and uid else None


def own_scopes(uid: str) -> tuple[Scope, Scope]:
    """The scopes of a Service's own addresses, whether it needs a second one or not."""
    return own_scope(uid), udp_scope(uid)


def own_scope(uid: str) -> Scope:
    """The scope of a Service that names no address."""
    return Scope(SCOPE_KIND, balancer_name(uid))


def udp_scope(uid: str) -> Scope:
    """The scope of a Service's second address: that of its UDP ports, where a port number has both protocols."""
    return Scope(SCOPE_KIND, f"{balancer_name(uid)}-{UDP_HALF}")


def is_udp_half(scope: Scope) -> bool:
    """True for the scope of a second address."""
    return scope.name.endswith(f"-{UDP_HALF}")


def balancer_of(scope: Scope) -> str:
    """The balancer's name in the name of an own scope."""
    return scope.name.removesuffix(f"-{UDP_HALF}")


def named_scope(ip: str) -> Scope:
    """The scope of all Services that name this address."""
    return Scope(SCOPE_KIND, ip)


def is_own(scope: Scope) -> bool:
    """True for the scope of a Service that names no address."""
    return "." not in scope.name


def rule_key(port: int, *, elsewhere: str = "") -> Key:
    """Key of the rule of a public port; `elsewhere` is its address when that is not the scope's."""
    return Key("rule", f"{port}@{elsewhere}" if elsewhere else str(port))


def part_key(kind: str, rule: Key) -> Key:
    """Key of something that belongs to a rule: its members, its filter, its stickiness."""
    return Key(kind, rule.id)


def port_of(key: Key) -> int:
    """The public port in a key."""
    return int(key.id.partition("@")[0])
