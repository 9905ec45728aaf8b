"""Which nodes or pods a balancer sends to. Pure.

A target is a text: an instance id or a pod address, with `|PORT` where its port is not the target group's own, and
`@ZONE` where the API wants a zone. Sets of instances are shared by all Services of one generation of nodes.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from lbctl.driver import World
from lbctl.model.intent import Intent, Port
from lbctl.model.node import condition, has_taint, is_eligible
from lbctl.model.objects import Endpoint, EndpointSlice, Node
from lbctl.model.resource import Identity
from lbctl_aws.backends import find_backends
from lbctl_aws.gates import waits_only_for_us
from lbctl_aws.network import Network
from lbctl_aws.options import Options, options_of

INSTANCE_ID = re.compile(r"i-[^/]*")
KARPENTER_TAINT = "karpenter.sh/disrupted"
COMPUTE_TYPE, FARGATE = "eks.amazonaws.com/compute-type", "fargate"
ALL_ZONES = "all"


def instance_id(node: Node) -> str | None:
    """The instance behind a Node, or None (fargate, hybrid and not yet registered nodes).

    Forms `aws:///ZONE/i-…`, `aws:////i-…` and bare `i-…` (cloud-provider-aws, instances.go: MapToAWSInstanceID).
    """
    last = node.spec.provider_id.rpartition("/")[2]
    known = not node.spec.provider_id.startswith("eks-hybrid:") and INSTANCE_ID.fullmatch(last)
    return last if known else None


def is_target(node: Node) -> bool:
    """True when the node is an instance that balancers may send to, whatever its readiness."""
    return (
        is_eligible(node)
        and instance_id(node) is not None
        and not has_taint(node, KARPENTER_TAINT)
        and node.metadata.labels.get(COMPUTE_TYPE) != FARGATE
    )


@dataclass(frozen=True, slots=True)
class InstanceIds:
    """Derives the instance ids of a node set, of nodes with these labels only; an empty value means any value.

    With more nodes than `limit`, the same subset is chosen each time: zones in turn, in the order of ids.
    """

    labels: frozenset[tuple[str, str]] = frozenset()
    limit: int = 1000

    def __call__(self, nodes: tuple[Node, ...]) -> frozenset[str]:
        """The ids."""
        chosen = [node for node in nodes if is_target(node) and self._matches(node)]
        ids = [found for node in _zones_in_turn(chosen) if (found := instance_id(node)) is not None]
        return frozenset(ids[: self.limit])

    def _matches(self, node: Node) -> bool:
        labels = node.metadata.labels
        return all(key in labels and (not value or labels[key] == value) for key, value in self.labels)


def _zones_in_turn(nodes: list[Node]) -> list[Node]:
    def zone(node: Node) -> str:
        return node.spec.provider_id.removeprefix("aws:///").partition("/")[0]

    seen: dict[str, int] = {}
    ranked = []
    for node in sorted(nodes, key=lambda one: one.spec.provider_id.rpartition("/")[2]):
        turn = seen[zone(node)] = seen.get(zone(node), 0) + 1
        ranked.append((turn, zone(node), node.metadata.name, node))
    return [node for *_, node in sorted(ranked, key=lambda entry: entry[:3])]


def instance_targets(world: World, options: Options, *, limit: int) -> frozenset[str]:
    """The instances that serve the Service; one shared set for all Services with the same labels."""
    derive = InstanceIds(frozenset(options.target_node_labels.items()), limit)
    return world.nodes.project(derive)


@dataclass(frozen=True, slots=True)
class PodGroup:
    """The target group that pods go into: its name, port and family, and the VPC that it is in."""

    name: str
    port: int
    network: Network
    family: str = "IPv4"


def pod_targets(world: World, intent: Intent, port: Port, group: PodGroup) -> frozenset[str]:
    """The pods that serve one Service port, by its EndpointSlices.

    Ready endpoints, and those that are not ready only because they wait for AWS to find them healthy in this group.
    When there is none, pods on nodes of unknown state (LBC, backend/endpoint_resolver.go). LBC lets no pod wait on a
    node that is not ready; here AWS judges that, too, since the state of nodes is not followed.
    """
    slices = [s for s in world.slices.get(intent.identity, ()) if s.address_type == group.family]
    unknown = frozenset(node.metadata.name for node in world.nodes if condition(node, "Ready") == "Unknown")

    def serves(endpoint: Endpoint) -> bool:
        return endpoint.conditions.ready is not False or _waits(endpoint, world, group.name)

    def may_serve(endpoint: Endpoint) -> bool:
        return endpoint.node_name in unknown

    return frozenset(_addresses(slices, port, group, serves)) or frozenset(_addresses(slices, port, group, may_serve))


def _waits(endpoint: Endpoint, world: World, group: str) -> bool:
    pod = world.pods.get(endpoint.target_ref.uid) if endpoint.target_ref is not None else None
    return pod is not None and waits_only_for_us(pod, group)


def pod_addresses(world: World, network: Network) -> frozenset[str]:
    """The addresses inside the VPC of every pod, ready or not, of the Services that send to pods themselves."""
    return frozenset(
        address
        for identity in _sending_to_pods(world)
        for one in world.slices.get(identity, ())
        for endpoint in one.endpoints or ()
        for address in endpoint.addresses[:1]
        if network.contains(address)
    )


def _sending_to_pods(world: World) -> frozenset[Identity]:
    """The Services whose pods are targets: those that have such a balancer, and those that their actions name."""
    intents = [intent for intent in world.intents.values() if options_of(intent).target_type == "ip"]
    named = (find_backends(intent, world.referred).groups.values() for intent in intents)
    others = frozenset(wish.intent.identity for wishes in named for wish in wishes)
    return others | {intent.identity for intent in intents}


def _addresses(
    slices: list[EndpointSlice], port: Port, group: PodGroup, serves: Callable[[Endpoint], bool]
) -> Iterator[str]:
    for one in slices:
        number = next((p.port for p in one.ports or () if (p.name or "") == port.name and p.port is not None), None)
        for endpoint in one.endpoints or () if number is not None else ():
            if _is_pod(endpoint) and serves(endpoint):
                yield _target(endpoint.addresses[0], number or 0, group)


def _is_pod(endpoint: Endpoint) -> bool:
    is_pod = endpoint.target_ref is not None and endpoint.target_ref.kind == "Pod"
    return is_pod and bool(endpoint.addresses) and not endpoint.conditions.terminating


def _target(address: str, port: int, group: PodGroup) -> str:
    zone = "" if group.network.contains(address) else f"@{ALL_ZONES}"
    return target_text(address, port=port, group_port=group.port) + zone


def target_text(target_id: str, *, port: int, group_port: int) -> str:
    """The text of a target; a port that is the group's own is left out."""
    return target_id if port == group_port else f"{target_id}|{port}"


@dataclass(frozen=True, slots=True)
class Target:
    """A target as the API takes it; `zone` is empty where it is left to AWS."""

    id: str
    port: int
    zone: str = ""


def parse_target(text: str, *, group_port: int) -> Target:
    """The target of a text."""
    rest, _, zone = text.partition("@")
    target_id, _, port = rest.partition("|")
    return Target(target_id, int(port) if port else group_port, zone)
