"""What a Service asks for, and everything that is wrong with it."""

from __future__ import annotations

import pytest

from lbctl.errors import InvalidService
from lbctl.model.objects import Service, ServicePort
from lbctl_azure.parse import parse_service
from lbctl_azure.settings import CloudConfig, Settings
from lbctl_azure.wish import Probe, Wish
from tests.world import service

PREFIX = "service.beta.kubernetes.io/"
INTERNAL = "azure-load-balancer-internal"
INTERVAL = "azure-load-balancer-health-probe-interval"
COUNT = "azure-load-balancer-health-probe-num-of-probe"
LINK_ADDRESSES = "azure-pls-ip-configuration-ip-address"
CONFIG = CloudConfig("t", "s", "rg")


def parse(annotations: dict[str, str] | None = None, *, config: CloudConfig = CONFIG, **options: object) -> Wish:
    """The wish of a Service with these annotations, named without their prefix."""
    full = {PREFIX + key: value for key, value in (annotations or {}).items()}
    return parse_service(service(annotations=full, **options), config=config, settings=Settings())


def problems(annotations: dict[str, str] | None = None, **options: object) -> str:
    """Everything that is wrong, as one text; empty when nothing is."""
    try:
        parse(annotations, **options)
    except InvalidService as error:
        return str(error)
    return ""


@pytest.mark.spec("AZ-056", "AZ-063")
@pytest.mark.parametrize(
    ("annotations", "accepted"),
    [
        ({"azure-load-balancer-tcp-idle-timeout": "3"}, False),
        ({"azure-load-balancer-tcp-idle-timeout": "4"}, True),
        ({"azure-load-balancer-tcp-idle-timeout": "100"}, True),
        ({"azure-load-balancer-tcp-idle-timeout": "101"}, False),
        ({"azure-load-balancer-tcp-idle-timeout": "x"}, False),
        ({"azure-load-balancer-health-probe-interval": "4"}, False),
        ({"azure-load-balancer-health-probe-num-of-probe": "1"}, False),
        ({INTERVAL: "24", COUNT: "5"}, False),
        ({INTERVAL: "23", COUNT: "5"}, True),
        ({"port_80_health-probe_interval": "60"}, False),
        ({"azure-load-balancer-health-probe-request-path": "no-slash"}, False),
        ({"azure-pip-prefix-id": "not-an-id"}, False),
        ({"azure-dns-label-name": "Not A Label"}, False),
        ({"azure-additional-public-ips": "1.2.3.4,junk"}, False),
        ({"azure-load-balancer-ipv4": "10.0.0.1"}, False),
        ({"azure-load-balancer-ipv4": "100.64.0.1"}, False),
        ({"azure-load-balancer-ipv4": "168.63.129.16"}, False),
        ({"azure-load-balancer-ipv4": "20.1.2.3"}, True),
        ({"azure-load-balancer-ipv4": "10.0.0.1", INTERNAL: "true"}, True),
        ({"azure-pls-create": "true"}, False),
        ({"azure-pls-create": "true", INTERNAL: "true"}, True),
        ({"azure-pls-create": "true", INTERNAL: "true", LINK_ADDRESSES: "10.0.0.4 10.0.0.5"}, False),
    ],
)  # fmt: skip
def test_values_are_taken_in_their_bounds(annotations: dict[str, str], *, accepted: bool) -> None:
    """A bad value is refused by name before any call; a good one is not."""
    assert (problems(annotations) == "") is accepted


def test_all_problems_come_at_once() -> None:
    """The author mends everything in one go."""
    text = problems({"azure-load-balancer-tcp-idle-timeout": "1", "port_80_health-probe_num-of-probe": "0"})
    assert "idle-timeout" in text
    assert "port_80" in text


@pytest.mark.spec("AZ-055")
def test_sctp_is_for_internal_services_alone() -> None:
    """A public SCTP port is refused; an internal one takes the whole address."""
    sctp = (ServicePort(port=80, protocol="SCTP", node_port=30080),)
    public = service()
    assert "internal Services only" in _problems_of(public, sctp, {})
    assert _problems_of(public, sctp, {PREFIX + INTERNAL: "true"}) == ""
    both = (*sctp, ServicePort(port=81, node_port=30081))
    assert "all ports" in _problems_of(public, both, {PREFIX + INTERNAL: "true"})


def _problems_of(base: Service, ports: tuple[ServicePort, ...], annotations: dict[str, str]) -> str:
    import msgspec

    spec = msgspec.structs.replace(base.spec, ports=ports)
    meta = msgspec.structs.replace(base.metadata, annotations=annotations)
    try:
        parse_service(type(base)(metadata=meta, spec=spec), config=CONFIG, settings=Settings())
    except InvalidService as error:
        return str(error)
    return ""


def probe_of(annotations: dict[str, str] | None = None, **options: object) -> Probe | None:
    """The probe of the Service's first rule."""
    return parse(annotations, **options).forwards[0].probe


@pytest.mark.spec("AZ-061")
@pytest.mark.parametrize(
    ("annotations", "app_protocol", "protocol", "path"),
    [
        ({}, None, "Tcp", ""),
        ({}, "http", "Http", "/"),
        ({}, "HTTPS", "Https", "/"),
        ({}, "kubernetes.io/h2c", "Tcp", ""),
        ({"azure-load-balancer-health-probe-protocol": "http"}, None, "Http", "/"),
        ({"azure-load-balancer-health-probe-protocol": "http"}, "grpc", "Tcp", ""),
        ({"port_80_health-probe_protocol": "Https"}, "http", "Https", "/"),
        ({"port_80_health-probe_protocol": "http", "port_80_health-probe_request-path": "/up"}, None, "Http", "/up"),
        ({"azure-load-balancer-health-probe-protocol": "gopher"}, None, "Tcp", ""),
    ],
)
def test_the_probes_protocol_is_chosen_in_upstreams_order(
    annotations: dict[str, str], app_protocol: str | None, protocol: str, path: str
) -> None:
    """Port annotation, then appProtocol, then Service annotation, then TCP."""
    import msgspec

    full = {PREFIX + key: value for key, value in annotations.items()}
    base = service(annotations=full)
    ports = (msgspec.structs.replace(base.spec.ports[0], app_protocol=app_protocol),)
    wanted = type(base)(metadata=base.metadata, spec=msgspec.structs.replace(base.spec, ports=ports))
    probe = parse_service(wanted, config=CONFIG, settings=Settings()).forwards[0].probe
    assert probe is not None
    assert (probe.protocol, probe.path) == (protocol, path)


@pytest.mark.spec("AZ-062")
@pytest.mark.parametrize(("text", "port"), [("p443", 30443), ("443", 30443), ("9000", 9000)])
def test_the_probes_port_is_a_name_a_service_port_or_a_number(text: str, port: int) -> None:
    """A port of the Service, by name or number, means its node port; any other number means itself."""
    probe = probe_of({"port_80_health-probe_port": text}, ports=(80, 443))
    assert probe is not None
    assert probe.port == port


@pytest.mark.spec("AZ-053")
def test_a_probe_or_a_rule_without_node_port_is_refused() -> None:
    """Where traffic or a probe needs a node port, there must be one."""
    ports = (ServicePort(port=80, node_port=0),)
    assert "node port" in _problems_of(service(), ports, {})
    assert _problems_of(service(), ports, {PREFIX + "port_80_no_probe_rule": "true"}) == ""
    off = {PREFIX + "port_80_no_probe_rule": "true", PREFIX + "azure-disable-load-balancer-floating-ip": "true"}
    assert "node port" in _problems_of(service(), ports, off)


@pytest.mark.spec("AZ-060", "AZ-059")
def test_udp_is_probed_only_where_the_whole_node_is() -> None:
    """UDP has no probe of its own, but the shared one and that of a Local Service."""
    udp = (ServicePort(port=53, protocol="UDP", node_port=30053),)
    base = service()
    import msgspec

    def probe(config: CloudConfig, **spec: object) -> Probe | None:
        wanted = type(base)(metadata=base.metadata, spec=msgspec.structs.replace(base.spec, ports=udp, **spec))
        return parse_service(wanted, config=config, settings=Settings()).forwards[0].probe

    assert probe(CONFIG) is None
    shared = probe(CloudConfig("t", "s", "rg", probe_mode="shared"))
    assert shared is not None
    assert shared.is_shared
    local = probe(CONFIG, external_traffic_policy="Local", health_check_node_port=31000)
    assert local is not None
    assert (local.protocol, local.port, local.path) == ("Http", 31000, "/healthz")


def test_ports_can_do_without_rules() -> None:
    """A port may have no rule, and then has no probe and no opening."""
    wish = parse({"port_80_no_lb_rule": "true"}, ports=(80, 443))
    assert [forward.port.port for forward in wish.forwards] == [443]


@pytest.mark.spec("AZ-072")
def test_ranges_in_two_places_are_refused() -> None:
    """The field and an annotation together are an error."""
    text = problems({"azure-allowed-ip-ranges": "10.0.0.0/8"}, load_balancer_source_ranges=("10.0.0.0/8",))
    assert "together with" in text


@pytest.mark.spec("AZ-070")
def test_an_unreadable_range_closes_instead_of_opening() -> None:
    """The readable ranges stay, everybody else is denied, and the author is told."""
    wish = parse({"azure-allowed-ip-ranges": "10.0.0.0/9, 10.128.0.0/9 ,junk"})
    assert wish.access.ranges == frozenset({"10.0.0.0/8"})
    assert wish.access.sealed
    assert any(notice.reason == "InvalidSourceRanges" for notice in wish.notices)


def test_the_word_true_in_another_case_is_taken_with_a_warning() -> None:
    """Upstream made a public balancer of it."""
    wish = parse({INTERNAL: "True"})
    assert wish.internal
    assert any("True" in notice.message for notice in wish.notices)


@pytest.mark.parametrize(
    ("annotations", "said"),
    [
        ({"azure-load-balancer-health-probe-protocol": "gopher"}, "'gopher' is unknown"),
        ({"azure-load-balancer-enable-high-availability-ports": "true"}, "need an internal Service"),
        ({"azure-load-balancer-mode": "__auto__"}, "azure-load-balancer-mode has no effect"),
        ({"azure-shared-securityrule": "true"}, "azure-shared-securityrule has no effect"),
        ({"azure-pip-tags": "a=b,junk"}, "azure-pip-tags has pieces that are not key=value: junk"),
        ({"azure-pip-ip-tags": "junk,RoutingPreference=Internet"}, "azure-pip-ip-tags has pieces"),
    ],
)
def test_what_is_ignored_is_told(annotations: dict[str, str], said: str) -> None:
    """What upstream skips in silence holds nothing back, and its author learns of it."""
    assert any(said in notice.message for notice in parse(annotations).notices)


@pytest.mark.parametrize(
    ("annotations", "said"),
    [
        ({"port_80_health-probe_port": "nobody"}, "neither a port number nor the name of a port"),
        ({"azure-load-balancer-health-probe-num-of-probe": "many"}, "num-of-probe"),
        ({"azure-pls-ip-configuration-ip-address-count": "9", "azure-pls-create": "true", INTERNAL: "true"}, "count"),
        ({LINK_ADDRESSES: "fd00::1", "azure-pls-create": "true", INTERNAL: "true"}, "ip-address"),
        ({"azure-pls-visibility": "everybody", "azure-pls-create": "true", INTERNAL: "true"}, "visibility"),
        ({"azure-load-balancer-ipv4": "fd00::1"}, "azure-load-balancer-ipv4"),
        ({"azure-load-balancer-ipv6": "10.0.0.1"}, "azure-load-balancer-ipv6"),
        ({"azure-load-balancer-internal-subnet": "no such"}, "internal-subnet"),
    ],
)
def test_a_bad_value_is_refused_by_its_name(annotations: dict[str, str], said: str) -> None:
    """The Service is held back before any call, and the author reads which annotation to mend."""
    assert said in problems(annotations)


def test_a_misspelt_annotation_is_told_with_the_known_one() -> None:
    """A key under the driver's own prefix that nobody knows suggests the nearest."""
    notices = parse({"azure-load-balancer-tcp-idle-timeuot": "10"}).notices
    assert any("did you mean" in notice.message and "tcp-idle-timeout" in notice.message for notice in notices)


@pytest.mark.parametrize("word", ["True", "TRUE", "true", " true "])
def test_true_counts_in_any_case_and_nothing_else_does(word: str) -> None:
    """Booleans are true for the word alone; 1, yes and on are false, as upstream has them."""
    assert parse({"azure-load-balancer-disable-tcp-reset": word}).tcp_reset is False
    for other in ("1", "yes", "on", ""):
        assert parse({"azure-load-balancer-disable-tcp-reset": other}).tcp_reset is True
