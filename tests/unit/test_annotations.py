"""Annotations: parsed, validated and described from one declaration."""

from __future__ import annotations

import pytest

from lbctl.annotations import Annotation, AnnotationTable
from lbctl.grammar import Address, Boolean, Choice, Cidr, Document, Integer, ListOf, Pairs, Text

PREFIX = "service.beta.kubernetes.io/"


def table(*annotations):
    """A table under the usual prefix."""
    return AnnotationTable(tuple(annotations), prefixes=(PREFIX,))


TIMEOUT = Annotation(PREFIX + "idle-timeout", "timeout", Integer(1, 3600), "Idle timeout.", default=60)
PROBE = Annotation(PREFIX + "port_{port}_probe", "probe", Choice(("tcp", "http"), any_case=True), "Probe of a port.")


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        (Text(), " x ", "x"),
        (Integer(1, 5), " 3 ", 3),
        (Boolean(), "T", True),
        (Boolean(), "0", False),
        (Choice(("on", "off")), "on", "on"),
        (Choice(("Tcp",), any_case=True), "TCP", "Tcp"),
        (Address(4), "10.0.0.1", "10.0.0.1"),
        (Address(), "2001:DB8::1", "2001:db8::1"),
        (Cidr(), "10.0.0.1/8", "10.0.0.0/8"),
        (ListOf(Integer(1, 9)), "1, 2,,3", (1, 2, 3)),
        (ListOf(Text(), separator=" "), "a  b", ("a", "b")),
        (Pairs(), "a=b,c=d", {"a": "b", "c": "d"}),
        (Pairs(), "a=b,c", {"a": "b,c"}),
        (Pairs(), r"a=b\,c=d", {"a": "b,c=d"}),
        (Pairs(bare_keys=True), "a,b=1", {"a": "", "b": "1"}),
        (Document(lambda data: data["x"]), '{"x": 1}', 1),
    ],
)
def test_good_text_has_a_value(kind, text, value):
    """Each kind reads its grammar."""
    assert kind.parse(text) == value
    assert kind.grammar


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        (Text(pattern="[a-z]+"), "A"),
        (Integer(1, 5), "6"),
        (Integer(1, 5), "x"),
        (Boolean(), "yes"),
        (Choice(("on",)), "ON"),
        (Address(4), "2001:db8::1"),
        (Address(), "web"),
        (Cidr(), "10.0.0.1"),
        (ListOf(Integer(1, 9)), "1,x"),
        (Pairs(), "=b"),
        (Document(lambda data: data), "{"),
        (Document(lambda data: data), "[" * 100_000),
    ],
)
def test_bad_text_is_refused_with_a_sentence(kind, text):
    """A ValueError that says what is expected."""
    with pytest.raises(ValueError, match=r"^(is|has) "):
        kind.parse(text)


def test_every_problem_is_found_at_once_and_names_its_field():
    """With the value as written."""
    values = table(TIMEOUT, PROBE).read({TIMEOUT.key: "soon", PREFIX + "port_80_probe": "icmp"})
    assert [p.path for p in values.problems] == [
        f"metadata.annotations[{PREFIX}idle-timeout]",
        f"metadata.annotations[{PREFIX}port_80_probe]",
    ]
    assert "'soon'" in values.problems[0].message


def test_a_variable_part_of_a_key_becomes_a_mapping():
    """One declaration serves every port."""
    values = table(PROBE).read({PREFIX + "port_80_probe": "HTTP", PREFIX + "port_web_probe": "tcp"})
    assert values.by_name["probe"] == {"80": "http", "web": "tcp"}


def test_a_misspelt_key_is_told_with_the_nearest_one():
    """It looks like one of ours; a key of somebody else is not our business."""
    values = table(TIMEOUT).read({PREFIX + "idle-timout": "5", "example.com/x": "y", "lbctl.io/nonsense": "1"})
    messages = [notice.message for notice in values.notices]
    assert any(f"did you mean {TIMEOUT.key}?" in message for message in messages)
    assert any("lbctl.io/nonsense" in message for message in messages)
    assert len(messages) == 2
    assert values.by_name["timeout"] == 60
    assert values.given == frozenset()


def test_only_declared_annotations_decide():
    """The rest cannot change a plan."""
    assert table(TIMEOUT).declared({TIMEOUT.key: "5", "other": "x"}) == {TIMEOUT.key: "5"}
