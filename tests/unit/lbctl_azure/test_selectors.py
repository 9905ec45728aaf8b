"""Selectors of azure.json mean what they mean to Kubernetes, and what is none is named."""

from __future__ import annotations

import pytest

from lbctl_azure.selectors import read_selector

SELECTOR = {
    "matchLabels": {"tier": "edge"},
    "matchExpressions": [
        {"key": "zone", "operator": "In", "values": ["a", "b"]},
        {"key": "stage", "operator": "NotIn", "values": ["test"]},
        {"key": "owner", "operator": "Exists"},
        {"key": "frozen", "operator": "DoesNotExist"},
    ],
}
GOOD = {"tier": "edge", "zone": "b", "owner": ""}


def test_all_conditions_hold_together() -> None:
    """A label that is not there satisfies NotIn and DoesNotExist alone."""
    selector = read_selector(SELECTOR)
    assert selector.matches(GOOD)
    assert selector.keys == {"tier", "zone", "stage", "owner", "frozen"}


@pytest.mark.parametrize(
    "change",
    [{"tier": "core"}, {"zone": "c"}, {"stage": "test"}, {"owner": None}, {"frozen": "yes"}, {"zone": None}],
    ids=lambda change: "-".join(f"{key}-{value}" for key, value in change.items()),
)
def test_each_condition_can_fail(change: dict[str, str | None]) -> None:
    """One label that does not fit is enough."""
    labels = {key: value for key, value in {**GOOD, **change}.items() if value is not None}
    assert not read_selector(SELECTOR).matches(labels)


def test_no_selector_selects_nothing_in_particular() -> None:
    """Neither an absent nor an empty one decides anything; keys are read in any case."""
    assert not read_selector(None)
    assert not read_selector({"matchLabels": {}})
    assert read_selector({"MatchLabels": {"a": "b"}}).matches({"a": "b"})


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("tier=edge", "is not a selector"),
        ({"matchNames": {}}, "no matchnames"),
        ({"matchLabels": ["a"]}, "matchLabels is a mapping"),
        ({"matchExpressions": [{"operator": "Exists"}]}, "has no key"),
        ({"matchExpressions": [{"key": "a", "operator": "Has"}]}, "the operator of a is Has, and not In"),
        ({"matchExpressions": [{"key": "a", "operator": "In"}]}, "In of a takes a list of values"),
        ({"matchExpressions": [{"key": "a", "operator": "Exists", "values": ["b"]}]}, "Exists of a takes no values"),
    ],
)
def test_what_is_no_selector_is_told(value: object, words: str) -> None:
    """The reason names the part that is wrong."""
    with pytest.raises(ValueError, match=words):
        read_selector(value)
