"""Names, descriptions and tags of cloud-provider-openstack, byte for byte, and how they are read back. Pure.

Everything here is proof of ownership or found again by upstream, so it may never change. Source:
kubernetes/cloud-provider-openstack, pkg/openstack/loadbalancer.go and pkg/util/util.go.
"""

from __future__ import annotations

import re

from lbctl.model.intent import Port
from lbctl.model.resource import Identity, Key, Scope

BALANCER = "balancer"
FLOATING = "floating"
SERVICE_PREFIX = "kube_service_"
UID_TAG = "lbctl_uid="
PORT_TAG = "lbctl_port="
KEPT_TAG = "lbctl_kept"
LONGEST_NAME = 255

BALANCER_KEY = Key(BALANCER, "")
FLOATING_KEY = Key(FLOATING, "")

BALANCER_TEXT = re.compile(
    r"Kubernetes external service (?P<namespace>[^/ ]+)/(?P<name>[^ ]+) from cluster (?P<cluster>.+)"
)
FLOATING_TEXT = re.compile(r"Floating IP for " + BALANCER_TEXT.pattern)
GROUP_TEXT = re.compile(
    r"Security Group for (?P<namespace>[^/ ]+)/(?P<name>[^ ]+) Service LoadBalancer in cluster (?P<cluster>.+)"
)
GROUP_NAME = re.compile(r"lb-sg-(?P<uid>[0-9a-f-]{36})-")
INDEXED = re.compile(r"(?:listener|pool|monitor)_(?P<index>\d+)_(?P<balancer>.+)")


def cut(text: str) -> str:
    """The text cut to 255 bytes, never in the middle of a character."""
    return text.encode()[:LONGEST_NAME].decode(errors="ignore")


def balancer_name(cluster: str, namespace: str, name: str) -> str:
    """Name of a Service's balancer; also the tag that says that the Service uses a balancer."""
    return cut(f"{SERVICE_PREFIX}{cluster}_{namespace}_{name}")


def listener_name(index: int, balancer: str) -> str:
    """Name of the listener of the Service's n-th port."""
    return cut(f"listener_{index}_{balancer}")


def pool_name(index: int, balancer: str) -> str:
    """Name of the pool of the Service's n-th port."""
    return cut(f"pool_{index}_{balancer}")


def monitor_name(index: int, balancer: str) -> str:
    """Name of the health monitor of the Service's n-th port."""
    return cut(f"monitor_{index}_{balancer}")


def serial_member_name(node: str, address: str, node_port: int) -> str:
    """Name of a member where members are made one by one."""
    return cut(f"member_{node}_{address}_{node_port}")


def group_name(identity: Identity) -> str:
    """Name of the security group that opens the node ports of a Service."""
    return cut(f"lb-sg-{identity.uid}-{identity.namespace}-{identity.name}")


def balancer_description(cluster: str, identity: Identity) -> str:
    """Description of a balancer."""
    return f"Kubernetes external service {identity.namespace}/{identity.name} from cluster {cluster}"


def floating_description(cluster: str, identity: Identity) -> str:
    """Description of a floating IP; the proof that we made it."""
    return f"Floating IP for {balancer_description(cluster, identity)}"


def group_description(cluster: str, identity: Identity) -> str:
    """Description of a security group."""
    return f"Security Group for {identity.namespace}/{identity.name} Service LoadBalancer in cluster {cluster}"


def uid_tag(uid: str) -> str:
    """The tag of our own that tells two clusters of the same name apart."""
    return f"{UID_TAG}{uid}"


def service_of(pattern: re.Pattern[str], text: str, *, cluster: str) -> tuple[str, str] | None:
    """Namespace and name of the Service that a description names, if it is one of this cluster."""
    found = pattern.fullmatch(text or "")
    if found is None or found["cluster"] != cluster:
        return None
    return found["namespace"], found["name"]


def balancer_scope(cluster: str, identity: Identity) -> Scope:
    """The scope of a Service's own balancer."""
    return Scope(BALANCER, balancer_name(cluster, identity.namespace, identity.name))


def listener_key(protocol: str, port: int) -> Key:
    """Key of a listener: upstream's identity of one is its protocol and port."""
    return Key("listener", f"{protocol}/{port}")


def is_former_name(name: str, identity: Identity) -> bool:
    """True for the balancer name of the same Service under another cluster name."""
    return name.startswith(SERVICE_PREFIX) and name.endswith(f"_{identity.namespace}_{identity.name}")


def balancer_part(name: str) -> str:
    """The balancer's name inside a child's; empty for a name that is none of ours."""
    found = INDEXED.fullmatch(name)
    return found["balancer"] if found else ""


TRANSPORTS = {"UDP": "UDP", "SCTP": "SCTP"}


def pool_id(listener_protocol: str, port: int, pool_protocol: str) -> str:
    """Id that pool, members and monitor of a port share; another pool protocol makes another pool."""
    return f"{TRANSPORTS.get(listener_protocol, 'TCP')}/{port}/{pool_protocol}"


def port_tag(port: Port) -> str:
    """Our tag on a pool that was made on a living balancer: it tells its port before a listener points to it."""
    return f"{PORT_TAG}{port.protocol}/{port.port}"
