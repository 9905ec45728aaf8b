"""Which listeners a Service's ports make, and in which protocol they and their targets talk. Pure.

Read by parsing (to refuse conflicts), by both models and by the health checks. Rules of CCM (aws.go: buildListener,
aws_loadbalancer.go) and LBC (service/model_build_listener.go).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from lbctl.model.intent import Intent, Port
from lbctl_aws.options import Options, options_of

MERGED = {frozenset({"TCP", "UDP"}): "TCP_UDP"}
QUIC = {"UDP": "QUIC", "TCP_UDP": "TCP_QUIC"}
DATAGRAM = frozenset({"UDP", "TCP_UDP", "QUIC", "TCP_QUIC"})
# (front, back) protocols of a classic TLS listener by backend protocol; then without TLS.
CLASSIC_TLS = {
    None: ("SSL", "TCP"),
    "tcp": ("SSL", "TCP"),
    "ssl": ("SSL", "SSL"),
    "http": ("HTTPS", "HTTP"),
    "https": ("HTTPS", "HTTPS"),
}
CLASSIC_PLAIN = {"http": ("HTTP", "HTTP")}


@dataclass(frozen=True, slots=True)
class ListenerWish:
    """One listener: `ports` are the Service ports behind it (two for TCP and UDP on one number)."""

    port: int
    protocol: str
    backend: str
    ports: tuple[Port, ...]
    tls: bool = False

    @property
    def first(self) -> Port:
        """The Service port that names the listener."""
        return self.ports[0]

    @property
    def action_key(self) -> str:
        """How annotations name the listener: `TCP-80`."""
        return f"{self.protocol}-{self.port}"


def build_listeners(intent: Intent) -> tuple[ListenerWish, ...]:
    """The listeners by port number, one for each number."""
    options = options_of(intent)
    make = _classic if options.is_classic else _network
    return tuple(make(number, ports, options) for number, ports in sorted(_by_number(intent).items()))


def port_conflicts(intent: Intent, options: Options) -> Iterator[tuple[str, str]]:
    """What is wrong with ports of the same number: path and message."""
    for number, ports in _by_number(intent).items():
        if len(ports) == 1:
            continue
        path = f"spec.ports[{number}]"
        if not options.enable_tcp_udp_listener:
            yield path, "TCP and UDP on one port need the annotation aws-load-balancer-enable-tcp-udp-listener"
        elif frozenset(port.protocol for port in ports) not in MERGED:
            yield path, "only one TCP and one UDP entry can share a port"
        elif options.target_type == "instance" and len({port.node_port for port in ports}) > 1:
            yield path, "TCP and UDP on one port need the same node port, because they share a target group"


def selects(words: tuple[str, ...] | None, port: Port) -> bool:
    """True when a list of numbers and names selects the port; no list and `*` select every port."""
    if words is None or "*" in words:
        return True
    return str(port.port) in words or (port.name != "" and port.name.lower() in {word.lower() for word in words})


def _by_number(intent: Intent) -> dict[int, tuple[Port, ...]]:
    numbers: dict[int, tuple[Port, ...]] = {}
    for port in intent.ports:
        numbers[port.port] = (*numbers.get(port.port, ()), port)
    return numbers


def _classic(number: int, ports: tuple[Port, ...], options: Options) -> ListenerWish:
    tls = bool(options.ssl_cert) and selects(options.ssl_ports, ports[0])
    if tls:
        front, back = CLASSIC_TLS[options.backend_protocol]
    else:
        front, back = CLASSIC_PLAIN.get(options.backend_protocol or "", ("TCP", "TCP"))
    return ListenerWish(number, front, back, ports, tls)


def _network(number: int, ports: tuple[Port, ...], options: Options) -> ListenerWish:
    plain = MERGED.get(frozenset(port.protocol for port in ports), ports[0].protocol)
    if plain in QUIC and options.quic_enabled_ports and any(selects(options.quic_enabled_ports, p) for p in ports):
        plain = QUIC[plain]
    tls = plain == "TCP" and bool(options.ssl_cert) and selects(options.ssl_ports, ports[0])
    if not tls:
        return ListenerWish(number, plain, plain, ports)
    return ListenerWish(number, "TLS", "TLS" if options.backend_protocol == "ssl" else "TCP", ports, tls=True)
