"""Interfaces in pools: which machine belongs to which pool, read and planned. Pure.

Used with pools of interfaces (`nodeIPConfiguration`). The model of a scale set comes before its instances, because an
instance written under an old model is undone by the model's next update.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from lbctl.model.resource import Observed, Scope, Seen
from lbctl_azure.account import Account

Document = Mapping[str, Any]


def read_members(
    balancers: Mapping[Scope, Observed],
    scale_sets: Iterable[Document],
    interfaces: Iterable[Document],
    account: Account,
) -> list[Seen]:
    """Machines and scale sets with the pools of ours that they are in."""
    return []
