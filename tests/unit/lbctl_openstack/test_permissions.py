"""The smallest credential: enough for what the cluster uses, and the shipped file is the generated one.

That the rules are enough for everything is shown by the driver's suite on the real services, which logs in with them;
that none is asked for in vain by `tests/openstack/test_permissions.py`.
"""

from __future__ import annotations

import json
from pathlib import Path

from lbctl_openstack import DRIVER
from lbctl_openstack.permissions import EVERYTHING, access_rules
from lbctl_openstack.settings import OpenStackSettings
from tests.world import service

FILE = Path(__file__).parents[3] / "manifests" / "policies" / "openstack-access-rules.json"
INTERNAL = {"service.beta.kubernetes.io/openstack-internal-load-balancer": "true"}
TLS = {"loadbalancer.openstack.org/default-tls-container-ref": "https://barbican/v1/secrets/1"}
KEEP = {"loadbalancer.openstack.org/keep-floatingip": "true"}


def rules(tmp_path: Path, conf: str, *annotations: dict[str, str]) -> set[tuple[str, str]]:
    """Method and path of what Services with these annotations need."""
    path = tmp_path / "cloud.conf"
    path.write_text(f"[LoadBalancer]\n{conf}")
    settings = OpenStackSettings(cloud_config=str(path))
    needed = DRIVER.permissions(settings, [service(f"s{n}", annotations=a) for n, a in enumerate(annotations)])
    assert needed["roles"] == ["member"]
    return {(rule["method"], rule["path"]) for rule in needed["access_rules"]}


def test_the_shipped_rules_are_the_generated_ones():
    """The file in manifests/policies is what the table makes for everything that the driver can do."""
    assert FILE.read_text() == json.dumps(access_rules(EVERYTHING), indent=2) + "\n"
    assert DRIVER.permissions(OpenStackSettings(), None)["access_rules"] == access_rules(EVERYTHING)


def test_only_what_is_used_is_asked_for(tmp_path):
    """Internal Services need no floating IPs, groups only when managed, single members only for serial providers."""
    floating, member = ("POST", "/v2.0/floatingips"), ("DELETE", "/v2.0/lbaas/pools/*/members/*")
    group, kept = ("POST", "/v2.0/security-groups"), ("PUT", "/v2.0/floatingips/*/tags")
    secret = ("GET", "/v1/secrets/*")
    everything = {floating, member, group, kept, secret}
    assert everything & rules(tmp_path, "", INTERNAL) == set()
    assert everything & rules(tmp_path, "", INTERNAL, {}) == {floating}
    assert everything & rules(tmp_path, "internal-lb = true", {}) == set()
    assert everything & rules(tmp_path, "manage-security-groups = true", INTERNAL) == {group}
    assert everything & rules(tmp_path, "provider-requires-serial-api-calls = true", INTERNAL) == {member}
    assert everything & rules(tmp_path, "", INTERNAL | TLS) == {secret}
    assert everything & rules(tmp_path, "container-store = external", INTERNAL | TLS) == set()
    assert everything & rules(tmp_path, "", KEEP) == {floating, kept}
