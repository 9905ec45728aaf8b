"""Public addresses: association, release with its cascade, lists."""

from __future__ import annotations

from tests.clouds.cloudstack.cloud import Arguments, Cloud, Row, has_tags, need, visible
from tests.clouds.cloudstack.objects import Address, answer_address
from tests.clouds.cloudstack.refusals import Refusal, invalid


def list_addresses(cloud: Cloud, args: Arguments) -> Row:
    """Allocated addresses; free ones only when asked for by state or with `allocatedonly=false`."""
    rows = [answer_address(a) for a in cloud.addresses.values() if _shown(cloud, a, args)]
    return cloud.listed("publicipaddress", rows, args)


def _shown(cloud: Cloud, address: Address, args: Arguments) -> bool:
    state = str(args.get("state") or "")
    if address.state == "Free":
        asked = state == "Free" or args.get("allocatedonly") is False
        if not (asked and cloud.free_addresses_visible):
            return False
    elif not visible(address, args) or address.account != "lbctl":
        return False
    wanted = {
        "id": address.id,
        "ipaddress": address.ip,
        "associatednetworkid": address.network_id,
        "vpcid": address.vpc_id,
        "zoneid": address.zone_id,
        "state": address.state,
    }
    same = all(args[name] == value for name, value in wanted.items() if args.get(name))
    return same and has_tags(address.tags, args.get("tags"))


def associate(cloud: Cloud, args: Arguments) -> Row:
    """Take an address; the entity is there at once, the network is told by the job."""
    network = cloud.networks.get(str(args.get("networkid") or ""))
    vpc_id = str(args.get("vpcid") or "")
    if network is None and vpc_id not in {n.vpc_id for n in cloud.networks.values() if n.vpc_id}:
        raise invalid("Unable to figure out zone to assign ip to. Please specify either zoneId, or networkId, or vpcId")
    if network is not None and network.vpc_id:
        raise invalid("IP address can't be associated to a network of a VPC; specify the vpcId")
    here = next(n for n in cloud.networks.values() if n is network or (vpc_id and n.vpc_id == vpc_id))
    address = _take(cloud, str(args.get("ipaddress") or ""), here.zone_id)
    address.state, address.account = "Allocating", "lbctl"
    address.network_id, address.vpc_id = (network.id if network else ""), vpc_id
    address.allocated = cloud.now() + 1
    address.project_id = str(args.get("projectid") or "")

    def effect() -> Row:
        address.state = "Allocated"
        return {"ipaddress": answer_address(address)}

    def undo() -> None:
        _free(address)

    queue = address.network_id or vpc_id
    return cloud.accept("associateIpAddress", effect, queue=queue, entity=address.id, undo=undo)


def _free(address: Address) -> None:
    address.state, address.network_id, address.vpc_id = "Free", "", ""
    address.tags, address.project_id, address.allocated = {}, "", 0.0
    address.is_static_nat = False


def _take(cloud: Cloud, ip: str, zone_id: str) -> Address:
    used = [a for a in cloud.addresses.values() if a.state != "Free" and a.account == "lbctl"]
    if len(used) >= cloud.address_limit:
        raise Refusal(532, f"Maximum number of public IP addresses for account: lbctl has been exceeded.")  # noqa: F541
    every = (a for a in cloud.addresses.values() if a.state == "Free" and a.zone_id == zone_id)
    free = [a for a in every if ip in ("", a.ip)]
    if not free:
        what = f"Requested IP address {ip} is not available" if ip else "Unable to get a free public IP address"
        raise Refusal(533, what)
    return free[0]


def disassociate(cloud: Cloud, args: Arguments) -> Row:
    """Release an address **with everything on it**, other people's included; refused only for special addresses."""
    address = cloud.find(cloud.addresses, "id", str(args["id"]))
    if address.is_source_nat:
        raise invalid("IP address is used for source nat purposes and can not be disassociated.")
    if address.is_system:
        raise invalid("Can't release system IP address with specified id")
    if address.state == "Free":
        return cloud.accept("disassociateIpAddress", lambda: {"success": True})
    address.state = "Releasing"

    def effect() -> Row:
        for things in (cloud.rules, cloud.firewalls, cloud.forwardings):
            for key in [key for key, thing in things.items() if thing.address_id == address.id]:  # type: ignore[attr-defined]  # all have it
                del things[key]  # type: ignore[attr-defined]  # a dict of each kind
        _free(address)
        return {"success": True}

    def undo() -> None:
        address.state = "Allocated"

    return cloud.accept("disassociateIpAddress", effect, queue=address.network_id or address.vpc_id, undo=undo)


TAGGED = {
    "publicipaddress": "addresses",
    "loadbalancer": "rules",
    "firewallrule": "firewalls",
    "networkacl": "acl_items",
}


def create_tags(cloud: Cloud, args: Arguments) -> Row:
    """Tag resources; a key that is there already refuses the whole call."""
    things = [_tagged(cloud, args, key) for key in args["resourceids"]]
    new = {tag["key"]: tag["value"] for tag in need(args, "tags")}

    def effect() -> Row:
        for thing in things:
            if set(thing.tags) & set(new):
                raise invalid(f"tag {min(set(thing.tags) & set(new))} already on {args['resourcetype']}")
        for thing in things:
            thing.tags.update(new)
        return {"success": True}

    return cloud.accept("createTags", effect)


def delete_tags(cloud: Cloud, args: Arguments) -> Row:
    """Remove tags by key."""
    things = [_tagged(cloud, args, key) for key in args["resourceids"]]
    keys = [tag["key"] for tag in args.get("tags") or ()]

    def effect() -> Row:
        for thing in things:
            for key in keys or list(thing.tags):
                thing.tags.pop(key, None)
        return {"success": True}

    return cloud.accept("deleteTags", effect)


def _tagged(cloud: Cloud, args: Arguments, key: str) -> Address:
    kind = str(args["resourcetype"]).lower()
    if kind not in TAGGED:
        raise invalid(f"Invalid resource type: {args['resourcetype']}")
    thing: Address = cloud.find(getattr(cloud, TAGGED[kind]), "resourceids", key)
    return thing
