"""Names, tags and rule descriptions of both upstream controllers, byte for byte, because adoption depends on them.

CCM stands for kubernetes/cloud-provider-aws at 63ec440c, LBC for kubernetes-sigs/aws-load-balancer-controller at
225f44568. The model asks for what should be called how, the reads ask whose an object is. Hash inputs are concatenated
without separators, as upstream does. Nothing here knows a Service beyond its identity.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass

from lbctl.model.resource import Identity
from lbctl.naming import default_balancer_name

NAME_LIMIT = 32
DIGEST_LENGTH = 10
WORD_LENGTH = 8
BACKEND_WORD_LENGTH = 232

CCM_CLUSTER_PREFIX = "kubernetes.io/cluster/"
CCM_LEGACY_CLUSTER = "KubernetesCluster"
CCM_SERVICE = "kubernetes.io/service-name"
LBC_CLUSTER = "elbv2.k8s.aws/cluster"
LBC_OLD_CLUSTER = "ingress.k8s.aws/cluster"
LBC_STACK = "service.k8s.aws/stack"
LBC_RESOURCE = "service.k8s.aws/resource"
LBC_SHARED_RESOURCE = "elbv2.k8s.aws/resource"
OWNER = "lbctl.io/owner"
OWNED, SHARED = "owned", "shared"

ROLE_TAGS = {"internet-facing": "kubernetes.io/role/elb", "internal": "kubernetes.io/role/internal-elb"}

MANAGED_DESCRIPTION = "[k8s] Managed SecurityGroup for LoadBalancer"
BACKEND_DESCRIPTION = "[k8s] Shared Backend SecurityGroup for LoadBalancer"
BACKEND_RESOURCE = "backend-sg"

CLIENT_RULE = "kubernetes.io/rule/nlb/client="
HEALTH_RULE = "kubernetes.io/rule/nlb/health="
MTU_RULE = "kubernetes.io/rule/nlb/mtu"
SHARED_RULE = "elbv2.k8s.aws/targetGroupBinding=shared"
OUR_RULE = "lbctl.io/owner="

PROXY_POLICY = "k8s-proxyprotocol-enabled"
NEGOTIATION_POLICY_PREFIX = "k8s-SSLNegotiationPolicy-"

CLASSIC_GROUP_PREFIX = "k8s-elb-"
CLASSIC_GROUP_DESCRIPTION = re.compile(r"Security group for Kubernetes ELB (\S+) \(([^/]+)/([^)]+)\)")


def sanitised(text: str) -> str:
    """The text without anything but ASCII letters and digits."""
    return re.sub(r"[^0-9A-Za-z]", "", text)


def ccm_balancer(uid: str, *, generation: int = 1) -> str:
    """Name of a classic or network balancer of CCM."""
    return with_generation(default_balancer_name(uid), generation)


def classic_group(balancer: str) -> str:
    """Name of the security group of a classic balancer."""
    return CLASSIC_GROUP_PREFIX + balancer


def classic_group_description(balancer: str, owner: Identity) -> str:
    """Description of the security group of a classic balancer; it alone tells the Service."""
    return f"Security group for Kubernetes ELB {balancer} ({owner.key})"


def frontend_group(cluster: str, owner: Identity) -> str:
    """Name of the security group of a network balancer, the same in CCM and LBC."""
    return _shaped(owner, _sha256(cluster, owner.name, owner.namespace, owner.uid))


def lbc_balancer(cluster: str, owner: Identity, scheme: str) -> str:
    """Name of a balancer of LBC."""
    return _shaped(owner, _sha256(cluster, owner.uid, scheme))


@dataclass(frozen=True, slots=True)
class GroupTraits:
    """What the names of target groups are made of: the listener's port, and how targets are reached and probed."""

    port: int
    target_port: int
    protocol: str
    target_type: str
    health_protocol: str
    health_interval: int


def ccm_target_group(cluster: str, owner: Identity, traits: GroupTraits) -> str:
    """Name of a target group of CCM; it has no uid, so a recreated Service can meet its predecessor's group."""
    parts = (
        cluster,
        owner.namespace,
        owner.name,
        str(traits.port),
        str(traits.target_port),
        traits.protocol,
        traits.target_type,
        traits.health_protocol,
        str(traits.health_interval),
    )
    # The digest names an object; upstream chose SHA-1.
    return _shaped(owner, hashlib.sha1("".join(parts).encode(), usedforsecurity=False).hexdigest())


def lbc_target_group(cluster: str, owner: Identity, traits: GroupTraits, *, service_port: str, base: str = "") -> str:
    """Name of a target group of LBC.

    `service_port` is the Service port as LBC prints it (its number); `base` is the uid of the Service that owns the
    balancer, for groups of a weighted action only.
    """
    digest = _sha256(
        cluster,
        base,
        owner.uid,
        str(traits.target_port),
        service_port,
        traits.target_type,
        traits.protocol,
        traits.health_protocol,
        str(traits.health_interval),
    )
    return _shaped(owner, digest)


def backend_group(cluster: str) -> str:
    """Name of the security group that all balancers of LBC share towards the nodes."""
    return f"k8s-traffic-{sanitised(cluster)[:BACKEND_WORD_LENGTH]}-{_sha256(cluster)[:DIGEST_LENGTH]}"


def with_generation(name: str, generation: int) -> str:
    """The name of a balancer that takes over from one of the same name: `-2`, `-3`, … at its end."""
    if generation == 1:
        return name
    suffix = f"-{generation}"
    return name[: NAME_LIMIT - len(suffix)].rstrip("-") + suffix


def shared_rule(cluster: str) -> str:
    """Description of a rule of ours in LBC's modes.

    LBC reads descriptions as labels, `key=value` separated by commas, and finds its own among them (pkg/networking/
    security_group_info.go); the second one tells the cluster, which LBC's does not.
    """
    return f"{SHARED_RULE},{OUR_RULE}{cluster}"


def rule_labels(description: str) -> frozenset[str]:
    """The labels of a rule's description."""
    return frozenset(description.split(","))


def owner_tag(cluster: str, owner: Identity) -> str:
    """Value of our own tag."""
    return f"{cluster}/{owner.uid}"


def ccm_tags(cluster: str, owner: Identity) -> dict[str, str]:
    """Tags of a balancer, target group or listener of CCM."""
    return {CCM_CLUSTER_PREFIX + cluster: OWNED, CCM_SERVICE: owner.key}


def lbc_tags(cluster: str, owner: Identity, resource: str) -> dict[str, str]:
    """Tags of an object of LBC; `resource` is `LoadBalancer`, a port, …."""
    return {LBC_CLUSTER: cluster, LBC_STACK: owner.key, LBC_RESOURCE: resource}


def clusters_of(tags: Mapping[str, str]) -> frozenset[str]:
    """Every cluster that the tags of either controller name; several on shared objects."""
    found = {key.removeprefix(CCM_CLUSTER_PREFIX) for key in tags if key.startswith(CCM_CLUSTER_PREFIX)}
    found.update(tags[key] for key in (LBC_CLUSTER, LBC_OLD_CLUSTER, CCM_LEGACY_CLUSTER) if tags.get(key))
    return frozenset(found)


def service_of(tags: Mapping[str, str]) -> str:
    """`namespace/name` of the Service that the tags name, or empty."""
    return tags.get(LBC_STACK) or tags.get(CCM_SERVICE, "")


def uid_of(tags: Mapping[str, str]) -> str:
    """The Service's uid by our own tag, or empty."""
    return tags.get(OWNER, "").rpartition("/")[2]


def is_owned_key(key: str) -> bool:
    """True for tag keys that prove ownership, so that no Service may set them itself."""
    return key.startswith((CCM_CLUSTER_PREFIX, "lbctl.io/")) or key in {
        CCM_LEGACY_CLUSTER,
        CCM_SERVICE,
        LBC_CLUSTER,
        LBC_OLD_CLUSTER,
        LBC_STACK,
        LBC_RESOURCE,
        LBC_SHARED_RESOURCE,
    }


def _shaped(owner: Identity, digest: str) -> str:
    words = (sanitised(owner.namespace)[:WORD_LENGTH], sanitised(owner.name)[:WORD_LENGTH], digest[:DIGEST_LENGTH])
    return "k8s-" + "-".join(words)


def _sha256(*parts: str) -> str:
    return hashlib.sha256("".join(parts).encode()).hexdigest()
