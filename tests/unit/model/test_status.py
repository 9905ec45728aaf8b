"""What is published, in the form that the API server stores."""

from __future__ import annotations

import pytest

from lbctl.model.objects import Ingress
from lbctl.model.status import published

FAMILIES = ("IPv6", "IPv4")


@pytest.mark.spec("SC-062", "SC-063")
def test_an_ip_has_a_mode_a_hostname_has_none_and_both_may_stand_together():
    """The mode is the driver's or VIP; a host name alone never carries one."""
    assert published((Ingress(ip="203.0.113.9", ip_mode="Proxy"),), families=FAMILIES)[0].ip_mode == "Proxy"
    assert published((Ingress(ip="203.0.113.9"),), families=FAMILIES)[0].ip_mode == "VIP"
    assert published((Ingress(hostname="lb.example", ip_mode="Proxy"),), families=FAMILIES)[0].ip_mode is None
    both = published((Ingress(ip="203.0.113.9", hostname="lb.example"),), families=FAMILIES)[0]
    assert (both.ip, both.hostname) == ("203.0.113.9", "lb.example")


def test_addresses_are_canonical_and_in_the_order_of_the_families():
    """So that the same addresses are never a difference."""
    mixed = (Ingress(ip="203.0.113.9"), Ingress(ip="2001:DB8:0:0::1"), Ingress(ip="203.0.113.10"))
    assert [e.ip for e in published(mixed, families=FAMILIES)] == ["2001:db8::1", "203.0.113.10", "203.0.113.9"]
    assert published(mixed[::-1], families=FAMILIES) == published(mixed, families=FAMILIES)


@pytest.mark.spec("SC-063")
def test_a_hostname_that_is_an_address_is_published_as_one():
    """The API server refuses an IP literal as a host name."""
    assert published((Ingress(hostname="203.0.113.9"),), families=FAMILIES) == (
        Ingress(ip="203.0.113.9", ip_mode="VIP"),
    )
