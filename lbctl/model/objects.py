"""Kubernetes objects as we read them: immutable, slotted, only the fields that decide something.

The reflectors decode API JSON straight into these structs (unknown fields are skipped by the parser, which is what
keeps 5,000 Nodes in 15 MiB); everything after that works on them. The wire names are the API's, the attribute names
are snake case. Two structs are equal exactly when nothing that we look at has changed, so a heartbeat that only moves
`resourceVersion` compares equal through `same_as`.
"""

from __future__ import annotations

from typing import Any

import msgspec


class View(msgspec.Struct, frozen=True, gc=False, rename="camel", kw_only=True, omit_defaults=True):
    """Base of all views: camel-case on the wire, immutable, outside of the cyclic garbage collector."""


class ObjectMeta(View, frozen=True):
    """Object metadata."""

    name: str
    namespace: str = ""
    uid: str = ""
    resource_version: str = ""
    deletion_timestamp: str | None = None
    creation_timestamp: str | None = None
    labels: dict[str, str] = {}
    annotations: dict[str, str] = {}
    finalizers: tuple[str, ...] = ()

    def is_older_than(self, other: ObjectMeta) -> bool:
        """True when this is an earlier state than the other of the same object.

        Versions are integers that grow on every server that stores in etcd; where they are not, nothing is older.
        """
        versions = (self.resource_version, other.resource_version)
        return all(version.isdigit() for version in versions) and int(versions[0]) < int(versions[1])


class ServicePort(View, frozen=True):
    """One port of a Service; `node_port` is 0 when none is allocated."""

    port: int
    protocol: str = "TCP"
    name: str = ""
    target_port: int | str = 0
    node_port: int = 0
    app_protocol: str | None = None


class ClientIPConfig(View, frozen=True):
    """Session affinity by client address."""

    timeout_seconds: int | None = None


class SessionAffinityConfig(View, frozen=True):
    """Options of the session affinity."""

    client_ip: ClientIPConfig | None = msgspec.field(default=None, name="clientIP")


class ServiceSpec(View, frozen=True):
    """Everything of `spec` that any driver or the claim rule looks at."""

    type: str = "ClusterIP"
    ports: tuple[ServicePort, ...] = ()
    load_balancer_class: str | None = None
    load_balancer_ip: str | None = msgspec.field(default=None, name="loadBalancerIP")
    load_balancer_source_ranges: tuple[str, ...] = ()
    external_traffic_policy: str = "Cluster"
    health_check_node_port: int = 0
    session_affinity: str = "None"
    session_affinity_config: SessionAffinityConfig | None = None
    ip_families: tuple[str, ...] = ()
    ip_family_policy: str | None = None
    allocate_load_balancer_node_ports: bool = True
    cluster_ip: str = msgspec.field(default="", name="clusterIP")
    traffic_distribution: str | None = None
    selector: dict[str, str] = {}


class PortStatus(View, frozen=True):
    """State of one published port."""

    port: int
    protocol: str = "TCP"
    error: str | None = None


class Ingress(View, frozen=True):
    """One published address: an IP, a host name, or both."""

    ip: str | None = None
    hostname: str | None = None
    ip_mode: str | None = None
    ports: tuple[PortStatus, ...] = ()


class LoadBalancerStatus(View, frozen=True):
    """`status.loadBalancer`."""

    ingress: tuple[Ingress, ...] = ()


class Condition(View, frozen=True):
    """A `metav1.Condition`."""

    type: str
    status: str = "Unknown"
    reason: str = ""
    message: str = ""
    last_transition_time: str | None = None
    observed_generation: int = 0


class ServiceStatus(View, frozen=True):
    """`status` of a Service."""

    load_balancer: LoadBalancerStatus = LoadBalancerStatus()
    conditions: tuple[Condition, ...] = ()


class Service(View, frozen=True):
    """A Service as the API server holds it."""

    metadata: ObjectMeta
    spec: ServiceSpec = ServiceSpec()
    status: ServiceStatus = ServiceStatus()

    @property
    def key(self) -> str:
        """`namespace/name`."""
        return f"{self.metadata.namespace}/{self.metadata.name}"

    def same_as(self, other: Service) -> bool:
        """True when the two differ in nothing but `resourceVersion`."""
        return (
            self.spec == other.spec
            and self.status == other.status
            and _without_version(self.metadata) == _without_version(other.metadata)
        )


class Taint(View, frozen=True):
    """A taint of a Node."""

    key: str
    effect: str = ""
    value: str = ""


class NodeSpec(View, frozen=True):
    """`spec` of a Node."""

    provider_id: str = msgspec.field(default="", name="providerID")
    taints: tuple[Taint, ...] = ()
    unschedulable: bool = False


class NodeAddress(View, frozen=True):
    """One address of a Node."""

    type: str
    address: str


class NodeCondition(View, frozen=True):
    """One condition of a Node, without its heartbeat times."""

    type: str
    status: str = "Unknown"


class NodeStatus(View, frozen=True):
    """`status` of a Node; images, capacity and heartbeats are never decoded."""

    addresses: tuple[NodeAddress, ...] = ()
    conditions: tuple[NodeCondition, ...] = ()


class Node(View, frozen=True):
    """A Node as the API server holds it."""

    metadata: ObjectMeta
    spec: NodeSpec = NodeSpec()
    status: NodeStatus = NodeStatus()

    @property
    def key(self) -> str:
        """The Node's name."""
        return self.metadata.name

    def same_as(self, other: Node) -> bool:
        """True when the two differ in nothing but `resourceVersion` and annotations, which no rule on Nodes reads."""
        return (
            self.spec == other.spec
            and self.status == other.status
            and _identity_of_node(self.metadata) == _identity_of_node(other.metadata)
        )


class EndpointConditions(View, frozen=True):
    """Readiness of an endpoint; None means true for `ready` and `serving`."""

    ready: bool | None = None
    serving: bool | None = None
    terminating: bool | None = None


class TargetRef(View, frozen=True):
    """The Pod behind an endpoint."""

    kind: str = ""
    name: str = ""
    namespace: str = ""
    uid: str = ""


class Endpoint(View, frozen=True):
    """One endpoint of a slice."""

    addresses: tuple[str, ...] = ()
    conditions: EndpointConditions = EndpointConditions()
    node_name: str | None = None
    zone: str | None = None
    target_ref: TargetRef | None = None


class EndpointPort(View, frozen=True):
    """One port of a slice."""

    name: str = ""
    port: int | None = None
    protocol: str = "TCP"


SERVICE_NAME_LABEL = "kubernetes.io/service-name"


class EndpointSlice(View, frozen=True):
    """An EndpointSlice as the API server holds it."""

    metadata: ObjectMeta
    address_type: str = "IPv4"
    endpoints: tuple[Endpoint, ...] | None = ()  # the server writes null for a Service without pods
    ports: tuple[EndpointPort, ...] | None = ()

    @property
    def key(self) -> str:
        """`namespace/name` of the slice."""
        return f"{self.metadata.namespace}/{self.metadata.name}"

    @property
    def service_key(self) -> str:
        """`namespace/name` of the Service that the slice belongs to."""
        return f"{self.metadata.namespace}/{self.metadata.labels.get(SERVICE_NAME_LABEL, '')}"

    def same_as(self, other: EndpointSlice) -> bool:
        """True when the two differ in nothing but `resourceVersion` and annotations."""
        return (
            self.endpoints == other.endpoints
            and self.ports == other.ports
            and self.address_type == other.address_type
            and self.metadata.uid == other.metadata.uid
            and self.metadata.labels == other.metadata.labels
        )


class ReadinessGate(View, frozen=True):
    """A condition that a Pod waits for besides its containers; somebody outside of the cluster's node sets it."""

    condition_type: str = ""


class PodSpec(View, frozen=True):
    """`spec` of a Pod; containers and volumes are never decoded."""

    readiness_gates: tuple[ReadinessGate, ...] = ()


class PodIP(View, frozen=True):
    """One address of a Pod."""

    ip: str = ""


class PodStatus(View, frozen=True):
    """`status` of a Pod."""

    conditions: tuple[Condition, ...] = ()
    pod_ips: tuple[PodIP, ...] = msgspec.field(default=(), name="podIPs")


CONTAINERS_READY = "ContainersReady"


class Pod(View, frozen=True):
    """A Pod as the API server holds it."""

    metadata: ObjectMeta
    spec: PodSpec = PodSpec()
    status: PodStatus = PodStatus()

    @property
    def key(self) -> str:
        """`namespace/name`."""
        return f"{self.metadata.namespace}/{self.metadata.name}"

    @property
    def gates(self) -> tuple[str, ...]:
        """Types of the conditions that have to be True, besides its containers, before the Pod is ready."""
        return tuple(gate.condition_type for gate in self.spec.readiness_gates)

    @property
    def addresses(self) -> tuple[str, ...]:
        """Its addresses, one a family."""
        return tuple(entry.ip for entry in self.status.pod_ips)

    def condition(self, condition_type: str) -> Condition | None:
        """The condition of this type."""
        return next((one for one in self.status.conditions if one.type == condition_type), None)

    def is_true(self, condition_type: str) -> bool:
        """True when the condition of this type is."""
        found = self.condition(condition_type)
        return found is not None and found.status == "True"

    def same_as(self, other: Pod) -> bool:
        """True when the two differ in nothing but `resourceVersion`, labels and annotations."""
        return (
            self.spec == other.spec
            and self.status == other.status
            and self.metadata.uid == other.metadata.uid
            and self.metadata.deletion_timestamp == other.metadata.deletion_timestamp
        )


class CustomObject(View, frozen=True):
    """An object of a custom kind; what its `spec` means is for the driver that refers to it."""

    metadata: ObjectMeta
    spec: dict[str, Any] = {}

    @property
    def key(self) -> str:
        """`namespace/name`, or the name of an object without namespace."""
        return f"{self.metadata.namespace}/{self.metadata.name}" if self.metadata.namespace else self.metadata.name

    def same_as(self, other: CustomObject) -> bool:
        """True when the two differ in nothing but their metadata."""
        return self.spec == other.spec and self.metadata.uid == other.metadata.uid


def _without_version(meta: ObjectMeta) -> tuple[object, ...]:
    return (meta.uid, meta.deletion_timestamp, meta.labels, meta.annotations, meta.finalizers)


def _identity_of_node(meta: ObjectMeta) -> tuple[object, ...]:
    return (meta.uid, meta.deletion_timestamp, meta.labels)
