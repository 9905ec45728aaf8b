"""Findings for `lbctl doctor`: the file, log-in, API versions, rights, quotas, networks and names. Reads only."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta

from lbctl.clock import Clock
from lbctl.driver import Finding, Level, Look, look_at_all
from lbctl_openstack import names
from lbctl_openstack.capabilities import ADDITIONAL_VIPS, ALLOWED_CIDRS, PROVIDERS, TAGS
from lbctl_openstack.client import BALANCING, NETWORK, Client
from lbctl_openstack.cloudconf import CloudConf, Networks
from lbctl_openstack.facts import FactReader
from lbctl_openstack.quotas import read_quotas

DEFAULT_CLUSTER = "kubernetes"
SUFFICIENT_ROLES = frozenset({"member", "load-balancer_member", "load-balancer_admin", "admin"})
MOST_NAMED = 5
SHORT_TOKEN = timedelta(minutes=10)


@dataclass(frozen=True, slots=True)
class Checks:
    """Everything that is looked at; `strays` are nodes whose provider id names no instance."""

    conf: CloudConf
    client: Client
    facts: FactReader
    cluster: str
    clock: Clock
    strays: tuple[str, ...] = ()

    def run(self) -> Iterator[Finding]:
        """All findings; one that cannot be looked at is a failed one."""
        return look_at_all(self._looks())

    def _looks(self) -> Iterator[tuple[str, Look]]:
        yield "cloud.conf", self._file
        yield "identity", self._identity
        yield "octavia", self._octavia
        yield "neutron", self._neutron
        yield "quotas", self._quotas
        yield "networks", self._networks
        yield "security groups", self._groups
        yield "nodes", self._nodes
        yield "names", self._names

    def _file(self) -> Iterator[Finding]:
        for sentence in self.conf.unknown:
            yield Finding(Level.FAILED, "cloud.conf", sentence, "correct the key, or remove it")
        provider = self.conf.balancing.lb_provider
        if provider not in PROVIDERS:
            text = f"lb-provider {provider} is not known; it is taken to be able to do everything"
            yield Finding(Level.WARNING, "cloud.conf", text, "say in lb-provider what Octavia's operator has enabled")
        if not self.conf.unknown:
            yield Finding(Level.OK, "cloud.conf", "every key is known")

    def _identity(self) -> Iterator[Finding]:
        """Who we are, by which roles, for how long."""
        login = self.client.log_in()
        roles = ", ".join(sorted(login.roles)) or "none"
        left = login.expires - self.clock.now()
        text = f"user {login.user} in project {login.project} with the roles {roles}"
        yield Finding(Level.OK, "identity", f"{text}; the token is good for {int(left.total_seconds() // 60)} minutes")
        if not login.roles & SUFFICIENT_ROLES:
            hint = "grant member, and before Octavia 19 load-balancer_member as well"
            yield Finding(Level.WARNING, "identity", f"none of the roles {roles} is known to suffice for Octavia", hint)
        if self.conf.access.token:
            hint = "use an application credential"
            yield Finding(Level.WARNING, "identity", "a token of cloud.conf cannot be renewed when it expires", hint)
        elif left < SHORT_TOKEN:
            hint = "let Keystone's operator raise [token] expiration"
            yield Finding(Level.WARNING, "identity", "tokens live so short that every few calls log in again", hint)

    def _octavia(self) -> Iterator[Finding]:
        version = self.facts.version
        text = f"Octavia answers with API {version[0]}.{version[1]}"
        self.client.list(BALANCING, "/lbaas/loadbalancers", "loadbalancers", fields=["id"])
        yield Finding(Level.OK, "octavia", text)
        hint = "let Octavia's operator upgrade it"
        if version < TAGS:
            yield Finding(Level.WARNING, "octavia", "no tags before 2.5: shared balancers are refused", hint)
        if version < ALLOWED_CIDRS:
            yield Finding(Level.WARNING, "octavia", "no allowed CIDRs before 2.12: source ranges have no effect", hint)
        if version < ADDITIONAL_VIPS:
            text = "no additional VIPs before 2.26: one address family a balancer"
            yield Finding(Level.WARNING, "octavia", text, hint)

    def _neutron(self) -> Iterator[Finding]:
        network = self.conf.balancing.floating_network_id or self.facts.external_network()
        if not network:
            hint = "let Neutron's operator share an external network with an IPv4 subnet"
            yield Finding(Level.WARNING, "neutron", "no external network: every balancer will be internal", hint)
            return
        yield Finding(Level.OK, "neutron", f"floating IPs come from network {network}")

    def _quotas(self) -> Iterator[Finding]:
        quotas = list(read_quotas(self.client, self.client.log_in().project_id))
        for quota in quotas:
            if quota.is_nearly_full:
                level = Level.FAILED if quota.is_full else Level.WARNING
                hint = f"raise the quota {quota.kind} of the project, or remove what is not used"
                yield Finding(level, "quotas", f"{quota.service}: {quota} used", hint)
        if not any(quota.is_nearly_full for quota in quotas):
            yield Finding(Level.OK, "quotas", ", ".join(map(str, quotas)))

    def _networks(self) -> Iterator[Finding]:
        """Every id in cloud.conf is one that Neutron knows."""
        classes = {f'LoadBalancerClass "{name}"': networks for name, networks in sorted(self.conf.classes.items())}
        sections: dict[str, Networks] = {"LoadBalancer": self.conf.balancing, **classes}
        for section, networks in sections.items():
            for key, path, identity in _named(networks):
                yield self._looked_up(f"[{section}] {key}", path, identity)

    def _looked_up(self, key: str, path: str, identity: str) -> Finding:
        body = self.client.find(NETWORK, f"/{path}/{identity}")
        if body is None:
            hint = "name one that the project can see"
            return Finding(Level.FAILED, "networks", f"{key}: there is no {identity} among the {path}", hint)
        if key.endswith("floating-network-id") and not body["network"].get("router:external"):
            hint = "name an external network"
            return Finding(Level.FAILED, "networks", f"{key}: network {identity} is not external", hint)
        return Finding(Level.OK, "networks", f"{key}: {identity} exists")

    def _groups(self) -> Iterator[Finding]:
        if not self.conf.balancing.manage_security_groups:
            text = "manage-security-groups is off: node ports must be open to the balancers' subnet"
            yield Finding(Level.OK, "security groups", text)
            return
        self.client.list(NETWORK, "/security-groups", "security_groups", fields=["id"])
        yield Finding(Level.OK, "security groups", "the groups of node ports are ours to keep")

    def _nodes(self) -> Iterator[Finding]:
        """Subnets of members and ports to guard are found by the instances of nodes."""
        if not self.strays:
            yield Finding(Level.OK, "nodes", "every node seen names its instance")
            return
        shown = ", ".join(self.strays[:MOST_NAMED]) + (" and others" if len(self.strays) > MOST_NAMED else "")
        text = f"no instance can be told from the provider id of {shown}: neither its subnet nor its port is found"
        hint = "let the cloud controller manager set openstack:///ID, or name member-subnet-id"
        yield Finding(Level.WARNING, "nodes", text, hint)

    def _names(self) -> Iterator[Finding]:
        """Two clusters of one name in one project take each other's balancers over."""
        if self.cluster != DEFAULT_CLUSTER:
            yield Finding(Level.OK, "names", f"the cluster's name is {self.cluster}")
            return
        prefix = f"{names.SERVICE_PREFIX}{self.cluster}_"
        listed = self.client.list(BALANCING, "/lbaas/loadbalancers", "loadbalancers", fields=["name"])
        same = sum(body["name"].startswith(prefix) for body in listed)
        text = f"the cluster has the default name, and {same} balancers of the project bear it"
        hint = "give each cluster of the project a name of its own (`cluster.name`)"
        yield Finding(Level.WARNING if same else Level.OK, "names", text, hint if same else "")


def _named(networks: Networks) -> Iterator[tuple[str, str, str]]:
    """Key, Neutron's list and id of each network and subnet that a section names."""
    for key, path in NAMED.items():
        identity = getattr(networks, key.replace("-", "_"))
        if identity:
            yield key, path, identity


NAMED = {
    "network-id": "networks",
    "subnet-id": "subnets",
    "member-subnet-id": "subnets",
    "floating-network-id": "networks",
    "floating-subnet-id": "subnets",
}
