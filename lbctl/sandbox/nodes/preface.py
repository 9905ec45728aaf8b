"""PROXY protocol headers, read from the first bytes of a stream.

Pure; called by the echo servers. Format: "The PROXY protocol, versions 1 & 2" (HAProxy, 2020/03/05), sections 2.1, 2.2.
"""

from __future__ import annotations

import ipaddress
import struct
from dataclasses import dataclass

_V1_START = b"PROXY "
_V1_LONGEST = 107
_V2_START = b"\r\n\r\n\x00\r\nQUIT\n"
_V2_FIXED = struct.Struct("!12sBBH")
_V2_COMMANDS = {0x20: "LOCAL", 0x21: "PROXY"}
_V2_ADDRESSES = {1: struct.Struct("!4s4sHH"), 2: struct.Struct("!16s16sHH")}
_V1_FAMILIES = {b"TCP4", b"TCP6"}
_V1_WORDS = 6


class IncompleteHeader(Exception):
    """The bytes so far may become a PROXY header; read more."""


class BrokenHeader(ValueError):
    """The bytes begin like a PROXY header and are none."""


@dataclass(frozen=True, slots=True)
class ProxyHeader:
    """Who really opened the connection, and how many bytes the header took.

    `source` and `destination` are `address:port`, empty where the sender speaks for itself (UNKNOWN, LOCAL).
    """

    version: int
    length: int
    source: str = ""
    destination: str = ""


def read_header(data: bytes) -> ProxyHeader | None:
    """The PROXY header at the start of `data`; None when there is none.

    Raises `IncompleteHeader` while that cannot be told yet, `BrokenHeader` for a start that nothing valid has.
    """
    for start, read in ((_V1_START, _read_v1), (_V2_START, _read_v2)):
        if data.startswith(start):
            return read(data)
        if start.startswith(data):
            raise IncompleteHeader
    return None


def _read_v1(data: bytes) -> ProxyHeader:
    line, end, _ = data[:_V1_LONGEST].partition(b"\r\n")
    if not end:
        if len(data) >= _V1_LONGEST:
            raise BrokenHeader("a PROXY v1 header has no line end within 107 bytes")
        raise IncompleteHeader
    words = line.split(b" ")
    length = len(line) + len(end)
    if words[1] == b"UNKNOWN":
        return ProxyHeader(version=1, length=length)
    if words[1] not in _V1_FAMILIES or len(words) != _V1_WORDS:
        raise BrokenHeader(f"not a PROXY v1 header: {line!r}")
    source, destination, source_port, destination_port = (word.decode("ascii", "replace") for word in words[2:])
    return ProxyHeader(
        version=1,
        length=length,
        source=_joined(source, source_port),
        destination=_joined(destination, destination_port),
    )


def _read_v2(data: bytes) -> ProxyHeader:
    if len(data) < _V2_FIXED.size:
        raise IncompleteHeader
    _, command, family, rest = _V2_FIXED.unpack_from(data)
    if command not in _V2_COMMANDS:
        raise BrokenHeader(f"unknown PROXY v2 version and command 0x{command:02x}")
    length = _V2_FIXED.size + rest
    if len(data) < length:
        raise IncompleteHeader
    addresses = _V2_ADDRESSES.get(family >> 4)
    if _V2_COMMANDS[command] == "LOCAL" or addresses is None:
        return ProxyHeader(version=2, length=length)
    if rest < addresses.size:
        raise BrokenHeader(f"a PROXY v2 header of {rest} bytes cannot hold its addresses")
    source, destination, source_port, destination_port = addresses.unpack_from(data, _V2_FIXED.size)
    return ProxyHeader(
        version=2,
        length=length,
        source=_joined(source, source_port),
        destination=_joined(destination, destination_port),
    )


def _joined(address: str | bytes, port: str | int) -> str:
    try:
        ip = ipaddress.ip_address(address)
        number = int(port)
    except ValueError as error:
        raise BrokenHeader(f"a PROXY header names no address: {error}") from error
    return f"[{ip}]:{number}" if ip.version == 6 else f"{ip}:{number}"  # noqa: PLR2004 - the version of IPv6
