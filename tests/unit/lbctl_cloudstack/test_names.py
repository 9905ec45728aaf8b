"""Upstream's names byte for byte, and how names and marks are read back."""

from __future__ import annotations

import pytest

from lbctl.model.resource import Identity
from lbctl_cloudstack.names import (
    Mark,
    RuleName,
    balancer_name,
    is_own,
    named_scope,
    own_scope,
    read_mark,
    read_owner,
    read_rule_name,
    rule_name,
    write_mark,
)

UID = "c6f5a3b2-1d4e-4f60-8a7b-9c0d1e2f3a4b"
BALANCER = "ac6f5a3b21d4e4f608a7b9c0d1e2f3a4"


@pytest.mark.spec("CS-001")
def test_the_balancers_name_is_a_and_the_uid_cut_to_32():
    """The uid without dashes after an `a`, 32 characters in all."""
    assert balancer_name(UID) == BALANCER
    assert len(balancer_name(UID)) == 32


@pytest.mark.spec("CS-002")
@pytest.mark.parametrize("protocol", ["tcp", "udp", "tcp-proxy"])
def test_rule_names_are_upstreams_and_read_back(protocol):
    """`<balancer>-<protocol>-<port>` both ways."""
    name = rule_name(BALANCER, protocol, 80)
    assert name == f"{BALANCER}-{protocol}-80"
    assert read_rule_name(name) == RuleName(BALANCER, protocol, 80)


@pytest.mark.spec("CS-005")
def test_the_old_form_has_no_protocol():
    """`<balancer>-<port>` of releases before 1.0 is read."""
    assert read_rule_name(f"{BALANCER}-443") == RuleName(BALANCER, "", 443)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "web",
        f"{BALANCER}-tcp-0",
        f"{BALANCER}-tcp-70000",
        f"x{BALANCER}-tcp-80",
        f"{BALANCER}-sctp-80",
        f"{BALANCER}-tcp-80-old",
    ],
)
def test_other_names_are_nobodys(text):
    """A name that upstream cannot have made is not read."""
    assert read_rule_name(text) is None


def test_marks_are_read_back():
    """What a rule is born with tells cluster and Service; any other description tells nothing."""
    owner = Identity("shop", "web", UID)
    for mark in (
        Mark("cluster-1", owner),
        Mark("cluster-1", owner, opened=True),
        Mark("cluster-1", owner, "203.0.113.7", is_udp_half=True),
        Mark("cluster-1", owner, "203.0.113.7", is_udp_half=True, opened=True),
    ):
        assert read_mark(write_mark(mark)) == mark
    assert read_mark("made by hand") is None
    assert read_mark("") is None


def test_an_owner_is_read_from_tags_only_when_they_are_whole():
    """Service and uid are both needed."""
    assert read_owner({"lbctl.io/service": "shop/web", "lbctl.io/uid": UID}) == Identity("shop", "web", UID)
    assert read_owner({"lbctl.io/service": "shop/web"}) is None
    assert read_owner({}) is None


def test_scopes_tell_named_addresses_from_own_ones():
    """A named scope is the address, an own one the balancer."""
    assert is_own(own_scope(UID))
    assert not is_own(named_scope("203.0.113.7"))
