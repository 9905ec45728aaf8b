"""What Envoy says about a configuration, and which error of `lbctl.errors` it is. Pure.

Envoy reports a refused file through its log: one line for each refused entry, then one for the file. Entries that are
not named were taken (source/common/listener_manager/lds_api.cc, source/common/upstream/cds_api_helper.cc,
filesystem_subscription_impl.cc, v1.40).
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from lbctl.errors import CloudError, MissingFact, PermissionDenied, Rejected

ENTRY = re.compile(r"(?:lds: listener|cds: cluster) '(?P<name>[^']+)' config rejected: (?P<reason>.*)")
FILE = re.compile(r"Filesystem config update (?:rejected|failure): (?P<reason>.*)")

# Text in Envoy's reason -> error and what to do. The errors of bind(2) come through as the C library words them.
REASONS: tuple[tuple[str, type[CloudError], str], ...] = (
    ("Permission denied", PermissionDenied, "give Envoy CAP_NET_BIND_SERVICE, or use ports from 1024 on"),
    ("Cannot assign requested address", MissingFact, "add the address to the host, or set `interface`"),
    ("Can't assign requested address", MissingFact, "add the address to the host, or set `interface`"),
    (
        "Address already in use",
        MissingFact,
        "another program listens there: stop it, or choose another port or address",
    ),
)


@dataclass(frozen=True, slots=True)
class Refusal:
    """What Envoy refused: reasons by entry, and the reasons given for whole files."""

    entries: dict[str, str] = field(default_factory=dict)
    files: tuple[str, ...] = ()


def read_refusal(log: str) -> Refusal:
    """Everything that this piece of Envoy's log says was refused."""
    entries = {found["name"]: found["reason"] for found in ENTRY.finditer(log)}
    return Refusal(entries, tuple(found["reason"] for found in FILE.finditer(log)))


def error_for(name: str, reason: str) -> CloudError:
    """The error that Envoy's reason amounts to; a reason that is not in the table is `Rejected`."""
    message = f"Envoy refused {name}: {reason}"
    for text, error, hint in REASONS:
        if text in reason:
            return error(message, hint=hint)
    return Rejected(message, hint="what served before goes on")
