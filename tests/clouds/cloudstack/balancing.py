"""Load balancer rules: one per public port, members, algorithm, stickiness, and what the router really serves.

Rules of the server that are kept: the port conflict is blind to protocols; the virtual router takes no UDP; a rule
without members stays `Add` and unknown to the router; assign refuses a member that is mapped already; an update reaches
the router only when algorithm or sources changed; create joins sources by blanks, update by commas.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from tests.clouds.cloudstack.cloud import Arguments, Cloud, Row, has_tags, need, visible
from tests.clouds.cloudstack.objects import Address, Firewall, Machine, Network, Rule, answer_machine, answer_rule
from tests.clouds.cloudstack.refusals import Refusal, conflict, invalid

ROUTERS = frozenset({"VirtualRouter", "VpcVirtualRouter"})
GONE = frozenset({"Destroyed", "Expunging", "Error"})
STICKINESS_METHODS = frozenset({"LbCookie", "AppCookie", "SourceBased"})
ALGORITHMS = frozenset({"roundrobin", "leastconn", "source"})
LATEST_UPDATE_OF_CIDRS = "4.18"


def list_rules(cloud: Cloud, args: Arguments) -> Row:
    """Rules by several filters; `keyword` is a substring of name or description in any case."""
    rows = [answer_rule(r, cloud.addresses[r.address_id]) for r in cloud.rules.values() if _shown(r, args)]
    return cloud.listed("loadbalancerrule", rows, args)


def _shown(rule: Rule, args: Arguments) -> bool:
    wanted = {"id": rule.id, "name": rule.name, "publicipid": rule.address_id, "networkid": rule.network_id}
    keyword = str(args.get("keyword") or "").lower()
    member = args.get("virtualmachineid")
    return (
        visible(rule, args)
        and all(args[name] == value for name, value in wanted.items() if args.get(name))
        and (not keyword or keyword in rule.name.lower() or keyword in rule.description.lower())
        and (not member or member in rule.members)
        and has_tags(rule.tags, args.get("tags"))
    )


def create_rule(cloud: Cloud, args: Arguments) -> Row:
    """Write a rule into the database, with a firewall rule when asked; the router hears of it with its first member."""
    address = cloud.find(cloud.addresses, "publicipid", str(need(args, "publicipid")))
    network = _network_of(cloud, address, str(args.get("networkid") or ""))
    protocol = str(args.get("protocol") or "tcp").lower()
    _check_address(address, args)
    _check_protocol(network, protocol)
    if args["algorithm"] not in ALGORITHMS:
        raise invalid(f"Invalid algorithm: {args['algorithm']}")
    _check_port(cloud, network, address, int(args["publicport"]))
    opens = args.get("openfirewall")
    if opens and address.vpc_id:
        raise invalid("Can't have openFirewall=true when IP address belongs to VPC")
    rule = Rule(
        id=cloud.new_id(),
        name=str(args["name"]),
        address_id=address.id,
        network_id=network.id,
        public_port=int(args["publicport"]),
        private_port=int(args["privateport"]),
        algorithm=str(args["algorithm"]),
        protocol=protocol,
        cidrs=" ".join(args.get("cidrlist") or ()),
        description=str(args.get("description") or ""),
        idle_timeout=int(args.get("idletimeout") or 0),
        project_id=address.project_id,
    )
    if opens or (opens is None and not address.vpc_id):
        _open(cloud, rule, address)
    cloud.rules[rule.id] = rule
    if address.vpc_id:
        address.network_id = network.id
    return cloud.accept(
        "createLoadBalancerRule",
        lambda: {"loadbalancer": answer_rule(rule, address)},
        queue=network.id,
        entity=rule.id,
    )


def _open(cloud: Cloud, rule: Rule, address: Address) -> None:
    firewall = Firewall(
        cloud.new_id(), address.id, "tcp", rule.public_port, rule.public_port, ("0.0.0.0/0",), rule_id=rule.id
    )
    refuse_overlap(cloud, firewall)
    cloud.firewalls[firewall.id] = firewall


def refuse_overlap(cloud: Cloud, new: Firewall) -> None:
    """Firewall rules of one address and port clash only when their lists share an equal text."""
    for old in cloud.firewalls.values():
        same = old.address_id == new.address_id and old.protocol == new.protocol
        if same and old.start <= new.end and new.start <= old.end and set(old.cidrs) & set(new.cidrs):
            raise _port_conflict(new.start, new.end, old.id, old.start, old.end)


def _port_conflict(start: int, end: int, rule: str, old_start: int, old_end: int) -> Refusal:
    return conflict(f"The range specified, {start}-{end}, conflicts with rule {rule} which has {old_start}-{old_end}")


def _network_of(cloud: Cloud, address: Address, asked: str) -> Network:
    network = cloud.networks.get(asked or address.network_id)
    if network is None:
        raise invalid(f"Unable to find network for the ip address {address.ip}; specify the networkId")
    if address.vpc_id and network.vpc_id != address.vpc_id:
        raise invalid(f"Network {network.name} doesn't belong to the VPC of the ip address")
    if address.vpc_id and address.network_id not in ("", network.id):
        raise invalid(f"The ip address {address.ip} is in use by another tier of the VPC")
    if not address.vpc_id and address.network_id != network.id:
        raise invalid(f"IP address {address.ip} is not associated with network {network.name}")
    if "Lb" not in network.services:
        raise invalid(f"LB service is not supported in network {network.name}")
    return network


def _check_address(address: Address, args: Arguments) -> None:
    if address.state != "Allocated":
        raise invalid(f"Unable to create load balancer rule, invalid IP address id specified; state {address.state}")
    if address.is_static_nat:
        raise conflict(f"Can't do load balance on ip address: {address.ip}")
    if not 0 < int(args["publicport"]) < 65536 or not 0 < int(args["privateport"]) < 65536:
        raise invalid("publicPort is an invalid value")


def _check_protocol(network: Network, protocol: str) -> None:
    if protocol not in {"tcp", "udp", "tcp-proxy", "ssl"}:
        raise invalid(f"Invalid protocol: {protocol}")
    if protocol == "udp" and network.services["Lb"] in ROUTERS:
        raise invalid("LB service provider cannot support this rule")


def _check_port(cloud: Cloud, network: Network, address: Address, port: int) -> None:
    for other in cloud.rules_of(address.id):
        if other.public_port == port:
            raise _port_conflict(port, port, other.id, port, port)
    for forwarding in cloud.forwardings.values():
        if forwarding.address_id == address.id and forwarding.public_port == port:
            raise _port_conflict(port, port, forwarding.id, port, port)
    if port == 53 and address.is_source_nat and "Dns" in network.services:
        raise invalid("Error adding load balancer rule, cannot add port 53 with network service DNS")


def update_rule(cloud: Cloud, args: Arguments) -> Row:
    """Change a rule in place; the router hears of it only when algorithm, sources or timeout changed.

    When the router cannot be told, everything is as it was before.
    """
    rule = cloud.find(cloud.rules, "id", str(args["id"]))
    if rule.state == "Revoke":
        raise invalid(f"Unable to update load balancer rule {rule.id} in state Revoke")
    if args.get("protocol"):
        _check_protocol(cloud.networks[rule.network_id], str(args["protocol"]))
    backup = replace(rule)
    rule.idle_timeout = int(args.get("idletimeout") or rule.idle_timeout)
    rule.algorithm = str(args.get("algorithm") or rule.algorithm)
    rule.protocol = str(args.get("protocol") or rule.protocol)
    rule.name = str(args.get("name") or rule.name)
    rule.description = str(args.get("description") or rule.description)
    if args.get("cidrlist"):
        rule.cidrs = ",".join(args["cidrlist"])
    before = (backup.algorithm, backup.cidrs, backup.idle_timeout)
    applies = (rule.algorithm, rule.cidrs, rule.idle_timeout) != before

    def effect() -> Row:
        if applies:
            tell_router(cloud, rule)
        return {"loadbalancer": answer_rule(rule, cloud.addresses[rule.address_id])}

    def undo() -> None:
        rule.name, rule.description, rule.protocol = backup.name, backup.description, backup.protocol
        rule.algorithm, rule.cidrs, rule.idle_timeout = before

    return cloud.accept("updateLoadBalancerRule", effect, queue=rule.network_id, undo=undo)


def delete_rule(cloud: Cloud, args: Arguments) -> Row:
    """Revoke a rule together with the firewall rule that its creation opened."""
    rule = cloud.find(cloud.rules, "id", str(args["id"]))
    rule.state = "Revoke"

    def effect() -> Row:
        cloud.rules.pop(rule.id, None)
        for key in [key for key, firewall in cloud.firewalls.items() if firewall.rule_id == rule.id]:
            del cloud.firewalls[key]
        address = cloud.addresses[rule.address_id]
        if address.vpc_id and not cloud.rules_of(address.id):
            address.network_id = ""
        return {"success": True}

    return cloud.accept("deleteLoadBalancerRule", effect, queue=rule.network_id)


def assign(cloud: Cloud, args: Arguments) -> Row:
    """Map members; not idempotent: one that is mapped already fails the whole job."""
    rule = cloud.find(cloud.rules, "id", str(args["id"]))
    machines = [_assignable(cloud, key) for key in need(args, "virtualmachineids")]

    def effect() -> Row:
        for machine in machines:
            if machine.id in rule.members:
                raise invalid(f"VM {machine.id} with {machine.ip} is already mapped to load balancer.")
            if rule.network_id not in machine.networks:
                raise invalid(f"VM {machine.id} cannot be added because it doesn't belong in the same network.")
        rule.members.extend(machine.id for machine in machines)
        rule.state = "Active"
        tell_router(cloud, rule)
        return {"success": True}

    return cloud.accept("assignToLoadBalancerRule", _wrapped(effect), queue=rule.network_id)


def _wrapped(effect: Callable[[], Row]) -> Callable[[], Row]:
    """The command hides the cause of a failure behind its own text."""

    def wrapped() -> Row:
        try:
            return effect()
        except Refusal as refusal:
            raise Refusal(530, "Failed to assign load balancer rule") from refusal

    return wrapped


def _assignable(cloud: Cloud, key: str) -> Machine:
    machine = cloud.find(cloud.machines, "virtualmachineids", key)
    if machine.state in GONE:
        raise invalid(f"Invalid instance id specified: {key}")
    return machine


def remove(cloud: Cloud, args: Arguments) -> Row:
    """Take members out of a rule; the last one puts the rule back to `Add`."""
    rule = cloud.find(cloud.rules, "id", str(args["id"]))
    leaving = set(need(args, "virtualmachineids"))

    def effect() -> Row:
        if not leaving <= set(rule.members):
            raise invalid("Failed to remove load balancer rule; VM is not mapped")
        rule.members = [member for member in rule.members if member not in leaving]
        rule.state = "Active" if rule.members else "Add"
        tell_router(cloud, rule)
        return {"success": True}

    return cloud.accept("removeFromLoadBalancerRule", effect, queue=rule.network_id)


def list_members(cloud: Cloud, args: Arguments) -> Row:
    """The machines behind a rule, with the state that a provider with health checks last reported."""
    rule = cloud.find(cloud.rules, "id", str(args["id"]))
    machines = [answer_machine(cloud.machines[key]) for key in rule.members if key in cloud.machines]
    if "HealthCheckPolicy" in cloud.networks[rule.network_id].capabilities.get("Lb", {}):
        states = cloud.monitored
        machines = [m | ({"servicestate": states[m["id"]]} if m["id"] in states else {}) for m in machines]
    if args.get("lbvmips"):
        rows = [{"id": m["id"], "loadbalancerruleinstance": m, "lbvmipaddresses": []} for m in machines]
        return cloud.listed("lbrulevmidip", rows, args)
    return cloud.listed("loadbalancerruleinstance", machines, args)


def tell_router(cloud: Cloud, rule: Rule) -> None:
    """Write the rule into the router's configuration as it is stored now."""
    rule.served = None
    if rule.members:
        rule.served = {
            "protocol": rule.protocol,
            "algorithm": rule.algorithm,
            "private_port": rule.private_port,
            "sources": rule.cidrs,
            "timeout": rule.idle_timeout,
            "members": sorted(rule.members),
            "stickiness": rule.stickiness and rule.stickiness["methodname"],
            "health": rule.health and rule.health.get("pingpath"),
        }


def create_stickiness(cloud: Cloud, args: Arguments) -> Row:
    """Attach a stickiness policy; one a rule."""
    rule = cloud.find(cloud.rules, "lbruleid", str(args["lbruleid"]))
    if args["methodname"] not in STICKINESS_METHODS:
        raise invalid(f"Failed: Stickiness method name :{args['methodname']} is not supported by lbrule {rule.id}")
    if rule.stickiness is not None:
        raise invalid(f"Failed to create Stickiness policy: Already one policy attached for rule {rule.id}")
    params = {entry["name"]: entry["value"] for entry in args.get("param") or ()}
    policy = {"id": cloud.new_id(), "name": args["name"], "methodname": args["methodname"], "params": params}
    rule.stickiness = policy | {"state": "Active", "description": args.get("description") or ""}

    def effect() -> Row:
        tell_router(cloud, rule)
        return {"stickinesspolicies": _policies(rule, "stickinesspolicy", rule.stickiness)}

    return cloud.accept("createLBStickinessPolicy", effect, queue=rule.network_id, entity=str(policy["id"]))


def delete_stickiness(cloud: Cloud, args: Arguments) -> Row:
    """Detach a stickiness policy."""
    rule = _holder(cloud, "stickiness", str(args["id"]))

    def effect() -> Row:
        rule.stickiness = None
        tell_router(cloud, rule)
        return {"success": True}

    return cloud.accept("deleteLBStickinessPolicy", effect, queue=rule.network_id)


def list_stickiness(cloud: Cloud, args: Arguments) -> Row:
    """The policies of a rule."""
    rule = cloud.find(cloud.rules, "lbruleid", str(need(args, "lbruleid")))
    rows = [_policies(rule, "stickinesspolicy", rule.stickiness)] if rule.stickiness else []
    return {"count": len(rows), "stickinesspolicies": rows} if rows else {}


def create_health(cloud: Cloud, args: Arguments) -> Row:
    """Attach a health check policy, where the provider has the capability; the virtual router does not."""
    rule = cloud.find(cloud.rules, "lbruleid", str(args["lbruleid"]))
    network = cloud.networks[rule.network_id]
    if "HealthCheckPolicy" not in network.capabilities.get("Lb", {}):
        raise invalid(
            "Failed to create HealthCheck policy: Validation Failed (HealthCheck Policy is not supported by LB "
            f"Provider for the LB rule id :{rule.id})"
        )
    policy: dict[str, Any] = {name: args[name] for name in args if name != "lbruleid"}
    rule.health = policy | {"id": cloud.new_id(), "state": "Active"}

    def effect() -> Row:
        tell_router(cloud, rule)
        return {"healthcheckpolicies": _policies(rule, "healthcheckpolicy", rule.health)}

    return cloud.accept("createLBHealthCheckPolicy", effect, queue=rule.network_id, entity=str(rule.health["id"]))


def delete_health(cloud: Cloud, args: Arguments) -> Row:
    """Detach a health check policy."""
    rule = _holder(cloud, "health", str(args["id"]))

    def effect() -> Row:
        rule.health = None
        tell_router(cloud, rule)
        return {"success": True}

    return cloud.accept("deleteLBHealthCheckPolicy", effect, queue=rule.network_id)


def list_health(cloud: Cloud, args: Arguments) -> Row:
    """The health check policies of a rule."""
    rule = cloud.find(cloud.rules, "lbruleid", str(need(args, "lbruleid")))
    rows = [_policies(rule, "healthcheckpolicy", rule.health)] if rule.health else []
    return {"count": len(rows), "healthcheckpolicies": rows} if rows else {}


def _policies(rule: Rule, name: str, policy: dict[str, Any] | None) -> Row:
    return {"lbruleid": rule.id, name: [policy]}


def _holder(cloud: Cloud, kind: str, policy_id: str) -> Rule:
    for rule in cloud.rules.values():
        policy = getattr(rule, kind)
        if policy is not None and policy["id"] == policy_id:
            return rule
    raise invalid(f"Invalid parameter id value={policy_id}: no such policy")
