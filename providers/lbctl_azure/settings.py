"""The driver's settings, and what upstream's `azure.json` means to it. Pure.

`Settings` is the driver's section of our settings file. `CloudConfig` holds what `azure_json` read from upstream's; its
credentials never show in a repr.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from lbctl.model.problem import Problem
from lbctl_azure.ids import Group
from lbctl_azure.selectors import EVERYTHING, Selector

NODE_IP = "nodeIP"
NODE_IP_CONFIGURATION = "nodeIPConfiguration"
POOL_TYPES = (NODE_IP_CONFIGURATION, NODE_IP)
SHARED_PROBES = "shared"
PROBE_MODES = ("servicenodeport", SHARED_PROBES)
NAMESPACE_NAME = "kubernetes.io/metadata.name"
"""The label that every namespace has with its own name: others are not known without reading namespaces."""
CLOUDS = ("AzurePublicCloud", "AzureUSGovernmentCloud", "AzureChinaCloud", "AZURESTACKCLOUD")


@dataclass(frozen=True, slots=True)
class Settings:
    """The driver's section of the settings file.

    `cloud_config` is the path of azure.json, `cloud_config_secret` the Secret (`namespace/name`) that may hold it under
    the key `cloud-config`; an empty text turns the Secret off. `nsg_exclusive`: the security group serves this cluster
    alone, so destinations that no Service explains are swept as upstream does. `probe_from_app_protocol`: a port's
    `appProtocol` http or https turns its probe into one.
    """

    cloud_config: str = "/etc/kubernetes/azure.json"
    cloud_config_secret: str = "kube-system/azure-cloud-provider"  # noqa: S105 - a name
    nsg_exclusive: bool = False
    probe_from_app_protocol: bool = True


@dataclass(frozen=True, slots=True)
class BalancerConfig:
    """One load balancer of the multi-SLB mode."""

    name: str
    placement: bool = True
    primary_set: str = ""
    services: Selector = EVERYTHING
    namespaces: Selector = EVERYTHING
    nodes: Selector = EVERYTHING

    @property
    def is_selective(self) -> bool:
        """True when a selector decides which Services come here."""
        return bool(self.services or self.namespaces)


@dataclass(frozen=True, slots=True)
class TokenProvider:
    """The secret of a key vault in which a token of the network's tenant is kept."""

    subscription: str = ""
    group: str = ""
    vault: str = ""
    secret: str = ""

    def __str__(self) -> str:
        return f"secret {self.secret} of key vault {self.vault}"


@dataclass(frozen=True, slots=True)
class CloudConfig:
    """What `azure.json` says, as far as load balancers need it; times in seconds or minutes as named."""

    tenant_id: str = ""
    subscription_id: str = ""
    resource_group: str = ""
    location: str = ""
    cloud: str = "AzurePublicCloud"
    resource_manager_endpoint: str = ""
    client_id: str = ""
    client_secret: str = field(default="", repr=False)
    certificate_path: str = ""
    certificate_password: str = field(default="", repr=False)
    managed_identity: bool = False
    user_assigned_identity: str = ""
    federated_token_file: str = ""
    workload_identity: bool = False
    msi_data_plane_path: str = ""
    token_provider: TokenProvider | None = None
    network_tenant_id: str = ""
    network_subscription_id: str = ""
    identity_system: str = ""
    extended_location: str = ""
    extended_location_type: str = "EdgeZone"
    vnet_name: str = ""
    vnet_group: str = ""
    subnet_name: str = ""
    security_group: str = ""
    security_group_group: str = ""
    balancer_name: str = ""
    balancer_group: str = ""
    private_link_group: str = ""
    balancer_sku: str = "standard"
    skip_control_plane: bool = True
    disable_outbound_snat: bool = False
    max_rules: int = 0
    pool_type: str = NODE_IP_CONFIGURATION
    preconfigured: str = ""
    balancers: tuple[BalancerConfig, ...] = ()
    probe_mode: str = "servicenodeport"
    shared_probe_port: int = 10256
    shared_probe_path: str = "/healthz"
    tags: Mapping[str, str] | None = None
    system_tags: str = ""
    mutable_ip_tags: bool = False
    service_gateway: bool = False

    @property
    def group(self) -> Group:
        """Where the cluster lives, and where its addresses are made."""
        return Group(self.network_subscription_id or self.subscription_id, self.resource_group)

    @property
    def machines_group(self) -> Group:
        """Where the nodes' machines and interfaces are."""
        return Group(self.subscription_id, self.resource_group)

    @property
    def is_machine(self) -> bool:
        """True when a managed identity signs in."""
        return self.managed_identity and not self.workload_identity

    @property
    def has_two_tenants(self) -> bool:
        """True when the network's subscription is of another tenant than the cluster's."""
        return bool(self.network_tenant_id) and self.network_tenant_id.lower() != self.tenant_id.lower()

    @property
    def balancers_group(self) -> Group:
        """Where the load balancers live."""
        return replace(self.group, name=self.balancer_group or self.resource_group)

    @property
    def vnet_id(self) -> str:
        """Id of the cluster's virtual network."""
        return replace(self.group, name=self.vnet_group or self.resource_group).network(
            "virtualNetworks", self.vnet_name
        )

    def subnet_id(self, name: str = "") -> str:
        """Id of a subnet of the cluster's network; the cluster's own without a name."""
        return f"{self.vnet_id}/subnets/{name or self.subnet_name}"

    @property
    def security_group_id(self) -> str:
        """Id of the network security group; empty when none is named."""
        group = replace(self.group, name=self.security_group_group or self.resource_group)
        return group.network("networkSecurityGroups", self.security_group) if self.security_group else ""

    @property
    def uses_node_ips(self) -> bool:
        """True when a node joins a pool by its address, False when its interface joins."""
        return self.pool_type.lower() == NODE_IP.lower()

    @property
    def shares_probe(self) -> bool:
        """True when Services with traffic policy Cluster share one probe."""
        return self.probe_mode.lower() == SHARED_PROBES


PLACES = {"subscription": "subscriptionID", "group": "resourceGroup", "vault": "vaultName", "secret": "secretName"}
REQUIRED = {"tenant_id": "tenantId", "subscription_id": "subscriptionId", "resource_group": "resourceGroup"}
CHOICES: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "pool_type": ("loadBalancerBackendPoolConfigurationType", POOL_TYPES),
    "probe_mode": ("clusterServiceLoadBalancerHealthProbeMode", PROBE_MODES),
    "preconfigured": ("preConfiguredBackendPoolLoadBalancerTypes", ("internal", "external", "all", "")),
    "balancer_sku": ("loadBalancerSku", ("standard",)),
    "cloud": ("cloud", (*CLOUDS, "AzureCloud", "AzureUSGovernment")),
}


def config_faults(config: CloudConfig) -> list[Problem]:
    """What is missing or not supported, by the key of azure.json."""
    faults = [
        Problem(f"azure.json[{key}]", "is required and missing")
        for attribute, key in REQUIRED.items()
        if not getattr(config, attribute)
    ]
    for attribute, (key, words) in CHOICES.items():
        value = getattr(config, attribute)
        if value.lower() not in {word.lower() for word in words}:
            faults.append(Problem(f"azure.json[{key}]", f"{value!r} is not supported", f"use {' or '.join(words)}"))
    if config.has_two_tenants and config.is_machine and config.token_provider is None:
        text = "a managed identity has tokens of its own tenant only"
        hint = "set auxiliaryTokenProvider, or use workload identity or a service principal"
        faults.append(Problem("azure.json[networkResourceTenantID]", text, hint))
    faults.extend(
        Problem(f"azure.json[auxiliaryTokenProvider.{key}]", "is required and missing")
        for name, key in PLACES.items()
        if config.token_provider is not None and not getattr(config.token_provider, name)
    )
    if config.has_two_tenants and not config.network_subscription_id:
        text = "is required where networkResourceTenantID names another tenant"
        faults.append(Problem("azure.json[networkResourceSubscriptionID]", text))
    if config.service_gateway:
        faults.append(Problem("azure.json[serviceGatewayEnabled]", "the service gateway is not supported"))
    return faults


def balancer_faults(config: CloudConfig, cluster: str) -> list[Problem]:
    """Faults of the multi-SLB list that need the cluster's name: one of them must be called like the cluster."""
    if not config.balancers:
        return []
    path = "azure.json[multipleStandardLoadBalancerConfigurations]"
    names = [entry.name.lower() for entry in config.balancers]
    faults = []
    if cluster.lower() not in names:
        faults.append(Problem(path, f"no entry is named {cluster}", "name one like the cluster"))
    if len(set(names)) != len(names):
        faults.append(Problem(path, "two entries share a name"))
    if any(entry.namespaces.keys - {NAMESPACE_NAME} for entry in config.balancers):
        faults.append(Problem(path, "serviceNamespaceSelector may name one label only", f"select by {NAMESPACE_NAME}"))
    if not config.uses_node_ips:
        faults.append(Problem(path, "needs pools of node addresses", f"set the pool type to {NODE_IP}"))
    return faults
