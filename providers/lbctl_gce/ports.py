"""Ports as Compute Engine writes them: ranges of forwarding rules, entries of firewall rules. Pure."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator, Mapping
from typing import Any

ALL_PORTS = "all"
MOST_DISCRETE = 5


def span(ports: Iterable[int]) -> str:
    """The range from the lowest to the highest port, as `portRange` has it."""
    numbers = sorted(ports)
    return f"{numbers[0]}-{numbers[-1]}"


def discrete(ports: Iterable[int]) -> str:
    """Ports one by one, sorted, with commas; a single one too."""
    return ",".join(str(port) for port in sorted(set(ports)))


def same_ports(old: Hashable, new: Hashable) -> bool:
    """True also when a range stands where single ports are wanted that it spans: recreating would gain nothing."""
    if old == new:
        return True
    wanted = str(new).split(",")
    return str(new) != ALL_PORTS and all(port.isdigit() for port in wanted) and str(old) == span(map(int, wanted))


def compress(ports: Iterable[int]) -> Iterator[str]:
    """Single ports and runs such as `80-82`, in order."""
    numbers = sorted(set(ports))
    start = 0
    for index, number in enumerate(numbers):
        if index + 1 == len(numbers) or numbers[index + 1] != number + 1:
            first = numbers[start]
            yield str(first) if first == number else f"{first}-{number}"
            start = index + 1


def entries(ports: Mapping[str, Iterable[int]]) -> frozenset[str]:
    """What a rule lets through: `tcp 80`, `udp 53-54`; one item for each entry that counts against the limit."""
    return frozenset(f"{protocol.lower()} {run}" for protocol, numbers in ports.items() for run in compress(numbers))


def read_entries(allowed: Iterable[Mapping[str, Any]]) -> frozenset[str]:
    """The same from the API's form: listed ports and ranges count alike, and so do letters' cases."""
    found: set[str] = set()
    for entry in allowed:
        protocol = str(entry["IPProtocol"]).lower()
        texts = entry.get("ports", ())
        numbers = [number for text in texts for number in _numbers(text)]
        found |= entries({protocol: numbers}) if texts else {protocol}
    return frozenset(found)


def write_entries(found: frozenset[str]) -> list[dict[str, Any]]:
    """The API's form, udp before tcp as upstream writes it."""
    grouped: dict[str, list[str]] = {}
    for item in sorted(found, key=_sort_key):
        protocol, _, ports = item.partition(" ")
        grouped.setdefault(protocol, []).extend([ports] if ports else [])
    return [
        {"IPProtocol": protocol, **({"ports": ports} if ports else {})}
        for protocol, ports in sorted(grouped.items(), reverse=True)
    ]


def _numbers(text: str) -> range:
    low, _, high = text.partition("-")
    return range(int(low), int(high or low) + 1)


def _sort_key(item: str) -> tuple[str, int]:
    protocol, _, ports = item.partition(" ")
    return protocol, int(ports.split("-", maxsplit=1)[0] or 0)
