"""Answers for people and programs; the only module that imports rich, and only when a table is drawn."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lbctl.engine.tracked import Account, Tracked

SERVICE_COLUMNS = ("NAMESPACE", "NAME", "STATE", "ADDRESS", "PORTS", "PROVIDER", "REASON")


def table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Columns without borders, two blanks apart: good for eyes and for awk."""
    lines = [list(columns), *[[cell or "-" for cell in row] for row in rows]]
    widths = [max(len(line[index]) for line in lines) for index in range(len(columns))]
    return "\n".join("  ".join(c.ljust(w) for c, w in zip(line, widths, strict=True)).rstrip() for line in lines)


def service_table(chosen: Iterable[tuple[Account, Tracked]]) -> str:
    """One line a Service."""
    documents = [service_document(account, tracked) for account, tracked in chosen]
    rows = [
        (
            doc["namespace"],
            doc["name"],
            doc["state"],
            ",".join(doc["addresses"]),
            ",".join(doc["ports"]),
            doc["provider"],
            doc["message"] or (doc["reason"] if doc["reason"] != "Ready" else ""),
        )
        for doc in documents
    ]
    return table(SERVICE_COLUMNS, rows)


def service_document(account: Account, tracked: Tracked) -> dict[str, Any]:
    """One Service as plain data."""
    outcome = tracked.worst
    ingress = tracked.service.status.load_balancer.ingress
    return {
        "namespace": tracked.identity.namespace,
        "name": tracked.identity.name,
        "provider": account.info.name,
        "account": account.name,
        "state": outcome.progress.value,
        "reason": outcome.reason,
        "message": outcome.message,
        "addresses": [entry.ip or entry.hostname or "" for entry in ingress],
        "ports": [f"{port.port}/{port.protocol}" for port in tracked.service.spec.ports],
    }


def wants_colour() -> bool:
    """True on a terminal unless NO_COLOR is set."""
    return sys.stdout.isatty() and not os.environ.get("NO_COLOR")
