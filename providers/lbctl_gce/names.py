"""Names and descriptions of Google Cloud objects, byte for byte as the two upstream controllers give them. Pure.

"Legacy" is kubernetes/cloud-provider-gcp, "L4" is kubernetes/ingress-gce (pkg/utils/namer/l4_namer.go). Model and reads
use these; nothing here knows the API.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from lbctl.errors import InvalidSettings
from lbctl.naming import default_balancer_name

LONGEST_NAME = 63
COMBINED_LENGTH = 39
HASH_LENGTH = 8
SUBNET_HASH_LENGTH = 6
BASE36 = "0123456789abcdefghijklmnopqrstuvwxyz"
SHARED_CHECK = "l4-shared-hc"
INGRESS_UID = "configmaps/kube-system/ingress-uid"
LEGACY_UID_LENGTH = 16
LEGACY_SERVICE_KEY = "kubernetes.io/service-name"
L4_SERVICE_KEY = "networking.gke.io/service-name"
SHARED_SENTENCE = "This resource is shared by all L4 {}Services using ExternalTrafficPolicy: Cluster."


def hash36(text: str, length: int = HASH_LENGTH) -> str:
    """One character of base 36 for each of the first bytes of the text's SHA-256 (ingress-gce, ContentHash)."""
    return "".join(BASE36[byte % 36] for byte in hashlib.sha256(text.encode()).digest()[:length])


def trim_evenly(longest: int, *fields: str) -> tuple[str, ...]:
    """The fields cut so that together they have at most `longest` characters, each in proportion to its length.

    Characters that rounding leaves free go one each to the first fields (ingress-gce, TrimFieldsEvenly).
    """
    total = sum(map(len, fields))
    if total <= longest:
        return fields
    lengths = [len(field) - len(field) * (total - longest) // total - 1 for field in fields]
    free = longest - sum(lengths)
    return tuple(field[: lengths[index] + (index < free)] for index, field in enumerate(fields))


def suffixed(base: str, suffix: str) -> str:
    """The base, cut where needed to make room, and the whole suffix."""
    return base[: LONGEST_NAME - len(suffix)] + suffix


def subnet_hash(subnet: str) -> str:
    """Six hex digits that stand for a subnet in names of its endpoint groups."""
    return hashlib.sha256(subnet.encode()).hexdigest()[:SUBNET_HASH_LENGTH]


@dataclass(frozen=True, slots=True)
class L4Names:
    """Names of the `k8s2` scheme; `cluster` is the hash of the kube-system namespace's uid."""

    cluster: str

    @classmethod
    def of(cls, kube_system_uid: str) -> L4Names:
        """The namer of the cluster with this kube-system uid."""
        return cls(hash36(kube_system_uid))

    def suffix(self, namespace: str, name: str) -> str:
        """The eight characters that tell this Service's objects from all others'."""
        return hash36(f"{self.cluster};{namespace};{name}")

    def backend(self, namespace: str, name: str) -> str:
        """Backend service, endpoint group of the default subnet, traffic firewall and own health check."""
        return self._name("k8s2", self.cluster, self._trimmed(namespace, name, 0), self.suffix(namespace, name))

    def subnet_group(self, namespace: str, name: str, subnet: str) -> str:
        """Endpoint group in another subnet."""
        trimmed = self._trimmed(namespace, name, SUBNET_HASH_LENGTH + 1)
        return self._name("k8s2", self.cluster, trimmed, subnet_hash(subnet), self.suffix(namespace, name))

    def forwarding_rule(self, namespace: str, name: str, protocol: str) -> str:
        """Internal forwarding rule; `L3_DEFAULT` is written `l3`."""
        word = "l3" if protocol.upper() == "L3_DEFAULT" else protocol.lower()
        trimmed = self._trimmed(namespace, name, len(word) + 1)
        return self._name("k8s2", word, self.cluster, trimmed, self.suffix(namespace, name))

    def numbered_rule(self, namespace: str, name: str, protocol: str, number: int) -> str:
        """One of several external forwarding rules, its number in base 36."""
        return suffixed(self.forwarding_rule(namespace, name, protocol), f"-{base36(number)}")

    def numbered_rule_ipv6(self, namespace: str, name: str, protocol: str, number: int) -> str:
        """The IPv6 fellow of `numbered_rule`."""
        return suffixed(self.forwarding_rule(namespace, name, protocol), f"-{base36(number)}-ipv6")

    def forwarding_rule_ipv6(self, namespace: str, name: str, protocol: str) -> str:
        """Internal or mixed IPv6 forwarding rule."""
        return suffixed(self.forwarding_rule(namespace, name, protocol), "-ipv6")

    def firewall_ipv6(self, namespace: str, name: str) -> str:
        """IPv6 traffic firewall; for long names only three characters of the hash are left."""
        return suffixed(self.backend(namespace, name), "-ipv6")

    def deny_firewall(self, namespace: str, name: str, family: str = "IPv4") -> str:
        """Deny firewall; here the names give way to the suffix, so that the hash stays whole."""
        word = "deny-ipv6" if family == "IPv6" else "deny"
        trimmed = self._trimmed(namespace, name, len(word) + 1)
        return self._name("k8s2", self.cluster, trimmed, self.suffix(namespace, name), word)

    def check_firewall(self, namespace: str, name: str, family: str = "IPv4") -> str:
        """Firewall of the Service's own health check; for long names the IPv6 one keeps nothing of the hash."""
        return suffixed(self.backend(namespace, name), "-fw-ipv6" if family == "IPv6" else "-fw")

    @property
    def shared_check(self) -> str:
        """Health check that all Services of traffic policy Cluster share; one name in the region and globally."""
        return f"k8s2-{self.cluster}-{SHARED_CHECK}"

    def shared_check_firewall(self, family: str = "IPv4") -> str:
        """Firewall of the shared health check."""
        return f"{self.shared_check}-fw-ipv6" if family == "IPv6" else f"{self.shared_check}-fw"

    def _trimmed(self, namespace: str, name: str, taken: int) -> str:
        return "-".join(trim_evenly(COMBINED_LENGTH - taken, namespace, name))

    @staticmethod
    def _name(*parts: str) -> str:
        return "-".join(parts)


@dataclass(frozen=True, slots=True)
class LegacyNames:
    """Names that hold the cluster's id from the ConfigMap `ingress-uid`, which may be empty on very old clusters."""

    cluster: str

    @property
    def group(self) -> str:
        """Instance group of a zone, shared with Ingress; the dash is double on purpose."""
        return f"k8s-ig--{self.cluster}" if self.cluster else "k8s-ig"

    def is_group(self, name: str) -> bool:
        """True for every group that is named for the cluster; without an id others' names would begin so too."""
        return name.startswith(self.group) if self.cluster else name == self.group

    @property
    def shared_check(self) -> str:
        """Shared health check, in `httpHealthChecks` for target pools and in `healthChecks` for internal balancers."""
        return f"k8s-{self.cluster}-node"

    @property
    def shared_pool_firewall(self) -> str:
        """Firewall of the shared check of target pools."""
        return f"k8s-{self.cluster}-node-http-hc"

    @property
    def shared_internal_firewall(self) -> str:
        """Firewall of the shared check of internal balancers."""
        return f"k8s-{self.cluster}-node-hc"

    @property
    def shared_backends(self) -> str:
        """What the names of all shared backend services begin with."""
        return f"k8s-{self.cluster}-internal-"

    def shared_backend(self, protocol: str, affinity: str) -> str:
        """Backend service that internal balancers of one protocol and session affinity share."""
        digest = hashlib.sha1(affinity.encode(), usedforsecurity=False).hexdigest()[:16]
        return f"{self.shared_backends}{protocol.lower()}-nmv1-{digest}"


def cluster_id(config_map: Mapping[str, str] | None, *, kube_system_uid: str) -> str:
    """The id in legacy names, of the ConfigMap `ingress-uid`: `provider-uid`, else `uid` after its last double dash.

    In old federated clusters the two upstream controllers read different ids there: `InvalidSettings`. Where there is
    no such ConfigMap nobody has made a legacy name yet, and the id is made from the cluster's own, which is for ever.
    """
    if config_map is None:
        return hashlib.sha256(kube_system_uid.encode()).hexdigest()[:LEGACY_UID_LENGTH]
    legacy = config_map.get("provider-uid", config_map.get("uid", ""))
    l4 = config_map.get("uid", legacy).rpartition("--")[2]
    if legacy.rpartition("--")[2] != l4:
        hint = "set ingress_uid to the one in the names of this cluster's instance groups (k8s-ig--ID)"
        raise InvalidSettings(f"{INGRESS_UID} holds two ids, {legacy} and {l4}", hint=hint)
    return l4


def balancer_name(uid: str) -> str:
    """Forwarding rule, target pool, held address and own check of a Service."""
    return default_balancer_name(uid)


def legacy_firewall(balancer: str) -> str:
    """Traffic firewall of a legacy balancer; older internal ones have the balancer's name."""
    return f"k8s-fw-{balancer}"


def legacy_deny_firewall(balancer: str) -> str:
    """Deny firewall of a legacy balancer."""
    return f"k8s-fw-{balancer}-deny"


def own_pool_firewall(balancer: str) -> str:
    """Firewall of a target pool's own check."""
    return f"k8s-{balancer}-http-hc"


def own_internal_firewall(balancer: str) -> str:
    """Firewall of an internal balancer's own check."""
    return f"{balancer}-hc"


def legacy_names(balancer: str) -> Iterator[str]:
    """All names that an object of a legacy balancer may have, older ones too."""
    yield balancer
    yield legacy_firewall(balancer)
    yield legacy_deny_firewall(balancer)
    yield own_pool_firewall(balancer)
    yield own_internal_firewall(balancer)


def base36(number: int) -> str:
    """The number in base 36, lower case."""
    digits = ""
    while True:
        number, digit = divmod(number, 36)
        digits = BASE36[digit] + digits
        if not number:
            return digits


def l4_description(service: str = "", *, ip: str = "", shared: str = "", version: str = "ga") -> str:
    """Description of an L4 object, empty keys left out, as Go writes a struct's JSON."""
    words = {
        L4_SERVICE_KEY: service,
        "networking.gke.io/api-version": version,
        "networking.gke.io/service-ip": ip,
        "networking.gke.io/resource-description": shared,
    }
    return json.dumps({key: value for key, value in words.items() if value}, separators=(",", ":"))


def shared_sentence(kind: str) -> str:
    """What L4 writes into shared objects; `kind` is `ILB`, `XLB` or empty, which leaves two blanks as upstream does."""
    return SHARED_SENTENCE.format(f"{kind} ")


def legacy_description(service: str) -> str:
    """Description of a legacy object."""
    return f'{{"{LEGACY_SERVICE_KEY}":"{service}"}}'


def legacy_firewall_description(service: str, ip: str) -> str:
    """Description of a legacy traffic firewall, with one blank after the comma."""
    return f'{{"{LEGACY_SERVICE_KEY}":"{service}", "kubernetes.io/service-ip":"{ip}"}}'


def legacy_cluster_description(cluster: str) -> str:
    """Description of the shared firewall of target pools' checks."""
    return f'{{"kubernetes.io/cluster-id":"{cluster}"}}'


def described_service(description: str) -> str:
    """The `namespace/name` that a description claims the object for; empty when it claims nothing."""
    try:
        words = json.loads(description or "{}")
    except json.JSONDecodeError:
        return ""
    if not isinstance(words, dict):
        return ""
    claimed = str(words.get(L4_SERVICE_KEY) or words.get(LEGACY_SERVICE_KEY) or "")
    return claimed if re.fullmatch(r"[^/]+/[^/]+", claimed) else ""
