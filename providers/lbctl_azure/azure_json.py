"""Upstream's `azure.json`, key by key: which are used, which are known and ignored, and which nobody knows. Pure.

Keys compare without regard to case, because upstream's pages and source differ in it (cloud-provider-azure 7b31c76,
pkg/provider/config). What the values mean is in `settings`.
"""

from __future__ import annotations

import difflib
import os
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import yaml

from lbctl.errors import InvalidSettings
from lbctl.model.problem import Problem
from lbctl_azure.settings import REQUIRED, BalancerConfig, CloudConfig, balancer_faults, config_faults
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


def _balancers(value: Any) -> tuple[BalancerConfig, ...]:  # noqa: ANN401 - as above
    if not isinstance(value, list):
        raise ValueError(f"{value!r} is not a list")  # noqa: TRY004 - as above
    return tuple(_balancer({key.lower(): item for key, item in entry.items()}) for entry in value)


def _balancer(entry: Mapping[str, Any]) -> BalancerConfig:
    return BalancerConfig(
        name=_text(entry.get("name")),
        placement=_flag(entry.get("allowserviceplacement", True)),
        primary_set=_text(entry.get("primaryvmset")),
        service_labels=_labels(entry.get("servicelabelselector")),
        namespace_labels=_labels(entry.get("servicenamespaceselector")),
        node_labels=_labels(entry.get("nodeselector")),
    )


def _labels(selector: Any) -> dict[str, str] | None:  # noqa: ANN401 - as above
    if not selector:
        return None
    if set(selector) - {"matchLabels"}:
        raise ValueError("selectors are supported with matchLabels only")
    return _tag_map(selector["matchLabels"])


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
    "vmType": ("vm_type", _text),
    "primaryScaleSetName": ("primary_scale_set", _text),
    "primaryAvailabilitySetName": ("primary_availability_set", _text),
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
        "auxiliaryTokenProvider",
        "userAgent",
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
    """The configuration, what is wrong with it, and the keys nobody knows.

    Unknown keys come apart from faults, because a newer upstream file must not stop a running controller.
    """
    data = yaml.safe_load(text) or {}
    if not isinstance(data, Mapping):
        return CloudConfig(), (Problem("azure.json", "is not a mapping of keys to values"),), ()
    by_lower = {key.lower(): key for key in (*KEYS, *IGNORED)}
    values: dict[str, Any] = {}
    faults: list[Problem] = []
    unknown: list[Problem] = []
    for key, value in data.items():
        known = by_lower.get(str(key).lower())
        if known is None:
            unknown.append(_unknown(str(key)))
        elif known in KEYS:
            _read_value(known, value, values=values, faults=faults)
    if "tagsmap" in (lowered := {str(key).lower(): value for key, value in data.items()}):
        values["tags"] = {**values.get("tags", {}), **_tag_map(lowered["tagsmap"])}
    config = CloudConfig(**values)
    return config, (*faults, *config_faults(config)), tuple(unknown)


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


ENVIRONMENT = {
    "AZURE_TENANT_ID": "tenant_id",
    "AZURE_CLIENT_ID": "client_id",
    "AZURE_CLIENT_SECRET": "client_secret",
    "AZURE_FEDERATED_TOKEN_FILE": "federated_token_file",
}


def with_environment(config: CloudConfig, environment: Mapping[str, str]) -> CloudConfig:
    """The configuration with the overrides that the workload identity webhook sets; a token file turns that way on."""
    found = {attribute: environment[name] for name, attribute in ENVIRONMENT.items() if environment.get(name)}
    if "federated_token_file" in found:
        return replace(config, workload_identity=True, **found)  # type: ignore[arg-type]  # every value is text
    return replace(config, **found)  # type: ignore[arg-type]  # as above


def load_cloud_config(path: str, *, cluster: str) -> CloudConfig:
    """The file's configuration with the environment's overrides; `InvalidSettings` with all faults at once."""
    try:
        text = Path(path).read_text(encoding="utf-8")
    except OSError as error:
        raise InvalidSettings(f"cannot read {path}: {error.strerror}", hint="set azure.cloud_config") from None
    try:
        config, faults, _ = read_cloud_config(text)
    except yaml.YAMLError as error:
        raise InvalidSettings(f"{path} is neither JSON nor YAML: {error}") from None
    config = with_environment(config, os.environ)
    every = (*faults, *balancer_faults(config, cluster))
    missing = {f"azure.json[{key}]" for attribute, key in REQUIRED.items() if getattr(config, attribute)}
    left = [str(fault) for fault in every if not (fault.path in missing and "required" in fault.message)]
    if left:
        raise InvalidSettings(f"{path}: " + "; ".join(left))
    return config
