"""What came of the demo. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field


@dataclass(slots=True)
class ServiceReport:
    """One Service: requests that have to be answered, those that were, and the pods that answered them."""

    name: str
    address: str = ""
    ports: tuple[str, ...] = ()
    requests: int = 0
    answered: int = 0
    targets: set[str] = field(default_factory=set)

    def count(self, *, requests: int, answered: int, targets: Iterable[str]) -> None:
        """Add what came of some requests."""
        self.requests += requests
        self.answered += answered
        self.targets.update(targets)

    @property
    def is_fine(self) -> bool:
        """True when it was asked and every request was answered."""
        return 0 < self.requests == self.answered


@dataclass(frozen=True, slots=True)
class StepReport:
    """One step; `problem` is empty when all was as it should be."""

    name: str
    seconds: float
    problem: str = ""

    @property
    def ok(self) -> bool:
        """True when all was as it should be."""
        return not self.problem


@dataclass(slots=True)
class Report:
    """Everything; `leftovers` is None until somebody has looked."""

    services: dict[str, ServiceReport] = field(default_factory=dict)
    steps: list[StepReport] = field(default_factory=list)
    leftovers: int | None = None
    seconds: float = 0.0

    @property
    def ok(self) -> bool:
        """True when every step went well, every request was answered and nothing is left."""
        services = self.services.values()
        return bool(self.steps and services) and (
            all(step.ok for step in self.steps) and all(one.is_fine for one in services) and self.leftovers == 0
        )

    def service(self, name: str) -> ServiceReport:
        """The report of one Service, new if need be."""
        return self.services.setdefault(name, ServiceReport(name))
