"""Patterns, tag filters, ids."""

from __future__ import annotations

import pytest

from lbctl_openstack.selecting import device_of, matches, secret_path, tag_query
from tests.world import node


@pytest.mark.spec("OS-058")
@pytest.mark.parametrize(
    ("pattern", "name", "hit"),
    [
        ("public-*", "public-1", True),
        ("public-*", "private-1", False),
        ("~pub.*[0-9]", "pub9", True),
        ("~pub", "pub9", False),
        ("!public-*", "public-1", False),
        ("!~pub.*", "private", True),
        ("", "anything", True),
        ("exact", "exact", True),
    ],
)
def test_a_floating_subnet_is_chosen_by_name_glob_or_regex(pattern, name, hit):
    """Patterns match whole names; `!` turns them round."""
    assert matches(pattern, name) is hit


@pytest.mark.spec("OS-059")
@pytest.mark.parametrize(
    ("text", "query"),
    [
        ("a,b", {"tags-any": "a,b"}),
        ("&a,b", {"tags": "a,b"}),
        ("!a,b", {"not-tags-any": "a,b"}),
        ("!&a,b", {"not-tags": "a,b"}),
        ("", {}),
    ],
)
def test_floating_subnet_tags_become_neutrons_filters(text, query):
    """Any, all, none, not all: each has its filter, the negated ones the right way round."""
    assert tag_query(text) == query


@pytest.mark.parametrize(
    ("provider_id", "device"),
    [
        ("openstack:///abc", "abc"),
        ("openstack://RegionOne/abc", "abc"),
        ("00000000-0000-4000-8000-000000000000", "00000000-0000-4000-8000-000000000000"),
        ("aws:///eu/i-1", ""),
        ("", ""),
    ],
)
def test_a_nodes_instance_is_read_from_its_provider_id(provider_id, device):
    """All three forms of upstream are read; another cloud's is no instance."""
    assert device_of(node("n", provider_id=provider_id)) == device


@pytest.mark.parametrize(
    ("ref", "path"),
    [
        ("https://kms.example.com/v1/containers/1", "/containers/1"),
        ("https://kms.example.com:9311/key-manager/v1/secrets/2", "/secrets/2"),
        ("anything else", ""),
    ],
)
def test_a_barbican_reference_has_a_path(ref, path):
    """Containers and secrets are looked up; any other reference is Octavia's to judge."""
    assert secret_path(ref) == path
