"""Addresses on a host interface, through iproute2: the only module that changes the host's network.

Needs CAP_NET_ADMIN and Linux. New addresses are announced to the neighbours by a gratuitous ARP (IPv4) or an
unsolicited neighbour advertisement (IPv6): a gateway that knew another host for them learns the new one at once.
"""

from __future__ import annotations

import contextlib
import ipaddress
import json
import shutil
import socket
import struct
import subprocess

from lbctl.errors import CloudBug, CloudError, MissingFact, PermissionDenied

ANSWER_SECONDS = 5.0
ETHERTYPE_ARP, ETHERTYPE_IPV6 = 0x0806, 0x86DD
BROADCAST = b"\xff" * 6
ALL_NODES = ipaddress.IPv6Address("ff02::1")
# Override the cache, unsolicited: RFC 4861, 4.4.
OVERRIDE = 0x20000000
ICMPV6, NEIGHBOUR_ADVERTISEMENT = 58, 136

ANSWERS: tuple[tuple[str, type[CloudError], str], ...] = (
    ("Operation not permitted", PermissionDenied, "give lbctl CAP_NET_ADMIN, or leave `interface` empty"),
    ("Cannot find device", MissingFact, "set `interface` to one that `ip link` shows"),
    ("does not exist", MissingFact, "set `interface` to one that `ip link` shows"),
)


def read_addresses(interface: str) -> frozenset[str]:
    """All addresses on the interface; one call of `ip`."""
    links = json.loads(_ip("-json", "address", "show", "dev", interface) or "[]")
    return frozenset(
        str(ipaddress.ip_address(info["local"]))
        for link in links
        for info in link.get("addr_info", ())
        if "local" in info
    )


def add_address(interface: str, address: str) -> None:
    """Put the address on the interface and announce it; success when it is there already."""
    # `nodad`: the address is wanted at once, and our allocator has already made sure that it is unique.
    flags = ("nodad",) if ":" in address else ()
    _ip("address", "replace", _host_range(address), "dev", interface, *flags)
    announce(interface, address)


def remove_address(interface: str, address: str) -> None:
    """Take the address off the interface; success when it is not there."""
    if address in read_addresses(interface):
        _ip("address", "delete", _host_range(address), "dev", interface)


def announce(interface: str, address: str) -> None:
    """Tell the neighbours; silently nothing where raw sockets are not allowed, as the address works without."""
    with contextlib.suppress(OSError), _raw_socket(interface) as raw:
        hardware = raw.getsockname()[4]
        raw.send(announcement(hardware, address))


def announcement(hardware: bytes, address: str) -> bytes:
    """The Ethernet frame that says that this hardware address has the IP address. Pure."""
    if ":" in address:
        return _neighbour_advertisement(hardware, ipaddress.IPv6Address(address))
    ip = ipaddress.IPv4Address(address).packed
    # Ethernet, IPv4, lengths 6 and 4, request: RFC 5227, 3, prefers a request for announcements.
    arp = struct.pack("!HHBBH", 1, 0x0800, 6, 4, 1) + hardware + ip + b"\0" * 6 + ip
    return BROADCAST + hardware + struct.pack("!H", ETHERTYPE_ARP) + arp


def _neighbour_advertisement(hardware: bytes, address: ipaddress.IPv6Address) -> bytes:
    option = b"\x02\x01" + hardware
    body = struct.pack("!BBHI", NEIGHBOUR_ADVERTISEMENT, 0, 0, OVERRIDE) + address.packed + option
    pseudo = address.packed + ALL_NODES.packed + struct.pack("!II", len(body), ICMPV6)
    message = body[:2] + struct.pack("!H", _checksum(pseudo + body)) + body[4:]
    header = struct.pack("!IHBB", 6 << 28, len(message), ICMPV6, 255) + address.packed + ALL_NODES.packed
    target = b"\x33\x33" + ALL_NODES.packed[-4:]
    return target + hardware + struct.pack("!H", ETHERTYPE_IPV6) + header + message


def _checksum(data: bytes) -> int:
    total: int = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def _raw_socket(interface: str) -> socket.socket:
    raw = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
    try:
        raw.bind((interface, 0))
    except OSError:
        raw.close()
        raise
    return raw


def _host_range(address: str) -> str:
    return f"{address}/{128 if ':' in address else 32}"


def _ip(*arguments: str) -> str:
    binary = shutil.which("ip")
    if binary is None:
        raise MissingFact("`ip` is not installed", hint="install iproute2, or leave `interface` empty")
    command = [binary, *arguments]
    reply = subprocess.run(command, capture_output=True, text=True, check=False, timeout=ANSWER_SECONDS)  # noqa: S603 - no shell, our own words and a checked address
    if reply.returncode == 0:
        return reply.stdout
    message = f"`{' '.join(command)}` failed: {reply.stderr.strip()}"
    for text, error, hint in ANSWERS:
        if text in reply.stderr:
            raise error(message, hint=hint)
    raise CloudBug(message)
