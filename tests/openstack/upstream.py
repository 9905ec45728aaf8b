"""What cloud-provider-openstack leaves behind, made as it makes it."""

from __future__ import annotations

from tests.clouds.openstack.cloud import Cloud


def made_by_upstream(cloud: Cloud, cluster: str, name: str = "web", *, node_port: int = 30080) -> str:
    """The id of a balancer as upstream makes it for an internal Service of the namespace `shop` with one port."""
    own = f"kube_service_{cluster}_shop_{name}"
    members = [
        {
            "name": f"node{number}",
            "address": cloud.node_addresses[number][0],
            "protocol_port": node_port,
            "subnet_id": cloud.ids["nodes4"],
        }
        for number in range(2)
    ]
    pool = {"name": f"pool_0_{own}", "protocol": "TCP", "lb_algorithm": "ROUND_ROBIN", "members": members}
    listener = {
        "name": f"listener_0_{own}",
        "protocol": "TCP",
        "protocol_port": 80,
        "connection_limit": -1,
        "tags": [own],
        "allowed_cidrs": ["0.0.0.0/0"],
        "default_pool": pool,
    }
    body = {
        "name": own,
        "description": f"Kubernetes external service shop/{name} from cluster {cluster}",
        "tags": [own],
        "provider": "amphora",
        "vip_subnet_id": cloud.ids["nodes4"],
        "listeners": [listener],
    }
    reply = cloud.user.load_balancer.post("/lbaas/loadbalancers", json={"loadbalancer": body})
    cloud.rest()
    return str(reply.json()["loadbalancer"]["id"])
