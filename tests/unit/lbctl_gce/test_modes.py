"""Which balancer a Service gets: the same as upstream gives it."""

from __future__ import annotations

import pytest

from lbctl.errors import InvalidService
from lbctl.model.objects import ServicePort
from lbctl_gce import DRIVER, finalizers
from lbctl_gce.modes import CLASS_PREFIX, FINALIZERS, Defaults, Mode, choose_mode
from lbctl_gce.parse import mode_of, parse_service
from tests.world import change, service

RBS = {"cloud.google.com/l4-rbs": "enabled"}
TYPE = "networking.gke.io/load-balancer-type"
OLD_TYPE = "cloud.google.com/load-balancer-type"
DEFAULTS = Defaults()


def mode(wanted, existing=None) -> str:
    """The mode that is chosen."""
    return choose_mode(wanted, defaults=DEFAULTS, existing=existing).mode


def marked(*modes: Mode, **options):
    """A Service with upstream's finalizers of these modes."""
    wanted = service(**options)
    return change(wanted, metadata=change(wanted.metadata, finalizers=tuple(FINALIZERS[m] for m in modes)))


@pytest.mark.spec("GCE-001", "GCE-002")
@pytest.mark.parametrize(
    ("suffix", "wanted"),
    [
        ("l4-regional-external-legacy", "netlb-tp"),
        ("l4-regional-external", "netlb-rbs"),
        ("l4-regional-internal-legacy", "ilb-ig"),
        ("l4-regional-internal", "ilb-neg"),
        ("standalone-passthrough-lb-neg", "neg-only"),
    ],
)
@pytest.mark.parametrize("annotations", [{}, RBS, {TYPE: "Internal"}])
def test_a_class_decides_whatever_annotations_say(suffix, wanted, annotations):
    """Each of upstream's classes stands for one kind."""
    assert mode(service(annotations=annotations, load_balancer_class=f"networking.gke.io/{suffix}")) == wanted


@pytest.mark.spec("GCE-004")
def test_an_external_class_beside_an_internal_type_is_external_with_one_warning():
    """The author is told of the conflict."""
    wanted = service(annotations={TYPE: "Internal"}, load_balancer_class=f"{CLASS_PREFIX}external")
    intent = parse_service(wanted, defaults=DEFAULTS)
    assert mode_of(intent) is Mode.EXTERNAL_GROUPS
    assert [notice.reason for notice in intent.notices] == ["ConflictingConfiguration"]


@pytest.mark.spec("GCE-005")
@pytest.mark.parametrize(
    ("annotations", "internal"),
    [
        ({TYPE: "Internal"}, True),
        ({TYPE: "internal"}, True),
        ({OLD_TYPE: "Internal"}, True),
        ({TYPE: "INTERNAL"}, False),
        ({TYPE: "oops", OLD_TYPE: "Internal"}, False),
    ],
)
def test_the_type_annotation_is_read_as_upstream_reads_it(annotations, internal):
    """The new key wins even with a useless value, which is external and worth a warning."""
    choice = choose_mode(service(annotations=annotations), defaults=DEFAULTS)
    assert choice.mode.is_internal is internal
    assert bool(choice.notices) is not internal


@pytest.mark.spec("GCE-006")
def test_a_finalizer_beats_the_annotation():
    """A Service with a target pool keeps it, and its author is told."""
    wanted = marked(Mode.TARGET_POOL, annotations=RBS)
    assert mode(wanted) == "netlb-tp"
    intent = parse_service(wanted, defaults=DEFAULTS)
    assert "CanNotMigrateTargetPoolToRBS" in [notice.reason for notice in intent.notices]


@pytest.mark.spec("GCE-007")
@pytest.mark.parametrize("value", ["true", "Enabled", "1", ""])
def test_only_the_exact_word_selects_a_backend_service(value):
    """Anything but `enabled` is ignored."""
    assert mode(service(annotations={"cloud.google.com/l4-rbs": value})) == "netlb-tp"
    assert mode(service(annotations=RBS)) == "netlb-rbs"


@pytest.mark.spec("GCE-008")
@pytest.mark.parametrize("existing", [Mode.TARGET_POOL, Mode.EXTERNAL_GROUPS])
def test_without_finalizer_the_forwarding_rule_that_is_there_decides(existing):
    """A balancer from before the finalizers is recognised by what it points at."""
    assert mode(service(), existing=existing) == existing


@pytest.mark.parametrize("kept", list(FINALIZERS))
def test_every_mode_is_kept_by_its_finalizer(kept):
    """Upstream reads the mode from it, and so do we."""
    annotations = {TYPE: "Internal"} if kept.is_internal else {}
    wanted = marked(kept, annotations=annotations)
    assert mode(wanted) == kept
    assert finalizers(parse_service(wanted, defaults=DEFAULTS)) == (FINALIZERS[kept],)
    assert FINALIZERS[kept] in DRIVER.own_finalizers


def test_one_class_serves_groups_and_endpoints_and_the_finalizer_tells_which():
    """An external Service of upstream's class that has endpoint groups keeps them."""
    wanted = marked(Mode.EXTERNAL_ENDPOINTS, load_balancer_class=f"{CLASS_PREFIX}external")
    assert mode(wanted) == Mode.EXTERNAL_ENDPOINTS
    assert finalizers(parse_service(wanted, defaults=DEFAULTS)) == (FINALIZERS[Mode.EXTERNAL_ENDPOINTS],)


@pytest.mark.parametrize(
    ("annotations", "told"),
    [
        ({"networking.gke.io/internal-load-balancer-allow-global-access": "true"}, True),
        ({"networking.gke.io/internal-load-balancer-allow-global-access": "false"}, False),
        ({TYPE: "Internal", "cloud.google.com/network-tier": "Standard"}, True),
        ({TYPE: "Internal", "networking.gke.io/l4-strong-session-affinity": "enabled"}, True),
        ({"lbctl.io/gce-target-pool": "migrate", **RBS}, False),
    ],
)
def test_an_annotation_of_another_kind_of_balancer_is_told_to_have_no_effect(annotations, told):
    """It stops nothing; a value that asks for nothing, and a wish that is fulfilled, are not worth a word."""
    intent = parse_service(service(annotations=annotations), defaults=DEFAULTS)
    ignored = [notice.message for notice in intent.notices if notice.reason == "AnnotationIgnored"]
    assert bool(ignored) is told, ignored


@pytest.mark.spec("GCE-045")
def test_several_protocols_need_a_backend_service():
    """A target pool takes one; the message leads to the API's own condition."""
    ports = (ServicePort(port=53, node_port=30053), ServicePort(port=53, protocol="UDP", node_port=30054))
    with pytest.raises(InvalidService, match="several protocols"):
        parse_service(change(service(), spec=change(service().spec, ports=ports)), defaults=DEFAULTS)


@pytest.mark.spec("GCE-046")
def test_a_port_without_protocol_is_tcp():
    """Objects that were stored long ago may have none."""
    wanted = service()
    ports = (change(wanted.spec.ports[0], protocol=""),)
    intent = parse_service(change(wanted, spec=change(wanted.spec, ports=ports)), defaults=DEFAULTS)
    assert intent.protocols == {"TCP"}


@pytest.mark.spec("GCE-047")
def test_sctp_is_refused():
    """It is named."""
    wanted = service()
    ports = (change(wanted.spec.ports[0], protocol="SCTP"),)
    with pytest.raises(InvalidService, match="SCTP"):
        parse_service(change(wanted, spec=change(wanted.spec, ports=ports)), defaults=DEFAULTS)


@pytest.mark.parametrize(("seconds", "problem"), [(None, "needs session affinity"), (30, "30 s"), (86400, "86400 s")])
def test_strong_affinity_is_checked(seconds, problem):
    """It needs session affinity of one minute to sixteen hours."""
    from lbctl.model.objects import ClientIPConfig, SessionAffinityConfig

    affinity = {} if seconds is None else {"session_affinity": "ClientIP"}
    config = SessionAffinityConfig(client_ip=ClientIPConfig(timeout_seconds=seconds)) if seconds else None
    wanted = service(
        annotations={**RBS, "networking.gke.io/l4-strong-session-affinity": "enabled"},
        session_affinity_config=config,
        **affinity,
    )
    with pytest.raises(InvalidService, match=problem):
        parse_service(wanted, defaults=DEFAULTS)


@pytest.mark.parametrize("tier", ["standard", "PREMIUM", "Gold"])
def test_a_tier_that_is_none_is_refused(tier):
    """Upstream would silently use Premium for a backend service."""
    with pytest.raises(InvalidService, match="network-tier"):
        parse_service(service(annotations={"cloud.google.com/network-tier": tier}), defaults=DEFAULTS)


def test_an_annotation_with_a_typing_error_is_answered_with_the_nearest():
    """The author is told what is meant."""
    wanted = service(annotations={"cloud.google.com/network-teir": "Standard"})
    (notice,) = parse_service(wanted, defaults=DEFAULTS).notices
    assert "did you mean cloud.google.com/network-tier?" in notice.message
