"""A switch: one place where moto is laxer than AWS, and the hooks that close it.

`before` hooks may refuse a call, or answer it when nothing is left to do; `rewrite` hooks change what moto is asked;
`instead` hooks do moto's work; `after` hooks change what was answered and what moto remembers. The gate runs the hooks
of the switches that are on, in order of declaration.
A switch knows its hooks and the two behaviours in words; it knows nothing of HTTP.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from moto_fixtures.strict.cloud import Cloud
    from moto_fixtures.wire import Call, Json

Before = Callable[["Call", "Cloud"], "Json | None"]
Rewrite = Callable[["Call", "Cloud", "Json"], None]
After = Callable[["Call", "Cloud", "Json"], None]
_Operation = tuple[str, str]
_Hook = TypeVar("_Hook")
EVERY_OPERATION = "*"


class Switch:
    """`moto` says what moto does, `aws` what the service does; both are printed by the tests that prove them."""

    def __init__(self, name: str, *, moto: str, aws: str) -> None:
        self.name = name
        self.moto = moto
        self.aws = aws
        self.befores: dict[_Operation, list[Before]] = defaultdict(list)
        self.insteads: dict[_Operation, list[Before]] = defaultdict(list)
        self.rewrites: dict[_Operation, list[Rewrite]] = defaultdict(list)
        self.afters: dict[_Operation, list[After]] = defaultdict(list)

    def hooks(self, table: dict[_Operation, list[_Hook]], operation: _Operation) -> list[_Hook]:
        """The hooks of one of the three tables for an operation; those for every operation of the service first."""
        return [*table.get((operation[0], EVERY_OPERATION), ()), *table.get(operation, ())]

    def before(self, service: str, *operations: str) -> Callable[[Before], Before]:
        """Run the function before moto sees the call: it may raise RefusedError, or return a final answer."""
        return self._registrar(self.befores, service, operations)

    def instead(self, service: str, *operations: str) -> Callable[[Before], Before]:
        """Let the function do the work; when it returns None, moto does."""
        return self._registrar(self.insteads, service, operations)

    def rewrite(self, service: str, *operations: str) -> Callable[[Rewrite], Rewrite]:
        """Run the function on a copy of the parameters that moto will get."""
        return self._registrar(self.rewrites, service, operations)

    def after(self, service: str, *operations: str) -> Callable[[After], After]:
        """Run the function once moto has succeeded: it may change the answer in place, and moto's objects."""
        return self._registrar(self.afters, service, operations)

    @staticmethod
    def _registrar(
        table: dict[_Operation, list[_Hook]], service: str, operations: tuple[str, ...]
    ) -> Callable[[_Hook], _Hook]:
        def register(hook: _Hook) -> _Hook:
            for operation in operations:
                table[service, operation].append(hook)
            return hook

        return register
