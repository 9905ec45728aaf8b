"""What every stage of the driver knows besides the world: configuration, settings and the names of scopes. Pure.

Made once by the driver. Which load balancer a Service sits on is in `placement`; what was chosen and is not to be seen
yet is remembered here.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from lbctl.model.resource import Key, Scope
from lbctl_azure.ids import Group
from lbctl_azure.names import balancer_name, base_of_balancer, pool_name
from lbctl_azure.placements import Placements
from lbctl_azure.settings import BalancerConfig, CloudConfig, Settings

BALANCER_SCOPE = "balancer"
MEMBERSHIP_SCOPE = "membership"
SECURITY_SCOPE = "nsg"
SCOPE_KINDS = (BALANCER_SCOPE, MEMBERSHIP_SCOPE, SECURITY_SCOPE)

PUBLIC_IP = "public-ip"
SECURITY_RULE = "security-rule"


@dataclass(frozen=True, slots=True)
class Account:
    """One cluster in one subscription."""

    cluster: str
    config: CloudConfig
    settings: Settings = field(default_factory=Settings)
    placements: Placements = field(default_factory=Placements, repr=False, compare=False)

    @property
    def bases(self) -> tuple[str, ...]:
        """Names of the load balancers without the internal suffix; more than one with multi-SLB."""
        named = tuple(entry.name for entry in self.config.balancers)
        return named or (self.config.balancer_name or self.cluster,)

    @property
    def primary(self) -> str:
        """The load balancer that everything without a better place belongs to."""
        return next((base for base in self.bases if base.lower() == self.cluster.lower()), self.bases[0])

    def is_ours(self, balancer: str) -> bool:
        """True for the name of one of our load balancers, in any case."""
        return base_of_balancer(balancer).lower() in {base.lower() for base in self.bases}

    def keeps_members(self, balancer: str) -> bool:
        """False where `preConfiguredBackendPoolLoadBalancerTypes` says that somebody else fills the pools."""
        kind = "external" if base_of_balancer(balancer) == balancer else "internal"
        return self.config.preconfigured.lower() not in (kind, "all")

    def scope_of(self, base: str, *, internal: bool) -> Scope:
        """Scope of a load balancer object."""
        return Scope(BALANCER_SCOPE, balancer_name(base, internal=internal).lower())

    def scope_named(self, balancer: str) -> Scope:
        """Scope of the load balancer with this name."""
        return Scope(BALANCER_SCOPE, balancer.lower())

    def balancer_name(self, scope: Scope) -> str:
        """The name in the case in which it is written; scopes are in lower case."""
        for base in self.bases:
            for internal in (False, True):
                if balancer_name(base, internal=internal).lower() == scope.name:
                    return balancer_name(base, internal=internal)
        return scope.name

    def balancer_id(self, scope: Scope) -> str:
        """Id of the scope's load balancer."""
        return self.config.balancers_group.network("loadBalancers", self.balancer_name(scope))

    def balancer_config(self, base: str) -> BalancerConfig:
        """Configuration of one load balancer of the multi-SLB mode."""
        return next(entry for entry in self.config.balancers if entry.name.lower() == base.lower())

    @property
    def membership(self) -> Scope:
        """Scope of the interfaces that sit in pools."""
        return Scope(MEMBERSHIP_SCOPE, self.cluster.lower())

    @property
    def security(self) -> Scope:
        """Scope of the network security group."""
        return Scope(SECURITY_SCOPE, self.config.security_group.lower())

    @property
    def pools(self) -> tuple[str, ...]:
        """Names of the cluster's own backend pools."""
        return tuple(pool_name(self.cluster, family) for family in ("IPv4", "IPv6"))

    def address_group(self, name: str) -> Group:
        """Where public addresses of a Service are: the group that it names, else the cluster's."""
        return Group(self.config.group.subscription, name or self.config.group.name)


def public_ip_key(resource_id: str) -> Key:
    """Key of a public address: its group and name, because Services may keep theirs in other groups."""
    parts = resource_id.lower().split("/")
    return Key(PUBLIC_IP, f"{parts[4]}/{parts[-1]}")


def element_key(kind: str, name: str) -> Key:
    """Key of a part of a load balancer."""
    return Key(kind, name.lower())
