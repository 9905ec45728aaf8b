"""Which target groups a Service's listeners send to: its own, and those of Services that weighted actions name. Pure.

LBC makes a target group for each port of another Service that an action names; the annotations of the Service that has
the balancer hold for it, and that Service owns it (pkg/service/model_build_target_group.go). The named Service may be
of any type that has targets of the kind.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

from lbctl.errors import MissingFact
from lbctl.model.intent import Intent, Port, identity_of, read_ports
from lbctl.model.objects import Service
from lbctl.model.problem import Problem
from lbctl.model.reference import SERVICES, Reference
from lbctl.model.resource import NOTHING
from lbctl_aws.annotations import TABLE, key_of
from lbctl_aws.grammar import Forward, WeightedTarget
from lbctl_aws.health import TRAFFIC_PORT
from lbctl_aws.listeners import ListenerWish, build_listeners
from lbctl_aws.options import options_of

WITH_NODE_PORTS = frozenset({"NodePort", "LoadBalancer"})


@dataclass(frozen=True, slots=True)
class GroupWish:
    """One target group: ports of one Service that listeners send to.

    `intent` has identity, ports, families and traffic policy of the Service whose targets are in it, and the options of
    the one that has the balancer. `port` is the number of the Service port, `protocol` the group's. `place` is what our
    annotations call the group. `base` is the uid of the Service that has the balancer, for a group of another one.
    """

    intent: Intent
    port: int
    protocol: str
    ports: tuple[Port, ...]
    place: str
    base: str = ""

    @property
    def family(self) -> str:
        """The family of the targets: IPv6 where the Service and the balancer have it (LBC: address type of groups).

        Instances are reached over IPv4 as long as the Service has it, too: few have an IPv6 address that AWS takes.
        """
        options, families = options_of(self.intent), self.intent.families
        wanted = "IPv6" in families if options.target_type == "ip" else families == ("IPv6",)
        return "IPv6" if wanted and options.is_dual else "IPv4"


@dataclass(frozen=True, slots=True)
class Backends:
    """The groups of Services that actions name, by listener and target; what is missing, and what does not fit."""

    groups: Mapping[tuple[str, WeightedTarget], GroupWish] = field(default=NOTHING, hash=False)
    missing: tuple[str, ...] = ()
    problems: tuple[Problem, ...] = ()

    @property
    def is_whole(self) -> bool:
        """True when every group that an action names is known."""
        return not self.missing and not self.problems

    def need(self) -> None:
        """Raises `MissingFact` with everything that is missing."""
        if self.missing:
            hint = "make it, or take it out of the annotation; until then all stays as it is"
            raise MissingFact("; ".join(self.missing), hint=hint)


def references(service: Service) -> frozenset[Reference]:
    """The Services that the actions of this one name; an action that cannot be read names none."""
    annotations = service.metadata.annotations
    return frozenset(
        Reference(SERVICES, service.metadata.namespace, target.service)
        for key, text in annotations.items()
        for target in _action(key, text).targets
        if target.service
    )


def _action(key: str, text: str) -> Forward:
    found = TABLE.find(key)
    if found is None or found[0].key != key_of("actions"):
        return Forward()
    try:
        action = found[0].kind.parse(text)
    except ValueError:
        return Forward()
    assert isinstance(action, Forward)
    return action


def own_group(intent: Intent, listener: ListenerWish) -> GroupWish:
    """The target group of the Service's own targets behind a listener."""
    return GroupWish(intent, listener.port, listener.backend, listener.ports, str(listener.port))


def all_groups(intent: Intent, backends: Backends) -> tuple[GroupWish, ...]:
    """Every target group behind the Service's listeners, as far as they are known, its own first."""
    own = (own_group(intent, listener) for listener in build_listeners(intent))
    return tuple({wish.place: wish for wish in (*own, *backends.groups.values())}.values())


def places(intent: Intent, referred: Mapping[Reference, object]) -> dict[str, int]:
    """The Service port of each target group by its place; none for a classic balancer."""
    if options_of(intent).is_classic:
        return {}
    return {wish.place: wish.port for wish in all_groups(intent, find_backends(intent, referred))}


def find_backends(intent: Intent, referred: Mapping[Reference, object]) -> Backends:
    """The groups of the Services that the actions of a network balancer name."""
    options = options_of(intent)
    if not options.is_lbc or not options.actions:
        return Backends()
    search = _Search(intent, referred)
    for listener in build_listeners(intent):
        action = options.actions.get(listener.action_key, Forward())
        for target in action.targets:
            if target.service:
                search.look_for(listener, target)
    return Backends(search.groups, tuple(dict.fromkeys(search.missing)), tuple(dict.fromkeys(search.problems)))


@dataclass
class _Search:
    """One look for all Services that a Service names, with what came out so far."""

    intent: Intent
    referred: Mapping[Reference, object]
    groups: dict[tuple[str, WeightedTarget], GroupWish] = field(default_factory=dict)
    missing: list[str] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)

    def look_for(self, listener: ListenerWish, target: WeightedTarget) -> None:
        namespace = self.intent.identity.namespace
        service = self.referred.get(Reference(SERVICES, namespace, target.service))
        if not isinstance(service, Service):
            self.missing.append(f"there is no Service {namespace}/{target.service}, which {_where(listener)} names")
            return
        ports = _ports(service, target.port, listener)
        if not ports:
            self.missing.append(_without_port(service, target.port, listener))
            return
        wish = self._wish(service, ports, target, listener)
        faults = tuple(self._faults(service, wish, listener))
        lacking = tuple(self._without_check(wish))
        self.problems.extend(Problem(f"metadata.annotations[{_where(listener)}]", *fault) for fault in faults)
        self.missing.extend(lacking)
        if not faults and not lacking:
            self.groups[listener.action_key, target] = wish

    def _wish(
        self, service: Service, ports: tuple[Port, ...], target: WeightedTarget, listener: ListenerWish
    ) -> GroupWish:
        protocol = "TCP" if listener.tls and target.decrypt else listener.protocol
        number = ports[0].port
        if identity_of(service) == self.intent.identity:
            own = (own_group(self.intent, one) for one in build_listeners(self.intent))
            same = next((one for one in own if (one.port, one.protocol) == (number, protocol)), None)
            if same is not None:
                return same
        place = f"{target.service}:{number}:{protocol}"
        return GroupWish(
            _as_served(service, self.intent), number, protocol, ports, place, base=self.intent.identity.uid
        )

    def _faults(self, service: Service, wish: GroupWish, listener: ListenerWish) -> Iterator[tuple[str, str]]:
        """What is there and cannot serve: message and hint."""
        options = options_of(self.intent)
        taken = [
            own_group(self.intent, listener),
            *(w for (key, _), w in self.groups.items() if key == listener.action_key),
        ]
        if wish.place in {one.place for one in taken}:
            yield f"names {service.key}:{wish.port} twice, or the Service itself", "add up the weights"
        if wish.intent.families == ("IPv6",) and not options.is_dual:
            hint = f"set {key_of('ip_address_type')} to dualstack"
            yield f"Service {service.key} has IPv6 addresses, and the balancer serves IPv4 only", hint
        if options.target_type == "ip":
            return
        hint = f"make it NodePort or LoadBalancer, or set {key_of('nlb_target_type')} to ip"
        if service.spec.type not in WITH_NODE_PORTS:
            yield f"Service {service.key} is of type {service.spec.type}, and instances are reached by node ports", hint
        elif not all(port.node_port for port in wish.ports):
            yield f"port {wish.port} of Service {service.key} has no node port", "give it one"
        elif len({port.node_port for port in wish.ports}) > 1:
            yield f"TCP and UDP port {wish.port} of Service {service.key} have different node ports", "use the same"

    def _without_check(self, wish: GroupWish) -> Iterator[str]:
        port = options_of(self.intent).healthcheck_port or TRAFFIC_PORT
        named = not port.isdigit() and port != TRAFFIC_PORT
        if named and port not in {one.name for one in wish.intent.ports}:
            yield f"Service {wish.intent.identity} has no port named {port}, which {key_of('healthcheck_port')} names"


def _where(listener: ListenerWish) -> str:
    return key_of("actions").replace("{port}", listener.action_key)


def _ports(service: Service, text: str, listener: ListenerWish) -> tuple[Port, ...]:
    """The port that a number or a name means, in the listener's protocols; two where TCP and UDP share the number."""
    spoken = {port.protocol for port in listener.ports}
    return tuple(
        port for port in read_ports(service) if text in (str(port.port), port.name) and port.protocol in spoken
    )


def _without_port(service: Service, text: str, listener: ListenerWish) -> str:
    spoken = " or ".join(sorted({port.protocol for port in listener.ports}))
    known = ", ".join(f"{port} {port.name}".rstrip() for port in read_ports(service))
    return (
        f"Service {service.key} has no {spoken} port {text}, which {_where(listener)} names; it has {known or 'none'}"
    )


def _as_served(service: Service, base: Intent) -> Intent:
    """The wish of the Service that has the balancer, made for the targets of another one."""
    local = service.spec.type == "LoadBalancer" and service.spec.external_traffic_policy == "Local"
    return replace(
        base,
        identity=identity_of(service),
        ports=read_ports(service),
        families=service.spec.ip_families or ("IPv4",),
        local=local,
        health_port=service.spec.health_check_node_port if local else 0,
    )
