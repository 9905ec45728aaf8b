"""Recorded states of both upstream controllers, with the Services that they were made for.

A Service is as the topology's `about` says, with the uid that upstream derived its names from.
"""

from __future__ import annotations

from collections.abc import Mapping

from lbctl.model.objects import Service, ServicePort
from lbctl_aws.annotations import AWS
from moto_fixtures.world import AwsWorld
from tests.aws.cluster import EXTERNAL, NLB, PODS, Cluster, ready_pods, service
from tests.aws.weighted import action, annotated
from tests.world import change

WEB_UID = "8c9a1f1e-52f4-4b0e-9a53-0d6b6f3f2a10"
STREAM_UID = "b1de5e2c-0d0b-4f0c-8a5c-5b6f6a1c9d02"
API_UID = "c2ef6f3d-1e1c-4a1d-9b6d-6c7a7b2dae03"
CANARY_UID = "d3f07a4e-2f2d-4b2e-8c7e-7d8b8c3ebf04"


def _as(uid: str, wanted: Service) -> Service:
    return change(wanted, metadata=change(wanted.metadata, uid=uid))


def _api() -> Service:
    wanted = service("api", namespace="default", annotations={**PODS, AWS + "scheme": "internal"})
    port = ServicePort(port=80, node_port=31081, name="p80", target_port=8080)
    return change(wanted, spec=change(wanted.spec, ports=(port,)))


def _canary() -> Service:
    wanted = service("canary", namespace="default", type="ClusterIP")
    port = ServicePort(port=8080, name="p8080", target_port=9090)
    return change(wanted, spec=change(wanted.spec, ports=(port,)))


def _weighted(one: Service) -> Service:
    annotations = annotated(one.metadata.annotations, {"TCP-80": action(weight=25, base=75)})
    return change(one, metadata=change(one.metadata, annotations=annotations))


CLASSIC = _as(WEB_UID, service("web", namespace="default", node_ports={80: 31000}))
STREAM = _as(
    STREAM_UID,
    service("stream", ports=(80, 443), namespace="default", annotations=NLB, node_ports={80: 31080, 443: 31443}),
)
INSTANCES = _as(
    WEB_UID,
    service("web", ports=(80, 443), namespace="default", annotations=EXTERNAL, node_ports={80: 31000, 443: 31443}),
)
CCM: tuple[Service, ...] = (CLASSIC, STREAM)
LBC: tuple[Service, ...] = (INSTANCES, _as(API_UID, _api()))
WEIGHTED: tuple[Service, ...] = (INSTANCES, _as(API_UID, _weighted(_api())), _as(CANARY_UID, _canary()))


def _leaving(one: Service, finalizer: str) -> Service:
    """The Service as it waits for its finalizer."""
    gone = "2026-01-01T00:00:00Z"
    return change(one, metadata=change(one.metadata, deletion_timestamp=gone, finalizers=(finalizer,)))


RECORDED: Mapping[str, tuple[Service, ...]] = {
    "ccm-existing": CCM,
    "lbc-existing": LBC,
    "lbc-weighted": WEIGHTED,
    "half-created-ccm": CCM,
    "half-created-lbc": (INSTANCES,),
    "half-deleted-ccm": tuple(_leaving(one, "service.kubernetes.io/load-balancer-cleanup") for one in CCM),
    "half-deleted-lbc": (_leaving(INSTANCES, "service.kubernetes.io/load-balancer-cleanup"),),
}


def begin(aws: AwsWorld, topology: str, services: tuple[Service, ...] | None = None) -> Cluster:
    """A cluster on a recorded state, started with its Services, before any work is done."""
    cluster = Cluster(aws, aws.seed(topology))
    for wanted in RECORDED[topology] if services is None else services:
        cluster.kube.overwrite(wanted)
        if wanted.spec.type == "ClusterIP":
            slices = ready_pods(wanted)
            cluster.slices[slices.key] = slices
    cluster.start()
    return cluster
