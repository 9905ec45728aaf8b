"""What belongs to the host: addresses on an interface, IPv6, and the doctor's findings."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
from collections.abc import Iterator

import pytest

from lbctl.driver import Level
from lbctl.errors import MissingFact
from lbctl_local.interface import add_address, announcement, read_addresses, remove_address
from lbctl_local.process import stop_envoy
from tests.local.gateway import NET, ask, echoes
from tests.world import service

NODE_PORT = 30080
POOL = "198.51.100.0/29"


def make_link(name: str) -> str:
    """Make a pair of virtual interfaces; the reason when that is not possible here."""
    if os.geteuid() != 0 or shutil.which("ip") is None:
        return "needs root and iproute2"
    command = ["ip", "link", "add", name, "type", "veth", "peer", "name", f"{name}p"]
    reply = subprocess.run(command, capture_output=True, text=True, check=False)
    return reply.stderr.strip()


@pytest.fixture
def interface() -> Iterator[str]:
    """A virtual interface that is up, gone after the test."""
    name = f"lb{os.getpid() % 100_000}"
    if reason := make_link(name):
        pytest.skip(f"no test interface can be made: {reason}")
    for end in (name, f"{name}p"):
        subprocess.run(["ip", "link", "set", end, "up"], check=True)
    yield name
    subprocess.run(["ip", "link", "delete", name], check=True)


def test_an_address_comes_to_the_interface_and_goes_after_the_drain(build, interface: str):
    """A balancer's address is on the interface while it is served, and for the drain time after the Service is gone."""
    gateway = build(interface=interface, addresses=(POOL,), drain_seconds=1)
    with echoes(NODE_PORT, "n1", "n2"):
        gateway.apply(service(ports=(80,)))
        (address,) = gateway.addresses()
        assert address in read_addresses(interface)
        assert ask(address, 80)
        gateway.kube.delete("shop/web")
        gateway.settle(0.3)
        assert address in read_addresses(interface)
        assert gateway.exists()
        gateway.until(lambda: not gateway.exists())
        assert address not in read_addresses(interface)


def test_an_address_that_the_host_lost_is_added_again(build, interface: str):
    """After a reboot, or by somebody's hand, the address is missing from the interface; the next look puts it back."""
    gateway = build(interface=interface, addresses=(POOL,))
    with echoes(NODE_PORT, "n1", "n2"):
        gateway.apply(service(ports=(80,)))
        (address,) = gateway.addresses()
        remove_address(interface, address)
        gateway.crash()
        gateway.settle()
        assert address in read_addresses(interface)
        assert ask(address, 80)


def test_stopping_takes_the_addresses_off_the_interface(build, interface: str):
    """After `stop_envoy` the interface has only the addresses that were there before."""
    before = read_addresses(interface)
    gateway = build(interface=interface, addresses=(POOL,))
    gateway.apply(service(ports=(80,)))
    assert read_addresses(interface) > before
    gateway.driver.close()
    stop_envoy(gateway.root, gateway.clock, interface=interface)
    assert read_addresses(interface) == before


def test_adding_and_removing_may_be_repeated(interface: str):
    """Adding what is there and removing what is not are success, for both families; others' addresses stay."""
    add_address(interface, "198.51.100.77")
    for address in ("198.51.100.1", "2001:db8::1"):
        for _ in range(2):
            add_address(interface, address)
        assert address in read_addresses(interface)
        for _ in range(2):
            remove_address(interface, address)
        assert address not in read_addresses(interface)
    assert "198.51.100.77" in read_addresses(interface)


def test_the_announcement_reaches_the_neighbour(interface: str):
    """The other end of the wire sees a gratuitous ARP, and a neighbour advertisement, with the new address."""
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3)) as neighbour:
        neighbour.bind((f"{interface}p", 0))
        neighbour.settimeout(3)
        for address, kind in (("198.51.100.2", b"\x08\x06"), ("2001:db8::2", b"\x86\xdd")):
            add_address(interface, address)
            packed = socket.inet_pton(socket.AF_INET6 if ":" in address else socket.AF_INET, address)
            frame = neighbour.recv(200)
            while not (frame[12:14] == kind and packed in frame):
                frame = neighbour.recv(200)


def test_the_neighbour_advertisement_has_a_valid_checksum():
    """The ICMPv6 checksum over pseudo header and message is right, so that no host drops the frame."""
    frame = announcement(b"\x02\0\0\0\0\x01", "2001:db8::2")
    header, message = frame[14:54], frame[54:]
    words = header[8:40] + len(message).to_bytes(4, "big") + (58).to_bytes(4, "big") + message
    total = sum(int.from_bytes(words[i : i + 2], "big") for i in range(0, len(words), 2))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    assert total == 0xFFFF


def test_an_unknown_interface_is_named():
    """A wrong setting is told with the interface's name."""
    if shutil.which("ip") is None:
        pytest.skip("needs iproute2")
    with pytest.raises(MissingFact, match="nosuch0"):
        read_addresses("nosuch0")


def has_ipv6() -> bool:
    """True when ::1 can be bound."""
    with contextlib.suppress(OSError), socket.socket(socket.AF_INET6) as probe:
        probe.bind(("::1", 0))
        return True
    return False


def test_a_dual_stack_service_serves_both_families(build):
    """With pools of both families a dual-stack Service has an address of each, in its order, and both serve."""
    if not has_ipv6():
        pytest.skip("this host has no ::1")
    port = 20000 + os.getpid() % 10000
    gateway = build(addresses=(f"{NET}.64.0/24", "::1/128"))
    with echoes(30000 + port % 2000, "n1", "n2"):
        gateway.apply(service(ports=(port,), ip_families=("IPv6", "IPv4"), ip_family_policy="RequireDualStack"))
        six, four = gateway.addresses()
        # Node n1 and n2 have IPv4 addresses only: the first family decides which ones are targets.
        assert six == "::1"
        assert four.startswith(NET)
        gateway.edit("web", ip_families=("IPv4", "IPv6"))
        assert ask("::1", port).endswith("hello")
        assert ask(four, port).endswith("hello")


def test_without_an_ipv6_pool_a_required_second_family_is_refused(build):
    """RequireDualStack without a pool is the author's mistake; PreferDualStack is served with one family and told."""
    gateway = build()
    gateway.apply(service(ports=(80,), ip_families=("IPv4", "IPv6"), ip_family_policy="RequireDualStack"))
    assert "no address pool has IPv6" in gateway.condition().message
    gateway.apply(service("soft", ports=(80,), ip_families=("IPv4", "IPv6"), ip_family_policy="PreferDualStack"))
    assert len(gateway.addresses("soft")) == 1
    assert "LimitedByDriver" in gateway.reasons("soft")


def test_the_doctor_finds_all_well(build):
    """On a host where balancers work every finding is OK, before and after Envoy runs."""
    gateway = build()
    with echoes(NODE_PORT, "n1", "n2"):
        before = {finding.subject: finding for finding in gateway.driver.check()}
        gateway.apply(service(ports=(80,)))
        after = {finding.subject: finding for finding in gateway.driver.check()}
    assert all(finding.level is not Level.FAILED for finding in (*before.values(), *after.values()))
    assert "no Envoy runs" in before["admin"].message
    assert "1.40" in after["admin"].message
    assert "1 of" in after["pool"].message


def test_the_doctor_finds_an_address_that_the_host_does_not_have(build):
    """A pool that is on no interface is a failed finding that says what to do."""
    gateway = build(addresses=("203.0.113.0/28",))
    found = next(finding for finding in gateway.driver.check() if finding.subject == "addresses")
    assert found.level is Level.FAILED
    assert "203.0.113.1" in found.message
    assert "ip address add" in found.hint


def test_an_address_that_the_host_does_not_have_is_told_to_the_service(build):
    """A balancer on such a pool says what is missing on the host instead of pretending to serve."""
    gateway = build(addresses=("203.0.113.0/28",))
    gateway.apply(service(ports=(80,)))
    assert gateway.addresses() == []
    assert gateway.condition().reason == "MissingFact"
    assert "Cannot assign requested address" in gateway.condition().message
