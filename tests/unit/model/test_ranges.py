"""Source ranges: tolerant like upstream, and per family."""

from __future__ import annotations

import pytest

from lbctl.model.ranges import SOURCE_RANGES_ANNOTATION, normalise_cidr, parse_source_ranges, served_ranges
from tests.world import service


@pytest.mark.spec("SC-072")
@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        (" 10.0.0.5/24 ", "10.0.0.0/24"),
        ("010.0.0.0/8", "10.0.0.0/8"),
        ("10.0.0.0/8", "10.0.0.0/8"),
        ("2001:DB8::1/32", "2001:db8::/32"),
        ("0.0.0.0/0", "0.0.0.0/0"),
    ],
)
def test_padding_leading_zeros_and_host_bits_are_normalised(text, wanted):
    """What stored Services may hold is understood."""
    assert normalise_cidr(text) == wanted


@pytest.mark.parametrize("text", ["10.0.0.1", "", "10.0.0.0/33", "web", "10.0.0/8"])
def test_what_is_no_range_is_refused(text):
    """A bare address is none either."""
    with pytest.raises(ValueError, match=r".*"):
        normalise_cidr(text)


@pytest.mark.spec("SC-071")
def test_the_field_wins_an_empty_annotation_is_none_and_a_trailing_comma_is_a_problem():
    """The precedence and the strictness of upstream."""
    both = service(annotations={SOURCE_RANGES_ANNOTATION: "1.0.0.0/8"}, load_balancer_source_ranges=("2.0.0.0/8",))
    assert parse_source_ranges(both) == (frozenset({"2.0.0.0/8"}), [])
    assert parse_source_ranges(service(annotations={SOURCE_RANGES_ANNOTATION: "  "})) == (frozenset(), [])
    ranges, problems = parse_source_ranges(service(annotations={SOURCE_RANGES_ANNOTATION: "1.0.0.0/8,"}))
    assert ranges == {"1.0.0.0/8"}
    assert len(problems) == 1
    assert SOURCE_RANGES_ANNOTATION in problems[0].path


def test_all_bad_ranges_are_told_at_once():
    """Not the first alone."""
    _, problems = parse_source_ranges(service(load_balancer_source_ranges=("x", "1.0.0.0/8", "y")))
    assert len(problems) == 2


@pytest.mark.spec("SC-073")
def test_no_range_is_everybody_and_only_foreign_ranges_are_nobody():
    """The default is per served family; ranges of a family that is not served never open anything."""
    assert served_ranges(frozenset(), ("IPv4", "IPv6")) == ({"0.0.0.0/0", "::/0"}, frozenset())
    assert served_ranges(frozenset(), ("IPv4",)) == ({"0.0.0.0/0"}, frozenset())
    assert served_ranges(frozenset({"2001:db8::/32"}), ("IPv4",)) == (frozenset(), {"2001:db8::/32"})
    assert served_ranges(frozenset({"1.0.0.0/8", "::/0"}), ("IPv4",)) == ({"1.0.0.0/8"}, {"::/0"})
