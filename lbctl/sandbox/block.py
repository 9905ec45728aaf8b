"""A block of loopback addresses for one sandbox, so that several run side by side on one machine.

The first sandbox gets 127.0.0.0/16, where the defaults of nodes, pods and balancers lie, the next ones other blocks. A
block is held by a bound socket, which ends with its process whatever happens.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass

from lbctl.sandbox.nodes.addresses import AddressesExhausted, udp_socket

LOCK_PORT = 19_998
SECOND_NUMBERS = (0, *range(101, 180))


@dataclass(frozen=True, slots=True)
class Block:
    """The three ranges of one sandbox."""

    number: int

    @property
    def nodes(self) -> str:
        """CIDR of the simulated nodes."""
        return f"127.{self.number}.32.0/20"

    @property
    def balancers(self) -> str:
        """CIDR of the published addresses."""
        return f"127.{self.number}.64.0/18"

    @property
    def pods(self) -> str:
        """CIDR of the simulated pods."""
        return f"127.{self.number}.128.0/17"


@contextlib.contextmanager
def hold_block() -> Iterator[Block]:
    """A block that no other sandbox of this machine has while the context lasts."""
    for number in SECOND_NUMBERS:
        try:
            held = udp_socket(f"127.{number}.255.254", LOCK_PORT)
        except OSError:
            continue
        with held:
            yield Block(number)
        return
    raise AddressesExhausted("every loopback block is held by another sandbox", hint="end one of them")
