"""The choice of addresses: pure, deterministic, never one that is taken."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lbctl.errors import OwnedByOther, QuotaExceeded
from lbctl_local.addresses import Wish, capacity, choose_addresses

SMALL = (ipaddress.ip_network("127.0.64.0/29"),)
BOTH = (*SMALL, ipaddress.ip_network("fd00::/125"))
ALL = [str(address) for address in SMALL[0].hosts()]


@given(uid=st.text(min_size=1), taken=st.sets(st.sampled_from(ALL)))
def test_the_choice_is_free_usable_and_always_the_same(uid, taken):
    """Whatever is taken, the choice is a free host address of the pool, twice the same; or the pool is full."""
    holders = dict.fromkeys(taken, "a/b")
    wish = Wish(uid, ("IPv4",))
    if len(taken) == len(ALL):
        with pytest.raises(QuotaExceeded, match=f"{len(ALL)} used, limit {len(ALL)}"):
            choose_addresses(wish, SMALL, holders)
        return
    (chosen,) = choose_addresses(wish, SMALL, holders)
    assert chosen in set(ALL) - taken
    assert choose_addresses(wish, SMALL, holders) == (chosen,)


def test_what_is_held_is_kept_even_outside_of_the_pools():
    """A held address wins over every other choice, also when the operator has changed the pools meanwhile."""
    assert choose_addresses(Wish("u", ("IPv4",), held=("10.9.9.9",)), SMALL, {}) == ("10.9.9.9",)


def test_a_held_address_that_somebody_took_is_given_up():
    """A published address that another Service has reserved is not used twice."""
    (chosen,) = choose_addresses(Wish("u", ("IPv4",), held=("127.0.64.1",)), SMALL, {"127.0.64.1": "a/b"})
    assert chosen != "127.0.64.1"


def test_each_family_gets_one_and_a_request_counts_for_its_own():
    """A dual-stack Service gets an address a family, in its order; the requested one decides only its family."""
    six, four = choose_addresses(Wish("u", ("IPv6", "IPv4"), requested="127.0.64.3"), BOTH, {})
    assert four == "127.0.64.3"
    assert ipaddress.ip_address(six) in BOTH[1]


def test_a_requested_address_that_is_taken_names_its_holder():
    """The error says who has it."""
    with pytest.raises(OwnedByOther, match="taken by shop/web"):
        choose_addresses(Wish("u", ("IPv4",), requested="127.0.64.3"), SMALL, {"127.0.64.3": "shop/web"})


@pytest.mark.parametrize(
    ("pool", "size"), [("10.0.0.0/24", 254), ("10.0.0.0/31", 2), ("10.0.0.1/32", 1), ("fd00::/126", 3)]
)
def test_capacity_leaves_out_what_cannot_be_used(pool, size):
    """Network and broadcast address do not count, except where there are none; every counted one can be chosen."""
    pools = (ipaddress.ip_network(pool),)
    assert capacity(pools) == size
    taken: dict[str, str] = {}
    for number in range(size):
        (chosen,) = choose_addresses(Wish(str(number), (f"IPv{pools[0].version}",)), pools, taken)
        taken[chosen] = "a/b"
    assert len(taken) == size
