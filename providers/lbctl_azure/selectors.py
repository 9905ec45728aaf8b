"""Label selectors as Kubernetes writes them: `matchLabels` and `matchExpressions`, all of which must hold. Pure.

azure.json selects with them which Services and nodes go to which load balancer.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

Labels = Mapping[str, str]
OPERATORS: Mapping[str, Callable[[str | None, tuple[str, ...]], bool]] = {
    "In": lambda value, values: value in values,
    "NotIn": lambda value, values: value not in values,
    "Exists": lambda value, _values: value is not None,
    "DoesNotExist": lambda value, _values: value is None,
}
WITH_VALUES = frozenset({"In", "NotIn"})
PARTS = {"matchlabels": "matchLabels", "matchexpressions": "matchExpressions"}


@dataclass(frozen=True, slots=True)
class Requirement:
    """One condition on one label; a label that is not there satisfies `NotIn`."""

    key: str
    operator: str
    values: tuple[str, ...] = ()

    def holds(self, labels: Labels) -> bool:
        """True when the labels satisfy it."""
        return OPERATORS[self.operator](labels.get(self.key), self.values)


@dataclass(frozen=True, slots=True)
class Selector:
    """Conditions that must all hold; falsy without any."""

    requirements: tuple[Requirement, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.requirements)

    def matches(self, labels: Labels) -> bool:
        """True when the labels satisfy every condition."""
        return all(requirement.holds(labels) for requirement in self.requirements)

    @property
    def keys(self) -> frozenset[str]:
        """The labels that it looks at."""
        return frozenset(requirement.key for requirement in self.requirements)


EVERYTHING = Selector()


def read_selector(value: Any) -> Selector:  # noqa: ANN401 - a value as the file has it
    """A selector as Kubernetes writes one; ValueError with what is wrong with it."""
    if not value:
        return EVERYTHING
    if not isinstance(value, Mapping):
        raise ValueError(f"{value!r} is not a selector")  # noqa: TRY004 - every reader of azure.json says so in this way
    parts = {str(name).lower(): part for name, part in value.items()}
    unknown = sorted(parts.keys() - PARTS.keys())
    if unknown:
        raise ValueError(f"a selector has {' and '.join(PARTS.values())}, and no {', '.join(unknown)}")
    labels, expressions = parts.get("matchlabels") or {}, parts.get("matchexpressions") or []
    if not isinstance(labels, Mapping) or not isinstance(expressions, list):
        raise ValueError("matchLabels is a mapping, and matchExpressions a list")  # noqa: TRY004 - as above
    equal = (Requirement(str(key), "In", (str(item),)) for key, item in labels.items())
    return Selector((*equal, *map(_requirement, expressions)))


def _requirement(expression: Any) -> Requirement:  # noqa: ANN401 - as above
    if not isinstance(expression, Mapping) or not expression.get("key"):
        raise ValueError(f"{expression!r} is not a condition: it has no key")
    key, operator, values = str(expression["key"]), str(expression.get("operator")), expression.get("values") or []
    if operator not in OPERATORS:
        raise ValueError(f"the operator of {key} is {operator}, and not {', '.join(OPERATORS)}")
    if bool(values) != (operator in WITH_VALUES) or not isinstance(values, list):
        raise ValueError(f"{operator} of {key} takes {'a list of' if operator in WITH_VALUES else 'no'} values")
    return Requirement(key, operator, tuple(str(item) for item in values))
