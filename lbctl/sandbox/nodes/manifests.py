"""The Node, Pod and EndpointSlice objects that the fleet writes: pure functions to API JSON.

Only the cluster calls them. They hold what a kubelet and the endpoint slice controller would write and somebody reads.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from lbctl.model.objects import SERVICE_NAME_LABEL

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Iterable, Mapping

    from lbctl.model.objects import Service

MANAGED_BY_LABEL = "endpointslice.kubernetes.io/managed-by"
MANAGER = "sandbox.lbctl.io"
POD_LABEL = "sandbox.lbctl.io/workload"
CONTAINER = "echo"
IMAGE = "sandbox.lbctl.io/echo"
ZONE_LABEL = "topology.kubernetes.io/zone"
Manifest = dict[str, Any]


@dataclass(frozen=True, slots=True)
class PodState:
    """What the API shows of one pod; `ports_v6` maps served ports to those bound on `::1`, empty without IPv6."""

    namespace: str
    name: str
    workload: str
    node: str
    zone: str
    address: str
    ready: bool
    terminating: bool
    labels: frozenset[tuple[str, str]]
    ports_v6: tuple[tuple[tuple[int, str], int], ...] = ()

    @property
    def key(self) -> str:
        """`namespace/name`."""
        return f"{self.namespace}/{self.name}"


def node_manifest(name: str, *, address: str, zone: str, labels: Mapping[str, str], now: dt.datetime) -> Manifest:
    """A ready Node as a kubelet registers it."""
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {
            "name": name,
            "labels": {
                "kubernetes.io/hostname": name,
                "kubernetes.io/os": "linux",
                ZONE_LABEL: zone,
                **labels,
            },
        },
        "spec": {"providerID": f"sandbox://{name}"},
        "status": node_status(name, address=address, condition=node_condition(ready=True, since=now, now=now)),
    }


def node_status(name: str, *, address: str, condition: Manifest) -> Manifest:
    """`status` of a Node."""
    addresses = [{"type": "InternalIP", "address": address}, {"type": "Hostname", "address": name}]
    return {"addresses": addresses, "conditions": [condition]}


def node_condition(*, ready: bool, since: dt.datetime, now: dt.datetime) -> Manifest:
    """The Ready condition of a Node, as it is `since` and as a heartbeat confirms it now."""
    return {
        "type": "Ready",
        "status": "True" if ready else "False",
        "reason": "KubeletReady" if ready else "KubeletNotReady",
        "message": "simulated",
        "lastHeartbeatTime": _stamp(now),
        "lastTransitionTime": _stamp(since),
    }


def pod_manifest(pod: PodState) -> Manifest:
    """A Pod as scheduler and kubelet leave it; without its ports, because no API server lets those change."""
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "namespace": pod.namespace,
            "name": pod.name,
            "labels": {**dict(sorted(pod.labels)), POD_LABEL: pod.workload},
        },
        "spec": {"nodeName": pod.node, "containers": [{"name": CONTAINER, "image": IMAGE}]},
        "status": pod_status(pod),
    }


def pod_status(pod: PodState) -> Manifest:
    """`status` of a Pod."""
    ready = "True" if pod.ready else "False"
    return {
        "phase": "Running",
        "podIP": pod.address,
        "podIPs": [{"ip": pod.address}],
        "conditions": [{"type": kind, "status": ready} for kind in ("Ready", "ContainersReady")],
        "containerStatuses": [
            {"name": CONTAINER, "image": IMAGE, "imageID": "", "ready": pod.ready, "restartCount": 0},
        ],
    }


def slice_manifests(service: Service, pods: Iterable[tuple[PodState, tuple[int, ...]]]) -> dict[str, Manifest]:
    """EndpointSlices of a Service by name, from its pods and the number that each serves for each Service port.

    IPv4 pods that serve the same numbers share a slice. IPv6 pods all live on `::1` and have ports of their own, so
    each has its own slice.
    """
    known = sorted(pods, key=lambda pod: pod[0].name)
    families = service.spec.ip_families or ("IPv4",)
    slices: dict[str, Manifest] = {}
    if "IPv4" in families:
        slices |= _slices_v4(service, known)
    if "IPv6" in families:
        slices |= _slices_v6(service, known)
    return slices


def _slices_v4(service: Service, pods: list[tuple[PodState, tuple[int, ...]]]) -> dict[str, Manifest]:
    by_numbers: dict[tuple[int, ...], list[PodState]] = {}
    for pod, numbers in pods:
        by_numbers.setdefault(numbers, []).append(pod)
    slices = (
        _slice(service, f"ipv4-{index}", numbers, [_endpoint(pod, pod.address) for pod in sharing])
        for index, (numbers, sharing) in enumerate(sorted(by_numbers.items()))
    )
    return {one["metadata"]["name"]: one for one in slices}


def _slices_v6(service: Service, pods: list[tuple[PodState, tuple[int, ...]]]) -> dict[str, Manifest]:
    slices = []
    for pod, numbers in pods:
        bound = dict(pod.ports_v6)
        wanted = [(number, port.protocol) for number, port in zip(numbers, service.spec.ports, strict=True)]
        if bound.keys() >= set(wanted):
            own = tuple(bound[key] for key in wanted)
            slices.append(_slice(service, f"ipv6-{pod.name}", own, [_endpoint(pod, "::1")], family="IPv6"))
    return {one["metadata"]["name"]: one for one in slices}


def _slice(
    service: Service, suffix: str, numbers: tuple[int, ...], endpoints: list[Manifest], family: str = "IPv4"
) -> Manifest:
    meta = service.metadata
    owner = {
        "apiVersion": "v1",
        "kind": "Service",
        "name": meta.name,
        "uid": meta.uid,
        "controller": True,
        "blockOwnerDeletion": True,
    }
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {
            "namespace": meta.namespace,
            "name": f"{meta.name}-{suffix}",
            "labels": {SERVICE_NAME_LABEL: meta.name, MANAGED_BY_LABEL: MANAGER},
            "ownerReferences": [owner],
        },
        "addressType": family,
        "endpoints": endpoints,
        "ports": [
            {"name": port.name, "port": number, "protocol": port.protocol}
            for port, number in zip(service.spec.ports, numbers, strict=True)
        ],
    }


def _endpoint(pod: PodState, address: str) -> Manifest:
    return {
        "addresses": [address],
        # A pod that leaves is not ready but goes on serving until it is gone (KEP-1672).
        "conditions": {
            "ready": pod.ready and not pod.terminating,
            "serving": pod.ready,
            "terminating": pod.terminating,
        },
        "nodeName": pod.node,
        "zone": pod.zone,
        "targetRef": {"kind": "Pod", "namespace": pod.namespace, "name": pod.name},
    }


def _stamp(now: dt.datetime) -> str:
    return now.strftime("%Y-%m-%dT%H:%M:%SZ")
