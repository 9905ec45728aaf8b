"""The commands as a person types them, on the real services: what they print, and what the project holds afterwards."""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml

from lbctl.cli.main import run
from lbctl.clock import SystemClock
from lbctl.engine.claim import SHARED_FINALIZER
from lbctl.kube.access import Access
from lbctl.kube.rest import Rest
from lbctl.kube.throttle import Rate
from lbctl.sandbox.api import ApiServer
from lbctl.sandbox.hands import Hands
from tests.cli.console import Said, command_of
from tests.clouds.openstack.cloud import Cloud
from tests.openstack.scene import cloud_conf, cloud_node
from tests.openstack.upstream import made_by_upstream
from tests.world import service

INTERNAL = {"service.beta.kubernetes.io/openstack-internal-load-balancer": "true"}
MONITORED = {"loadbalancer.openstack.org/enable-health-monitor": "true"}
AT_ONCE = ("--older-than", "0s", "--delete", "--apart", "0s", "--yes")
WRITERS = ("POST", "PUT", "DELETE")


@dataclass
class Desk:
    """A cluster of two nodes on an API server, its project, and `lbctl` with settings for both."""

    api: ApiServer
    cloud: Cloud
    hands: Hands
    folder: Path
    cluster: str
    said: Callable[[], tuple[str, str]]

    def lbctl(self, *arguments: str) -> Said:
        """What `lbctl` answers."""
        self.said()
        code = run([*arguments, "--config", str(self.folder / "settings.yaml")])
        out, err = self.said()
        return Said(code, out, err, command_of(arguments))

    def create(self, name: str, **options: Any) -> None:
        """Create a Service of the namespace `shop`."""
        wanted = msgspec.to_builtins(service(name, **options))
        for port in wanted["spec"]["ports"]:
            port.pop("nodePort")
        self.hands.apply({"apiVersion": "v1", "kind": "Service", **wanted})

    def lose(self, name: str) -> None:
        """Delete a Service with its finalizers taken off: nobody cleans up after it."""
        self.hands.patch(f"shop/{name}", {"metadata": {"finalizers": None}})
        self.hands.delete(f"shop/{name}")

    def balancers(self) -> dict[str, Any]:
        """Every balancer of the project by name."""
        listed = self.cloud.user.load_balancer.get("/lbaas/loadbalancers").json()["loadbalancers"]
        return {body["name"]: body for body in listed}

    def own(self, name: str) -> Any:
        """A Service's balancer, None without one."""
        return self.balancers().get(f"kube_service_{self.cluster}_shop_{name}")

    def floating(self) -> dict[str, Any]:
        """The project's floating IPs by address."""
        listed = self.cloud.user.network.get("/floatingips").json()["floatingips"]
        return {body["floating_ip_address"]: body for body in listed}

    def address(self, name: str) -> str:
        """What the Service publishes."""
        live = self.hands.get(f"shop/{name}")
        assert live is not None
        (entry,) = live.status.load_balancer.ingress
        return entry.ip


@pytest.fixture
def desk(cloud: Cloud, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys) -> Iterator[Desk]:
    """A desk in a cluster of its own; balancers of the test are out of sight afterwards."""
    cluster = f"c{secrets.token_hex(3)}"
    (tmp_path / "cloud.conf").write_text(cloud_conf(cloud, f"subnet-id = {cloud.ids['nodes4']}"))
    account = {"provider": "openstack", "settings": {"cloud_config": str(tmp_path / "cloud.conf")}}
    settings = {"cluster": {"name": cluster, "id": cluster}, "accounts": {"openstack": account}}
    (tmp_path / "settings.yaml").write_text(yaml.safe_dump(settings))
    with ApiServer() as api:
        (tmp_path / "kubeconfig").write_text(api.kubeconfig())
        monkeypatch.setenv("KUBECONFIG", str(tmp_path / "kubeconfig"))
        api.store.seed([{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop"}}])
        nodes = [msgspec.to_builtins(cloud_node(cloud, number)) for number in range(2)]
        api.store.seed([{"apiVersion": "v1", "kind": "Node", **node} for node in nodes])
        rest = Rest(Access(kubeconfig=str(tmp_path / "kubeconfig")), SystemClock(), rate=Rate(1000, 1000))
        desk = Desk(api, cloud, Hands(rest), tmp_path, cluster, capsys.readouterr)
        yield desk
    for floating in desk.floating().values():
        cloud.user.network.delete(f"/floatingips/{floating['id']}")
    cloud.forget_balancers()


@pytest.fixture
def bystanders(desk: Desk, cloud: Cloud) -> tuple[Any, Any]:
    """A balancer and a floating IP that somebody has made by hand."""
    body = {"name": "mine", "vip_subnet_id": cloud.ids["nodes4"]}
    cloud.user.load_balancer.post("/lbaas/loadbalancers", json={"loadbalancer": body})
    cloud.user.network.post("/floatingips", json={"floatingip": {"floating_network_id": cloud.ids["public"]}})
    cloud.rest()
    return desk.balancers(), desk.floating()


def writes(*counted: list) -> list[str]:
    """The writes among calls."""
    return [str(call) for calls in counted for call in calls if call.is_write]


def test_a_service_from_plan_to_explain(desk: Desk, cloud: Cloud):
    """`plan` tells what would be made and makes nothing, `once` makes it, `status` and `explain` find all well."""
    desk.create("web", ports=(80,), annotations=MONITORED)
    with cloud.octavia.counted() as octavia, cloud.neutron.counted() as neutron:
        plan = desk.lbctl("plan")
        document = desk.lbctl("plan", "shop/web", "-o", "json")
    assert (plan.code, document.code) == (2, 2), plan.err
    assert writes(octavia, neutron) == []
    assert f"kube_service_{desk.cluster}_shop_web" in plan.out
    (one,) = document.document["plans"]
    assert [action["call"] for action in one["actions"]] == ["loadbalancers.create", "floatingips.attach"]
    kinds = {step["kind"] for action in one["actions"] for step in action["steps"]}
    assert kinds == {"balancer", "listener", "pool", "members", "monitor", "floating"}
    once = desk.lbctl("once", "-o", "json")
    assert once.code == 0, once
    balancer = desk.own("web")
    address = desk.address("web")
    assert desk.floating()[address]["port_id"] == balancer["vip_port_id"]
    status = desk.lbctl("status", "--targets")
    assert status.code == 0
    assert address in status.out
    assert "0/2" in status.out
    (shown,) = desk.lbctl("status", "--targets", "-o", "json").document["services"]
    assert (shown["state"], shown["ports"]) == ("ready", ["80/TCP"])
    explain = desk.lbctl("explain", "shop/web")
    assert explain.code == 0
    assert "the cloud holds what the Service asks for" in explain.out
    again = desk.lbctl("plan")
    assert (again.code, again.out) == (0, "Nothing to do.\n")


def test_a_failed_balancer_is_told_everywhere(desk: Desk, cloud: Cloud):
    """A balancer in ERROR shows in plan, once, status and explain, with whom to ask; nothing is written."""
    desk.create("web", annotations=INTERNAL)
    assert desk.lbctl("once").code == 0
    broken = desk.own("web")["id"]
    cloud.execute("UPDATE load_balancer SET provisioning_status = 'ERROR' WHERE id = :id", id=broken)
    desk.hands.patch("shop/web", {"spec": {"sessionAffinity": "ClientIP"}})
    with cloud.octavia.counted() as octavia:
        said = {name: desk.lbctl(name) for name in ("plan", "once", "status")}
        said["explain"] = desk.lbctl("explain", "shop/web")
    assert writes(octavia) == []
    assert {name: one.code for name, one in said.items()} == {"plan": 2, "once": 0, "status": 6, "explain": 6}
    assert all(f"{broken} is in ERROR" in one.out for one in said.values())
    assert all("only the o" in one.out for one in said.values())


def test_what_is_left_behind_is_found_and_removed(desk: Desk, bystanders: tuple[Any, Any]):
    """`gc` lists what a lost Service left, with owner and cost, spares what is young, and removes it and no more."""
    desk.create("web", annotations=INTERNAL)
    desk.create("lost")
    assert desk.lbctl("once").code == 0
    kept = desk.own("web")["id"]
    desk.lose("lost")
    young = desk.lbctl("gc")
    assert (young.code, "young" in young.out) == (0, True)
    assert desk.lbctl("gc", "-o", "name").out == "shop/lost\n"
    listed = desk.lbctl("gc", "--older-than", "0s", "-o", "json")
    (orphan,) = listed.document["orphans"]
    assert (listed.code, orphan["owner"]["name"], orphan["state"]) == (2, "lost", "orphan")
    billed = {one["kind"]: one["billed"] for one in orphan["objects"]}
    assert all(billed[kind] for kind in ("balancer", "floating"))
    said = desk.lbctl("gc", *AT_ONCE)
    assert said.code == 0, said
    balancers, floating = bystanders
    assert {body["id"] for body in desk.balancers().values()} == {kept, *(body["id"] for body in balancers.values())}
    assert desk.floating() == floating
    assert desk.lbctl("gc").code == 0


def test_a_cluster_that_is_gone_is_removed_by_name(desk: Desk, bystanders: tuple[Any, Any]):
    """`gc --cluster-id --all` needs no kubeconfig, lists first, and leaves nothing of that cluster but strangers'."""
    desk.create("web")
    assert desk.lbctl("once").code == 0
    named = ("--cluster-id", desk.cluster, "--cluster-name", desk.cluster)
    (desk.folder / "kubeconfig").unlink()
    listed = desk.lbctl("gc", *named, "--older-than", "0s", "-o", "json")
    assert [one["owner"]["name"] for one in listed.document["orphans"]] == ["web"]
    assert desk.lbctl("gc", *named, *AT_ONCE).code == 3
    assert desk.own("web") is not None
    said = desk.lbctl("gc", *named, "--all", *AT_ONCE)
    assert said.code == 0, said
    assert (desk.balancers().keys(), desk.floating()) == (bystanders[0].keys(), bystanders[1])


def test_upstreams_balancer_is_adopted_and_handed_back(desk: Desk, cloud: Cloud):
    """`adopt --from occm` finds nothing to do and takes over without a write; `release` hands the balancer back."""
    desk.create("web", annotations=INTERNAL)
    live = desk.hands.get("shop/web")
    assert live is not None
    made = made_by_upstream(cloud, desk.cluster, "web", node_port=live.spec.ports[0].node_port)
    vip = desk.own("web")["vip_address"]
    desk.hands.patch("shop/web", {"metadata": {"finalizers": [SHARED_FINALIZER]}})
    with cloud.octavia.counted() as octavia, cloud.neutron.counted() as neutron:
        said = desk.lbctl("adopt", "--from", "occm", "-o", "json")
        assert desk.lbctl("adopt", "--from", "occm").out.endswith("\n1 nothing\n")
        assert desk.lbctl("once").code == 0
    (one,) = said.document["services"]
    assert (said.code, one["service"], one["verdict"]) == (0, "shop/web", "nothing")
    assert {each["kind"] for each in one["deletes"]} == {"balancer", "listener", "pool", "members"}
    assert writes(octavia, neutron) == []
    assert desk.address("web") == vip
    released = desk.lbctl("release", "shop/web", "--yes")
    assert released.code == 0, released
    assert desk.own("web")["id"] == made
    assert desk.own("web")["tags"] == [desk.own("web")["name"]]
    live = desk.hands.get("shop/web")
    assert live is not None
    assert live.metadata.finalizers == ()
    assert desk.address("web") == vip


def test_a_marked_balancer_loses_our_mark_by_release(desk: Desk):
    """What lbctl has made stays after `release` as upstream would have made it, also when its Service goes."""
    desk.create("web")
    assert desk.lbctl("once").code == 0
    before = desk.own("web")
    assert any(tag.startswith("lbctl_uid=") for tag in before["tags"])
    said = desk.lbctl("release", "shop/web", "--yes", "-o", "json")
    assert said.code == 0, said
    assert {one["kind"] for one in said.document["kept"]} == {"balancer", "listener", "pool", "members", "floating"}
    after = desk.own("web")
    assert (after["id"], after["tags"]) == (before["id"], [before["name"]])
    assert desk.floating()[desk.address("web")]["port_id"] == after["vip_port_id"]
    desk.hands.delete("shop/web")
    assert desk.lbctl("once").code == 0
    assert desk.own("web")["id"] == before["id"]


def test_the_doctor_finds_a_sound_place_sound_and_names_what_is_not(desk: Desk):
    """`doctor` prints each look, its exit code is that of the worst, and JSON has the same findings."""
    sound = desk.lbctl("doctor")
    document = desk.lbctl("doctor", "-o", "json").document
    messages = {one["subject"]: one["message"] for one in document["findings"] if one["level"] == "ok"}
    assert "Octavia answers with API 2." in messages["octavia"]
    assert all(text in sound.out for text in messages.values())
    path = desk.folder / "cloud.conf"
    path.write_text(path.read_text().replace("subnet-id = ", "subnet-id = 1"))
    said = desk.lbctl("doctor", "-o", "json")
    assert said.code == 2
    failed = [one for one in said.document["findings"] if one["level"] == "failed"]
    assert any("subnet-id" in one["message"] for one in failed)


def test_the_printed_permissions_are_enough(desk: Desk, cloud: Cloud):
    """A credential made of what `permissions` prints for the cluster's Services serves them; what it lacks is told."""
    desk.create("web", annotations=INTERNAL)
    said = desk.lbctl("permissions", "shop/web", "-o", "json")
    assert said.code == 0
    rules = json.dumps(said.document["role"]["access_rules"])
    assert "POST /v2.0/floatingips" not in {f"{r['method']} {r['path']}" for r in json.loads(rules)}
    identity, secret = cloud.application_credential(rules)
    lines = (desk.folder / "cloud.conf").read_text().splitlines()
    changed = {"application-credential-id": identity, "application-credential-secret": secret}
    kept = [line for line in lines if line.partition(" ")[0] not in changed]
    kept[1:1] = [f"{key} = {value}" for key, value in changed.items()]
    (desk.folder / "cloud.conf").write_text("\n".join(kept))
    assert desk.lbctl("once").code == 0
    assert desk.own("web")["provisioning_status"] == "ACTIVE"
    desk.hands.delete("shop/web")
    assert desk.lbctl("once").code == 0
    assert desk.own("web") is None
    desk.create("outer")
    refused = desk.lbctl("once", "--timeout", "5s")
    assert refused.code == 1
    assert "POST /floatingips: 401" in refused.out
