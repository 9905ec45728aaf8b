"""What a region offers and nobody can change: service tags, and the zones of each type of machine.

Read by the security groups' rules and by the two answers that list it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.clouds.azure.cloud import Body, Cloud

# A few real tags with documentation addresses; enough to tell a known tag from an unknown one.
_TAG_PREFIXES: Final[Mapping[str, tuple[str, ...]]] = {
    "ActionGroup": ("192.0.2.0/28",),
    "ApiManagement": ("192.0.2.16/28",),
    "AzureCloud": ("198.51.100.0/24", "2001:db8:1::/48"),
    "AzureCloud.westeurope": ("198.51.100.0/26",),
    "AzureFrontDoor.Backend": ("192.0.2.32/28", "2001:db8:2::/48"),
    "AzureMonitor": ("192.0.2.48/28",),
    "Sql": ("192.0.2.64/28",),
    "Storage": ("192.0.2.80/28",),
    "Storage.WestEurope": ("192.0.2.80/30",),
}
# These are no part of the downloadable list, but rules may name them.
_BUILT_IN: Final = frozenset({"internet", "virtualnetwork", "azureloadbalancer"})
SERVICE_TAGS: Final = frozenset(name.lower() for name in _TAG_PREFIXES) | _BUILT_IN


def service_tags(cloud: Cloud) -> Body:
    """The answer of `serviceTags` for the region."""
    identity = (
        f"/subscriptions/{cloud.subscription}/providers/Microsoft.Network/locations/{cloud.region}/serviceTags/public"
    )
    return {
        "name": "Public",
        "id": identity,
        "type": "Microsoft.Network/serviceTags",
        "changeNumber": "1",
        "cloud": "Public",
        "values": [
            {
                "name": name,
                "id": name,
                "properties": {
                    "changeNumber": "1",
                    "region": name.partition(".")[2].lower(),
                    "systemService": name.partition(".")[0],
                    "addressPrefixes": list(prefixes),
                },
            }
            for name, prefixes in _TAG_PREFIXES.items()
        ],
    }


def network_usages(cloud: Cloud) -> list[Body]:
    """The usages of `Microsoft.Network` in the region, those of public addresses as limited as `quotas` says."""
    addresses = sum(1 for _ in cloud.of_type("Microsoft.Network/publicIPAddresses"))
    balancers = sum(1 for _ in cloud.of_type("Microsoft.Network/loadBalancers"))
    counts = {
        "VirtualNetworks": (1, 1000),
        "PublicIPAddresses": (addresses, cloud.quotas.public_ips),
        "StandardSkuPublicIpAddresses": (addresses, cloud.quotas.public_ips),
        "StandardSkuLoadBalancers": (balancers, 1000),
    }
    where = f"/subscriptions/{cloud.subscription}/providers/Microsoft.Network/locations/{cloud.region}/usages"
    return [
        {
            "id": f"{where}/{name}",
            "unit": "Count",
            "currentValue": used,
            "limit": limit,
            "name": {"value": name, "localizedValue": name},
        }
        for name, (used, limit) in counts.items()
    ]


def compute_provider(cloud: Cloud) -> Body:
    """The metadata of Microsoft.Compute; the zones of the region stand under `virtualMachines`."""
    mappings = [{"location": cloud.region, "zones": list(cloud.zones)}] if cloud.zones else []
    return {
        "id": f"/subscriptions/{cloud.subscription}/providers/Microsoft.Compute",
        "namespace": "Microsoft.Compute",
        "registrationState": "Registered" if "microsoft.compute" in cloud.registered else "NotRegistered",
        "resourceTypes": [
            {
                "resourceType": kind,
                "locations": [cloud.region],
                "apiVersions": ["2026-04-01"],
                "zoneMappings": mappings,
            }
            for kind in ("virtualMachines", "virtualMachineScaleSets", "availabilitySets")
        ],
    }
