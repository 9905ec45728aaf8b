"""The commands as a person types them, on an API server and a Compute server: what they print and what is there."""

from __future__ import annotations

import json
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
from lbctl.model.objects import Service
from lbctl.sandbox.api import ApiServer
from lbctl.sandbox.hands import Hands
from lbctl_gce.modes import FINALIZERS, Mode
from tests.cli.console import Said, command_of
from tests.clouds.gce.compute import Compute
from tests.clouds.gce.credentials import write_federation
from tests.clouds.gce.permissions import granted
from tests.clouds.gce.server import ComputeServer
from tests.clouds.gce.world import BYSTANDER, HOME, INGRESS_UID, PROJECT, REGION, UID, lay_out
from tests.gce.test_adoption import LB, RECORDED, lay_objects, upstreams_service
from tests.world import node, service

INTERNAL = {"networking.gke.io/load-balancer-type": "Internal"}
AT_ONCE = ("--delete", "--yes", "--apart", "0s", "--older-than", "0s")
GONE = ("--cluster-id", UID, "--cluster-name", "kubernetes")
UNMARKED = {"metadata": {"finalizers": None}}


@dataclass
class Desk:
    """`lbctl` with kubeconfig and settings of one cluster; `said` hands back what was printed since the last time."""

    api: ApiServer
    compute: Compute
    hands: Hands
    said: Callable[[], tuple[str, str]]

    def lbctl(self, *arguments: str) -> Said:
        """What `lbctl` answers."""
        self.said()
        code = run(arguments)
        out, err = self.said()
        return Said(code, out, err, command_of(arguments))

    def create(self, name: str, **spec: Any) -> None:
        """Create a Service of the namespace `shop`."""
        wanted = manifest("Service", service(name, **spec))
        for port in wanted["spec"]["ports"]:
            port.pop("nodePort", None)
        self.hands.apply(wanted)

    def lose(self, name: str) -> None:
        """Delete a Service with its finalizers taken off: nobody cleans up after it."""
        self.hands.patch(f"shop/{name}", UNMARKED)
        self.hands.delete(f"shop/{name}")

    def adopted(self, mode: Mode) -> None:
        """Put upstream's objects and the Service that it marked there."""
        lay_objects(self.compute.store, mode)
        self.api.store.seed([manifest("Service", upstreams_service(mode))])

    def named(self, *names: str) -> list[str]:
        """Paths of objects whose names have any of these texts in them."""
        return [path for path in self.compute.store.objects if any(name in path for name in names)]

    @property
    def state(self) -> list[tuple[str, Any]]:
        """Everything that is in the cloud."""
        return self.compute.store.picture()


def manifest(kind: str, view: Any) -> dict[str, Any]:
    """An object as the API server holds it."""
    return {"apiVersion": "v1", "kind": kind, **msgspec.to_builtins(view)}


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Desk]:
    """Two nodes and the namespace `shop`; what belongs to others is as it was in the end."""
    with ApiServer() as api, ComputeServer(SystemClock().monotonic) as server:
        server.compute.operations.latency = 0.0
        lay_out(server.compute, PROJECT)
        server.compute.granted = granted(PROJECT, PROJECT)
        others = [(path, what) for path, what in server.compute.store.picture() if path.endswith(BYSTANDER)]
        account = {
            "project": PROJECT,
            "region": REGION,
            "api_endpoint": server.url,
            "credentials_file": str(write_federation(tmp_path / "federation.json", server.url)),
            "ingress_uid": INGRESS_UID,
            "node_tags": ["nodes"],
            "backend_service_default": True,
        }
        settings = {"cluster": {"id": UID}, "accounts": {"gce": {"provider": "gce", "settings": account}}}
        (tmp_path / "settings.yaml").write_text(yaml.safe_dump(settings))
        (tmp_path / "kubeconfig").write_text(api.kubeconfig())
        monkeypatch.setenv("LBCTL_CONFIG", str(tmp_path / "settings.yaml"))
        monkeypatch.setenv("KUBECONFIG", str(tmp_path / "kubeconfig"))
        api.store.seed([{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop"}}])
        for name in ("n1", "n2"):
            server.compute.store.put(f"{HOME}/zones/{REGION}-b/instances/{name}", {"tags": {"items": ["nodes"]}})
            api.store.seed([manifest("Node", node(name, provider_id=f"gce://{PROJECT}/{REGION}-b/{name}"))])
        rest = Rest(Access(kubeconfig=str(tmp_path / "kubeconfig")), SystemClock(), rate=Rate(1000, 1000))
        yield Desk(api, server.compute, Hands(rest), capsys.readouterr)
        assert not server.bugs
        assert not server.compute.wrong_replies
        assert [one for one in server.compute.store.picture() if one[0].endswith(BYSTANDER)] == others


def live(desk: Desk, name: str) -> Service:
    """The Service as the API server has it."""
    found = desk.hands.get(f"shop/{name}")
    assert found is not None
    return found


def test_a_plan_says_what_would_be_made_in_words_of_the_cloud_and_writes_nothing(desk):
    """Exit code 2; every call that `once` then makes is in the document; afterwards there is nothing to do."""
    desk.create("web", ports=(80, 443))
    before = desk.state
    text, document = desk.lbctl("plan"), desk.lbctl("plan", "-o", "json")
    assert (text.code, document.code) == (2, 2)
    assert desk.state == before
    (rule,) = (line for line in text.out.splitlines() if "+ forwarding-rule" in line)
    assert "ports 80-443, protocol TCP, scheme EXTERNAL, tier PREMIUM" in rule
    assert "holder" not in text.out
    assert "3 create. 3 calls. No effect on traffic." in text.out
    planned = [action["call"] for plan in document.document["plans"] for action in plan["actions"]]
    assert desk.lbctl("once").code == 0
    made = [call for call in desk.compute.journal.calls if call.endswith((".insert", ".addInstances"))]
    assert sorted(planned) == sorted(made)
    again = desk.lbctl("plan")
    assert (again.code, again.out.strip()) == (0, "Nothing to do.")


def test_status_and_explain_say_what_a_service_has(desk):
    """Address, ports and reason of each; what is wrong with one that cannot be served is named with what to do."""
    desk.create("web", ports=(80, 443))
    desk.create("wrong", ports=(81,), annotations={"cloud.google.com/network-tier": "Gold"})
    assert desk.lbctl("once").code == 1
    (entry,) = live(desk, "web").status.load_balancer.ingress
    said = desk.lbctl("status", "-o", "json")
    told = {f"{one['namespace']}/{one['name']}": one for one in said.document["services"]}
    assert said.code == 6
    assert (told["shop/web"]["state"], told["shop/web"]["addresses"]) == ("ready", [entry.ip])
    assert (told["shop/wrong"]["state"], told["shop/wrong"]["reason"]) == ("failed", "InvalidService")
    assert f"{entry.ip}  80/TCP,443/TCP" in desk.lbctl("status").out
    sound, wrong = desk.lbctl("explain", "shop/web"), desk.lbctl("explain", "shop/wrong", "-o", "json")
    assert (sound.code, wrong.code) == (0, 6)
    assert f"condition: ready at {entry.ip}" in sound.out
    (problem,) = (f for f in wrong.document["findings"] if f["subject"].endswith("network-tier]"))
    assert problem["level"] == "failed"
    assert "Premium, Standard" in problem["message"]


def test_status_shows_how_many_targets_are_healthy(desk):
    """A node counts for each port; one that the checks find sick is missing from the first number."""
    desk.create("web", ports=(80, 443))
    desk.create("pool", ports=(82,), load_balancer_class="networking.gke.io/l4-regional-external-legacy")
    assert desk.lbctl("once").code == 0
    desk.compute.sick.add("n2")
    said = desk.lbctl("status", "--targets", "-o", "json")
    told = {one["name"]: one["targets"] for one in said.document["services"]}
    assert told == {"web": {"healthy": 2, "total": 4}, "pool": {"healthy": 1, "total": 2}}
    (line,) = (line for line in desk.lbctl("status", "--targets").out.splitlines() if " web " in line)
    assert " 2/4 " in line


def test_what_a_lost_service_left_is_listed_with_its_age_and_goes(desk):
    """Of every kind of balancer, also of legacy ones, whose names say nothing of the cluster; what lives stays."""
    desk.create("web")
    desk.create("inside", ports=(81,), annotations=INTERNAL)
    desk.create("pool", ports=(82,), load_balancer_class="networking.gke.io/l4-regional-external-legacy")
    desk.create("stays", ports=(83,), annotations=INTERNAL)
    assert desk.lbctl("once").code == 0
    for name in ("web", "inside", "pool"):
        desk.lose(name)
    staying = desk.named("stays", live(desk, "stays").metadata.uid.replace("-", "")[:31])
    said = desk.lbctl("gc", "-o", "json")
    assert said.code == 2
    kinds = {one["owner"]["name"]: [o["kind"] for o in one["objects"]] for one in said.document["orphans"]}
    assert set(kinds) == {"web", "inside", "pool"}
    assert sorted(kinds["inside"]) == ["backend-service", "firewall", "forwarding-rule"]
    assert sorted(kinds["pool"]) == ["firewall", "forwarding-rule", "pool-members", "target-pool"]
    assert {one["created"][:10] for one in said.document["orphans"]} == {"2026-01-01"}
    assert "unknown" not in desk.lbctl("gc").out
    assert desk.lbctl("gc", "--delete", "--yes", "--apart", "0s").code == 0
    assert desk.lbctl("gc").out.startswith("Nothing is left behind")
    assert [path for path in staying if path not in desk.compute.store.objects] == []
    assert desk.lbctl("plan").code == 2  # the shared check of the pool has no user any more
    assert desk.lbctl("once").code == 0
    assert {path.rpartition("/")[2] for path in desk.named("k8s2-", "httpHealthChecks")} == {BYSTANDER}


def test_gc_spares_what_is_young(desk):
    """An orphan that is younger than asked is shown as young and stays: exit code 0."""
    desk.create("web")
    desk.lbctl("once")
    desk.lose("web")
    now = SystemClock().now().isoformat(timespec="milliseconds")
    for path in desk.named("shop-web", "forwardingRules/a"):
        desk.compute.store.objects[path]["creationTimestamp"] = now
    before = desk.state
    said = desk.lbctl("gc", "--delete", "--yes", "--apart", "0s")
    assert said.code == 0
    assert "young" in said.out
    assert desk.state == before


def test_everything_of_a_cluster_that_is_gone_goes_by_its_id_alone(desk, monkeypatch):
    """No API server is asked; objects of every mode and what they shared are removed, and nothing else."""
    before = desk.state
    desk.create("web")
    desk.create("inside", ports=(81,), annotations=INTERNAL)
    desk.create("pool", ports=(82,), load_balancer_class="networking.gke.io/l4-regional-external-legacy")
    desk.create("endpoints", ports=(83,), load_balancer_class="networking.gke.io/l4-regional-internal")
    assert desk.lbctl("once").code == 0
    monkeypatch.setenv("KUBECONFIG", "/nowhere")
    shown = desk.lbctl("gc", *GONE, "-o", "json")
    assert shown.code == 2
    owners = {one["owner"]["name"] for one in shown.document["orphans"]}
    assert owners == {"web", "inside", "pool", "endpoints", ""}
    said = desk.lbctl("gc", *GONE, "--all", *AT_ONCE)
    assert said.code == 0, said
    assert desk.state == before


@pytest.mark.parametrize("mode", RECORDED)
def test_adopt_finds_nothing_to_do_for_what_upstream_made(desk, mode):
    """By the name of either controller exactly its Services are judged; the verdict is nothing; no write is made."""
    desk.adopted(mode)
    before = desk.state
    said = desk.lbctl("adopt", "--from", "gke-l4", "-o", "json")
    (one,) = said.document["services"]
    assert (said.code, one["service"], one["verdict"], one["calls"]) == (0, "shop/web", "nothing", 0)
    assert {gone["kind"] for gone in one["deletes"]} >= {"forwarding-rule", "firewall"}
    assert "1 nothing" in desk.lbctl("adopt", "--from", "gce").out
    desk.hands.patch("shop/web", {"metadata": {"finalizers": [SHARED_FINALIZER]}})
    assert desk.lbctl("adopt", "--from", "gke-l4").out.strip() == "No Service is to be taken over."
    assert desk.state == before
    assert desk.compute.journal.writes == 0


def test_adopt_says_what_it_would_change_of_what_upstream_left_half_made(desk):
    """The firewall rule that is missing is one call without effect on traffic."""
    desk.adopted(Mode.TARGET_POOL)
    desk.compute.store.drop(f"{HOME}/global/firewalls/k8s-fw-{LB}")
    said = desk.lbctl("adopt", "--from", "gce", "-o", "json")
    (one,) = said.document["services"]
    assert (said.code, one["verdict"], one["hazard"], one["calls"]) == (2, "change", "none", 1)
    assert [step["id"] for step in one["steps"]] == [f"k8s-fw-{LB}"]
    assert desk.compute.journal.writes == 0


def test_a_released_balancer_stays_and_upstream_may_have_it(desk):
    """Both finalizers go, address and every object stay; deleting the Service then removes nothing."""
    desk.create("web")
    desk.lbctl("once")
    before, address = desk.state, live(desk, "web").status.load_balancer.ingress
    said = desk.lbctl("release", "shop/web", "--yes", "-o", "json")
    assert said.code == 0, said
    assert set(said.document["finalizers"]) == {SHARED_FINALIZER, FINALIZERS[Mode.EXTERNAL_GROUPS]}
    assert {one["kind"] for one in said.document["kept"]} == {"forwarding-rule", "backend-service", "firewall"}
    assert live(desk, "web").metadata.finalizers == ()
    assert live(desk, "web").status.load_balancer.ingress == address
    desk.hands.delete("shop/web")
    assert desk.hands.get("shop/web") is None
    assert desk.state == before


def test_doctor_names_what_is_missing(desk):
    """Exit code 0 with all rights; a right that is taken away is named with the project and what to do: exit code 2."""
    sound = desk.lbctl("doctor", "-o", "json")
    assert sound.code == 0, sound.out
    assert "subnet default" in {f["subject"] for f in sound.document["findings"]}
    assert desk.compute.granted is not None
    desk.compute.granted[PROJECT].remove("compute.firewalls.create")
    said = desk.lbctl("doctor")
    assert said.code == 2
    assert f"x compute.firewalls.create: is not granted in {PROJECT}" in said.out
    assert "do this: grant compute.firewalls.create" in said.out
    assert desk.compute.journal.writes == 0


def test_the_printed_role_is_enough_for_the_services_it_was_asked_for(desk):
    """The role for one internal Service has no right on target pools, and serves it whole."""
    desk.create("inside", annotations=INTERNAL)
    said = desk.lbctl("permissions", "shop/inside")
    role = json.loads(said.out)
    assert said.code == 0
    assert not [right for right in role["includedPermissions"] if right.startswith("compute.targetPools.create")]
    assert desk.lbctl("permissions", "shop/inside", "-o", "json").document["role"] == role
    desk.compute.granted = {PROJECT: set(role["includedPermissions"])}
    assert desk.lbctl("once").code == 0
    assert live(desk, "inside").status.load_balancer.ingress
