"""Health checks in every mode, with the defaults of CCM (aws.go) and LBC (model_build_target_group.go).

A value for classic balancers and one for target groups; both from the Service alone, so pure.
"""

from __future__ import annotations

from dataclasses import dataclass

from lbctl.model.intent import Intent
from lbctl_aws.listeners import build_listeners
from lbctl_aws.options import Options, options_of
from lbctl_aws.settings import AwsSettings

TRAFFIC_PORT = "traffic-port"
HEALTHZ = "/healthz"
HTTP = frozenset({"HTTP", "HTTPS"})
SUCCESS_CODES = "200-399"


@dataclass(frozen=True, slots=True)
class HealthCheck:
    """A health check; seconds and counts. `timeout` 0, empty `path` and `codes` are left to the API's default."""

    protocol: str
    port: str
    path: str
    interval: int
    timeout: int
    healthy: int
    unhealthy: int
    codes: str = ""

    @property
    def classic_target(self) -> str:
        """As a classic balancer writes it: `HTTP:30000/healthz`; upper case, as the API answers."""
        return f"{self.protocol}:{self.port}{self.path}"


@dataclass(frozen=True, slots=True)
class _Defaults:
    interval: int
    timeout: int
    healthy: int
    unhealthy: int


CLASSIC = _Defaults(10, 5, 2, 6)
CCM_CLUSTER = _Defaults(30, 0, 3, 3)
CCM_LOCAL = _Defaults(10, 0, 2, 2)
LBC_CLUSTER = _Defaults(10, 10, 3, 3)
LBC_LOCAL = _Defaults(10, 6, 2, 2)


def classic_check(intent: Intent, settings: AwsSettings) -> HealthCheck:
    """The one health check of a classic balancer; annotations win over the shared probe mode.

    It looks at the first listener's targets only: the API has one check a balancer. `traffic-port` under policy Local
    means the first node port.
    """
    options = options_of(intent)
    first = build_listeners(intent)[0]
    probes_node = intent.local or settings.shared_probe
    backend = "SSL" if options.backend_protocol in {"https", "ssl"} else "TCP"
    protocol = options.healthcheck_protocol or ("HTTP" if probes_node else backend)
    port = _node_probe_port(intent, settings) or first.first.node_port
    if options.healthcheck_port == TRAFFIC_PORT:
        port = first.first.node_port
    elif options.healthcheck_port:
        port = int(options.healthcheck_port)
    default_path = _node_probe_path(intent, settings) if probes_node else "/"
    path = (options.healthcheck_path or default_path) if protocol in HTTP else ""
    return _with_thresholds(options, CLASSIC, protocol=protocol, port=str(port), path=path)


def group_check(intent: Intent, settings: AwsSettings) -> HealthCheck:
    """The health check of every target group of the Service."""
    options = options_of(intent)
    if settings.shared_probe and options.is_ccm and not intent.local:
        return _shared_check(options, settings)
    local = intent.local and options.target_type == "instance"
    protocol = options.healthcheck_protocol or ("HTTP" if local else "TCP")
    port = str(intent.health_port) if local else TRAFFIC_PORT
    if options.healthcheck_port:
        port = _named_port(options.healthcheck_port, intent, options)
    default_path = HEALTHZ if local else "/"
    path = (options.healthcheck_path or default_path) if protocol in HTTP else ""
    return _with_thresholds(options, _group_defaults(options, local=local), protocol=protocol, port=port, path=path)


def _shared_check(options: Options, settings: AwsSettings) -> HealthCheck:
    return _with_thresholds(
        options,
        CCM_CLUSTER,
        protocol="HTTP",
        port=str(settings.shared_probe_port),
        path=settings.shared_probe_path,
    )


def _group_defaults(options: Options, *, local: bool) -> _Defaults:
    if options.is_ccm:
        return CCM_LOCAL if local else CCM_CLUSTER
    return LBC_LOCAL if local else LBC_CLUSTER


def _with_thresholds(options: Options, defaults: _Defaults, *, protocol: str, port: str, path: str) -> HealthCheck:
    codes = options.healthcheck_success_codes or (SUCCESS_CODES if options.is_lbc else "")
    return HealthCheck(
        protocol=protocol,
        port=port,
        path=path,
        interval=options.healthcheck_interval or defaults.interval,
        timeout=options.healthcheck_timeout or defaults.timeout,
        healthy=options.healthcheck_healthy_threshold or defaults.healthy,
        unhealthy=options.healthcheck_unhealthy_threshold or defaults.unhealthy,
        codes=codes if protocol in HTTP else "",
    )


def _named_port(text: str, intent: Intent, options: Options) -> str:
    if text == TRAFFIC_PORT or text.isdigit():
        return text
    port = next((port for port in intent.ports if port.name == text), None)
    if port is None:
        return TRAFFIC_PORT
    if options.target_type == "instance":
        return str(port.node_port)
    return str(port.target_port) if isinstance(port.target_port, int) else TRAFFIC_PORT


def _node_probe_port(intent: Intent, settings: AwsSettings) -> int:
    if intent.local:
        return intent.health_port
    return settings.shared_probe_port if settings.shared_probe else 0


def _node_probe_path(intent: Intent, settings: AwsSettings) -> str:
    return HEALTHZ if intent.local or not settings.shared_probe else settings.shared_probe_path
