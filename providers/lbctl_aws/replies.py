"""Small readings of AWS's replies that several modules share. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from typing import Any, TypeVar

T = TypeVar("T")


def read_tags(raw: Mapping[str, Any]) -> dict[str, str]:
    """The tags of any described object."""
    return {tag["Key"]: tag.get("Value", "") for tag in raw.get("Tags", ())}


def write_tags(tags: Mapping[str, str]) -> list[dict[str, str]]:
    """Tags as every API takes them, sorted."""
    return [{"Key": key, "Value": value} for key, value in sorted(tags.items())]


def batches(items: Iterable[T], size: int) -> Iterator[list[T]]:
    """The items in lists of at most `size`."""
    iterator = iter(items)
    while batch := list(islice(iterator, size)):
        yield batch
