"""What belongs to others and must survive whatever a driver does: one of each kind that shares an object with us.

Put into every test world. `foreign_parts` says what stands inside objects that a driver writes as a whole.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from tests.clouds.azure.world import GROUP, USER_GROUP

if TYPE_CHECKING:
    from tests.clouds.azure.cloud import Body
    from tests.clouds.azure.world import World

OUTBOUND: Final = "outbound-by-hand"
_RULE: Final = {
    "protocol": "Tcp",
    "access": "Allow",
    "direction": "Inbound",
    "sourcePortRange": "*",
    "sourceAddressPrefix": "203.0.113.0/24",
    "destinationAddressPrefix": "*",
}


def add_bystanders(world: World) -> dict[str, Body]:
    """Puts one bystander of each kind there and returns the state that has to stay as it is.

    The public balancer is the cluster's own, made by hand before any Service: a frontend with an outbound rule, an
    inbound NAT rule and a pool that the cluster's objects join.
    """
    _add_user_addresses(world)
    _add_security_rules(world)
    _add_shared_balancer(world)
    _add_other_cluster(world)
    return foreign_parts(world)


def foreign_parts(world: World) -> dict[str, Body]:
    """The bystanders as they are now, by id; parts of shared objects apart from their objects."""
    state = world.state()
    ours = {world.security_group, world.id("loadBalancers", world.cluster)}
    kept = {identity: body for identity, body in state.items() if _is_foreign(identity) and identity not in ours}
    for owner in sorted(ours & state.keys()):
        for parts in state[owner]["properties"].values():
            for part in parts if isinstance(parts, list) else ():
                if "by-hand" in part.get("name", ""):
                    kept[part["id"]] = part
    return kept


def _is_foreign(identity: str) -> bool:
    return any(mark in identity for mark in ("by-hand", "other-cluster", f"/{USER_GROUP}/"))


def _add_user_addresses(world: World) -> None:
    world.put_public_ip("users-own-by-hand")
    world.put_public_ip("users-own", group=USER_GROUP, tags={"owner": "somebody"})
    prefix = {"sku": {"name": "Standard"}, "properties": {"prefixLength": 30}}
    world.put("publicIPPrefixes", "prefix-by-hand", prefix)


def _add_security_rules(world: World) -> None:
    group = world.put("applicationSecurityGroups", "asg-by-hand", {})
    rules: list[tuple[str, int, dict[str, Any]]] = [
        ("ssh-by-hand", 300, {"destinationPortRange": "22"}),
        ("in-our-range-by-hand", 505, {"destinationPortRanges": ["8080", "9000-9010"]}),
        (
            "to-asg-by-hand",
            501,
            {
                "destinationPortRange": "443",
                "destinationAddressPrefix": None,
                "destinationApplicationSecurityGroups": [{"id": group}],
            },
        ),
        # Our prefix, but below the managed priorities: not ours.
        ("k8s-azure-lb_by-hand", 200, {"destinationPortRange": "443"}),
        ("deny-out-by-hand", 4000, {"destinationPortRange": "25", "direction": "Outbound", "access": "Deny"}),
    ]
    properties = [
        {"name": name, "properties": {**_RULE, "priority": priority, **more}} for name, priority, more in rules
    ]
    world.put("networkSecurityGroups", "nodes-nsg", {"properties": {"securityRules": properties}})


def _add_shared_balancer(world: World) -> None:
    address = world.put_public_ip("outbound-by-hand")
    identity = world.id("loadBalancers", world.cluster)
    frontend = {"id": f"{identity}/frontendIPConfigurations/{OUTBOUND}"}
    pool = {"id": f"{identity}/backendAddressPools/{OUTBOUND}"}
    properties = {
        "frontendIPConfigurations": [{"name": OUTBOUND, "properties": {"publicIPAddress": {"id": address}}}],
        "backendAddressPools": [{"name": OUTBOUND}, {"name": world.cluster}],
        "outboundRules": [
            {
                "name": OUTBOUND,
                "properties": {
                    "protocol": "All",
                    "allocatedOutboundPorts": 1024,
                    "idleTimeoutInMinutes": 30,
                    "frontendIPConfigurations": [frontend],
                    "backendAddressPool": pool,
                },
            }
        ],
        "inboundNatRules": [
            {
                "name": "ssh-by-hand",
                "properties": {
                    "protocol": "Tcp",
                    "frontendPort": 2222,
                    "backendPort": 22,
                    "frontendIPConfiguration": frontend,
                },
            }
        ],
    }
    world.put("loadBalancers", world.cluster, {"sku": {"name": "Standard"}, "properties": properties})


def _add_other_cluster(world: World) -> None:
    """Another cluster in the same group, with a balancer and an address tagged as its own."""
    uid_name = "affffffffffffffffffffffffffffff"
    tags = {"k8s-azure-cluster-name": "other-cluster", "k8s-azure-service": "default/web"}
    address = world.put_public_ip(f"other-cluster-{uid_name}", tags=tags, group=GROUP)
    identity = world.id("loadBalancers", "other-cluster")
    properties = {
        "frontendIPConfigurations": [{"name": uid_name, "properties": {"publicIPAddress": {"id": address}}}],
        "backendAddressPools": [{"name": "other-cluster"}],
        "loadBalancingRules": [
            {
                "name": f"{uid_name}-TCP-80",
                "properties": {
                    "protocol": "Tcp",
                    "frontendPort": 80,
                    "backendPort": 80,
                    "enableFloatingIP": True,
                    "frontendIPConfiguration": {"id": f"{identity}/frontendIPConfigurations/{uid_name}"},
                    "backendAddressPool": {"id": f"{identity}/backendAddressPools/other-cluster"},
                },
            }
        ],
    }
    world.put("loadBalancers", "other-cluster", {"sku": {"name": "Standard"}, "properties": properties})
