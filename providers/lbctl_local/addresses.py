"""Which address a Service gets: pure, deterministic, and the same one for its whole life.

In this order: the address that the Service names; the one that is reserved for it; one that its listeners are on; one
that its status publishes; else the first free one from a place in the pool that the Service's uid decides. Two workers
that choose at the same time so rarely meet, and if they do, the reservation (`state.py`) lets one win and the other
choose again.
"""

from __future__ import annotations

import hashlib
import ipaddress
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from lbctl.errors import OwnedByOther, QuotaExceeded
from lbctl_local.settings import Network


@dataclass(frozen=True, slots=True)
class Wish:
    """What the choice depends on. `held` are addresses that the Service has, best proof first."""

    uid: str
    families: tuple[str, ...]
    requested: str = ""
    held: tuple[str, ...] = ()


def choose_addresses(wish: Wish, pools: tuple[Network, ...], taken: Mapping[str, str]) -> tuple[str, ...]:
    """One address a family, in the order of the families; `taken` leaves out what is the Service's own.

    `OwnedByOther` names who has a requested address; `QuotaExceeded` tells used and limit of an exhausted pool.
    """
    return tuple(_choose(wish, family, pools, taken) for family in wish.families)


def capacity(pools: Iterable[Network]) -> int:
    """Number of addresses that can be given out."""
    return sum(_size(pool) for pool in pools)


def _choose(wish: Wish, family: str, pools: tuple[Network, ...], taken: Mapping[str, str]) -> str:
    if wish.requested and _family(wish.requested) == family:
        return _requested(str(ipaddress.ip_address(wish.requested)), taken)
    for address in wish.held:
        if _family(address) == family and address not in taken:
            return address
    of_family = tuple(pool for pool in pools if f"IPv{pool.version}" == family)
    for address in _candidates(wish.uid, of_family, tries=len(taken) + 1):
        if address not in taken:
            return address
    raise _exhausted(family, of_family, taken)


def _requested(address: str, taken: Mapping[str, str]) -> str:
    if address in taken:
        raise OwnedByOther(
            f"spec.loadBalancerIP: {address} is taken by {taken[address]}",
            hint="choose another address, or remove that Service",
        )
    return address


def _candidates(uid: str, pools: tuple[Network, ...], *, tries: int) -> Iterator[str]:
    """Each address of the pools once, but no more than `tries`, from a start that the uid decides."""
    total = capacity(pools)
    if not total:
        return
    start = int.from_bytes(hashlib.sha256(uid.encode()).digest()[:16], "big") % total
    for step in range(min(tries, total)):
        yield _address_at((start + step) % total, pools)


def _address_at(index: int, pools: tuple[Network, ...]) -> str:
    for pool in pools:
        if index < _size(pool):
            return str(pool[index + _first(pool)])
        index -= _size(pool)
    raise AssertionError("the index lies in no pool")


def _first(pool: Network) -> int:
    return 0 if pool.num_addresses <= 2 else 1  # noqa: PLR2004 - /31 and /32 (RFC 3021) have no network address


def _size(pool: Network) -> int:
    if pool.num_addresses <= 2:  # noqa: PLR2004 - as above
        return pool.num_addresses
    return pool.num_addresses - (2 if pool.version == 4 else 1)  # noqa: PLR2004 - IPv6 has no broadcast address


def _family(address: str) -> str:
    return f"IPv{ipaddress.ip_address(address).version}"


def _exhausted(family: str, pools: tuple[Network, ...], taken: Mapping[str, str]) -> QuotaExceeded:
    used = sum(1 for address in taken if any(ipaddress.ip_address(address) in pool for pool in pools))
    ranges = ", ".join(str(pool) for pool in pools)
    return QuotaExceeded(
        f"no free {family} address in {ranges}: {used} used, limit {capacity(pools)}",
        hint="add a range to the setting `addresses` of the local driver, or remove a Service",
    )
