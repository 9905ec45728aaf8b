"""Loopback addresses for nodes and pods, and the sockets bound to them.

On Linux every address of 127.0.0.0/8 can be bound without set-up or privilege. Addresses are handed out in order and
the longest unused one is taken again last, so that a client that remembers an old address is not served by a new pod.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
import struct
from typing import TYPE_CHECKING

from lbctl.errors import LbctlError

if TYPE_CHECKING:
    from collections.abc import Callable

BACKLOG = 256
NODE_CIDR = "127.0.32.0/20"
POD_CIDR = "127.0.128.0/17"


class AddressesExhausted(LbctlError):
    """All addresses of a CIDR are in use."""

    reason = "AddressesExhausted"


class AddressPool:
    """The addresses of one CIDR, in order, each held by at most one owner."""

    def __init__(self, cidr: str) -> None:
        self._cidr = cidr
        hosts = ipaddress.ip_network(cidr).hosts()
        self._unused = hosts
        self._returned: list[str] = []

    def take(self) -> str:
        """An address that nobody holds; `AddressesExhausted` when there is none."""
        fresh = next(self._unused, None)
        if fresh is not None:
            return str(fresh)
        if self._returned:
            return self._returned.pop(0)
        raise AddressesExhausted(f"all addresses of {self._cidr} are in use", hint="choose a larger CIDR")

    def give_back(self, address: str) -> None:
        """Allow `address` to be taken again, after all others."""
        self._returned.append(address)


def is_loopback(address: str) -> bool:
    """True for addresses that this machine can send from without set-up."""
    return ipaddress.ip_address(address).is_loopback


def family_of(address: str) -> socket.AddressFamily:
    """Socket family of an IP literal."""
    return socket.AF_INET6 if ":" in address else socket.AF_INET


def tcp_socket(address: str, port: int) -> socket.socket:
    """A listening, non-blocking TCP socket; `OSError` when the port is taken."""
    return _bound(socket.SOCK_STREAM, address, port)


async def serve(protocol: Callable[[], asyncio.BaseProtocol], sock: socket.socket) -> asyncio.Server:
    """A server that accepts on `sock`; a task that is cancelled meanwhile leaves no open socket behind."""
    server = await asyncio.get_running_loop().create_server(protocol, sock=sock, start_serving=False)
    try:
        await server.start_serving()
    except BaseException:
        server.close()
        raise
    return server


def udp_socket(address: str, port: int) -> socket.socket:
    """A bound, non-blocking UDP socket; `OSError` when the port is taken."""
    return _bound(socket.SOCK_DGRAM, address, port)


def has_ipv6() -> bool:
    """True when `::1` can be bound on this machine."""
    try:
        udp_socket("::1", 0).close()
    except OSError:
        return False
    return True


def reset(transport: asyncio.Transport | None) -> None:
    """Close a connection with a TCP reset, as a host does whose process is gone; fine when it is closed already."""
    sock = transport.get_extra_info("socket") if transport is not None else None
    if transport is None or sock is None or sock.fileno() < 0:
        return
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort()


def _bound(kind: socket.SocketKind, address: str, port: int) -> socket.socket:
    sock = socket.socket(family_of(address), kind)
    try:
        sock.settimeout(0)
        if kind is socket.SOCK_STREAM:
            # Without it a port with connections in TIME_WAIT could not be served again for a minute.
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((address, port))
        if kind is socket.SOCK_STREAM:
            sock.listen(BACKLOG)
    except OSError:
        sock.close()
        raise
    return sock
