"""Firewall rules of isolated networks, network ACLs of VPC tiers, port forwarding: what filters, what is in the way."""

from __future__ import annotations

from tests.clouds.cloudstack.balancing import refuse_overlap
from tests.clouds.cloudstack.cloud import Arguments, Cloud, Row, has_tags, visible
from tests.clouds.cloudstack.objects import AclItem, Firewall, answer_firewall, answer_item
from tests.clouds.cloudstack.refusals import invalid

ACL_PROTOCOLS = frozenset({"tcp", "udp", "icmp", "all"})


def list_firewalls(cloud: Cloud, args: Arguments) -> Row:
    """Firewall rules; those of an address that is not ready are an error, not an empty list."""
    address_id = str(args.get("ipaddressid") or "")
    if address_id and cloud.find(cloud.addresses, "ipaddressid", address_id).state != "Allocated":
        raise invalid(f"Ip address id={address_id} not ready for firewall rules yet")
    rows = [
        answer_firewall(rule, cloud.addresses[rule.address_id])
        for rule in cloud.firewalls.values()
        if address_id in ("", rule.address_id)
        and args.get("networkid") in (None, "", cloud.addresses[rule.address_id].network_id)
        and visible(cloud.addresses[rule.address_id], args)
        and has_tags(rule.tags, args.get("tags"))
    ]
    return cloud.listed("firewallrule", rows, args)


def create_firewall(cloud: Cloud, args: Arguments) -> Row:
    """Open ports of an address of an isolated network."""
    address = cloud.find(cloud.addresses, "ipaddressid", str(args["ipaddressid"]))
    if address.vpc_id and cloud.release != "next":
        raise invalid("Unable to create firewall rule; ip id=" + address.id + " belongs to VPC")
    if address.state != "Allocated" or not address.network_id:
        raise invalid(
            f"Unable to create firewall rule for the ip {address.ip} as it is not associated with any network"
        )
    if "Firewall" not in cloud.networks[address.network_id].services:
        raise invalid("Firewall service is not supported in the network")
    rule = Firewall(
        cloud.new_id(),
        address.id,
        str(args["protocol"]).lower(),
        int(args.get("startport") or 0),
        int(args.get("endport") or args.get("startport") or 0),
        tuple(args.get("cidrlist") or ("0.0.0.0/0",)),
    )
    refuse_overlap(cloud, rule)
    cloud.firewalls[rule.id] = rule
    return cloud.accept(
        "createFirewallRule",
        lambda: {"firewallrule": answer_firewall(rule, address)},
        queue=address.network_id,
        entity=rule.id,
    )


def delete_firewall(cloud: Cloud, args: Arguments) -> Row:
    """Close ports of an address."""
    rule = cloud.find(cloud.firewalls, "id", str(args["id"]))
    queue = cloud.addresses[rule.address_id].network_id

    def effect() -> Row:
        cloud.firewalls.pop(rule.id, None)
        return {"success": True}

    return cloud.accept("deleteFirewallRule", effect, queue=queue)


def list_acl_lists(cloud: Cloud, args: Arguments) -> Row:
    """ACL lists, the built in ones included."""
    rows = [
        {"id": entry.id, "name": entry.name, "vpcid": entry.vpc_id}
        for entry in cloud.acl_lists.values()
        if args.get("id") in (None, "", entry.id)
    ]
    return cloud.listed("networkacllist", rows, args)


def list_acl_items(cloud: Cloud, args: Arguments) -> Row:
    """Entries of ACL lists."""
    acl_id = str(args.get("aclid") or "")
    if args.get("networkid"):
        acl_id = cloud.find(cloud.networks, "networkid", str(args["networkid"])).acl_id
    rows = [answer_item(item) for item in cloud.acl_items.values() if acl_id in ("", item.acl_id)]
    return cloud.listed("networkacl", rows, args)


def create_acl_item(cloud: Cloud, args: Arguments) -> Row:
    """Add an entry; the built in lists refuse, and ACLs know no `tcp-proxy`."""
    acl_id = str(args.get("aclid") or "")
    if not acl_id:
        acl_id = cloud.find(cloud.networks, "networkid", str(args.get("networkid") or "")).acl_id
    acl = cloud.find(cloud.acl_lists, "aclid", acl_id)
    if acl.name in {"default_allow", "default_deny"}:
        raise invalid("Default ACL cannot be modified")
    protocol = str(args["protocol"]).lower()
    if protocol not in ACL_PROTOCOLS and not protocol.isdigit():
        raise invalid(f"Invalid protocol: {protocol}")
    numbers = [item.number for item in cloud.acl_items.values() if item.acl_id == acl_id]
    number = int(args.get("number") or max(numbers, default=0) + 1)
    if number in numbers:
        raise invalid(f"ACL item with number {number} already exists in ACL: {acl_id}")
    item = AclItem(
        cloud.new_id(),
        acl_id,
        number,
        protocol,
        args.get("startport"),
        args.get("endport"),
        str(args.get("action") or "Allow").capitalize(),
        str(args.get("traffictype") or "Ingress").capitalize(),
        tuple(args.get("cidrlist") or ("0.0.0.0/0",)),
        str(args.get("reason") or ""),
    )
    cloud.acl_items[item.id] = item
    return cloud.accept("createNetworkACL", lambda: {"networkacl": answer_item(item)}, queue=acl_id, entity=item.id)


def update_acl_item(cloud: Cloud, args: Arguments) -> Row:
    """Change an entry; `partialupgrade=false` forgets what is not given, which only its reason is tried with here."""
    item = cloud.find(cloud.acl_items, "id", str(args["id"]))
    if cloud.acl_lists[item.acl_id].name in {"default_allow", "default_deny"}:
        raise invalid("Default ACL cannot be modified")
    if args.get("partialupgrade") is False or set(args) - {"id", "reason", "partialupgrade"}:
        raise invalid("only the reason of an entry is changed here")

    def effect() -> Row:
        item.reason = str(args.get("reason") or item.reason)
        return {"networkacl": answer_item(item)}

    return cloud.accept("updateNetworkACLItem", effect, queue=item.acl_id)


def delete_acl_item(cloud: Cloud, args: Arguments) -> Row:
    """Remove an entry."""
    item = cloud.find(cloud.acl_items, "id", str(args["id"]))
    if cloud.acl_lists[item.acl_id].name in {"default_allow", "default_deny"}:
        raise invalid("Default ACL cannot be modified")

    def effect() -> Row:
        cloud.acl_items.pop(item.id, None)
        return {"success": True}

    return cloud.accept("deleteNetworkACL", effect, queue=item.acl_id)


def list_forwardings(cloud: Cloud, args: Arguments) -> Row:
    """Port-forwarding rules of an address."""
    rows = [
        {"id": f.id, "ipaddressid": f.address_id, "publicport": str(f.public_port), "protocol": f.protocol}
        for f in cloud.forwardings.values()
        if args.get("ipaddressid") in (None, "", f.address_id)
    ]
    return cloud.listed("portforwardingrule", rows, args)
