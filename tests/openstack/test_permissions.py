"""No right is asked for in vain."""

from __future__ import annotations

import re

import pytest

from lbctl_openstack.permissions import BALANCING, NETWORK, PERMISSIONS, SECRETS
from tests.clouds.openstack.cloud import Cloud


def test_every_rule_was_needed(cloud: Cloud, whole_suite: bool):
    """Each access rule but Barbican's, which is not there, has allowed a call that some test beside this one made."""
    if not whole_suite:
        pytest.skip("only a part of tests/openstack runs, so nobody can tell what the rest needs")
    proxies = {BALANCING: cloud.octavia, NETWORK: cloud.neutron}
    made = {name: {(c.method, c.path.partition("?")[0]) for c in proxy.calls} for name, proxy in proxies.items()}
    unused = [one for one in PERMISSIONS if one.service != SECRETS and not used(one, made[one.service])]
    assert unused == []


def used(permission, calls: set[tuple[str, str]]) -> bool:
    """True when one of the calls needed it."""
    path = re.compile(re.escape(permission.path).replace(r"\*", "[^/]+"))
    return any(method == permission.method and path.fullmatch(where) for method, where in calls)
