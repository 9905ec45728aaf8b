"""Crowded accounts as topologies: many balancers of cluster demo as upstream names them, and many of others.

For budgets and paging. The names are worked out here from upstream's rules, apart from any driver's code, so a driver
that adopts the crowd without a write has its names right.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from moto_fixtures.seed import load
from moto_fixtures.wire import Json

_CLUSTER = "demo"
_NAMESPACE = "default"
_OTHERS = {"example.com/bystander": "yes", "elbv2.k8s.aws/cluster": "prod"}
_ROOM = {"network-load-balancers": 5000, "target-groups": 10000}


@dataclass(frozen=True, slots=True)
class CrowdedService:
    """One of the crowd's Services, with one TCP port: what a test makes its Service object from."""

    name: str
    uid: str
    port: int
    node_port: int

    @property
    def balancer_name(self) -> str:
        """The name that cloud-provider-aws gives a balancer: `a` and the uid without hyphens, cut at 32 characters."""
        return ("a" + self.uid.replace("-", ""))[:32]

    @property
    def group_name(self) -> str:
        """The name that cloud-provider-aws gives a target group: the sha1 of what makes it different."""
        settings = f"{_CLUSTER}{_NAMESPACE}{self.name}{self.port}{self.node_port}TCPinstanceTCP30"
        digest = hashlib.sha1(settings.encode(), usedforsecurity=False).hexdigest()[:10]
        return f"k8s-{_NAMESPACE[:8]}-{self.name.replace('-', '')[:8]}-{digest}"


def services(count: int) -> list[CrowdedService]:
    """The crowd's Services, always the same ones."""
    return [
        CrowdedService(f"s{number:04}", f"{number:08x}-0000-4000-8000-{number:012x}", 80, 30000 + number % 2768)
        for number in range(count)
    ]


def network_balancers(count: int) -> Json:
    """Topology `basic` with an upstream network balancer for each of `services(count)`, all nodes as targets."""
    crowd = services(count)
    return load("basic") | {
        "quotas": _ROOM,
        "target_groups": load("basic")["target_groups"] | {f"group-{one.name}": _group(one) for one in crowd},
        "balancers": load("basic")["balancers"] | {f"balancer-{one.name}": _balancer(one) for one in crowd},
    }


def _tags(service: CrowdedService) -> dict[str, str]:
    name = f"{_NAMESPACE}/{service.name}"
    return {f"kubernetes.io/cluster/{_CLUSTER}": "owned", "kubernetes.io/service-name": name}


def _group(service: CrowdedService) -> Json:
    create = {
        "Name": service.group_name, "Protocol": "TCP", "Port": service.node_port, "VpcId": "$main",
        "TargetType": "instance", "HealthCheckProtocol": "TCP", "HealthCheckPort": "traffic-port",
        "HealthCheckIntervalSeconds": 30, "HealthyThresholdCount": 3, "UnhealthyThresholdCount": 3,
        "Tags": _tags(service),
    }  # fmt: skip
    return {"create": create, "targets": [{"Id": f"$node-{n}", "Port": service.node_port} for n in (1, 2, 3, 4)]}


def _balancer(service: CrowdedService) -> Json:
    create = {
        "Name": service.balancer_name, "Scheme": "internet-facing",
        "Subnets": ["$public-a", "$public-b", "$public-c"], "Tags": _tags(service),
    }  # fmt: skip
    listener = {"Port": service.port, "Protocol": "TCP", "forward": f"$group-{service.name}", "Tags": _tags(service)}
    return {"create": create, "listeners": [listener]}


def shared_account(*, balancers: int = 60, groups: int = 200) -> Json:
    """Topology `basic` in an account where others have this many balancers and target groups."""
    others = {
        f"crowd-{number}": {
            "create": {"Name": f"prod-{number:03}", "Scheme": "internal", "Subnets": ["$others-a"], "Tags": _OTHERS}
        }
        for number in range(balancers)
    }
    theirs = {
        f"crowd-group-{number}": {
            "create": {"Name": f"prod-{number:03}", "Protocol": "TCP", "Port": 80, "VpcId": "$others", "Tags": _OTHERS}
        }
        for number in range(groups)
    }
    basic = load("basic")
    return basic | {
        "quotas": _ROOM,
        "target_groups": basic["target_groups"] | theirs,
        "balancers": basic["balancers"] | others,
    }
