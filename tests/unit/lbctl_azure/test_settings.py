"""azure.json is read as upstream's controller reads it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from lbctl.errors import InvalidSettings
from lbctl_azure.azure_json import read_cloud_config
from lbctl_azure.connect import credential_of, find_cloud
from lbctl_azure.settings import CloudConfig, Settings, balancer_faults
from lbctl_azure.sources import load, with_environment

WHOLE = """
{"cloud": "AzurePublicCloud", "TenantID": "t", "SubscriptionId": "s", "resourceGroup": "rg", "location": "westeurope",
 "aadClientId": "id", "aadClientSecret": "very-secret", "useManagedIdentityExtension": false, "vmType": "vmss",
 "loadBalancerSku": "Standard", "cloudProviderBackoff": true, "nsgCacheTTLInSeconds": 120, "routeTableName": "rt",
 "tags": "a=b", "tagsMap": {"A": "c"}, "excludeMasterFromStandardLB": "true"}
"""


@pytest.mark.spec("AZ-089")
def test_keys_are_read_in_any_case_and_unused_ones_are_known() -> None:
    """A whole upstream file has no faults and no unknown keys."""
    config, faults, unknown = read_cloud_config(WHOLE)
    assert (faults, unknown) == ((), ())
    assert (config.tenant_id, config.subscription_id) == ("t", "s")
    assert config.skip_control_plane is True


@pytest.mark.spec("AZ-089")
def test_an_unknown_key_gets_a_suggestion() -> None:
    """A typing error names the key that was meant."""
    _, _, (problem,) = read_cloud_config(WHOLE.replace("routeTableName", "secrityGroupName"))
    assert "securityGroupName" in problem.hint


@pytest.mark.spec("AZ-089")
def test_missing_and_wrong_values_are_all_named(tmp_path: Path) -> None:
    """Every fault is told at once, by its key."""
    path = tmp_path / "azure.json"
    path.write_text('{"loadBalancerSku": "basic", "serviceGatewayEnabled": true, "maximumLoadBalancerRuleCount": "x",'
                    ' "loadBalancerBackendPoolConfigurationType": "podIP"}')  # fmt: skip
    with pytest.raises(InvalidSettings) as caught:
        load(Settings(str(path)), cluster="kubernetes", read=lambda _key: None, environment={})
    for key in ("tenantId", "subscriptionId", "loadBalancerSku", "serviceGatewayEnabled", "maximumLoadBalancerRule"):
        assert key in str(caught.value)
    assert "podIP" in str(caught.value)


def test_a_file_that_is_not_there_is_an_error_with_its_path() -> None:
    """The operator learns which file was looked for."""
    with pytest.raises(InvalidSettings, match=r"/nowhere/azure\.json"):
        load(Settings("/nowhere/azure.json"), cluster="kubernetes", read=lambda _key: None, environment={})


def test_secrets_do_not_show() -> None:
    """A printed configuration has no credentials in it."""
    assert "very-secret" not in repr(read_cloud_config(WHOLE)[0])


@pytest.mark.spec("AZ-090")
@pytest.mark.parametrize(
    ("config", "kind"),
    [
        (CloudConfig("t", client_id="i", workload_identity=True, federated_token_file="f"), "Workload"),
        (CloudConfig("t", client_id="i", managed_identity=True, client_secret="s"), "ManagedIdentity"),
        (CloudConfig("t", managed_identity=True, user_assigned_identity="/subscriptions/s/x"), "ManagedIdentity"),
        (CloudConfig("t", client_id="i", client_secret="s", certificate_path="c"), "ClientSecret"),
    ],
)  # fmt: skip
def test_credentials_are_tried_in_upstreams_order(config: CloudConfig, kind: str) -> None:
    """Workload identity wins over managed identity, and that over a secret."""
    assert type(credential_of(config, find_cloud(config))).__name__.startswith(kind)


@pytest.mark.spec("AZ-090")
def test_the_environment_overrides_the_file() -> None:
    """What the workload identity webhook sets wins, and its token file turns workload identity on."""
    found = with_environment(
        CloudConfig("t", client_secret="old"),
        {"AZURE_TENANT_ID": "t2", "AZURE_CLIENT_ID": "c2", "AZURE_FEDERATED_TOKEN_FILE": "/token"},
    )
    assert (found.tenant_id, found.client_id, found.workload_identity) == ("t2", "c2", True)


def test_no_way_to_authenticate_is_said() -> None:
    """Without any credential the operator is told what to set."""
    with pytest.raises(InvalidSettings, match="authenticate"):
        credential_of(CloudConfig("t"), find_cloud(CloudConfig()))


def test_sovereign_clouds_have_their_own_endpoints() -> None:
    """Each of Microsoft's clouds is reached at its own manager; a cloud of one's own names it."""
    found = {cloud: find_cloud(CloudConfig(cloud=cloud)) for cloud in ("AzureChinaCloud", "AzureUSGovernmentCloud")}
    assert [cloud.manager.rpartition(".")[2] for cloud in found.values()] == ["cn", "net"]
    assert [cloud.authority.rpartition(".")[2] for cloud in found.values()] == ["cn", "us"]
    with pytest.raises(InvalidSettings, match="resourceManagerEndpoint"):
        find_cloud(CloudConfig(cloud="AZURESTACKCLOUD"))


def test_two_tenants_need_an_identity_that_can_be_in_both() -> None:
    """A managed identity, or a network tenant without its subscription, cannot work and is said so by key."""
    text = WHOLE.replace('"vmType"', '"networkResourceTenantID": "other", "vmType"')
    _, faults, _ = read_cloud_config(text)
    assert [fault.path for fault in faults] == ["azure.json[networkResourceSubscriptionID]"]
    _, faults, _ = read_cloud_config(text.replace('IdentityExtension": false', 'IdentityExtension": true'))
    assert "azure.json[networkResourceTenantID]" in [fault.path for fault in faults]


def test_a_token_provider_names_its_secret_whole() -> None:
    """A part that is missing and a key that nobody knows are named; a whole one lets a machine into both tenants."""
    text = """
    {"tenantId": "t", "subscriptionId": "s", "resourceGroup": "rg", "useManagedIdentityExtension": true,
     "networkResourceTenantID": "u", "networkResourceSubscriptionID": "n", "auxiliaryTokenProvider": %s}
    """
    whole = {"subscriptionid": "s", "resourceGroup": "g", "vaultName": "v", "secretName": "x"}
    config, faults, unknown = read_cloud_config(text % json.dumps(whole))
    assert (str(config.token_provider), faults, unknown) == ("secret x of key vault v", (), ())
    _, (fault,), _ = read_cloud_config(text % json.dumps({**whole, "vaultName": ""}))
    assert fault.path == "azure.json[auxiliaryTokenProvider.vaultName]"
    _, faults, _ = read_cloud_config(text % json.dumps({**whole, "keyVaultURL": "https://v.vault.azure.net"}))
    assert "no keyvaulturl" in str(faults[0])


def test_a_selector_of_namespaces_names_the_one_label_that_is_known() -> None:
    """Other labels of namespaces would need them to be read: such a selector is refused with what works."""
    selector = {"matchLabels": {"team": "edge"}}
    entries = [{"name": "kubernetes"}, {"name": "second", "serviceNamespaceSelector": selector}]
    config, _, _ = read_cloud_config(json.dumps({"multipleStandardLoadBalancerConfigurations": entries}))
    assert any("kubernetes.io/metadata.name" in fault.hint for fault in balancer_faults(config, "kubernetes"))
