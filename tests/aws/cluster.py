"""One cluster on the honest AWS: the real engine, the real driver, the real SDK over HTTP.

`Cluster.start(aws, topology)` seeds the cloud and starts an lbctl; everything a test does goes through `tests.world`.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import msgspec

import lbctl_aws
from lbctl.clock import ManualClock, SystemClock
from lbctl.driver import Cluster as Ours
from lbctl.driver import Driver, Setup
from lbctl.model.objects import (
    Endpoint,
    EndpointConditions,
    EndpointPort,
    EndpointSlice,
    Node,
    ObjectMeta,
    Service,
    ServicePort,
    ServiceSpec,
    TargetRef,
)
from lbctl.plan.policy import Policy
from lbctl_aws.annotations import AWS
from lbctl_aws.settings import AwsSettings
from moto_fixtures.world import AwsWorld, Scene
from tests.world import MemoryKube, World

NLB = {AWS + "type": "nlb"}
EXTERNAL = {AWS + "type": "external", AWS + "nlb-target-type": "instance", AWS + "scheme": "internet-facing"}
CLASSIC: dict[str, str] = {}
PODS = {**EXTERNAL, AWS + "nlb-target-type": "ip"}
# With instances as targets; then all, with pods as targets too.
MODES = {"classic": CLASSIC, "nlb": NLB, "external": EXTERNAL}
EVERY_MODE = {**MODES, "pods": PODS}
POD_ADDRESSES = ("10.0.10.101", "10.0.11.102")


class Cluster(World):
    """A World whose cloud is AWS."""

    def __init__(self, aws: AwsWorld, scene: Scene, *, policy: Policy | None = None, **settings: Any) -> None:
        self.aws = aws
        self.scene = scene
        self.pods: tuple[str, ...] = POD_ADDRESSES
        self.documents: dict[str, dict[str, str]] = {}
        endpoints = dict.fromkeys(("ec2", "elb", "elbv2", "iam", "sts"), aws.endpoint)
        usual = {"region": aws.region, "vpc_id": scene["main"], "endpoints": endpoints}
        chosen = AwsSettings(**{**usual, **settings})
        kube = MemoryKube()
        kube.nodes = {node.metadata.name: node for node in (msgspec.convert(raw, Node) for raw in scene.nodes)}
        # The cloud stamps what it makes with the machine's time, and the driver compares stamps with its own clock.
        clock = ManualClock(SystemClock().now())
        aws.follow(clock.monotonic)
        super().__init__(
            replace(lbctl_aws.DRIVER, connect=self._connect),
            kube=kube,
            settings=chosen,
            nodes=(),
            cluster=Ours("demo", "demo"),
            policy=policy,
            clock=clock,
        )

    def _connect(self, setup: Setup) -> Driver:
        return lbctl_aws.DRIVER.connect(replace(setup, read_document=self.documents.get))

    def start(self) -> None:
        """Start a process; each Service that sends to pods has two of them."""
        super().start()
        self.kube.listeners.append(self._back_with_pods)
        for one in self.kube.list_services():
            self._back_with_pods(None, one)

    def _back_with_pods(self, _old: Service | None, new: Service | None) -> None:
        if new is not None and new.metadata.annotations.get(AWS + "nlb-target-type") == "ip":
            self.controller.see_slice(None, ready_pods(new, self.pods))

    def move_pods(self, *addresses: str) -> None:
        """From now on the pods of every Service that sends to pods have these addresses."""
        for one in self.kube.list_services():
            if one.metadata.annotations.get(AWS + "nlb-target-type") == "ip":
                self.controller.see_slice(ready_pods(one, self.pods), ready_pods(one, addresses))
        self.pods = addresses

    def pods_own_group(self, name: str, address: str) -> None:
        """A security group on an interface of its own at this address."""
        ec2 = self.aws.backstage("ec2")
        made = ec2.create_security_group(GroupName=name, Description="theirs", VpcId=self.scene["main"])
        private = self.scene["private-a"]
        ec2.create_network_interface(SubnetId=private, PrivateIpAddress=address, Groups=[made["GroupId"]])

    @classmethod
    def begin(cls, aws: AwsWorld, topology: Any = "basic", **settings: Any) -> Cluster:
        """Seed the topology and start, without any Service."""
        cluster = cls(aws, aws.seed(topology), **settings)
        cluster.settle()
        return cluster

    def write_calls(self) -> list[str]:
        """The writing calls since the log was cleared."""
        return [f"{record.service}.{record.operation}" for record in self.aws.calls.writes]

    def read_calls(self) -> list[str]:
        """The reading calls since the log was cleared."""
        return [f"{record.service}.{record.operation}" for record in self.aws.calls.reads]

    def balancers(self) -> list[Any]:
        """All network balancers of this cluster's VPC, as the API describes them."""
        listed = self.aws.backstage("elbv2").describe_load_balancers()["LoadBalancers"]
        return [one for one in listed if one["VpcId"] == self.scene["main"]]

    def classics(self) -> list[Any]:
        """All classic balancers of this cluster's VPC."""
        listed = self.aws.backstage("elb").describe_load_balancers()["LoadBalancerDescriptions"]
        return [one for one in listed if one["LoadBalancerName"] != "a0prod"]

    def groups(self) -> dict[str, Any]:
        """Security groups of the VPC by name."""
        filters = [{"Name": "vpc-id", "Values": [self.scene["main"]]}]
        listed = self.aws.backstage("ec2").describe_security_groups(Filters=filters)["SecurityGroups"]
        return {one["GroupName"]: one for one in listed}

    def target_groups(self) -> dict[str, Any]:
        """Target groups of the VPC by name."""
        listed = self.aws.backstage("elbv2").describe_target_groups()["TargetGroups"]
        return {one["TargetGroupName"]: one for one in listed if one["VpcId"] == self.scene["main"]}

    def targets(self, group: str) -> set[tuple[str, int]]:
        """Targets of a target group that do not drain."""
        arn = self.target_groups()[group]["TargetGroupArn"]
        health = self.aws.backstage("elbv2").describe_target_health(TargetGroupArn=arn)["TargetHealthDescriptions"]
        return {
            (one["Target"]["Id"], one["Target"]["Port"]) for one in health if one["TargetHealth"]["State"] != "draining"
        }

    def listeners(self, balancer: Any) -> dict[int, Any]:
        """Listeners of a network balancer by port."""
        reply = self.aws.backstage("elbv2").describe_listeners(LoadBalancerArn=balancer["LoadBalancerArn"])
        return {one["Port"]: one for one in reply["Listeners"]}

    def state(self) -> dict[str, Any]:
        """The cloud's state, without the count of free addresses, which the counterpart does not give back."""
        state: dict[str, Any] = self.aws.state()
        state["subnets"] = {
            name: {key: value for key, value in one.items() if key != "AvailableIpAddressCount"}
            for name, one in state["subnets"].items()
        }
        return state


def ready_pods(backed: Service, addresses: tuple[str, ...] = POD_ADDRESSES) -> EndpointSlice:
    """The EndpointSlice of a Service with pods at these addresses, which listen on its target ports."""
    meta = ObjectMeta(
        name=f"{backed.metadata.name}-1",
        namespace=backed.metadata.namespace,
        labels={"kubernetes.io/service-name": backed.metadata.name},
    )
    endpoints = tuple(
        Endpoint(
            addresses=(address,),
            conditions=EndpointConditions(ready=True),
            target_ref=TargetRef(kind="Pod", name=f"pod-{address}", namespace=backed.metadata.namespace),
        )
        for address in addresses
    )
    ports = tuple(EndpointPort(name=port.name, port=int(port.target_port)) for port in backed.spec.ports)
    return EndpointSlice(metadata=meta, endpoints=endpoints, ports=ports)


def service(
    name: str = "web",
    *,
    ports: tuple[int, ...] = (80,),
    annotations: dict[str, str] | None = None,
    namespace: str = "shop",
    node_ports: dict[int, int] | None = None,
    protocols: dict[int, str] | None = None,
    **spec: Any,
) -> Service:
    """A Service of type LoadBalancer; node ports are 31000 + the port unless given."""
    given, spoken = node_ports or {}, protocols or {}
    listed = tuple(
        ServicePort(
            port=port,
            node_port=given.get(port, 31000 + port % 1000),
            name=f"p{port}",
            target_port=port,
            protocol=spoken.get(port, "TCP"),
        )
        for port in ports
    )
    return Service(
        metadata=ObjectMeta(name=name, namespace=namespace, annotations=annotations or {}),
        spec=ServiceSpec(**{"type": "LoadBalancer", "ports": listed, "ip_families": ("IPv4",), **spec}),
    )
