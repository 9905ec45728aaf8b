"""Names are upstream's, byte for byte."""

from __future__ import annotations

import pytest

from lbctl.naming import default_balancer_name
from lbctl_azure import names, tags

UID_NAME = default_balancer_name("01234567-89ab-cdef-0123-456789abcdef")


@pytest.mark.spec("AZ-009", "AZ-010")
@pytest.mark.parametrize(
    ("sources", "ports", "digest"),
    [
        (["foo", "bar"], [443], "b5ae07e8a4177ea2d37162cdf2badf8b"),
        (["Internet"], [80], "d39272f7f57ed937951650d93992ad77"),
    ],
)
def test_security_rule_names_carry_upstreams_digest(sources: list[str], ports: list[int], digest: str) -> None:
    """The digest of protocol, sources and ports equals upstream's own test values, whatever their order."""
    assert names.allow_rule_name("IPv4", "Tcp", sources, ports) == f"k8s-azure-lb_allow_IPv4_{digest}"
    assert names.allow_rule_name("IPv4", "Tcp", reversed(sources), ports) == f"k8s-azure-lb_allow_IPv4_{digest}"


@pytest.mark.spec("AZ-010")
def test_ports_sort_as_texts() -> None:
    """443 comes before 80."""
    assert names.port_order([80, 443, 80]) == ("443", "80")


@pytest.mark.spec("AZ-003", "AZ-004")
def test_frontends_are_named_after_uid_and_subnet() -> None:
    """32 characters, or with a subnet at most 75, ending in a letter or an underscore if anything was cut."""
    assert names.frontend_name(UID_NAME) == "a0123456789abcdef0123456789abcde"
    assert names.frontend_name(UID_NAME, subnet="nodes") == f"{UID_NAME}-nodes"
    long = names.frontend_name(UID_NAME, subnet="x" * 41 + "-" + "y" * 20)
    assert len(long) == 75
    assert long.endswith("x_")
    assert names.frontend_name(UID_NAME, subnet="x" * 60).endswith("x")


@pytest.mark.spec("AZ-005", "AZ-006")
def test_rules_are_named_after_protocol_and_port() -> None:
    """With a subnet its part is cut so that the whole fits 75; only the IPv6 half of two families has a suffix."""
    assert names.rule_name(UID_NAME, "TCP", 80) == f"{UID_NAME}-TCP-80"
    assert names.rule_name(UID_NAME, "TCP", 80, subnet="nodes") == f"{UID_NAME}-nodes-TCP-80"
    assert len(names.rule_name(UID_NAME, "TCP", 65000, subnet="s" * 80)) == 75
    assert names.rule_name(UID_NAME, "TCP", 80, family="IPv6") == f"{UID_NAME}-TCP-80"
    assert names.rule_name(UID_NAME, "TCP", 80, family="IPv6", dual_stack=True) == f"{UID_NAME}-TCP-80-IPv6"


@pytest.mark.spec("AZ-007", "AZ-008", "AZ-001")
def test_pools_addresses_and_balancers() -> None:
    """The IPv6 pool always has the suffix; an address from a prefix carries the prefix's name."""
    assert names.pool_name("kubernetes", "IPv4") == "kubernetes"
    assert names.pool_name("kubernetes", "IPv6") == "kubernetes-IPv6"
    assert names.public_ip_name("kubernetes", UID_NAME) == f"kubernetes-{UID_NAME}"
    assert names.public_ip_name("kubernetes", UID_NAME, prefix_id="/a/b/edge") == f"kubernetes-{UID_NAME}-edge"
    assert names.balancer_name("kubernetes", internal=True) == "kubernetes-internal"
    assert names.local_pool_name("Shop", "Web", "IPv6") == "shop-web-ipv6"


@pytest.mark.spec("AZ-012")
def test_a_tag_called_service_is_the_controllers_only_with_the_cluster_tag() -> None:
    """Users have tags of that name too (cloud-provider-azure #7130)."""
    assert tags.service_list({"service": "shop/web", "kubernetes-cluster-name": "kubernetes"}) == ("shop/web",)
    assert tags.service_list({"service": "billing"}) == ()
    assert not tags.is_managed({"service": "billing"})


@pytest.mark.spec("AZ-088")
@pytest.mark.parametrize(
    ("present", "wanted", "system", "result"),
    [
        ({"Env": "Prod"}, {"env": "prod"}, "", {"Env": "Prod"}),
        ({"Env": "test"}, {"env": "prod"}, "", {"Env": "prod"}),
        ({"old": "x"}, {"env": "prod"}, "", {"old": "x", "env": "prod"}),
        ({"old": "x", "sys-a": "1"}, {"env": "prod"}, "SYS-", {"sys-a": "1", "env": "prod"}),
    ],
)
def test_tags_meet_without_regard_to_case(
    present: dict[str, str], wanted: dict[str, str], system: str, result: dict[str, str]
) -> None:
    """What is equal stays as it is; only with system tags anything goes, and they protect by prefix."""
    assert tags.merged(present, wanted, system=system) == result


def test_the_word_null_keeps_its_blanks() -> None:
    """ARM reserves a bare null, so upstream keeps the blanks around it."""
    assert tags.parse_tags("a= null ,b = c ,junk,d=e=f") == ({"a": " null", "b": "c"}, ["junk", "d=e=f"])
