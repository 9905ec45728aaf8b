"""PROXY protocol headers are understood, and nothing else is taken for one."""

from __future__ import annotations

import socket
import struct

import pytest

from lbctl.sandbox.nodes.preface import BrokenHeader, IncompleteHeader, read_header

V1 = b"PROXY TCP4 192.0.2.1 198.51.100.2 40000 443\r\n"
V1_V6 = b"PROXY TCP6 2001:db8::1 2001:db8::2 40000 443\r\n"
SIGNATURE = b"\r\n\r\n\x00\r\nQUIT\n"
V2 = (
    SIGNATURE
    + struct.pack("!BBH", 0x21, 0x11, 12)
    + bytes([192, 0, 2, 1, 198, 51, 100, 2])
    + struct.pack("!HH", 40000, 443)
)
V2_V6 = (
    SIGNATURE
    + struct.pack("!BBH", 0x21, 0x21, 36)
    + socket.inet_pton(socket.AF_INET6, "2001:db8::1")
    + socket.inet_pton(socket.AF_INET6, "2001:db8::2")
    + struct.pack("!HH", 40000, 443)
)
V2_TLV = SIGNATURE + struct.pack("!BBH", 0x21, 0x11, 17) + V2[16:] + b"\x03\x00\x02ab"


@pytest.mark.parametrize(
    ("data", "version", "source", "destination"),
    [
        (V1, 1, "192.0.2.1:40000", "198.51.100.2:443"),
        (V1_V6, 1, "[2001:db8::1]:40000", "[2001:db8::2]:443"),
        (V2, 2, "192.0.2.1:40000", "198.51.100.2:443"),
        (V2_V6, 2, "[2001:db8::1]:40000", "[2001:db8::2]:443"),
        (V2_TLV, 2, "192.0.2.1:40000", "198.51.100.2:443"),
        (b"PROXY UNKNOWN\r\n", 1, "", ""),
        (SIGNATURE + struct.pack("!BBH", 0x20, 0, 0), 2, "", ""),
    ],
)
def test_a_header_tells_both_ends_and_its_own_length(data, version, source, destination):
    """Version, source and destination come out, and the bytes behind the header stay."""
    header = read_header(data + b"GET / HTTP/1.1")
    assert header is not None
    assert (header.version, header.source, header.destination) == (version, source, destination)
    assert header.length == len(data)


@pytest.mark.parametrize("data", [V1, V2, V2_V6])
def test_every_cut_of_a_header_asks_for_more(data):
    """A header may arrive in any pieces."""
    for end in range(len(data)):
        with pytest.raises(IncompleteHeader):
            read_header(data[:end])


@pytest.mark.parametrize(
    "data", [b"GET / HTTP/1.1\r\n", b"POST /", b"PROXIMA\n", b"hello\n", b"\r\nhello", b"\x16\x03\x01"]
)
def test_other_streams_have_no_header(data):
    """HTTP, text, an empty line and TLS are left alone."""
    assert read_header(data) is None


@pytest.mark.parametrize(
    "data",
    [
        b"PROXY TCP4 192.0.2.1\r\n",
        b"PROXY TCP9 192.0.2.1 192.0.2.2 1 2\r\n",
        b"PROXY TCP4 nowhere 192.0.2.2 1 2\r\n",
        b"PROXY " + b"x" * 120,
        SIGNATURE + struct.pack("!BBH", 0x31, 0x11, 0),
        SIGNATURE + struct.pack("!BBH", 0x21, 0x11, 4) + b"abcd",
    ],
)
def test_a_damaged_header_is_refused(data):
    """What begins like a header and is none is an error, never data."""
    with pytest.raises(BrokenHeader):
        read_header(data)
