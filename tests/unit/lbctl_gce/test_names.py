"""Names and descriptions are upstream's, byte for byte: adoption depends on it."""

from __future__ import annotations

import pytest

from lbctl.errors import InvalidSettings
from lbctl_gce import names
from lbctl_gce.names import L4Names, LegacyNames

L4 = L4Names.of("kubesystem-uid1")
OTHER = L4Names.of("ksuid123")
NUMBERED = "k8s2-tcp-7kpbhpki-default-netlb-service-y6efeqo7"
LONG = "012345678901234567890123456789012345678901234567890123456789"
LONG_NAMESPACE, LONG_NAME = f"{LONG}abc", f"{LONG}pqr"
ENDING = "extremely-long-name-that-has-a-different-ending-that-gets-"
COLLIDING = ("default", f"{ENDING}truncated"), ("default", f"{ENDING}shortened")
LONGER = ("default", f"{ENDING}shortened-but-given-the-length-difference-it-doesnt-collide")
SHORT = ("namespace", "name")
FULL = (LONG_NAMESPACE, LONG_NAME)

# Expected values of kubernetes/ingress-gce, pkg/utils/namer/l4_namer_test.go.
VECTORS = [
    (L4.forwarding_rule(*SHORT, "TCP"), "k8s2-tcp-7kpbhpki-namespace-name-956p2p7x"),
    (L4.numbered_rule(*SHORT, "TCP", 10), "k8s2-tcp-7kpbhpki-namespace-name-956p2p7x-a"),
    (L4.forwarding_rule_ipv6(*SHORT, "TCP"), "k8s2-tcp-7kpbhpki-namespace-name-956p2p7x-ipv6"),
    (L4.numbered_rule_ipv6(*SHORT, "TCP", 10), "k8s2-tcp-7kpbhpki-namespace-name-956p2p7x-a-ipv6"),
    (L4.backend(*SHORT), "k8s2-7kpbhpki-namespace-name-956p2p7x"),
    (L4.subnet_group(*SHORT, "subnet"), "k8s2-7kpbhpki-namespace-name-185075-956p2p7x"),
    (L4.firewall_ipv6(*SHORT), "k8s2-7kpbhpki-namespace-name-956p2p7x-ipv6"),
    (L4.check_firewall(*SHORT), "k8s2-7kpbhpki-namespace-name-956p2p7x-fw"),
    (L4.check_firewall(*SHORT, "IPv6"), "k8s2-7kpbhpki-namespace-name-956p2p7x-fw-ipv6"),
    (L4.deny_firewall(*SHORT), "k8s2-7kpbhpki-namespace-name-956p2p7x-deny"),
    (L4.deny_firewall(*FULL, "IPv6"), "k8s2-7kpbhpki-012345678901234-01234567890123-hwm400mg-deny-ipv6"),
    (OTHER.forwarding_rule("test-ns", "test-svc", "TCP"), "k8s2-tcp-axyqjz2d-test-ns-test-svc-pyn67fp6"),
    (OTHER.forwarding_rule("test-ns", "test-svc", "UDP"), "k8s2-udp-axyqjz2d-test-ns-test-svc-pyn67fp6"),
    (L4.shared_check, "k8s2-7kpbhpki-l4-shared-hc"),
    (L4.shared_check_firewall(), "k8s2-7kpbhpki-l4-shared-hc-fw"),
    (L4.shared_check_firewall("IPv6"), "k8s2-7kpbhpki-l4-shared-hc-fw-ipv6"),
    (L4.forwarding_rule(*FULL, "UDP"), "k8s2-udp-7kpbhpki-012345678901234567-01234567890123456-hwm400mg"),
    (L4.numbered_rule(*FULL, "UDP", 10), "k8s2-udp-7kpbhpki-012345678901234567-01234567890123456-hwm400-a"),
    (L4.forwarding_rule_ipv6(*FULL, "UDP"), "k8s2-udp-7kpbhpki-012345678901234567-01234567890123456-hwm-ipv6"),
    (L4.numbered_rule_ipv6(*FULL, "UDP", 10), "k8s2-udp-7kpbhpki-012345678901234567-01234567890123456-h-a-ipv6"),
    (L4.backend(*FULL), "k8s2-7kpbhpki-01234567890123456789-0123456789012345678-hwm400mg"),
    (L4.subnet_group(*FULL, "subnet"), "k8s2-7kpbhpki-0123456789012345-0123456789012345-185075-hwm400mg"),
    (L4.firewall_ipv6(*FULL), "k8s2-7kpbhpki-01234567890123456789-0123456789012345678-hwm-ipv6"),
    (L4.check_firewall(*FULL), "k8s2-7kpbhpki-01234567890123456789-0123456789012345678-hwm40-fw"),
    (L4.check_firewall(*FULL, "IPv6"), "k8s2-7kpbhpki-01234567890123456789-0123456789012345678--fw-ipv6"),
    (L4.subnet_group(*SHORT, LONG_NAMESPACE), "k8s2-7kpbhpki-namespace-name-1fd834-956p2p7x"),
    (L4.forwarding_rule(*SHORT, "L3_DEFAULT"), "k8s2-l3-7kpbhpki-namespace-name-956p2p7x"),
    (L4.numbered_rule(*SHORT, "L3_DEFAULT", 10), "k8s2-l3-7kpbhpki-namespace-name-956p2p7x-a"),
    (L4.forwarding_rule_ipv6(*SHORT, "L3_DEFAULT"), "k8s2-l3-7kpbhpki-namespace-name-956p2p7x-ipv6"),
    (L4.numbered_rule_ipv6(*SHORT, "L3_DEFAULT", 10), "k8s2-l3-7kpbhpki-namespace-name-956p2p7x-a-ipv6"),
    (L4.forwarding_rule(*FULL, "L3_DEFAULT"), "k8s2-l3-7kpbhpki-012345678901234567-012345678901234567-hwm400mg"),
    (L4.numbered_rule(*FULL, "L3_DEFAULT", 10), "k8s2-l3-7kpbhpki-012345678901234567-012345678901234567-hwm400-a"),
    (L4.forwarding_rule_ipv6(*FULL, "L3_DEFAULT"), "k8s2-l3-7kpbhpki-012345678901234567-012345678901234567-hwm-ipv6"),
    (L4.numbered_rule_ipv6(*FULL, "L3_DEFAULT", 10), "k8s2-l3-7kpbhpki-012345678901234567-012345678901234567-h-a-ipv6"),
    *[
        (rule("default", "netlb-service", "TCP", number), f"{NUMBERED}-{word}{end}")
        for number, word in [(0, "0"), (9, "9"), (10, "a"), (35, "z"), (36, "10"), (1000, "rs"), (13108, "a44")]
        for rule, end in [(L4.numbered_rule, ""), (L4.numbered_rule_ipv6, "-ipv6")]
    ],
    (L4.backend(*COLLIDING[0]), "k8s2-7kpbhpki-defa-extremely-long-name-that-has-a-diff-rhlqlhck"),
    (L4.firewall_ipv6(*COLLIDING[0]), "k8s2-7kpbhpki-defa-extremely-long-name-that-has-a-diff-rhl-ipv6"),
    (L4.check_firewall(*COLLIDING[0]), "k8s2-7kpbhpki-defa-extremely-long-name-that-has-a-diff-rhlql-fw"),
    (L4.check_firewall(*COLLIDING[0], "IPv6"), "k8s2-7kpbhpki-defa-extremely-long-name-that-has-a-diff--fw-ipv6"),
    (L4.backend(*COLLIDING[1]), "k8s2-7kpbhpki-defa-extremely-long-name-that-has-a-diff-eq7vnxfg"),
    (L4.firewall_ipv6(*COLLIDING[1]), "k8s2-7kpbhpki-defa-extremely-long-name-that-has-a-diff-eq7-ipv6"),
    (L4.check_firewall(*COLLIDING[1]), "k8s2-7kpbhpki-defa-extremely-long-name-that-has-a-diff-eq7vn-fw"),
    (L4.check_firewall(*COLLIDING[1], "IPv6"), "k8s2-7kpbhpki-defa-extremely-long-name-that-has-a-diff--fw-ipv6"),
    (L4.backend(*LONGER), "k8s2-7kpbhpki-def-extremely-long-name-that-has-a-diffe-l0u4pfl8"),
    (L4.firewall_ipv6(*LONGER), "k8s2-7kpbhpki-def-extremely-long-name-that-has-a-diffe-l0u-ipv6"),
    (L4.check_firewall(*LONGER), "k8s2-7kpbhpki-def-extremely-long-name-that-has-a-diffe-l0u4p-fw"),
    (L4.check_firewall(*LONGER, "IPv6"), "k8s2-7kpbhpki-def-extremely-long-name-that-has-a-diffe--fw-ipv6"),
]


@pytest.mark.spec("GCE-012")
@pytest.mark.parametrize(("ours", "upstream"), VECTORS)
def test_every_name_of_upstreams_own_test_is_reproduced(ours, upstream):
    """The names that upstream's namer test expects come out, long and short, and none is longer than the API takes."""
    assert ours == upstream
    assert len(ours) <= 63


def test_the_vectors_are_as_many_as_upstream_has():
    """No vector was lost on the way."""
    assert len(VECTORS) >= 60


@pytest.mark.spec("GCE-011")
def test_the_balancers_name_is_the_uid_without_dashes():
    """`a` and the uid, cut to 32 characters: the last digit is lost."""
    assert names.balancer_name("01234567-89ab-cdef-0123-456789abcdef") == "a0123456789abcdef0123456789abcde"


def test_legacy_names_hold_the_clusters_id():
    """Instance group, shared checks and their firewalls."""
    legacy = LegacyNames("0123456789abcdef")
    assert legacy.group == "k8s-ig--0123456789abcdef"
    assert legacy.shared_check == "k8s-0123456789abcdef-node"
    assert legacy.shared_pool_firewall == "k8s-0123456789abcdef-node-http-hc"
    assert legacy.shared_internal_firewall == "k8s-0123456789abcdef-node-hc"


@pytest.mark.spec("GCE-013")
@pytest.mark.parametrize(
    ("data", "wanted"),
    [
        ({"uid": "abc"}, "abc"),
        ({"provider-uid": "abc"}, "abc"),
        ({"provider-uid": "abc", "uid": "federation--abc"}, "abc"),
        ({"uid": ""}, ""),
        ({}, ""),
    ],
)
def test_the_clusters_id_is_read_as_both_upstreams_read_it(data, wanted):
    """`provider-uid` comes before `uid`, of which what follows the last double dash counts; it may be empty."""
    assert names.cluster_id(data, kube_system_uid="k") == wanted


def test_two_different_ids_are_not_guessed_between():
    """The operator of an old federated cluster has to say which one the names have."""
    with pytest.raises(InvalidSettings, match="two ids, abc and xyz"):
        names.cluster_id({"provider-uid": "abc", "uid": "xyz"}, kube_system_uid="k")


def test_without_a_config_map_the_id_is_the_clusters_own():
    """Two clusters of one project differ, and a restart changes nothing."""
    first, again, other = (names.cluster_id(None, kube_system_uid=uid) for uid in ("one", "one", "two"))
    assert first == again != other
    assert len(first) == 16


@pytest.mark.spec("GCE-013")
def test_an_empty_cluster_id_leaves_the_group_without_suffix():
    """Very old clusters have one."""
    assert LegacyNames("").group == "k8s-ig"


@pytest.mark.spec("GCE-014")
@pytest.mark.parametrize(("affinity", "digest"), [("ClientIP", "1668fd70f588116e"), ("None", "6eef6648406c333a")])
def test_a_shared_backend_service_is_named_after_its_session_affinity(affinity, digest):
    """The first 16 hex digits of the SHA-1 of the Service's own word."""
    assert LegacyNames("c").shared_backend("TCP", affinity) == f"k8s-c-internal-tcp-nmv1-{digest}"


@pytest.mark.spec("GCE-015")
def test_descriptions_are_byte_exact():
    """Key order, missing keys and even the odd blanks are upstream's."""
    assert names.legacy_description("ns/web") == '{"kubernetes.io/service-name":"ns/web"}'
    assert (
        names.legacy_firewall_description("ns/web", "1.2.3.4")
        == '{"kubernetes.io/service-name":"ns/web", "kubernetes.io/service-ip":"1.2.3.4"}'
    )
    assert (
        names.l4_description("ns/web")
        == '{"networking.gke.io/service-name":"ns/web","networking.gke.io/api-version":"ga"}'
    )
    assert (
        names.l4_description(shared=names.shared_sentence("XLB"))
        == '{"networking.gke.io/api-version":"ga","networking.gke.io/resource-description":'
        '"This resource is shared by all L4 XLB Services using ExternalTrafficPolicy: Cluster."}'
    )
    assert "all L4  Services" in names.shared_sentence("")


@pytest.mark.parametrize(
    ("description", "claimed"),
    [
        (names.l4_description("ns/web"), "ns/web"),
        (names.legacy_firewall_description("ns/web", "1.2.3.4"), "ns/web"),
        ('{"kubernetes.io/service-name":"a0123"}', ""),
        ("made by hand", ""),
        ("[]", ""),
        ("", ""),
    ],
)
def test_a_description_tells_whose_an_object_is(description, claimed):
    """Both upstreams' forms are read; what names no Service claims nothing."""
    assert names.described_service(description) == claimed
