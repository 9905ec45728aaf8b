"""What can go wrong on the way, and the journal of calls that budgets are counted from."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from tests.clouds.gce.errors import Refusal

READS = ("get", "list", "aggregatedList", "listInstances", "listNetworkEndpoints", "wait", "getHealth")


@dataclass
class Fault:
    """Refuse, or lose the answer of, some calls of one method (or of all that write).

    `skip` calls pass first, `times` are hit. `lost` does the write and then drops the connection; `in_operation` lets
    the request pass and the operation fail.
    """

    method: str = ""
    refusal: Refusal | None = None
    skip: int = 0
    times: int = 1
    lost: bool = False
    in_operation: bool = False

    def hits(self, method: str) -> bool:
        if self.method != method and (self.method or is_read(method)):
            return False
        if self.skip > 0:
            self.skip -= 1
            return False
        self.times -= 1
        return self.times >= 0


@dataclass
class Journal:
    """Every call that reached the cloud."""

    calls: list[str] = field(default_factory=list)

    @property
    def counts(self) -> Counter[str]:
        return Counter(self.calls)

    @property
    def polls(self) -> int:
        return sum(1 for call in self.calls if "Operations." in call)

    @property
    def reads(self) -> int:
        return sum(1 for call in self.calls if is_read(call) and "Operations." not in call)

    @property
    def writes(self) -> int:
        return sum(1 for call in self.calls if not is_read(call))

    def clear(self) -> None:
        self.calls.clear()


def is_read(method: str) -> bool:
    return method.rpartition(".")[2] in READS
