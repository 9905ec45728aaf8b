"""The behaviour suite's heart once more, and a whole process, with exactly the rights that the manifests give.

A person's writes are the administrator's; lbctl comes in as its service account.
"""

from __future__ import annotations

import threading
from dataclasses import replace

import pytest

from lbctl.clock import SystemClock
from lbctl.deploy.objects import build
from lbctl.deploy.variants import variant_of
from lbctl.engine.process import Process
from lbctl.kube.access import Access
from lbctl.kube.rest import Rest
from lbctl.kube.target import Target
from lbctl.sandbox.api import ApiServer
from lbctl.sandbox.api.kinds import BY_TYPE
from lbctl.sandbox.api.paths import parse_path
from lbctl.sandbox.hands import Hands
from lbctl.settings import load
from tests.behaviour import test_claims, test_life, test_pending, test_status
from tests.behaviour.conftest import TRUSTING
from tests.clouds.memory import MemoryCloud, info
from tests.kube_servers import LBCTL_TOKEN, LBCTL_USER, connect
from tests.server_kube import ServerKube

CLOCK = SystemClock()
ROLES = ("ClusterRole", "Role")


def installed(watches=frozenset()):
    """The objects that `lbctl manifests` prints for a driver that watches these."""
    return build(variant_of(replace(info(MemoryCloud()), watches=watches, refers_to=())))


def roles(**options):
    return [one for one in installed(**options) if one["kind"] in ROLES]


def give_rights(server):
    """The manifests' roles and bindings on a real server, which has the user in its token file."""
    for one in installed():
        if "rbac" in one["apiVersion"] or one["kind"] == "ServiceAccount":
            kind = BY_TYPE[one["apiVersion"], one["kind"]]
            root = f"/apis/{one['apiVersion']}" if kind.group else "/api/v1"
            scope = f"/namespaces/{one['metadata']['namespace']}" if kind.namespaced else ""
            assert server.send("POST", f"{root}{scope}/{kind.resource}", one).code in (201, 409)


@pytest.fixture(
    params=[
        pytest.param("embedded", marks=pytest.mark.slow),
        pytest.param("real", marks=[pytest.mark.slow, TRUSTING]),
    ]
)
def make_kube(request, tmp_path):
    """Makes an empty place for Services on a server that lets lbctl do what the manifests say."""
    server = request.getfixturevalue(f"{request.param}_server")
    if server.embedded is not None:
        server.embedded.users.add(LBCTL_USER, roles(), token=LBCTL_TOKEN)
    else:
        give_rights(server)
    person = connect(server.kubeconfig(), tmp_path)
    (tmp_path / "lbctl").mkdir()
    lbctl = connect(server.kubeconfig(LBCTL_TOKEN), tmp_path / "lbctl")
    return lambda: ServerKube(person, lbctl=lbctl)


slow = test_pending.slow
test_finalizer_then_balancer_then_address = (
    test_life.test_a_service_gets_its_finalizer_before_its_balancer_and_its_address_after
)
test_deletion_takes_everything = test_life.test_a_deleted_service_takes_everything_with_it
test_a_bad_annotation_is_told = test_life.test_a_bad_annotation_is_told_and_leaves_the_balancer_alone
test_deletion_after_a_bad_annotation = test_claims.test_a_service_with_a_bad_annotation_can_be_deleted
test_a_type_flip = test_claims.test_a_type_flipped_away_and_back_ends_with_one_balancer
test_other_finalizers_stay = test_claims.test_other_finalizers_keep_their_places
test_own_finalizer_of_a_class = test_claims.test_a_classed_services_own_finalizer_goes_with_it
test_a_crash_in_flight = test_pending.test_a_crash_while_something_is_in_flight_finds_it_again
test_a_wiped_address = test_status.test_a_wiped_address_is_written_again
test_two_writers = test_status.test_two_writers_of_one_status_do_not_fight_for_ever
test_foreign_conditions_stay = test_status.test_conditions_of_others_are_kept


def node(name):
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": name},
        "spec": {"providerID": f"memory:///{name}"},
        "status": {
            "addresses": [{"type": "InternalIP", "address": f"10.0.0.{len(name)}"}],
            "conditions": [{"type": "Ready", "status": "True"}],
        },
    }


def service(**spec):
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "web", "namespace": "default"},
        "spec": {"type": "LoadBalancer", "ports": [{"port": 80}], **spec},
    }


class Running:
    """A process that comes in with its service account's token, and a person."""

    def __init__(self, api, folder, *, allowed, watches=frozenset()):
        api.users.add(LBCTL_USER, allowed, token=LBCTL_TOKEN)
        mine, theirs = folder / "lbctl", folder / "person"
        mine.write_text(api.kubeconfig(LBCTL_TOKEN))
        theirs.write_text(api.kubeconfig())
        flags = {"kube.kubeconfig": str(mine), "obs.address": "", "accounts.memory.provider": "memory"}
        self.api, self.cloud = api, MemoryCloud()
        driver = info(self.cloud)
        self.hands = Hands(Rest(Access(kubeconfig=str(theirs), user_agent="person"), CLOCK))
        self.process = Process(
            load(file=None, environ={}, flags=flags).settings,
            clock=CLOCK,
            find=lambda _name: replace(driver, watches=watches, refers_to=()),
        )
        self.thread = threading.Thread(target=self.process.run)
        self.thread.start()

    def until(self, holds):
        end = CLOCK.monotonic() + 20
        while not holds():
            assert CLOCK.monotonic() < end
            CLOCK.wait(0.05)

    def asked(self):
        """Every right that lbctl has used, and every request that was refused it."""
        used, refused = set(), []
        for line in self.api.journal.lines():
            if line.user_agent.startswith("lbctl/"):
                target = parse_path(line.path.partition("?")[0])
                path = f"{target.kind.resource}/{target.subresource}".rstrip("/")
                used.add((line.verb, target.kind.group, path))
                refused += [line] if line.code == 403 else []
        return used, refused

    def stop(self):
        self.process.stop()
        self.thread.join(30)
        assert not self.thread.is_alive()


@pytest.fixture
def api():
    with ApiServer(bookmark_seconds=0.2) as server:
        server.store.seed([node("n1")])
        yield server


def granted(found):
    """Every verb on every resource that these roles give."""
    return {
        (verb, group, path)
        for role in found
        for rule in role["rules"]
        for group in rule["apiGroups"]
        for path in rule["resources"]
        for verb in rule["verbs"]
    }


# Kept for what a short life does not need: what a conflict made doubtful is read alone, a list stands in for a watch
# that expired, an Event is counted up when it happens again, and the Secret is read by drivers that need it.
SELDOM = {
    ("get", "", "services"),
    ("get", "", "nodes"),
    ("list", "", "nodes"),
    ("patch", "", "events"),
    ("get", "", "secrets"),
    ("get", "discovery.k8s.io", "endpointslices"),
    ("list", "discovery.k8s.io", "endpointslices"),
    ("get", "", "pods"),
    ("list", "", "pods"),
}
GATE = "gate.memory.example.com/web"


def gated_pod(name="web-1"):
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": "default"},
        "spec": {"containers": [{"name": "web", "image": "web"}], "readinessGates": [{"conditionType": GATE}]},
        "status": {"conditions": [{"type": "ContainersReady", "status": "True"}]},
    }


def gates_of(api):
    """Status of the gate of each Pod that is stored."""
    found = {}
    for one in api.store.objects("v1", "Pod", "default"):
        conditions = {condition["type"]: condition["status"] for condition in one["status"]["conditions"]}
        found[one["metadata"]["name"]] = conditions.get(GATE)
    return found


def gated_service():
    plain = service()
    return {**plain, "metadata": {**plain["metadata"], "labels": {"gated": "yes"}}}


@pytest.mark.parametrize("watches", [(), ("endpointslices",), ("pods",)], ids=["plain", "slices", "pods"])
def test_a_process_lives_on_exactly_these_rights(api, tmp_path, watches):
    """Start, lead, serve, follow a node, delete, give the Lease back: nothing refused, and no right is idle."""
    watches = frozenset(watches)
    allowed = roles(watches=watches)
    api.store.seed([gated_pod()])
    running = Running(api, tmp_path, allowed=allowed, watches=watches)
    try:
        running.hands.apply(gated_service())
        if "pods" in watches:
            running.until(lambda: gates_of(api) == {"web-1": "True"})
        running.until(lambda: running.hands.get("default/web").status.load_balancer.ingress)
        api.store.seed([node("n02")])
        running.until(lambda: any("n02" in str(thing.fields) for thing in running.cloud.things.values()))
        running.until(lambda: api.store.objects("v1", "Event", "default"))
        running.hands.delete("default/web")
        running.until(lambda: running.hands.get("default/web") is None)
    finally:
        running.stop()
    used, refused = running.asked()
    assert refused == []
    assert used <= granted(allowed)
    assert granted(allowed) - used <= SELDOM


def test_one_right_less_is_told_in_the_words_of_the_server(api, tmp_path):
    """Without `patch` on services/status nothing is made in the cloud, and the refused right is named in the log."""
    without = [
        {**role, "rules": [rule for rule in role["rules"] if rule["resources"] != ["services/status"]]}
        for role in roles()
    ]
    running = Running(api, tmp_path, allowed=without)
    try:
        running.hands.apply(service())
        running.until(lambda: running.asked()[1])
        assert ("patch", "", "services/status") in running.asked()[0]
        assert not [thing for thing in running.cloud.things.values() if thing.kind == "balancer"]
    finally:
        running.stop()


def test_a_target_names_the_right_that_a_role_must_have():
    """The words of an error and those of a role are the same."""
    assert Target(resource="services", subresource="status").right in {path for _, _, path in granted(roles())}


def paths(api):
    """What lbctl asked the server for."""
    return {line.path.partition("?")[0] for line in api.journal.lines() if line.user_agent.startswith("lbctl/")}


def test_pods_are_read_only_while_one_may_wait_for_a_service(api, tmp_path):
    """Without a Service whose targets Pods may wait for, no Pod is asked for; with the first one, all are."""
    api.store.seed([gated_pod()])
    watches = frozenset({"pods"})
    running = Running(api, tmp_path, allowed=roles(watches=watches), watches=watches)
    try:
        running.hands.apply({**service(), "metadata": {"name": "other", "namespace": "default"}})
        running.until(lambda: running.hands.get("default/other").status.load_balancer.ingress)
        assert "/api/v1/pods" not in paths(api)
        running.hands.apply(gated_service())
        running.until(lambda: gates_of(api) == {"web-1": "True"})
        assert "/api/v1/pods" in paths(api)
    finally:
        running.stop()


def test_a_start_waits_for_the_pods_that_wait(api, tmp_path):
    """What a process that comes anew knows of Pods is complete before it works: none is taken out meanwhile."""
    api.store.seed([gated_pod(), gated_service()])
    api.faults.answer(503, path="/api/v1/pods", times=2)
    watches = frozenset({"pods"})
    running = Running(api, tmp_path, allowed=roles(watches=watches), watches=watches)
    try:
        running.until(lambda: running.process._pods is not None and running.process._pods.stats.failures)
        assert not running.process.is_synced
        assert running.process.is_ready() != ""
        assert running.cloud.writes == 0
        running.until(lambda: gates_of(api) == {"web-1": "True"})
    finally:
        running.stop()


def test_without_the_right_to_see_pods_services_are_served_all_the_same(api, tmp_path, caplog):
    """Gates stay closed, the log names the right that is missing, and everything else goes on."""
    api.store.seed([gated_pod(), gated_service()])
    running = Running(api, tmp_path, allowed=roles(), watches=frozenset({"pods"}))
    try:
        running.until(lambda: running.hands.get("default/web").status.load_balancer.ingress)
        assert running.process.is_ready() == ""
        assert {line.path.partition("?")[0] for line in running.asked()[1]} == {"/api/v1/pods"}
        assert "Grant the verb watch on pods" in caplog.text
        assert gates_of(api) == {"web-1": None}
    finally:
        running.stop()


def test_without_the_right_to_tell_pods_services_are_served_all_the_same(api, tmp_path, caplog):
    """What a Pod could not be told is tried again, and the log names the right that is missing."""
    watches = frozenset({"pods"})
    allowed = [
        {**role, "rules": [rule for rule in role["rules"] if rule["resources"] != ["pods/status"]]}
        for role in roles(watches=watches)
    ]
    api.store.seed([gated_pod(), gated_service()])
    running = Running(api, tmp_path, allowed=allowed, watches=watches)
    try:
        running.until(lambda: running.hands.get("default/web").status.load_balancer.ingress)
        running.until(lambda: ("patch", "", "pods/status") in running.asked()[0])
        running.until(lambda: "Grant the verb patch on pods/status" in caplog.text)
        assert running.process.is_ready() == ""
    finally:
        running.stop()
