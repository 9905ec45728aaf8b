"""What there must be in the end, whatever happened on the way."""

from __future__ import annotations

from tests.openstack.scene import Scene

Picture = tuple[object, ...]


def picture(scene: Scene) -> Picture:
    """Ports and members of the Service `web`, its floating IPs, how many addresses it shows, and what is planned."""
    balancer = scene.balancer()
    listeners = [body["protocol_port"] for body in scene.children("listeners")]
    states = {body["provisioning_status"] for kind in ("listeners", "pools") for body in scene.children(kind)}
    pools = [[member["name"] for member in scene.members(pool)] for pool in scene.children("pools")]
    attached = [body["port_id"] == balancer["vip_port_id"] for body in scene.floating()]
    return sorted(listeners), states, pools, attached, len(scene.addresses()), scene.plans()


def whole(*ports: int) -> Picture:
    """The picture of a Service with these ports on two nodes, behind one floating IP, and nothing left to do."""
    return list(ports), {"ACTIVE"}, [["node0", "node1"]] * len(ports), [True], 1, []
