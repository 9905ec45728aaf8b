"""The document of a private link service, read and written. Pure."""

from __future__ import annotations

import copy
from collections.abc import Hashable, Mapping
from typing import Any

from lbctl.model.resource import Resource, Seen
from lbctl.plan.actions import Step
from lbctl_azure import tags
from lbctl_azure.account import Account, element_key
from lbctl_azure.elements import FRONTEND
from lbctl_azure.ids import group_of, last_segment
from lbctl_azure.links import LINK
from lbctl_azure.owners import Owners
from lbctl_azure.reading import Document, state_of


def path_of(step: Step, account: Account) -> str:
    """Id of the private link service that a step is about."""
    if step.seen is not None:
        return step.seen.outputs["id"]
    assert step.desired is not None
    return account.address_group(str(step.desired.fields["group"])).network("privateLinkServices", step.name)


def read_link(document: Document, owners: Owners, account: Account) -> Seen:
    """A private link service; ours when its tag names our cluster, its owner's when the tag says so."""
    properties = document.get("properties") or {}
    present = document.get("tags") or {}
    frontends = properties.get("loadBalancerFrontendIpConfigurations") or [{"id": ""}]
    key = tags.find(present, tags.LINK_OWNER) or ""
    owner = owners.by_key.get(key)
    name = last_segment(frontends[0]["id"])
    resource = Resource(
        element_key(LINK, document["name"]),
        document["name"],
        {**_fields(properties), "frontend": name, "group": group_of(document["id"]).name, "owner": key},
        frozenset({owner} if owner else ()),
        frozenset({element_key(FRONTEND, name)}),
    )
    outputs = {"id": document["id"], "etag": document.get("etag", ""), "frontend": frontends[0]["id"]}
    ours = tags.cluster_of(present).lower() == account.cluster.lower()
    return Seen(resource, outputs, state_of(document), ours=ours, owner_hint=f"Service {key}" if key else "")


def _fields(properties: Mapping[str, Any]) -> dict[str, Hashable]:
    configurations = [entry.get("properties") or {} for entry in properties.get("ipConfigurations") or []]
    fixed = [c["privateIPAddress"] for c in configurations if c.get("privateIPAllocationMethod") == "Static"]
    return {
        "subnet": (configurations[0].get("subnet") or {}).get("id") if configurations else None,
        "count": len(configurations),
        "addresses": tuple(fixed),
        "fqdns": frozenset(properties.get("fqdns") or ()),
        "proxy_protocol": bool(properties.get("enableProxyProtocol")),
        "visibility": frozenset((properties.get("visibility") or {}).get("subscriptions") or ()),
        "auto_approval": frozenset((properties.get("autoApproval") or {}).get("subscriptions") or ()),
    }


def next_link(present: Mapping[str, Any] | None, wanted: Resource, *, balancer: str, config: Account) -> dict[str, Any]:
    """What to write: the server's document with everything that is wanted."""
    fields = wanted.fields
    document: dict[str, Any] = copy.deepcopy(dict(present or {"location": config.config.location}))
    document.pop("etag", None)
    document["tags"] = tags.merged(document.get("tags") or {}, config.config.tags or {}) | {
        tags.CLUSTER: config.cluster,
        tags.LINK_OWNER: str(fields["owner"]),
    }
    document["properties"] = {
        "loadBalancerFrontendIpConfigurations": [{"id": f"{balancer}/frontendIPConfigurations/{fields['frontend']}"}],
        "ipConfigurations": _configurations(wanted),
        "enableProxyProtocol": fields["proxy_protocol"],
        "fqdns": _sorted(fields["fqdns"]),
        "visibility": {"subscriptions": _sorted(fields["visibility"])},
        "autoApproval": {"subscriptions": _sorted(fields["auto_approval"])},
    }
    return document


def _configurations(wanted: Resource) -> list[dict[str, Any]]:
    addresses = wanted.fields["addresses"]
    count = wanted.fields["count"]
    assert isinstance(addresses, tuple)
    assert isinstance(count, int)
    result = []
    for number in range(count):
        fixed = addresses[number] if number < len(addresses) else None
        properties: dict[str, Any] = {
            "subnet": {"id": wanted.fields["subnet"]},
            "primary": number == 0,
            "privateIPAddressVersion": "IPv4",
            "privateIPAllocationMethod": "Static" if fixed else "Dynamic",
        }
        if fixed:
            properties["privateIPAddress"] = fixed
        suffix = f"static-{fixed}" if fixed else f"dynamic-{number}"
        result.append(
            {"name": f"{last_segment(str(wanted.fields['subnet']))}-{wanted.name}-{suffix}", "properties": properties}
        )
    return result


def _sorted(value: Hashable) -> list[str]:
    assert isinstance(value, frozenset)
    return sorted(value)
