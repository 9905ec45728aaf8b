"""Worlds from YAML: a topology is data, and this makes it real by calls to the endpoint, as anybody would.

A string `$name` stands for the id of what that name was given to, anywhere in a topology. A topology may build on
others (`extends`); each ends with the bystanders, so that no world is without objects of others. Balancers are written
as the API's own parameters: they are what an upstream controller would have sent.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import yaml

from moto_fixtures.server import REGION, Client
from moto_fixtures.wire import Json

# Whatever YAML holds.
Value = Any

_TOPOLOGIES = Path(__file__).parent / "topologies"
_ANYWHERE = "0.0.0.0/0"


class TopologyError(Exception):
    """A topology names something that it does not make, or has a section that is unknown."""


@functools.cache
def _file(name: str) -> Json:
    path = _TOPOLOGIES / f"{name}.yaml"
    if not path.exists():
        raise TopologyError(f"loading topology {name!r}: there are only {topologies()}")
    content: Json = yaml.safe_load(path.read_text())
    return content


def topologies() -> list[str]:
    """Names of the topologies that come with the package."""
    return sorted(path.stem for path in _TOPOLOGIES.glob("*.yaml"))


def load(topology: str | Json) -> Json:
    """A topology by name, or as data, with what it builds on merged in: sections are joined, entries replaced."""
    own = _file(topology) if isinstance(topology, str) else topology
    merged: Json = {}
    for part in [*map(load, own.get("extends", ())), own]:
        for section, content in part.items():
            if section != "extends":
                merged[section] = {**merged.get(section, {}), **content} if isinstance(content, dict) else content
    return merged


class Seeder:
    """One topology on its way into a cloud; `ids` grows as things are made."""

    def __init__(self, client: Callable[[str], Client], quotas: dict[str, int]) -> None:
        """`client` gives one by service name: over HTTP `server.backstage`, or for crowds `server.inside`."""
        self.ids: dict[str, str] = {}
        self._ec2, self._elb, self._elbv2, self._acm = map(client, ("ec2", "elb", "elbv2", "acm"))
        self._quotas = quotas

    def make(self, topology: Json) -> dict[str, str]:
        """Make everything, in the order in which things need each other; returns name → id or ARN."""
        unknown = sorted(set(topology) - set(_SECTIONS) - {"cluster", "about"})
        if unknown:
            raise TopologyError(f"seeding: sections {unknown} are unknown, there are {sorted(_SECTIONS)}")
        for section, make in _SECTIONS.items():
            content = topology.get(section, {})
            if make is None:
                self._quotas.update(content)
                continue
            for name, entry in content.items():
                make(self, name, self._resolve(entry))
        return dict(self.ids)

    def _resolve(self, value: Value) -> Value:
        if isinstance(value, dict):
            return {key: self._resolve(one) for key, one in value.items()}
        if isinstance(value, list):
            return [self._resolve(one) for one in value]
        if isinstance(value, str) and value.startswith("$"):
            return self._id(value[1:])
        return value

    def _id(self, name: str) -> str:
        if name not in self.ids:
            raise TopologyError(f"seeding: ${name} is used before it is made; made so far: {sorted(self.ids)}")
        return self.ids[name]

    def vpc(self, name: str, entry: Json) -> None:
        """A VPC, with an internet gateway when it says so, and IPv6 when it says so."""
        vpc = self._ec2.create_vpc(CidrBlock=entry["cidr"], AmazonProvidedIpv6CidrBlock=entry.get("ipv6", False))["Vpc"]
        self.ids[name] = vpc["VpcId"]
        self._tag([vpc["VpcId"]], name, entry)
        if entry.get("ipv6"):
            self.ids[f"{name}/ipv6"] = vpc["Ipv6CidrBlockAssociationSet"][0]["Ipv6CidrBlock"]
        if entry.get("gateway"):
            self._gateway(name)

    def _gateway(self, vpc: str) -> None:
        gateway_id = self._ec2.create_internet_gateway()["InternetGateway"]["InternetGatewayId"]
        self._ec2.attach_internet_gateway(InternetGatewayId=gateway_id, VpcId=self.ids[vpc])
        table = self._ec2.create_route_table(VpcId=self.ids[vpc])["RouteTable"]["RouteTableId"]
        self._ec2.create_route(RouteTableId=table, DestinationCidrBlock=_ANYWHERE, GatewayId=gateway_id)
        self.ids[f"{vpc}/gateway"], self.ids[f"{vpc}/public-routes"] = gateway_id, table

    def subnet(self, name: str, entry: Json) -> None:
        """A subnet; `public: true` ties it to the routes through the gateway, others use the VPC's main table."""
        params = {"VpcId": entry["vpc"], "CidrBlock": entry["cidr"], "AvailabilityZone": f"{REGION}{entry['zone']}"}
        if "ipv6" in entry:
            vpc_name = next(name for name, drawn in self.ids.items() if drawn == entry["vpc"])
            block = self.ids[f"{vpc_name}/ipv6"]
            params["Ipv6CidrBlock"] = block.replace("00::/56", f"{entry['ipv6']:02x}::/64")
        subnet_id = self._ec2.create_subnet(**params)["Subnet"]["SubnetId"]
        self.ids[name] = subnet_id
        self._tag([subnet_id], name, entry)
        if entry.get("public"):
            vpc_name = next(name for name, drawn in self.ids.items() if drawn == entry["vpc"])
            self._ec2.associate_route_table(RouteTableId=self.ids[f"{vpc_name}/public-routes"], SubnetId=subnet_id)

    def security_group(self, name: str, entry: Json) -> None:
        """A security group; its rules come later, since they may name groups that follow."""
        made = self._ec2.create_security_group(
            GroupName=entry.get("name", name), Description=entry.get("description", name), VpcId=entry["vpc"]
        )
        self.ids[name] = made["GroupId"]
        self._tag([made["GroupId"]], None, entry)

    def rules(self, name: str, entry: list[Json]) -> None:
        """Ingress rules of a group that is made already, as IpPermissions."""
        self._ec2.authorize_security_group_ingress(GroupId=self.ids[name], IpPermissions=entry)

    def instance(self, name: str, entry: Json) -> None:
        """A node; `state: stopped` stops it."""
        made = self._ec2.run_instances(
            ImageId="ami-12c6146b", MinCount=1, MaxCount=1, InstanceType="m5.large",
            SubnetId=entry["subnet"], SecurityGroupIds=entry["groups"],
        )["Instances"][0]  # fmt: skip
        self.ids[name] = made["InstanceId"]
        self._tag([made["InstanceId"]], name, entry)
        if entry.get("state") == "stopped":
            self._ec2.stop_instances(InstanceIds=[made["InstanceId"]])

    def address(self, name: str, entry: Json) -> None:
        """An elastic address."""
        allocation = self._ec2.allocate_address(Domain="vpc")
        self.ids[name] = allocation["AllocationId"]
        self._tag([allocation["AllocationId"]], name, entry)

    def certificate(self, name: str, entry: Json) -> None:
        """A certificate in ACM."""
        self.ids[name] = self._acm.request_certificate(DomainName=entry["domain"])["CertificateArn"]

    def target_group(self, name: str, entry: Json) -> None:
        """A target group with its attributes and targets."""
        made = self._elbv2.create_target_group(**_with_tags(entry["create"]))["TargetGroups"][0]
        arn = self.ids[name] = made["TargetGroupArn"]
        if "attributes" in entry:
            self._elbv2.modify_target_group_attributes(TargetGroupArn=arn, Attributes=_pairs(entry["attributes"]))
        if "targets" in entry:
            self._elbv2.register_targets(TargetGroupArn=arn, Targets=entry["targets"])

    def balancer(self, name: str, entry: Json) -> None:
        """A v2 balancer with its attributes and listeners."""
        made = self._elbv2.create_load_balancer(Type="network", **_with_tags(entry["create"]))["LoadBalancers"][0]
        arn = self.ids[name] = made["LoadBalancerArn"]
        if "attributes" in entry:
            self._elbv2.modify_load_balancer_attributes(LoadBalancerArn=arn, Attributes=_pairs(entry["attributes"]))
        for listener in entry.get("listeners", ()):
            actions = [_forward(listener["forward"])]
            params = {key: value for key, value in listener.items() if key != "forward"}
            made = self._elbv2.create_listener(LoadBalancerArn=arn, DefaultActions=actions, **_with_tags(params))
            self.ids[f"{name}:{listener['Port']}"] = made["Listeners"][0]["ListenerArn"]

    def classic(self, name: str, entry: Json) -> None:
        """A classic balancer; every further call is written out as `then: [{operation: parameters}]`."""
        self._elb.create_load_balancer(**_with_tags(entry["create"]))
        self.ids[name] = entry["create"]["LoadBalancerName"]
        for step in entry.get("then", ()):
            for operation, params in step.items():
                getattr(self._elb, operation)(LoadBalancerName=self.ids[name], **params)

    def _tag(self, resource_ids: list[str], name: str | None, entry: Json) -> None:
        tags = ({"Name": name} if name else {}) | entry.get("tags", {})
        if tags:
            self._ec2.create_tags(Resources=resource_ids, Tags=_pairs(tags))


# In the order of making. Quotas are not made but set.
_SECTIONS: dict[str, Callable[[Seeder, str, Value], None] | None] = {
    "quotas": None,
    "vpcs": Seeder.vpc,
    "subnets": Seeder.subnet,
    "security_groups": Seeder.security_group,
    "rules": Seeder.rules,
    "instances": Seeder.instance,
    "addresses": Seeder.address,
    "certificates": Seeder.certificate,
    "target_groups": Seeder.target_group,
    "balancers": Seeder.balancer,
    "classic": Seeder.classic,
}


def _pairs(tags: Mapping[str, str]) -> list[dict[str, str]]:
    return [{"Key": key, "Value": str(value)} for key, value in tags.items()]


def _forward(to: Value) -> Json:
    """A forward action to one target group, or to pairs of group and weight."""
    if isinstance(to, str):
        return {"Type": "forward", "TargetGroupArn": to}
    weighted = [{"TargetGroupArn": group, "Weight": weight} for group, weight in to]
    return {"Type": "forward", "ForwardConfig": {"TargetGroups": weighted}}


def _with_tags(params: Json) -> Json:
    """API parameters with `Tags` written as a mapping."""
    return params | ({"Tags": _pairs(params["Tags"])} if "Tags" in params else {})


def nodes(ids: Mapping[str, str], topology: Json) -> list[Json]:
    """Kubernetes Node objects for the topology's instances: ready, with the provider id that AWS nodes have."""
    zones = {name: subnet["zone"] for name, subnet in topology["subnets"].items()}
    return [
        _node(name, ids[name], f"{REGION}{zones[entry['subnet'].removeprefix('$')]}")
        for name, entry in topology.get("instances", {}).items()
        if not entry.get("not_a_node")
    ]


def _node(name: str, instance_id: str, zone: str) -> Json:
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": name, "uid": f"uid-{name}", "labels": {"topology.kubernetes.io/zone": zone}},
        "spec": {"providerID": f"aws:///{zone}/{instance_id}"},
        "status": {"conditions": [{"type": "Ready", "status": "True"}]},
    }
