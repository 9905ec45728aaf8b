"""Rate limits as published: token buckets per principal, per subscription, and of the network provider.

Called once per request with the time. Published figures (Azure Resource Manager throttling, model of 2024): per
principal 250 reads refilled by 25 a second, 200 writes and 200 deletes refilled by 10 a second, all principals of a
subscription together 15 times that; the network provider 10,000 reads and 1,000 writes in five minutes.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from tests.clouds.azure.errors import ArmError
from tests.clouds.azure.paths import Counted

if TYPE_CHECKING:
    from collections.abc import Mapping

_SHARE_OF_SUBSCRIPTION: Final = 15


@dataclass(frozen=True, slots=True)
class Rate:
    """A bucket's size and what flows in each second."""

    size: float
    per_second: float


@dataclass(frozen=True, slots=True)
class Limits:
    """The rates in force, by what a call counts as; a missing one means no limit."""

    principal: Mapping[Counted, Rate] = field(default_factory=dict)
    provider: Mapping[Counted, Rate] = field(default_factory=dict)


PUBLISHED: Final = Limits(
    principal={Counted.READ: Rate(250, 25), Counted.WRITE: Rate(200, 10), Counted.DELETE: Rate(200, 10)},
    provider={Counted.READ: Rate(10_000, 10_000 / 300), Counted.WRITE: Rate(1_000, 1_000 / 300)},
)
UNLIMITED: Final = Limits()


@dataclass(slots=True)
class _Bucket:
    tokens: float
    filled_at: float

    def take(self, rate: Rate, now: float) -> float:
        """Takes a token; the seconds until there is one otherwise."""
        self.tokens = min(rate.size, self.tokens + (now - self.filled_at) * rate.per_second)
        self.filled_at = now
        if self.tokens < 1:
            return (1 - self.tokens) / rate.per_second
        self.tokens -= 1
        return 0.0


class Throttle:
    """The buckets of one subscription."""

    def __init__(self, limits: Limits = PUBLISHED) -> None:
        self.limits = limits
        self._buckets: dict[tuple[str, Counted], _Bucket] = {}

    def admit(self, principal: str, counted: Counted, now: float) -> dict[str, str]:
        """The headers that tell what is left; raises ArmError 429 with Retry-After when nothing is."""
        kind = Counted.READ if counted is Counted.POLL else counted
        provider_kind = Counted.WRITE if kind is Counted.DELETE else kind
        if (of_provider := self.limits.provider.get(provider_kind)) is not None:
            self._take("network provider", provider_kind, of_provider, now, code="TooManyRequests")
        rate = self.limits.principal.get(kind)
        if rate is None:
            return {}
        everybody = Rate(rate.size * _SHARE_OF_SUBSCRIPTION, rate.per_second * _SHARE_OF_SUBSCRIPTION)
        self._take("subscription", kind, everybody, now, code="SubscriptionRequestsThrottled")
        self._take(f"principal {principal}", kind, rate, now, code="SubscriptionRequestsThrottled")
        left = int(self._buckets[f"principal {principal}", kind].tokens)
        return {f"x-ms-ratelimit-remaining-subscription-{kind.value}s": str(left)}

    def _take(self, who: str, kind: Counted, rate: Rate, now: float, *, code: str) -> None:
        bucket = self._buckets.setdefault((who, kind), _Bucket(rate.size, now))
        wait = bucket.take(rate, now)
        if wait:
            seconds = max(1, math.ceil(wait))
            raise ArmError(
                429,
                code,
                f"Number of '{kind.value}' requests for {who} exceeded. Please try again after '{seconds}' seconds "
                "after additional tokens are available. Refer to https://aka.ms/arm-throttling for additional "
                "information.",
                headers={
                    "Retry-After": str(seconds),
                    f"x-ms-ratelimit-remaining-subscription-{kind.value}s": "0",
                },
            )
