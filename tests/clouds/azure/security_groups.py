"""Network security groups: what a rule may say, how many there may be, and the rules that each group has by default.

Called through `Kind` only. Service tags are those of the catalog, which is what `serviceTags` answers as well.
"""

from __future__ import annotations

import ipaddress
from collections import Counter
from typing import TYPE_CHECKING, Final

from tests.clouds.azure.catalog import SERVICE_TAGS
from tests.clouds.azure.cloud import Body, Change, Cloud, Kind, Part, Resource, Use
from tests.clouds.azure.errors import bad_request
from tests.clouds.azure.naming import check_envelope, check_part_names

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.clouds.azure.ids import ResourceId

ASG_JOIN: Final = "Microsoft.Network/applicationSecurityGroups/joinNetworkSecurityRule/action"
_PRIORITIES: Final = range(100, 4097)
_LAST_PORT: Final = 65535
_WHOLE_WORLD_TAGS: Final = frozenset({"virtualnetwork", "internet", "azureloadbalancer", "*"})
_LISTS: Final = (
    "sourceAddressPrefixes",
    "destinationAddressPrefixes",
    "sourcePortRanges",
    "destinationPortRanges",
)


def _admit_group(change: Change) -> Body:
    check_envelope(change)
    rules = change.properties.get("securityRules", [])
    check_part_names(change, "securityRules", rules)
    _check_limits(change, rules)
    for rule in rules:
        _check_rule(change, rule)
    _check_priorities(rules)
    filled = [{**rule, "properties": {**{name: [] for name in _LISTS}, **rule["properties"]}} for rule in rules]
    return {**change.body, "properties": {**change.properties, "securityRules": filled}}


def _check_limits(change: Change, rules: list[Body]) -> None:
    quotas = change.cloud.quotas
    if len(rules) > quotas.rules_per_security_group:
        raise bad_request(
            "SecurityRulesCountLimitReached",
            f"Cannot create more than {quotas.rules_per_security_group} network security rules for network security "
            f"group {change.id}.",
        )
    for side in ("source", "destination"):
        count = sum(len(_prefixes(rule["properties"], side)) for rule in rules)
        if count > quotas.prefixes_per_security_group:
            raise bad_request(
                "SecurityRuleAddressPrefixesCountLimitReached",
                f"Network security group {change.id} has {count} {side} address prefixes. At most "
                f"{quotas.prefixes_per_security_group} are allowed.",
            )


def _check_rule(change: Change, rule: Body) -> None:
    properties = rule["properties"]
    if properties["priority"] not in _PRIORITIES:
        raise bad_request(
            "SecurityRuleInvalidPriority",
            f"Security rule has invalid Priority. Value provided: {properties['priority']} Allowed range 100-4096.",
        )
    families: Counter[int] = Counter()
    for side in ("source", "destination"):
        _check_side(change, rule, side)
        for prefix in _prefixes(properties, side):
            families[_family(prefix)] += 1
        for ports in _ports(properties, side):
            _check_ports(ports)
    if families[4] and families[6]:
        raise bad_request(
            "ResourceCannotContainAddressPrefixesFromDifferentAddressFamilies",
            f"Resource {change.child('securityRules', rule['name'])} cannot contain address prefixes from different "
            "address families.",
        )


def _check_side(change: Change, rule: Body, side: str) -> None:
    """Each side is one prefix, several, or application security groups; and one port range or several."""
    properties, identity = rule["properties"], change.child("securityRules", rule["name"])
    groups = properties.get(f"{side}ApplicationSecurityGroups", [])
    given = [bool(properties.get(f"{side}AddressPrefix")), bool(properties.get(f"{side}AddressPrefixes")), bool(groups)]
    if sum(given) != 1:
        raise bad_request(
            "SecurityRuleInvalidAddressSpecification",
            f"Security rule {identity} must specify either {side}AddressPrefix, {side}AddressPrefixes or "
            f"{side}ApplicationSecurityGroups, and only one of them.",
        )
    if bool(properties.get(f"{side}PortRange")) == bool(properties.get(f"{side}PortRanges")):
        raise bad_request(
            "SecurityRuleInvalidPortSpecification",
            f"Security rule {identity} must specify either {side}PortRange or {side}PortRanges, and only one of them.",
        )
    for prefix in properties.get(f"{side}AddressPrefixes", ()):
        if prefix.lower() in _WHOLE_WORLD_TAGS:
            raise bad_request(
                "SecurityRuleParameterContainsUnsupportedValue",
                f"Security rule parameter {side}AddressPrefixes for rule with Id {identity} cannot specify existing "
                "VirtualNetwork, Internet, AzureLoadBalancer, '*' or system tags. Unsupported value used: "
                f"{prefix}.",
            )
    for group in groups:
        change.cloud.need(group, by=identity)


def _prefixes(properties: Body, side: str) -> list[str]:
    single = properties.get(f"{side}AddressPrefix")
    return [*([single] if single else []), *properties.get(f"{side}AddressPrefixes", ())]


def _ports(properties: Body, side: str) -> list[str]:
    single = properties.get(f"{side}PortRange")
    return [*([single] if single else []), *properties.get(f"{side}PortRanges", ())]


def _family(prefix: str) -> int:
    """4 or 6, and 0 for what has both: `*` and service tags. Raises ArmError for anything else."""
    if prefix == "*" or prefix.lower() in SERVICE_TAGS:
        return 0
    try:
        return ipaddress.ip_network(prefix).version
    except ValueError:
        raise bad_request(
            "SecurityRuleInvalidAddressPrefix",
            f"Security rule has invalid Address prefix. Value provided: {prefix}",
        ) from None


def _check_ports(ports: str) -> None:
    first, _, last = ports.partition("-")
    numbers = [first, last or first]
    if ports == "*":
        return
    if not all(number.isdecimal() for number in numbers) or not int(first) <= int(numbers[1]) <= _LAST_PORT:
        raise bad_request(
            "SecurityRuleInvalidPortRange",
            f"Security rule has invalid Port range. Value provided: {ports}. Value should be an integer OR integer "
            "range with '-' delimiter. Valid range 0-65535.",
        )


def _check_priorities(rules: list[Body]) -> None:
    holder: dict[tuple[str, int], str] = {}
    for rule in rules:
        place = rule["properties"]["direction"], rule["properties"]["priority"]
        if place in holder:
            raise bad_request(
                "SecurityRuleConflict",
                f"Security rule {holder[place]} conflicts with rule {rule['name']}. Rules cannot have the same "
                "Priority and Direction. To learn more, see aka.ms/nsgrules.",
            )
        holder[place] = rule["name"]


def _uses(identity: ResourceId, body: Body) -> Iterator[Use]:
    for rule in body["properties"]["securityRules"]:
        for side in ("source", "destination"):
            for group in rule["properties"].get(f"{side}ApplicationSecurityGroups", ()):
                yield Use(group["id"], f"{identity}/securityRules/{rule['name']}", ASG_JOIN)


def _default_rule(name: str, direction: str, access: str, priority: int, between: tuple[str, str]) -> Body:
    return {
        "name": name,
        "properties": {
            "protocol": "*",
            "sourcePortRange": "*",
            "destinationPortRange": "*",
            "sourceAddressPrefix": between[0],
            "destinationAddressPrefix": between[1],
            "access": access,
            "priority": priority,
            "direction": direction,
            **{name: [] for name in _LISTS},
        },
    }


_DEFAULT_RULES: Final = (
    _default_rule("AllowVnetInBound", "Inbound", "Allow", 65000, ("VirtualNetwork", "VirtualNetwork")),
    _default_rule("AllowAzureLoadBalancerInBound", "Inbound", "Allow", 65001, ("AzureLoadBalancer", "*")),
    _default_rule("DenyAllInBound", "Inbound", "Deny", 65500, ("*", "*")),
    _default_rule("AllowVnetOutBound", "Outbound", "Allow", 65000, ("VirtualNetwork", "VirtualNetwork")),
    _default_rule("AllowInternetOutBound", "Outbound", "Allow", 65001, ("*", "Internet")),
    _default_rule("DenyAllOutBound", "Outbound", "Deny", 65500, ("*", "*")),
)


def _render_group(group: Resource, cloud: Cloud) -> Body:
    users = cloud.users(str(group.id))
    return {
        **group.properties,
        "defaultSecurityRules": list(_DEFAULT_RULES),
        "subnets": [{"id": user} for user in users if "/subnets/" in user.lower()],
        "networkInterfaces": [{"id": user} for user in users if "/networkinterfaces/" in user.lower()],
    }


def _check_unused(group: Resource, cloud: Cloud) -> None:
    for user in cloud.users(str(group.id)):
        raise bad_request(
            "InUseNetworkSecurityGroupCannotBeDeleted",
            f"Network security group {group.id} cannot be deleted because it is in use by the following resources: "
            f"{user}. In order to delete the Network security group, remove the association with the resource(s).",
        )


KINDS: Final = (
    Kind(
        type="Microsoft.Network/networkSecurityGroups",
        model="NetworkSecurityGroup",
        noun="NetworkSecurityGroup",
        admit=_admit_group,
        render=_render_group,
        uses=_uses,
        release=_check_unused,
        parts={"securityRules": Part("SecurityRule"), "defaultSecurityRules": Part("SecurityRule", writable=False)},
    ),
)
