"""Findings for `lbctl doctor`: log-in, the file, API version, rights and quotas. Reads only."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from lbctl.driver import Finding, Level
from lbctl.errors import CloudError
from lbctl_openstack import names
from lbctl_openstack.capabilities import ADDITIONAL_VIPS, PROVIDERS, TAGS
from lbctl_openstack.client import BALANCING, NETWORK, Client
from lbctl_openstack.cloudconf import CloudConf
from lbctl_openstack.facts import FactReader

DEFAULT_CLUSTER = "kubernetes"


@dataclass(frozen=True, slots=True)
class Checks:
    """Everything that is looked at."""

    conf: CloudConf
    client: Client
    facts: FactReader
    cluster: str

    def run(self) -> Iterator[Finding]:
        """All findings; one that cannot be looked at is a failed one."""
        for subject, check in self._checks():
            try:
                yield from check()
            except CloudError as error:
                yield Finding(Level.FAILED, subject, error.message, error.hint)

    def _checks(self) -> Iterator[tuple[str, Callable[[], Iterator[Finding]]]]:
        yield "cloud.conf", self._file
        yield "octavia", self._octavia
        yield "neutron", self._neutron
        yield "names", self._names

    def _file(self) -> Iterator[Finding]:
        for sentence in self.conf.unknown:
            yield Finding(Level.FAILED, "cloud.conf", sentence, "correct the key, or remove it")
        provider = self.conf.balancing.lb_provider
        if provider not in PROVIDERS:
            text = f"lb-provider {provider} is not known; it is taken to be able to do everything"
            yield Finding(Level.WARNING, "cloud.conf", text)
        if not self.conf.unknown:
            yield Finding(Level.OK, "cloud.conf", "every key is known")

    def _octavia(self) -> Iterator[Finding]:
        version = self.facts.version
        text = f"Octavia answers with API {version[0]}.{version[1]}"
        self.client.list(BALANCING, "/lbaas/loadbalancers", "loadbalancers", fields=["id"])
        yield Finding(Level.OK, "octavia", text)
        if version < TAGS:
            yield Finding(Level.WARNING, "octavia", "no tags before 2.5: shared balancers are refused")
        if version < ADDITIONAL_VIPS:
            yield Finding(Level.WARNING, "octavia", "no additional VIPs before 2.26: one address family a balancer")

    def _neutron(self) -> Iterator[Finding]:
        network = self.conf.balancing.floating_network_id or self.facts.external_network()
        if not network:
            yield Finding(Level.WARNING, "neutron", "no external network: every balancer will be internal")
            return
        count = len(self.client.list(NETWORK, "/floatingips", "floatingips", fields=["id"]))
        yield Finding(Level.OK, "neutron", f"floating IPs come from network {network}; the project has {count}")

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
