"""Logging in to a real Keystone in every way that cloud.conf knows, and what the doctor finds."""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable
from pathlib import Path

import pytest

from lbctl.driver import Cluster, Level, Setup
from lbctl.model.objects import NodeSpec
from lbctl_openstack import DRIVER
from lbctl_openstack.permissions import EVERYTHING, access_rules
from lbctl_openstack.settings import OpenStackSettings
from tests.clouds.openstack.cloud import Cloud
from tests.clouds.openstack.proxy import Proxy
from tests.openstack.scene import CloudTime, Scene, cloud_conf, cloud_node, password_conf
from tests.world import change, service

INTERNAL = {"service.beta.kubernetes.io/openstack-internal-load-balancer": "true"}


def findings(cloud: Cloud, folder: Path, text: str, **options: str) -> list:
    """What the doctor finds with this cloud.conf."""
    path = folder / "cloud.conf"
    path.write_text(text)
    settings = OpenStackSettings(cloud_config=str(path), **options)
    driver = DRIVER.connect(Setup(Cluster("doctor", "doctor"), CloudTime(cloud), settings, "lbctl/test", lambda: 0.5))
    try:
        return list(driver.check())
    finally:
        driver.close()


def subjects(found: list) -> dict[str, Level]:
    """The worst level of each subject."""
    levels = [Level.OK, Level.WARNING, Level.FAILED]
    return {finding.subject: finding.level for finding in sorted(found, key=lambda one: levels.index(one.level))}


HEALTHY = dict.fromkeys(
    ("cloud.conf", "identity", "octavia", "neutron", "quotas", "security groups", "nodes", "names"), Level.OK
)


def said(found: list, subject: str) -> str:
    """Everything that is said of a subject."""
    return "\n".join(f"{one.message} ({one.hint})" for one in found if one.subject == subject)


@pytest.mark.spec("OS-090")
def test_password_application_credential_and_token_log_in(cloud: Cloud, tmp_path):
    """A password, an application credential and a token of a real Keystone all reach Octavia and Neutron.

    A credential does so by its id or by its name, whatever else of user and project the file says.
    """
    assert subjects(findings(cloud, tmp_path, password_conf(cloud))) == HEALTHY
    user = cloud.connect()
    identity = f"users/{user.current_user_id}/application_credentials"
    body = {"application_credential": {"name": secrets.token_hex(8), "unrestricted": False}}
    made = user.identity.post(f"/{identity}", json=body).json()["application_credential"]
    access = f"auth-url = {cloud.credentials['auth_url']}\nregion = RegionOne\n"
    secret = f"application-credential-secret = {made['secret']}\n"
    more = "username = demo\npassword = old\ntenant-name = demo\ndomain-name = Default\n"
    by_id, by_name = f"application-credential-id = {made['id']}\n", f"application-credential-name = {made['name']}\n"
    for by_credential in (by_id, by_id + more, by_name + more):
        assert subjects(findings(cloud, tmp_path, f"[Global]\n{access}{secret}{by_credential}")) == HEALTHY
    by_token = f"token = {user.auth_token}\ntenant-name = demo\ntenant-domain-name = Default\n"
    found = findings(cloud, tmp_path, f"[Global]\n{access}{by_token}")
    assert subjects(found) == HEALTHY | {"identity": Level.WARNING}
    assert "cannot be renewed when it expires (use an application credential)" in said(found, "identity")


@pytest.mark.spec("OS-090")
def test_the_file_wins_over_clouds_yaml(cloud: Cloud, tmp_path):
    """clouds.yaml logs in, and a password of [Global] is taken instead of its wrong one."""
    clouds = tmp_path / "clouds.yaml"
    auth = {**cloud.credentials, "password": "wrong"}
    lines = "".join(f"      {key}: {value}\n" for key, value in auth.items())
    clouds.write_text(f"clouds:\n  dev:\n    region_name: RegionOne\n    auth:\n{lines}")
    text = f"[Global]\nuse-clouds = true\nclouds-file = {clouds}\ncloud = dev\n"
    assert subjects(findings(cloud, tmp_path, text))["octavia"] is Level.FAILED
    assert subjects(findings(cloud, tmp_path, f"{text}password = demo\n")) == HEALTHY


def test_what_is_wrong_is_found(cloud: Cloud, tmp_path):
    """A wrong password fails each look with its reason; an unknown key fails with the nearest known one."""
    wrong = password_conf(cloud).replace('password = "demo"', "password = nonsense")
    found = findings(cloud, tmp_path, wrong)
    assert subjects(found)["octavia"] is Level.FAILED
    assert not any("nonsense" in finding.message + finding.hint for finding in found)
    typed = findings(cloud, tmp_path, cloud_conf(cloud, "floating-netwrk-id = x"))
    assert any("did you mean floating-network-id?" in finding.message for finding in typed)


def test_a_region_that_is_not_there_is_a_finding(cloud: Cloud, tmp_path):
    """Another region of the same Keystone has no Octavia, and that is said, not raised."""
    found = findings(cloud, tmp_path, cloud_conf(cloud), region="Elsewhere")
    assert subjects(found)["octavia"] is Level.FAILED


@pytest.fixture
def far(cloud: Cloud):
    """Another region: the same services at endpoints of its own, each of which counts its calls."""
    admin = cloud.connect("admin").identity
    region = admin.create_region(id=f"far-{secrets.token_hex(3)}")
    proxies = {"network": Proxy(cloud.layout.neutron), "load-balancer": Proxy(cloud.layout.octavia)}
    for kind, proxy in proxies.items():
        proxy.start()
        (offered,) = admin.services(type=kind)
        admin.create_endpoint(service_id=offered.id, interface="public", region_id=region.id, url=proxy.url)
    yield region.id, proxies["load-balancer"], proxies["network"]
    for endpoint in admin.endpoints(region_id=region.id):
        admin.delete_endpoint(endpoint.id)
    for proxy in proxies.values():
        proxy.stop()


def test_accounts_of_two_regions_stay_in_theirs(build: Callable[..., Scene], cloud: Cloud, far):
    """Two accounts of one process, one a region: each makes its balancer and floating IP at its region's endpoints."""
    region, octavia, neutron = far
    near, other = build(), build()
    other.path.write_text(cloud_conf(cloud).replace("region = RegionOne", f"region = {region}"))
    other.crash()
    with cloud.octavia.counted() as seen, cloud.neutron.counted() as seen_network:
        other.apply(service())
    made = [str(call) for call in (*octavia.calls, *neutron.calls) if call.is_write]
    assert made == ["POST /v2.0/lbaas/loadbalancers", "POST /v2.0/floatingips"]
    ours = other.cluster.name
    assert not [call for call in (*seen, *seen_network) if call.is_write or ours in json.dumps(call.body)]
    before = len(octavia.calls)
    near.apply(service(annotations=INTERNAL))
    assert near.balancer()["provisioning_status"] == "ACTIVE"
    assert len(octavia.calls) == before


@pytest.mark.spec("OS-089")
def test_a_revoked_token_is_renewed_once(scene: Scene, cloud: Cloud):
    """When Keystone has forgotten the token, the next call logs in again and goes through."""
    # Services remember for minutes that a token was good, so it is revoked before it was ever shown to them. Keystone
    # revokes no token of a credential that access rules limit.
    scene.path.write_text(password_conf(cloud))
    scene.crash()
    scene.driver._client.log_in()
    token = scene.driver._client._connection.auth_token
    forgotten = cloud.connect("admin").identity.delete("/auth/tokens", headers={"X-Subject-Token": token})
    assert forgotten.status_code == 204
    with cloud.keystone.counted() as calls:
        assert scene.plans() == []
    assert [call.path for call in calls if call.method == "POST"] == ["/v3/auth/tokens"]


def test_the_doctor_says_who_we_are_what_is_left_and_what_is_named_wrongly(cloud: Cloud, tmp_path):
    """User, project, roles and the token's life; each quota with used and limit; each id that Neutron does not know."""
    nothing = "11111111-1111-4111-8111-111111111111"
    lines = f"""subnet-id = {cloud.ids["nodes4"]}
floating-network-id = {cloud.ids["nodes"]}
[LoadBalancerClass "inner"]
network-id = {nothing}
"""
    found = findings(cloud, tmp_path, password_conf(cloud, lines))
    assert "user demo in project demo with the roles member" in said(found, "identity")
    assert "minutes" in said(found, "identity")
    assert "load_balancer " in said(found, "quotas")
    assert "floatingip " in said(found, "quotas")
    networks = said(found, "networks")
    assert f"[LoadBalancer] subnet-id: {cloud.ids['nodes4']} exists" in networks
    assert f"network {cloud.ids['nodes']} is not external (name an external network)" in networks
    assert f'[LoadBalancerClass "inner"] network-id: there is no {nothing} among the networks' in networks
    assert subjects(found)["networks"] is Level.FAILED


def test_a_node_without_an_instance_is_named(scene: Scene):
    """A node whose provider id is another cloud's is named, since neither its subnet nor its port can be found."""
    scene.see_node(change(cloud_node(scene.cloud, 2), spec=NodeSpec(provider_id="memory:///stray")))
    scene.settle(40)
    scene.plans()
    assert "the provider id of node2" in said(list(scene.driver.check()), "nodes")


def test_a_quota_that_is_used_up_fails(cloud: Cloud, tmp_path):
    """A quota without room is named with used and limit and what to do; one with room is not a warning."""
    admin, project = cloud.connect("admin"), cloud.ids["project demo"]
    path = f"/lbaas/quotas/{project}"
    admin.load_balancer.put(path, json={"quota": {"health_monitor": 0}})
    try:
        found = findings(cloud, tmp_path, password_conf(cloud))
    finally:
        admin.load_balancer.delete(path)
    assert subjects(found)["quotas"] is Level.FAILED
    assert "octavia: health_monitor 0/0 used (raise the quota health_monitor" in said(found, "quotas")


def test_a_call_without_an_access_rule_says_what_is_missing(cloud: Cloud, tmp_path):
    """An application credential that may not list floating IPs is told of the call and of access rules."""
    few = [rule for rule in access_rules(EVERYTHING) if rule["path"] != "/v2.0/networks"]
    identity, secret = cloud.application_credential(json.dumps(few))
    text = password_conf(cloud).partition("username")[0]
    text += f"application-credential-id = {identity}\napplication-credential-secret = {secret}\nregion = RegionOne\n"
    found = findings(cloud, tmp_path, text)
    assert "GET /networks: 401" in said(found, "neutron")
    assert "access rule" in said(found, "neutron")


def test_a_trust_logs_in(cloud: Cloud, tmp_path):
    """A trustee acts in the trustor's project by a trust, as clusters made by Magnum do."""
    admin, user = cloud.connect("admin"), cloud.user
    roles = {role.name: role.id for role in admin.identity.roles()}
    trustee = admin.identity.create_user(name=secrets.token_hex(8), password="pw", domain_id="default")
    trust = {
        "trustor_user_id": user.current_user_id,
        "trustee_user_id": trustee.id,
        "project_id": cloud.ids["project demo"],
        "impersonation": True,
        "roles": [{"id": roles["member"]}],
    }
    made = user.identity.post("/OS-TRUST/trusts", json={"trust": trust}).json()["trust"]
    access = f"auth-url = {cloud.credentials['auth_url']}\nregion = RegionOne\n"
    by_trust = f"trust-id = {made['id']}\ntrustee-id = {trustee.id}\ntrustee-password = pw\n"
    by_trust += "tenant-name = demo\ntenant-domain-name = Default\n"
    found = findings(cloud, tmp_path, f"[Global]\n{access}{by_trust}")
    assert subjects(found) == HEALTHY
    assert "user demo in project demo" in said(found, "identity")
