"""Which health probe serves which port (cloud-provider-azure 7b31c76, azure_loadbalancer_healthprobe.go). Pure.

Called by `parse` once a Service; problems are collected, not raised.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from lbctl.model.intent import Intent, Port
from lbctl.model.problem import Problem
from lbctl.model.status import Notice, Severity
from lbctl_azure.annotations import PREFIX
from lbctl_azure.wish import Forward, Probe

PROTOCOLS = {"tcp": "Tcp", "http": "Http", "https": "Https"}
DEFAULT_INTERVAL = 5
DEFAULT_THRESHOLD = 2
LONGEST_SECONDS = 120
MOST_PORTS = 65535


@dataclass(frozen=True, slots=True)
class ProbeMode:
    """How the cluster probes: the shared probe if there is one, and whether `appProtocol` counts."""

    shared: Probe | None = None
    from_app_protocol: bool = True


@dataclass
class ProbeReader:
    """Reads the probes of one Service; `problems` and `notices` grow while it does."""

    intent: Intent
    values: Mapping[str, Any]
    mode: ProbeMode
    is_local: bool
    problems: list[Problem]
    notices: list[Notice]

    def forwards(self) -> tuple[Forward, ...]:
        """One for each port that has a rule; with high availability ports, one for all."""
        served = [port for port in self.intent.ports if not self._flag("no_lb_rule", port)]
        # On a public Service the annotation has no effect; upstream ignores it in silence.
        if served and self.values["enable_high_availability_ports"] and self.values["internal"]:
            return (Forward(served[0], self._probe_of_all(served), everything=True),)
        return tuple(Forward(port, self._probe(port), everything=port.protocol == "SCTP") for port in served)

    def _probe_of_all(self, ports: list[Port]) -> Probe | None:
        if (cluster_wide := self._cluster_wide()) is not None:
            return cluster_wide
        for port in ports:
            trial = ProbeReader(self.intent, self.values, self.mode, self.is_local, problems=[], notices=[])
            probe = trial._probe(port)
            if probe is not None and not trial.problems:
                return probe
        return None

    def _probe(self, port: Port) -> Probe | None:
        if self._flag("no_probe_rule", port):
            return None
        asks_own = port.protocol == "TCP" and self._of_port("port", port.port) is not None
        if not (self.is_local and asks_own) and (cluster_wide := self._cluster_wide()) is not None:
            return cluster_wide
        return self._own(port) if port.protocol == "TCP" else None

    def _cluster_wide(self) -> Probe | None:
        if not self.is_local:
            return self.mode.shared
        port = self.intent.health_port
        return self._checked(Probe(f"TCP-{port}", "Http", port, "/healthz", *self._numbers(port)), where=f"port {port}")

    def _own(self, port: Port) -> Probe:
        protocol = self._protocol(port)
        path = "" if protocol == "Tcp" else self._path(port.port)
        target = self._target(port)
        return self._checked(
            Probe(f"{port.protocol}-{port.port}", protocol, target, path, *self._numbers(port.port)), where=str(port)
        )

    def _checked(self, probe: Probe, *, where: str) -> Probe:
        total = probe.interval * probe.threshold
        if total >= LONGEST_SECONDS:
            message = f"interval {probe.interval} s times {probe.threshold} probes is {total} s"
            self.problems.append(
                Problem(f"health probe of {where}", message, f"keep the product below {LONGEST_SECONDS} s")
            )
        return probe

    def _protocol(self, port: Port) -> str:
        if word := self._of_port("protocol", port.port):
            return self._known(word)
        if port.app_protocol and self.mode.from_app_protocol:
            return PROTOCOLS.get(port.app_protocol.strip().lower(), "Tcp")
        return self._known(self.values["health_probe_protocol"] or "Tcp")

    def _known(self, word: str) -> str:
        if word.strip().lower() not in PROTOCOLS:
            text = f"health probe protocol {word!r} is unknown: Tcp is used; known are Tcp, Http and Https"
            self.notices.append(Notice(Severity.WARNING, "AnnotationIgnored", text))
        return PROTOCOLS.get(word.strip().lower(), "Tcp")

    def _path(self, port: int) -> str:
        return str(self._of_port("request_path", port) or self.values["health_probe_request_path"] or "/")

    def _numbers(self, port: int) -> tuple[int, int]:
        interval = self._of_port("interval", port) or self.values["health_probe_interval"] or DEFAULT_INTERVAL
        threshold = self._of_port("num_of_probe", port) or self.values["health_probe_num_of_probe"]
        return int(interval), int(threshold or DEFAULT_THRESHOLD)

    def _target(self, port: Port) -> int:
        text = self._of_port("port", port.port)
        target = port if text is None else self._named(str(text))
        number = target.node_port if isinstance(target, Port) else target
        if number is None:
            path = f"metadata.annotations[{PREFIX}port_{port.port}_health-probe_port]"
            self.problems.append(Problem(path, f"{text!r} is neither a port number nor the name of a port"))
        elif number == 0:
            hint = "set allocateLoadBalancerNodePorts to true, give a nodePort, or name another port to probe"
            self.problems.append(Problem(f"spec.ports[{port}]", "the health probe needs a node port", hint))
        return number or 0

    def _named(self, text: str) -> Port | int | None:
        for port in self.intent.ports:
            if text in (port.name, str(port.port)):
                return port
        return int(text) if text.isdigit() and 0 < int(text) <= MOST_PORTS else None

    def _of_port(self, name: str, port: int) -> Any:  # noqa: ANN401 - the annotation's own type
        return self.values[f"port_health_probe_{name}"].get(str(port))

    def _flag(self, name: str, port: Port) -> bool:
        return bool(self.values[f"port_{name}"].get(str(port.port), False))
