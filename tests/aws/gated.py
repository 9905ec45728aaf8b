"""Pods with readiness gates behind a Service on the honest AWS, with a kubelet and an endpoint controller for them.

The kubelet calls a pod ready when its containers are and all conditions of its gates are True; the endpoint controller
lists it accordingly. Both react within the write that they react to, so that no test waits for them.
"""

from __future__ import annotations

import itertools
from typing import Any

from lbctl.model.objects import (
    CONTAINERS_READY,
    Condition,
    Endpoint,
    EndpointConditions,
    EndpointPort,
    EndpointSlice,
    ObjectMeta,
    Pod,
    PodIP,
    PodSpec,
    PodStatus,
    ReadinessGate,
    Service,
    TargetRef,
)
from tests.aws.cluster import PODS, Cluster, service
from tests.world import NAMESPACE, change

PREFIX = "target-health.elbv2.k8s.aws/"
READY = "Ready"


class GatedCluster(Cluster):
    """A Cluster in which `web` is served by the pods that tests make; each pod serves the Services in its labels."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        self._slices: dict[str, EndpointSlice] = {}
        self._uids = itertools.count(1)
        super().__init__(*arguments, **options)

    def start(self) -> None:
        """Start a process that finds all slices and pods."""
        self._slices.clear()
        super().start()
        self.kube.pod_listeners.append(self._follow)

    def serve(self, name: str = "web", *, ports: tuple[int, ...] = (80,)) -> list[str]:
        """A Service that sends to pods; returns the gates of its target groups in the order of ports."""
        before = set(self.target_groups())
        self.apply(service(name, ports=ports, annotations=PODS, selector={"app": name}))
        made = [group for group in self.target_groups().values() if group["TargetGroupName"] not in before]
        return [PREFIX + group["TargetGroupName"] for group in sorted(made, key=lambda group: group["Port"])]

    def run_pod(
        self, name: str, address: str, *, gates: tuple[str, ...], serves: tuple[str, ...] = ("web",), ready: bool = True
    ) -> Pod:
        """A pod at an address of the VPC, whose containers are ready at once unless told otherwise."""
        meta = ObjectMeta(
            name=name,
            namespace=NAMESPACE,
            uid=f"{next(self._uids):08d}-0000-4000-9000-000000000000",
            labels=dict.fromkeys(serves, "yes"),
        )
        status = PodStatus(conditions=(_condition(CONTAINERS_READY, ready),), pod_ips=(PodIP(ip=address),))
        spec = PodSpec(readiness_gates=tuple(ReadinessGate(condition_type=gate) for gate in gates))
        return self.kube.put_pod(Pod(metadata=meta, spec=spec, status=status))

    def set_containers(self, name: str, *, ready: bool) -> None:
        """Let the pod's containers pass or fail their probes."""
        self.set_condition(name, CONTAINERS_READY, ready=ready)

    def set_condition(self, name: str, condition: str, *, ready: bool) -> None:
        """Set a condition of the pod as somebody else does."""
        self.kube.put_pod(_with_condition(self.pod(name), condition, ready))

    def stop_pod(self, name: str) -> None:
        """Remove the pod."""
        self.kube.delete_pod(f"{NAMESPACE}/{name}")

    def pod(self, name: str) -> Pod:
        """The pod as the API server has it."""
        return self.kube.pods[f"{NAMESPACE}/{name}"]

    def gate(self, name: str, condition: str) -> tuple[str, str, str]:
        """Status, reason and message of a pod's condition, empty while there is none."""
        found = self.pod(name).condition(condition)
        return (found.status, found.reason, found.message) if found is not None else ("", "", "")

    def is_ready(self, name: str) -> bool:
        """True when the kubelet calls the pod ready."""
        return self.pod(name).is_true(READY)

    def arn(self, gate: str) -> str:
        """ARN of the target group that the gate is named after."""
        arn: str = self.target_groups()[gate.removeprefix(PREFIX)]["TargetGroupArn"]
        return arn

    def states(self, gate: str) -> dict[str, str]:
        """What AWS says of each target of a group, by address."""
        reply = self.aws.backstage("elbv2").describe_target_health(TargetGroupArn=self.arn(gate))
        return {one["Target"]["Id"]: one["TargetHealth"]["State"] for one in reply["TargetHealthDescriptions"]}

    def health_reads(self) -> int:
        """Reads of targets' health since the log of calls was cleared."""
        return self.read_calls().count("elbv2.DescribeTargetHealth")

    def gate_writes(self) -> int:
        """Conditions that lbctl wrote on pods so far."""
        return self.kube.condition_writes

    def _back_with_pods(self, _old: Service | None, new: Service | None) -> None:
        if new is not None and new.spec.selector:
            self._publish(new)

    def _follow(self, _old: Pod | None, new: Pod | None) -> None:
        if new is not None:
            ready = new.is_true(CONTAINERS_READY) and all(new.is_true(gate) for gate in new.gates)
            if new.is_true(READY) != ready or new.condition(READY) is None:
                self.kube.put_pod(_with_condition(new, READY, ready))
                return
        for one in self.kube.list_services():
            if one.spec.selector:
                self._publish(one)

    def _publish(self, backed: Service) -> None:
        serving = [pod for pod in self.kube.pods.values() if backed.metadata.name in pod.metadata.labels]
        new = _slice(backed, [pod for pod in serving if pod.condition(READY) is not None])
        old = self._slices.get(backed.key)
        if new != old:
            self._slices[backed.key] = new
            self.controller.see_slice(old, new)


def _condition(kind: str, ready: bool) -> Condition:
    return Condition(type=kind, status="True" if ready else "False")


def _with_condition(pod: Pod, kind: str, ready: bool) -> Pod:
    others = tuple(one for one in pod.status.conditions if one.type != kind)
    return change(pod, status=change(pod.status, conditions=(*others, _condition(kind, ready))))


def _slice(backed: Service, pods: list[Pod]) -> EndpointSlice:
    meta = ObjectMeta(
        name=f"{backed.metadata.name}-1",
        namespace=backed.metadata.namespace,
        labels={"kubernetes.io/service-name": backed.metadata.name},
    )
    endpoints = tuple(
        Endpoint(
            addresses=(pod.addresses[0],),
            conditions=EndpointConditions(ready=pod.is_true(READY)),
            target_ref=TargetRef(
                kind="Pod", name=pod.metadata.name, namespace=pod.metadata.namespace, uid=pod.metadata.uid
            ),
        )
        for pod in pods
    )
    ports = tuple(EndpointPort(name=port.name, port=int(port.target_port)) for port in backed.spec.ports)
    return EndpointSlice(metadata=meta, endpoints=endpoints, ports=ports)
