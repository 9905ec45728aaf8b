"""The methods of the Compute API that this driver calls, as data, each with the permission that it needs.

`client.py` finds the SDK's client and request by them. What else a call needs, such as the right to use what it refers
to, is in `permissions.py`. Nothing here knows the SDK.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Method:
    """One method: `client` and `request` name the SDK's classes, empty where the SDK has none.

    `place` is `global`, `region` or `zone`; `network` says that it goes to the network's project.
    """

    client: str
    request: str
    place: str
    permission: str
    network: bool = False


def _of(client: str, noun: str, place: str, verbs: dict[str, str], *, network: bool = False) -> dict[str, Method]:
    plural = f"{noun}s"
    found = {}
    for verb, permission in verbs.items():
        name = verb[0].upper() + verb[1:]
        request = f"{name}{plural if verb in LISTS else noun}Request"
        found[verb] = Method(client, request, place, permission, network)
    return found


LISTS = frozenset({"list", "aggregatedList", "listInstances", "listNetworkEndpoints"})
LIFE = ("insert", "get", "delete", "patch")
ACTIONS = {"insert": "create", "aggregatedList": "list", "patch": "update"}


def _life(kind: str, *verbs: str) -> dict[str, str]:
    return {verb: f"compute.{kind}.{ACTIONS.get(verb, verb)}" for verb in (*LIFE, *verbs)}


_TABLE: dict[str, dict[str, Method]] = {
    "forwardingRules": _of("ForwardingRules", "ForwardingRule", "region", _life("forwardingRules", "list")),
    "addresses": {
        "insert": Method("Addresses", "InsertAddressRequest", "region", "compute.addresses.create"),
        "get": Method("Addresses", "GetAddressRequest", "region", "compute.addresses.get"),
        "list": Method("Addresses", "ListAddressesRequest", "region", "compute.addresses.list"),
        "delete": Method("Addresses", "DeleteAddressRequest", "region", "compute.addresses.delete"),
    },
    "backendServices": _of(
        "BackendServices", "BackendService", "global", {"aggregatedList": "compute.backendServices.list"}
    ),
    "regionBackendServices": _of(
        "RegionBackendServices",
        "RegionBackendService",
        "region",
        {
            **_life("regionBackendServices"),
            "update": "compute.regionBackendServices.update",
            "getHealth": "compute.regionBackendServices.get",
        },
    ),
    "healthChecks": _of("HealthChecks", "HealthCheck", "global", _life("healthChecks", "aggregatedList")),
    "regionHealthChecks": _of("RegionHealthChecks", "RegionHealthCheck", "region", _life("regionHealthChecks")),
    "httpHealthChecks": {
        verb: Method("", "List" if verb == "list" else "", "global", permission)
        for verb, permission in _life("httpHealthChecks", "list").items()
    },
    "firewalls": _of("Firewalls", "Firewall", "global", _life("firewalls", "list"), network=True),
    "targetPools": _of(
        "TargetPools",
        "TargetPool",
        "region",
        {
            "insert": "compute.targetPools.create",
            "get": "compute.targetPools.get",
            "list": "compute.targetPools.list",
            "delete": "compute.targetPools.delete",
            "addInstance": "compute.targetPools.addInstance",
            "removeInstance": "compute.targetPools.removeInstance",
            "addHealthCheck": "compute.targetPools.addHealthCheck",
            "removeHealthCheck": "compute.targetPools.removeHealthCheck",
            "getHealth": "compute.targetPools.get",
        },
    ),
    "instanceGroups": _of(
        "InstanceGroups",
        "InstanceGroup",
        "zone",
        {
            "insert": "compute.instanceGroups.create",
            "get": "compute.instanceGroups.get",
            "delete": "compute.instanceGroups.delete",
            "aggregatedList": "compute.instanceGroups.list",
            "listInstances": "compute.instanceGroups.list",
            "addInstances": "compute.instanceGroups.update",
            "removeInstances": "compute.instanceGroups.update",
        },
    ),
    "networkEndpointGroups": _of(
        "NetworkEndpointGroups",
        "NetworkEndpointGroup",
        "zone",
        {
            "insert": "compute.networkEndpointGroups.create",
            "get": "compute.networkEndpointGroups.get",
            "delete": "compute.networkEndpointGroups.delete",
            "aggregatedList": "compute.networkEndpointGroups.list",
            "listNetworkEndpoints": "compute.networkEndpointGroups.get",
            "attachNetworkEndpoints": "compute.networkEndpointGroups.attachNetworkEndpoints",
            "detachNetworkEndpoints": "compute.networkEndpointGroups.detachNetworkEndpoints",
        },
    ),
    "instances": _of("Instances", "Instance", "zone", {"aggregatedList": "compute.instances.list"}),
    "subnetworks": _of("Subnetworks", "Subnetwork", "region", {"list": "compute.subnetworks.list"}, network=True),
    "projects": _of("Projects", "Project", "global", {"get": "compute.projects.get"}),
    "regions": _of("Regions", "Region", "region", {"get": "compute.regions.get"}),
    "globalOperations": _of(
        "GlobalOperations",
        "GlobalOperation",
        "global",
        {"get": "compute.globalOperations.get", "aggregatedList": "compute.globalOperations.list"},
    ),
    "regionOperations": _of("RegionOperations", "RegionOperation", "region", {"get": "compute.regionOperations.get"}),
    "zoneOperations": _of("ZoneOperations", "ZoneOperation", "zone", {"get": "compute.zoneOperations.get"}),
}
METHODS: dict[str, Method] = {
    f"{collection}.{verb}": method for collection, verbs in _TABLE.items() for verb, method in verbs.items()
}
