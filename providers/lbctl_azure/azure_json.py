"""Upstream's `azure.json`, key by key: which are used, which are known and ignored, and which nobody knows. Pure.

Keys compare without regard to case, because upstream's pages and source differ in it (cloud-provider-azure 7b31c76,
pkg/provider/config). What the values mean is in `settings`.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping
from typing import Any

import yaml

from lbctl.model.problem import Problem
from lbctl_azure.selectors import read_selector
from lbctl_azure.settings import PLACES, BalancerConfig, CloudConfig, TokenProvider, config_faults
from lbctl_azure.tags import parse_tags


def _text(value: Any) -> str:  # noqa: ANN401 - a value as the file has it
    return "" if value is None else str(value).strip()


def _flag(value: Any) -> bool:  # noqa: ANN401 - as above
    if isinstance(value, bool):
        return value
    if str(value).strip().lower() in ("true", "false", ""):
        return str(value).strip().lower() == "true"
    raise ValueError(f"{value!r} is neither true nor false")


def _number(value: Any) -> int:  # noqa: ANN401 - as above
    try:
        return int(value)
    except (TypeError, ValueError):
        raise ValueError(f"{value!r} is not a whole number") from None


def _tag_text(value: Any) -> dict[str, str]:  # noqa: ANN401 - as above
    return parse_tags(_text(value))[0]


def _tag_map(value: Any) -> dict[str, str]:  # noqa: ANN401 - as above
    if not isinstance(value, Mapping):
        raise ValueError(f"{value!r} is not a mapping")  # noqa: TRY004 - every reader says so in this way
    return {_text(key): _text(item) for key, item in value.items()}


def _token_provider(value: Any) -> TokenProvider:  # noqa: ANN401 - as above
    if not isinstance(value, Mapping):
        raise ValueError(f"{value!r} is not a mapping")  # noqa: TRY004 - as above
    given = {str(key).lower(): _text(item) for key, item in value.items()}
    unknown = sorted(given.keys() - {key.lower() for key in PLACES.values()})
    if unknown:
        raise ValueError(f"has {', '.join(PLACES.values())}, and no {', '.join(unknown)}")
    return TokenProvider(**{name: given.get(key.lower(), "") for name, key in PLACES.items()})


def _balancers(value: Any) -> tuple[BalancerConfig, ...]:  # noqa: ANN401 - as above
    if not isinstance(value, list):
        raise ValueError(f"{value!r} is not a list")  # noqa: TRY004 - as above
    return tuple(_balancer({key.lower(): item for key, item in entry.items()}) for entry in value)


def _balancer(entry: Mapping[str, Any]) -> BalancerConfig:
    return BalancerConfig(
        name=_text(entry.get("name")),
        placement=_flag(entry.get("allowserviceplacement", True)),
        primary_set=_text(entry.get("primaryvmset")),
        services=read_selector(entry.get("servicelabelselector")),
        namespaces=read_selector(entry.get("servicenamespaceselector")),
        nodes=read_selector(entry.get("nodeselector")),
    )


Reader = Callable[[Any], Any]
KEYS: Mapping[str, tuple[str, Reader]] = {
    "cloud": ("cloud", _text),
    "resourceManagerEndpoint": ("resource_manager_endpoint", _text),
    "tenantId": ("tenant_id", _text),
    "subscriptionId": ("subscription_id", _text),
    "aadClientId": ("client_id", _text),
    "aadClientSecret": ("client_secret", _text),
    "aadClientCertPath": ("certificate_path", _text),
    "aadClientCertPassword": ("certificate_password", _text),
    "useManagedIdentityExtension": ("managed_identity", _flag),
    "userAssignedIdentityID": ("user_assigned_identity", _text),
    "aadFederatedTokenFile": ("federated_token_file", _text),
    "useFederatedWorkloadIdentityExtension": ("workload_identity", _flag),
    "aadMSIDataPlaneIdentityPath": ("msi_data_plane_path", _text),
    "auxiliaryTokenProvider": ("token_provider", _token_provider),
    "networkResourceTenantID": ("network_tenant_id", _text),
    "networkResourceSubscriptionID": ("network_subscription_id", _text),
    "identitySystem": ("identity_system", _text),
    "resourceGroup": ("resource_group", _text),
    "location": ("location", _text),
    "extendedLocationName": ("extended_location", _text),
    "extendedLocationType": ("extended_location_type", _text),
    "vnetName": ("vnet_name", _text),
    "vnetResourceGroup": ("vnet_group", _text),
    "subnetName": ("subnet_name", _text),
    "securityGroupName": ("security_group", _text),
    "securityGroupResourceGroup": ("security_group_group", _text),
    "loadBalancerName": ("balancer_name", _text),
    "loadBalancerResourceGroup": ("balancer_group", _text),
    "privateLinkServiceResourceGroup": ("private_link_group", _text),
    "loadBalancerSku": ("balancer_sku", _text),
    "excludeMasterFromStandardLB": ("skip_control_plane", _flag),
    "disableOutboundSNAT": ("disable_outbound_snat", _flag),
    "maximumLoadBalancerRuleCount": ("max_rules", _number),
    "loadBalancerBackendPoolConfigurationType": ("pool_type", _text),
    "preConfiguredBackendPoolLoadBalancerTypes": ("preconfigured", _text),
    "multipleStandardLoadBalancerConfigurations": ("balancers", _balancers),
    "clusterServiceLoadBalancerHealthProbeMode": ("probe_mode", _text),
    "clusterServiceSharedLoadBalancerHealthProbePort": ("shared_probe_port", _number),
    "clusterServiceSharedLoadBalancerHealthProbePath": ("shared_probe_path", _text),
    "tags": ("tags", _tag_text),
    "systemTags": ("system_tags", _text),
    "enableIPTagMutationForExistingPublicIP": ("mutable_ip_tags", _flag),
    "serviceGatewayEnabled": ("service_gateway", _flag),
}

IGNORED = frozenset(
    [
        "tagsMap",
        "userAgent",
        "vmType",
        "primaryScaleSetName",
        "primaryAvailabilitySetName",
        "routeTableName",
        "routeTableResourceGroup",
        "cloudConfigType",
        "putVMSSVMBatchSize",
        "disableAvailabilitySetNodes",
        "enableVmssFlexNodes",
        "enableMigrateToIPBasedBackendPoolAPI",
        "useInstanceMetadata",
        "loadBalancerBackendPoolUpdateIntervalInSeconds",
        "cloudProviderBackoff",
        "cloudProviderBackoffRetries",
        "cloudProviderBackoffExponent",
        "cloudProviderBackoffDuration",
        "cloudProviderBackoffJitter",
        "cloudProviderBackoffMode",
        "cloudProviderRateLimit",
        "cloudProviderRateLimitQPS",
        "cloudProviderRateLimitBucket",
        "cloudProviderRateLimitQPSWrite",
        "cloudProviderRateLimitBucketWrite",
        "routeRateLimit",
        "subnetsRateLimit",
        "interfaceRateLimit",
        "routeTableRateLimit",
        "loadBalancerRateLimit",
        "publicIPAddressRateLimit",
        "securityGroupRateLimit",
        "virtualMachineRateLimit",
        "storageAccountRateLimit",
        "diskRateLimit",
        "snapshotRateLimit",
        "virtualMachineScaleSetRateLimit",
        "virtualMachineSizesRateLimit",
        "availabilitySetRateLimit",
        "attachDetachDiskRateLimit",
        "containerServiceRateLimit",
        "deploymentRateLimit",
        "privateDNSRateLimit",
        "privateDNSZoneGroupRateLimit",
        "privateEndpointRateLimit",
        "privateLinkServiceRateLimit",
        "virtualNetworkRateLimit",
        "availabilitySetNodesCacheTTLInSeconds",
        "vmssCacheTTLInSeconds",
        "vmssVirtualMachinesCacheTTLInSeconds",
        "vmssFlexCacheTTLInSeconds",
        "vmssFlexVMCacheTTLInSeconds",
        "vmCacheTTLInSeconds",
        "loadBalancerCacheTTLInSeconds",
        "nsgCacheTTLInSeconds",
        "publicIPCacheTTLInSeconds",
        "plsCacheTTLInSeconds",
        "routeTableCacheTTLInSeconds",
        "availabilitySetsCacheTTLInSeconds",
        "routeUpdateWaitingInSeconds",
        "availabilitySetSLBNodes",
        "nonVmssUniformNodesCacheTTLInSeconds",
        "aadClientCertData",
        "useAKSCredentials",
        "disableAPICallCache",
        "enableMultipleStandardLoadBalancers",
        "maximumSharedPublicIPs",
    ]
)


def read_cloud_config(text: str) -> tuple[CloudConfig, tuple[Problem, ...], tuple[Problem, ...]]:
    """The configuration, what is wrong with it, and the keys nobody knows; ValueError when it is no mapping.

    Unknown keys come apart from faults, because a newer upstream file must not stop a running controller.
    """
    config, faults, unknown = read_keys(decode(text))
    return config, (*faults, *config_faults(config)), unknown


def decode(text: str) -> dict[str, Any]:
    """The keys of a file in JSON or YAML as written; ValueError when it is neither."""
    try:
        data = yaml.safe_load(text) or {}
    except yaml.YAMLError as error:
        raise ValueError(f"is neither JSON nor YAML: {error}") from None
    if not isinstance(data, Mapping):
        raise ValueError("is not a mapping of keys to values")  # noqa: TRY004 - as the readers of values do
    return {str(key): value for key, value in data.items()}


def merged(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """Both sets of keys; where both have one, in whichever case, the second set's counts."""
    covered = {key.lower() for key in above}
    return {**{key: value for key, value in below.items() if key.lower() not in covered}, **above}


def value_of(data: Mapping[str, Any], key: str) -> str:
    """One key's value as text, found in any case; empty when it is not there."""
    return next((_text(value) for name, value in data.items() if name.lower() == key.lower()), "")


def read_keys(data: Mapping[str, Any]) -> tuple[CloudConfig, tuple[Problem, ...], tuple[Problem, ...]]:
    """The configuration, the values that cannot be read, and the keys nobody knows."""
    by_lower = {key.lower(): key for key in (*KEYS, *IGNORED)}
    values: dict[str, Any] = {}
    faults: list[Problem] = []
    unknown: list[Problem] = []
    for key, value in data.items():
        known = by_lower.get(key.lower())
        if known is None:
            unknown.append(_unknown(key))
        elif known in KEYS:
            _read_value(known, value, values=values, faults=faults)
    if "tagsmap" in (lowered := {key.lower(): value for key, value in data.items()}):
        values["tags"] = {**values.get("tags", {}), **_tag_map(lowered["tagsmap"])}
    return CloudConfig(**values), tuple(faults), tuple(unknown)


def _read_value(key: str, value: Any, *, values: dict[str, Any], faults: list[Problem]) -> None:  # noqa: ANN401 - as in the file
    attribute, reader = KEYS[key]
    try:
        parsed = reader(value)
    except ValueError as error:
        faults.append(Problem(f"azure.json[{key}]", str(error)))
        return
    if parsed != "":
        values[attribute] = parsed


def _unknown(key: str) -> Problem:
    nearest = difflib.get_close_matches(key, (*KEYS, *IGNORED), n=1, cutoff=0.7)
    return Problem(f"azure.json[{key}]", "is not a key that the Azure provider knows", _suggestion(nearest))


def _suggestion(nearest: list[str]) -> str:
    return f"did you mean {nearest[0]}?" if nearest else ""
