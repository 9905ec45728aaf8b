"""Which pods should exist, and what each of them serves: pure functions of Services, Deployments and Nodes.

A Deployment in the API is a workload; a Service whose selector no Deployment satisfies gets a workload of its own, so
that any Service has pods behind it. `Pods` makes the world follow.
"""

from __future__ import annotations

import re
import zlib
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec

from lbctl.model.objects import ObjectMeta, View
from lbctl.sandbox.nodes.echo import ContainerPort, Speech
from lbctl.sandbox.nodes.rules import PROXIED_PROTOCOLS

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from lbctl.model.objects import Service, ServicePort

REPLICAS_ANNOTATION = "sandbox.lbctl.io/replicas"
DEFAULT_REPLICAS = 3
PRIVILEGED_SHIFT = 20000
"""Added to target ports below 1024, which only root may bind; EndpointSlices show the port that is served."""

_FIRST_UNPRIVILEGED = 1024
_NAMED_PORTS = {"http": 8080, "web": 8080, "https": 8443, "grpc": 9090, "metrics": 9100}
_SPEECH_BY_HINT = (("http", Speech.HTTP), ("web", Speech.HTTP), ("tcp", Speech.TCP))


class NamedPort(View, frozen=True):
    """A port of a container."""

    name: str = ""
    container_port: int = 0
    protocol: str = "TCP"


class Container(View, frozen=True):
    """A container of a pod template."""

    ports: tuple[NamedPort, ...] = ()


class TemplateSpec(View, frozen=True):
    """`spec` of a pod template."""

    containers: tuple[Container, ...] = ()


class TemplateMeta(View, frozen=True):
    """`metadata` of a pod template."""

    labels: dict[str, str] = msgspec.field(default_factory=dict)


class Template(View, frozen=True):
    """The pod template of a Deployment."""

    metadata: TemplateMeta = TemplateMeta()
    spec: TemplateSpec = TemplateSpec()


class DeploymentSpec(View, frozen=True):
    """`spec` of a Deployment."""

    replicas: int = 1
    template: Template = Template()


class Deployment(View, frozen=True):
    """A Deployment as the API server holds it."""

    metadata: ObjectMeta
    spec: DeploymentSpec = DeploymentSpec()

    @property
    def key(self) -> str:
        """`namespace/name`."""
        return f"{self.metadata.namespace}/{self.metadata.name}"


@dataclass(frozen=True, slots=True)
class Workload:
    """A number of equal pods in one namespace."""

    namespace: str
    name: str
    replicas: int
    labels: frozenset[tuple[str, str]]
    named_ports: tuple[tuple[str, int], ...] = ()

    @property
    def key(self) -> str:
        """`namespace/name`; the name of a workload that a Service implies ends in a hash of its selector."""
        return f"{self.namespace}/{self.name}"

    def is_selected_by(self, service: Service) -> bool:
        """True when the Service's selector picks these pods."""
        wanted = service.spec.selector
        return bool(wanted) and service.metadata.namespace == self.namespace and wanted.items() <= self.labels


def workloads_of(services: Iterable[Service], deployments: Iterable[Deployment]) -> dict[str, Workload]:
    """Every workload by key: the Deployments, and one for each selector that none of them satisfies."""
    found = {workload.key: workload for workload in map(_of_deployment, deployments)}
    declared = tuple(found.values())
    implied: dict[tuple[str, frozenset[tuple[str, str]]], list[Service]] = defaultdict(list)
    for service in services:
        if service.spec.selector and not any(workload.is_selected_by(service) for workload in declared):
            implied[service.metadata.namespace, frozenset(service.spec.selector.items())].append(service)
    for (namespace, labels), sharing in implied.items():
        workload = Workload(namespace, _implied_name(labels), max(map(replicas_of, sharing)), labels)
        found[workload.key] = workload
    return found


def replicas_of(service: Service) -> int:
    """The number of pods that a Service asks for; the default where the annotation is not a whole number."""
    text = service.metadata.annotations.get(REPLICAS_ANNOTATION, "")
    return int(text) if text.isdecimal() else DEFAULT_REPLICAS


def container_ports(workload: Workload, services: Iterable[Service]) -> frozenset[ContainerPort]:
    """Every port that the pods of `workload` serve, for all Services that select them."""
    speeches: dict[tuple[int, str], set[Speech]] = defaultdict(set)
    names: dict[tuple[int, str], set[str]] = defaultdict(set)
    for service in services:
        if not workload.is_selected_by(service):
            continue
        for port in service.spec.ports:
            if port.protocol in PROXIED_PROTOCOLS:
                key = (target_number(port, workload), port.protocol)
                speeches[key].add(speech_of(port))
                names[key].add(service.metadata.name)
    return frozenset(
        ContainerPort(number, protocol, _agreed(speeches[number, protocol]), tuple(sorted(names[number, protocol])))
        for number, protocol in speeches
    )


def target_number(port: ServicePort, workload: Workload) -> int:
    """The port number that the pods serve for a Service port; the same in every run.

    A name is looked up in the Deployment's containers, then among well-known names, then hashed into 8100 to 8999.
    """
    target = port.target_port or port.port
    if isinstance(target, str):
        declared = dict(workload.named_ports).get(target)
        target = declared or _NAMED_PORTS.get(target) or 8100 + zlib.crc32(target.encode()) % 900
    return target if target >= _FIRST_UNPRIVILEGED else target + PRIVILEGED_SHIFT


def speech_of(port: ServicePort) -> Speech:
    """What a Service port speaks, by its protocol, `appProtocol` or name; `DETECT` when nothing tells."""
    if port.protocol == "UDP":
        return Speech.UDP
    for hint in (port.app_protocol or "", port.name):
        for start, speech in _SPEECH_BY_HINT:
            # https needs a certificate that nobody here has: its bytes are echoed as they come.
            if hint.startswith(start) and not hint.startswith("https"):
                return speech
    return Speech.DETECT


def roomiest(nodes: Iterable[str], *, own: Mapping[str, int], all_pods: Mapping[str, int]) -> str | None:
    """The node for the next pod: fewest pods of its workload, then fewest pods, then by name; None without nodes."""
    return min(nodes, key=lambda node: (own.get(node, 0), all_pods.get(node, 0), node), default=None)


def _of_deployment(deployment: Deployment) -> Workload:
    template = deployment.spec.template
    ports = (port for container in template.spec.containers for port in container.ports)
    return Workload(
        deployment.metadata.namespace,
        deployment.metadata.name,
        deployment.spec.replicas,
        frozenset(template.metadata.labels.items()),
        tuple((port.name, port.container_port) for port in ports if port.name),
    )


def _implied_name(labels: frozenset[tuple[str, str]]) -> str:
    ordered = sorted(labels)
    words = re.sub("[^a-z0-9]+", "-", "-".join(value for _, value in ordered).lower())[:40].strip("-")
    return f"{words or 'pods'}-{zlib.crc32(repr(ordered).encode()):08x}"


def _agreed(speeches: set[Speech]) -> Speech:
    return next(iter(speeches)) if len(speeches) == 1 else Speech.DETECT
