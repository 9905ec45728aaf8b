"""What the services answer, and which error of `lbctl.errors` it is: one table, by status and text. Pure.

A 409 is several things in Octavia, and a 404 of Neutron may be a missing router; the text decides.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from lbctl.errors import (
    CloudBug,
    CloudError,
    Conflict,
    MissingFact,
    NotAuthenticated,
    NotReady,
    PermissionDenied,
    QuotaExceeded,
    Rejected,
    Throttled,
    Unreachable,
)

BUSY_SECONDS = 2.0
LARGEST_CLIENT_ERROR = 499


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer that is no success."""

    call: str
    status: int
    text: str
    retry_after: str = ""
    request_id: str = ""


Make = Callable[[str, Reply], CloudError]


class Busy(NotReady):
    """Octavia works on the balancer, for whomever: nothing else is taken until it is done."""


def _busy(message: str, _reply: Reply) -> CloudError:
    return Busy(message, after_seconds=BUSY_SECONDS)


def _throttled(message: str, reply: Reply) -> CloudError:
    seconds = float(reply.retry_after) if reply.retry_after.isdigit() else 5.0
    return Throttled(message, after_seconds=seconds, request_id=reply.request_id)


def _plain(kind: type[CloudError], hint: str = "") -> Make:
    return lambda message, reply: kind(message, hint=hint, request_id=reply.request_id)


# status, pattern in the text, what it is; the first match counts
TABLE: tuple[tuple[int, str, Make], ...] = (
    (409, r"immutable|Invalid state", _busy),
    (409, r"Another Listener .* is already using", _plain(Rejected, "another Service has this port of the balancer")),
    (409, r"VIP IP address is already in use|already in use", _plain(Rejected, "choose another address")),
    (409, r"IpAddressGenerationFailure", _plain(MissingFact, "add addresses to the external network")),
    (409, r"IpAddressAlreadyAllocated", _plain(Rejected, "the address is taken; choose another")),
    (409, r"OverQuota|[Qq]uota", _plain(QuotaExceeded, "raise the quota or remove what is not used")),
    (409, r"", _plain(Conflict)),
    (412, r"", _plain(Conflict)),
    (403, r"[Qq]uota", _plain(QuotaExceeded, "raise the quota or remove what is not used")),
    (413, r"[Qq]uota", _plain(QuotaExceeded, "raise the quota or remove what is not used")),
    (
        403,
        r"floating_ip_address",
        _plain(
            PermissionDenied, "the Neutron policy create_floatingip:floating_ip_address forbids choosing an address"
        ),
    ),
    (
        403,
        r"Policy does not allow",
        _plain(PermissionDenied, "grant the role load-balancer_member (member is enough from Octavia 19 on)"),
    ),
    (403, r"", _plain(PermissionDenied, "grant the role member on the project")),
    (
        401,
        r"",
        _plain(
            NotAuthenticated,
            "check the credentials of this account; an application credential also needs an access rule for this call",
        ),
    ),
    (
        404,
        r"ExternalGatewayForFloatingIPNotFound",
        _plain(MissingFact, "connect the VIP's subnet to the external network by a router"),
    ),
    (404, r"", _plain(Conflict)),
    (429, r"", _throttled),
    (
        400,
        r"is not a valid external network|ExternalNetwork",
        _plain(MissingFact, "name an external network in floating-network-id"),
    ),
    (400, r"", _plain(Rejected)),
    (501, r"", _plain(Rejected, "the provider cannot do it")),
)


def error_of(reply: Reply) -> CloudError:
    """The error that an answer amounts to; a server error is `Unreachable`, an unknown one `CloudBug`."""
    message = f"{reply.call}: {reply.status} {reply.text}"
    for status, pattern, make in TABLE:
        if reply.status == status and re.search(pattern, reply.text):
            return make(message, reply)
    if reply.status > LARGEST_CLIENT_ERROR:
        return Unreachable(message, request_id=reply.request_id)
    return CloudBug(message, request_id=reply.request_id)


def text_of(body: object) -> str:
    """The sentence in an error's body: Octavia's `faultstring`, Neutron's `NeutronError`, Keystone's `error`."""
    if not isinstance(body, Mapping):
        return str(body)[:300]
    neutron = body.get("NeutronError")
    if isinstance(neutron, Mapping):
        return f"{neutron.get('type', '')}: {neutron.get('message', '')}"
    keystone = body.get("error")
    if isinstance(keystone, Mapping):
        return str(keystone.get("message", ""))
    return str(body.get("faultstring") or body.get("message") or body.get("description") or body)[:500]
