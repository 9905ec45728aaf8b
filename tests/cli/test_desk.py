"""The commands at the desk against a cluster with real balancers."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import select
import stat
import struct
import subprocess
import sys
import termios

import msgspec
import pytest
import yaml

from lbctl.clock import SystemClock
from lbctl.engine.process import Process
from lbctl.engine.summary import State
from lbctl.errors import QuotaExceeded
from lbctl.sandbox.api import ApiServer
from lbctl.sandbox.nodes.traffic import Kind, Request, Traffic
from lbctl.settings import PolicySettings
from tests.cli.console import COMMAND, STRICT, lbctl, process

WEB = {
    "apiVersion": "v1",
    "kind": "Service",
    "metadata": {"name": "web", "namespace": "shop"},
    "spec": {
        "type": "LoadBalancer",
        "selector": {"app": "web"},
        "ports": [{"name": "http", "port": 8080, "targetPort": 8080}],
    },
}


def with_ranges(*ranges):
    return {**WEB, "spec": {**WEB["spec"], "loadBalancerSourceRanges": list(ranges)}}


def test_status_shows_every_balancer(served):
    """All three are ready with their addresses: exit code 0, and the JSON has a version."""
    said = served.lbctl("status", "-o", "json")
    services = {one["name"]: one for one in said.document["services"]}
    assert said.code == 0
    assert said.document["version"] == 1
    assert {one["state"] for one in services.values()} == {"ready"}
    assert services["names"]["ports"] == ["5353/UDP", "5353/TCP"]
    assert served.lbctl("status", "-o", "name", "-n", "shop").out.split() == ["shop/names", "shop/orders", "shop/web"]


def test_status_of_what_nobody_serves_is_pending(unserved):
    """Without a controller nothing is ready: exit code 6 and the reason."""
    said = unserved.lbctl("status")
    assert said.code == 6
    assert said.out.count("NotSeenYet") == 3


def test_status_waits_until_services_are_ready(unserved):
    """`--wait` returns when the named ones are ready, whatever the others are; exit code 0 and their table."""
    waiting = subprocess.Popen(
        [*COMMAND, "status", "--wait", "shop/web", "--timeout", "60s", "-o", "json"],
        env={**os.environ, **unserved.given},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert unserved.lbctl("once", "shop/web").code == 0
    out, err = waiting.communicate(timeout=60)
    assert waiting.returncode == 0
    assert [(one["name"], one["state"]) for one in json.loads(out)["services"]] == [("web", "ready")]
    assert err == ""
    said = unserved.lbctl("status", "--wait", "--timeout", "1s")
    assert said.code == 6
    assert said.out.count("NotSeenYet") == 2


def test_watching_ends_when_all_are_ready(served):
    """`--watch --wait` leaves at once where nothing is to be waited for: exit code 0."""
    said = served.lbctl("status", "--watch", "--wait", "-n", "shop")
    assert said.code == 0
    assert "3 Services: 3 ready" in said.out


def test_waiting_needs_services_and_a_reason(served):
    """`--timeout` alone, and a Service that does not exist, are invalid input: nobody waits for a typing error."""
    assert "--wait" in served.lbctl("status", "--timeout", "1s").err
    for arguments in (("--timeout", "1s"), ("--wait", "shop/nothing"), ("shop/nothing",)):
        assert served.lbctl("status", *arguments).code == 3
    assert "shop/nothing" in served.lbctl("status", "shop/nothing").err


def test_status_goes_on_and_follows_changes(served):
    """`--watch` shows the newest state until its time is over, then leaves with the exit code of that state."""
    said = served.lbctl("status", "--watch", "--timeout", "2s", "-n", "shop")
    assert said.code == 0
    assert said.out.count(" ready ") == 3
    assert "3 Services: 3 ready" in said.out


def test_status_admits_that_it_may_be_old(tmp_path):
    """When the API server goes away, the table stays and is marked as stale, with the reason."""
    kubeconfig = tmp_path / "kubeconfig"
    with ApiServer() as api:
        kubeconfig.write_text(api.kubeconfig())
        api.store.seed([{**WEB, "metadata": {"name": "web", "namespace": "default"}}])
        command = [*COMMAND, "status", "--watch", "--timeout", "6s", "--kubeconfig", str(kubeconfig)]
        watching = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        with watching:
            _line_with("web", watching)
            with api.faults.unreachable():
                stale = _line_with("(stale)", watching)
                watching.stdout.read()
    assert "cannot" in stale
    assert watching.returncode == 6


def test_a_small_terminal_shows_what_matters(tmp_path):
    """With more Services than lines, those that are not ready come first, under their number; so does a doubt."""
    kubeconfig = tmp_path / "kubeconfig"
    with ApiServer() as api:
        kubeconfig.write_text(api.kubeconfig())
        condition = {"type": "lbctl.io/LoadBalancerReady", "status": "True", "reason": "Ready", "message": ""}
        for number in range(30):
            status = {} if number == 29 else {"loadBalancer": {}, "conditions": [condition]}
            meta = {"name": f"web-{number}", "namespace": "default"}
            api.store.seed([{**WEB, "metadata": meta, "status": status}])
        with Terminal("status", "--watch", "--timeout", "60s", "--kubeconfig", str(kubeconfig), lines=12) as terminal:
            terminal.wait_for("30 Services: 29 ready, 1 pending")
            terminal.wait_for("web-29")
            with api.faults.unreachable():
                terminal.wait_for("(stale) nothing new for")
            assert terminal.is_running


class Terminal:
    """`lbctl` in a terminal of so many lines, and all that it drew there."""

    def __init__(self, *arguments, lines):
        self._ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", lines, 100, 0, 0))
        command = [sys.executable, "-W", "ignore", "-m", "lbctl", *arguments]
        given = {**os.environ, "TERM": "xterm"}
        given.pop("LINES", None)
        given.pop("COLUMNS", None)
        self._process = subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, env=given)
        os.close(theirs)
        self._drawn = ""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._process.terminate()
        self._process.wait(10)
        os.close(self._ours)

    @property
    def is_running(self):
        return self._process.poll() is None

    def wait_for(self, words, *, seconds=30.0):
        """Return once these words were drawn."""
        clock = SystemClock()
        end = clock.monotonic() + seconds
        while words not in self._drawn:
            assert clock.monotonic() < end, self._drawn[-2000:]
            if select.select([self._ours], [], [], 0.2)[0]:
                self._drawn += os.read(self._ours, 65536).decode(errors="replace")


def _line_with(word, process):
    """The next line of output that holds the word."""
    return next(line for line in process.stdout if word in line)


def test_status_without_an_api_server_is_an_error(tmp_path):
    """Nothing could be shown: exit code 1, and the reason."""
    kubeconfig = tmp_path / "kubeconfig"
    with ApiServer() as api:
        kubeconfig.write_text(api.kubeconfig())
    said = lbctl("status", "--watch", "--timeout", "1s", "--kubeconfig", str(kubeconfig))
    assert said.code == 1
    assert "lbctl: cannot" in said.err


def test_a_plan_of_what_is_in_order_is_empty(served):
    """Nothing to do: exit code 0, for all and for one Service."""
    everything = served.lbctl("plan")
    assert (everything.code, everything.out) == (0, "Nothing to do.\n")
    assert served.lbctl("plan", "-o", "name", "shop/web").out == ""
    said = served.lbctl("plan", "shop/web", "-o", "json")
    assert said.code == 0
    assert all(plan["actions"] == [] for plan in said.document["plans"])


def test_a_plan_of_new_services_lists_what_would_be_made(unserved):
    """Three Services without balancers: exit code 2, and the listeners are named; nothing is written."""
    said = unserved.lbctl("plan")
    assert said.code == 2
    assert said.out.count("+ listener") == 4
    assert unserved.lbctl("plan", "-o", "name").out.split() == ["shop/names", "shop/orders", "shop/web"]
    assert unserved.hands.get("shop/web").metadata.finalizers == ()


@pytest.mark.parametrize("dry_run", [(), ("--server-dry-run",)], ids=["offline", "server"])
def test_a_file_is_planned_as_if_applied(served, dry_run, tmp_path):
    """One new source range in a file is one update of one listener; the Service itself stays as it is."""
    file = tmp_path / "web.yaml"
    file.write_text(yaml.safe_dump(with_ranges("10.0.0.0/8")))
    said = served.lbctl("plan", "-f", str(file), *dry_run, "-o", "json")
    changes = [
        change
        for plan in said.document["plans"]
        for action in plan["actions"]
        for step in action["steps"]
        for change in step["changes"]
    ]
    assert said.code == 2
    assert changes == [{"field": "source_ranges", "old": [], "new": ["10.0.0.0/8"]}]
    assert served.hands.get("shop/web").spec.load_balancer_source_ranges == ()


def test_a_file_with_what_is_there_already_changes_nothing(served, tmp_path):
    """The very manifest that was applied plans nothing, although it names no node port."""
    file = tmp_path / "web.yaml"
    file.write_text(yaml.safe_dump(WEB))
    assert served.lbctl("plan", "-f", str(file)).code == 0


def test_a_file_with_a_new_service_says_what_is_assumed(served, tmp_path):
    """A Service that does not exist is planned with assumed numbers, and standard error says so."""
    file = tmp_path / "new.json"
    file.write_text(json.dumps({**WEB, "metadata": {"name": "new", "namespace": "shop"}}))
    said = served.lbctl("plan", "-f", str(file))
    assert said.code == 2
    assert "+ listener" in said.out
    assert "assumed" in said.err


@pytest.mark.parametrize(
    ("ports", "words"),
    [([{"port": 80_000}], "must be between 1 and 65535"), ("80", "ports"), ([{"port": "eighty"}], "ports.port")],
)
def test_a_file_that_the_server_refuses_is_invalid_input(served, tmp_path, ports, words):
    """With `--server-dry-run` the API server's own words come back, with the file and exit code 3."""
    file = tmp_path / "web.yaml"
    meta = {"name": "new", "namespace": "shop"}
    file.write_text(yaml.safe_dump({**WEB, "metadata": meta, "spec": {**WEB["spec"], "ports": ports}}))
    said = served.lbctl("plan", "-f", str(file), "--server-dry-run")
    assert said.code == 3
    assert f"{file}: cannot create services shop: the API server answered 4" in said.err
    assert words in said.err
    assert "kubectl explain service" in said.err


def test_a_file_for_a_namespace_that_is_not_there_says_to_create_it(served, tmp_path):
    """With `--server-dry-run` every Service of the missing namespace is told, with exit code 3 and the command."""
    documents = [{**WEB, "metadata": {"name": name, "namespace": "nowhere"}} for name in ("a", "b")]
    file = tmp_path / "two.yaml"
    file.write_text(yaml.safe_dump_all(documents))
    said = served.lbctl("plan", "-f", str(file), "--server-dry-run")
    assert said.code == 3
    assert said.err.count("kubectl create namespace nowhere") == 2
    assert "document 2" in said.err


def test_a_service_that_does_not_exist_is_invalid_input(office):
    """`plan`, `once` and `explain` name the Service that they cannot find, with exit code 3."""
    for command in ("plan", "once", "explain"):
        said = office.lbctl(command, "shop/nothing")
        assert said.code == 3
        assert "shop/nothing" in said.err


def test_once_serves_and_leaves(unserved):
    """When the process of `once` has ended the Services answer, and a second `once` is quick and changes nothing."""
    said = process("once", "-o", "json", given=unserved.given)
    address = unserved.hands.get("shop/web").status.load_balancer.ingress[0].ip
    before = unserved.hands.get("shop/web")
    assert said.code == 0
    with Traffic() as traffic:
        assert traffic.ask(Request(Kind.HTTP, address, 8080)).pod
    assert unserved.lbctl("once").code == 0
    assert unserved.hands.get("shop/web") == before


def test_once_for_one_service_leaves_the_others_alone(unserved):
    """`once shop/web` serves that one only, and `-o name` names it."""
    said = unserved.lbctl("once", "shop/web", "-o", "name")
    assert (said.code, said.out) == (0, "shop/web\n")
    assert unserved.hands.get("shop/web").status.load_balancer.ingress
    assert not unserved.hands.get("shop/orders").status.load_balancer.ingress


def test_once_leaves_the_work_to_a_controller_that_leads(office):
    """Also what that one holds: nothing is written to cloud or Service, and the leader and the ways on are named."""
    office.create("web")
    office.lead("controller-1")
    before = office.cloud.state()
    said = office.lbctl("once", "shop/web", "--policy", "sync")
    assert said.code == 1
    assert "controller-1 leads" in said.err
    assert "lbctl apply --approve" in said.err
    assert office.cloud.state() == before
    assert not office.hands.get("shop/web").metadata.finalizers


def test_once_says_what_became_of_a_service_that_goes(office):
    """A deleted one is gone with its address, one to be retained is let go, the third is ready and alone then."""
    office.serve("web", "kept", "api")
    office.hands.patch("shop/kept", {"metadata": {"annotations": {"lbctl.io/deletion-policy": "retain"}}})
    for name in ("web", "kept"):
        office.hands.delete(f"shop/{name}")
    said = office.lbctl("once", "-o", "json")
    found = {one["name"]: one for one in said.document["services"]}
    assert said.code == 0
    assert {name: (one["state"], one["reason"]) for name, one in found.items()} == {
        "web": ("gone", "Deleted"),
        "kept": ("gone", "Released"),
        "api": ("ready", "Ready"),
    }
    assert found["web"]["addresses"] == found["kept"]["addresses"] == []
    assert [one["name"] for one in office.lbctl("once", "-o", "json").document["services"]] == ["api"]


def test_once_and_status_say_the_same_of_a_service(office):
    """A mistake is `failed` for both, though a round knows more words: exit codes 1 and 6."""
    office.serve("web")
    office.create("bad")
    office.hands.patch("shop/bad", {"metadata": {"annotations": {"lbctl.io/deletion-policy": "perhaps"}}})
    done = office.lbctl("once", "-o", "json")
    told = office.lbctl("status", "-o", "json")
    assert (done.code, told.code) == (1, 6)
    for said in (done, told):
        assert {one["name"]: one["state"] for one in said.document["services"]} == {"web": "ready", "bad": "failed"}


def test_explain_of_what_wants_no_balancer_says_that_it_is_left_alone(served):
    """A ClusterIP Service is foreign, not pending: nobody is going to give it a balancer."""
    inner = {**WEB, "metadata": {"name": "inner", "namespace": "shop"}, "spec": {"ports": [{"port": 80}]}}
    served.hands.apply(inner)
    assert served.lbctl("explain", "shop/inner", "-o", "json").document["state"] == "foreign"
    served.hands.delete("shop/inner")


def test_once_does_not_call_gone_what_the_cloud_does_not_let_go(office):
    """A balancer that cannot be deleted has failed: exit code 1, and its Service keeps its address."""
    office.serve("web")
    office.hands.delete("shop/web")
    for thing in office.cloud.list("balancer"):
        thing.fields["protected"] = True
    said = office.lbctl("once", "--timeout", "1s", "-o", "json")
    (web,) = said.document["services"]
    assert (said.code, web["state"], len(web["addresses"])) == (1, "failed", 1)


def test_explain_ends_with_the_health_of_targets(office):
    """The cloud's checks find nobody: the finding failed, says what to look at and which ports to open."""
    office.serve("web")
    office.cloud.unhealthy = {"n2"}
    assert "1/2 are healthy" in office.lbctl("explain", "shop/web").out
    office.cloud.unhealthy = {"n1", "n2"}
    said = office.lbctl("explain", "shop/web", "-o", "json")
    (finding,) = [one for one in said.document["findings"] if one["subject"] == "targets"]
    node_port = office.hands.get("shop/web").spec.ports[0].node_port
    assert finding["level"] == "failed"
    assert str(node_port) in finding["hint"]
    assert "kubernetes.io/service-name=web" in finding["hint"]


def test_explain_says_why_and_what_to_do(unserved):
    """A mistake in an annotation and a missing controller are both found, each with what to do: exit code 6."""
    unserved.hands.patch("shop/web", {"metadata": {"annotations": {"lbctl.io/algorithm": "fastest"}}})
    said = unserved.lbctl("explain", "shop/web", "-o", "json")
    failed = {one["subject"]: one for one in said.document["findings"] if one["level"] == "failed"}
    assert said.code == 6
    assert failed["controller"]["hint"].startswith("start one: lbctl run")
    assert "fastest" in failed["metadata.annotations[lbctl.io/algorithm]"]["message"]
    assert all(one["hint"] for one in failed.values())


@pytest.mark.slow
def test_no_command_leaves_anything_open(unserved):
    """Each command as a process of its own closes its connections and files: Python has nothing to warn of."""
    for line in (
        "once",
        "plan -o json",
        "status --targets",
        "status --watch --timeout 1s",
        "explain shop/web",
        "doctor",
        "adopt",
        "permissions shop/web",
        "release shop/web --yes",
        "gc --delete --yes --apart 0s --older-than 0s",
    ):
        said = process(*line.split(), given=unserved.given, command=STRICT)
        assert (line, said.code in (0, 2, 6)) == (line, True), said
        assert "Warning" not in said.err, (line, said.err)


def test_explain_tells_quota_last_error_and_next_try(office):
    """What is full, what came back, what to do about it, and when it is tried again: exit code 6."""

    def refuse(name, number):
        raise QuotaExceeded("10 of 10 balancers are in use")

    office.cloud.before, office.cloud.most_targets = refuse, 1
    office.create("web")
    office.lbctl("once", "--timeout", "1s")
    office.lead("controller-1")
    said = office.lbctl("explain", "shop/web", "-o", "json")
    found = {one["subject"]: one for one in said.document["findings"]}
    assert said.code == 6
    assert (found["quota"]["message"], found["quota"]["hint"]) == ("1 targets are allowed", "ask for more")
    assert found["last error"]["message"].startswith("QuotaExceeded: ")
    assert "lbctl gc" in found["last error"]["hint"]
    assert found["next try"]["message"].startswith("within 5 minutes")


def test_explain_of_what_is_fine_is_short(served):
    """A ready Service has no failed finding, the leader is named: exit code 0."""
    said = served.lbctl("explain", "shop/web")
    assert said.code == 0
    assert said.out.startswith("shop/web is ready")
    assert " leads" in said.out
    assert "  x " not in said.out


def test_the_support_bundle_holds_no_secret(served, tmp_path):
    """The bundle is one private JSON file with plan, settings and findings; what looks like a token is hidden."""
    file = tmp_path / "bundle.json"
    note = {"metadata": {"annotations": {"example.com/note": "token=hush-hush"}}}
    served.hands.patch("shop/orders", note)
    said = served.lbctl("explain", "shop/orders", "--bundle", str(file))
    served.hands.patch("shop/orders", {"metadata": {"annotations": {"example.com/note": None}}})
    bundle = json.loads(file.read_text())
    assert said.code == 0
    assert "hush-hush" not in file.read_text()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert {"explanation", "service", "plans", "settings", "kubernetes"} <= bundle.keys()
    assert bundle["service"]["metadata"]["name"] == "orders"


def test_apply_refuses_a_digest_that_no_plan_has(served):
    """An approval of what is not planned any more does nothing: exit code 1 and how to see the newest."""
    said = served.lbctl("apply", "--approve", "0123456789ab")
    assert said.code == 1
    assert "lbctl plan" in said.err


CAREFUL = ("--hazard", "none")
MOVED = {"spec": {"ports": [{"name": "http", "port": 8088, "targetPort": 8080}]}}


def held_digests(place):
    plans = place.lbctl("plan", *CAREFUL, "-o", "json").document["plans"]
    return [plan["heldDigest"] for plan in plans if plan.get("heldDigest")]


def answers(place, key, port):
    address = place.hands.get(key).status.load_balancer.ingress[0].ip
    with Traffic() as traffic:
        return bool(traffic.ask_many(Request(Kind.HTTP, address, port, timeout_seconds=1.0), count=1).answered)


def test_apply_lets_run_what_the_policy_holds(unserved):
    """What drains is held under `--hazard none` and explained; its digest lets it run, once."""
    assert unserved.lbctl("once").code == 0
    unserved.hands.patch("shop/web", MOVED)
    assert unserved.lbctl("once", *CAREFUL).code == 0
    explained = unserved.lbctl("explain", "shop/web", *CAREFUL)
    (digest,) = held_digests(unserved)
    assert f"lbctl apply --approve {digest}" in explained.out
    assert answers(unserved, "shop/web", 8080)

    said = unserved.lbctl("apply", "--approve", digest, *CAREFUL, "-o", "json")
    assert said.code == 0
    assert said.document["version"] == 1
    assert {one["name"]: one["state"] for one in said.document["services"]}["web"] == "ready"
    assert answers(unserved, "shop/web", 8088)
    assert not answers(unserved, "shop/web", 8080)
    assert unserved.lbctl("apply", "--approve", digest, *CAREFUL).code == 1


def test_apply_leaves_it_to_the_controller_that_leads(unserved):
    """While a controller leads, `apply` has that one do it and waits until it is done."""
    settings = msgspec.structs.replace(unserved.sandbox.settings, policy=PolicySettings(highest_hazard="none"))
    unserved.sandbox.start_controller(Process(settings, clock=unserved.sandbox.clock))
    unserved.wait_state("shop/web", State.READY)
    unserved.hands.patch("shop/web", MOVED)
    unserved.wait_state("shop/web", State.HELD)
    (digest,) = held_digests(unserved)
    assert unserved.lbctl("status").code == 6

    said = unserved.lbctl("apply", "--approve", digest, *CAREFUL, "--timeout", "20s", "-o", "name")
    assert (said.code, said.out) == (0, "shop/web\n")
    assert answers(unserved, "shop/web", 8088)
    assert unserved.hands.get("shop/web").metadata.annotations["lbctl.io/approve"] == digest


def test_status_tells_how_many_targets_are_healthy(office):
    """With --targets the cloud is asked, and sick targets are told apart; without, it is not asked."""
    office.serve("web", "api")
    office.cloud.unhealthy = {"n2"}
    said = office.lbctl("status", "--targets", "-o", "json")
    assert said.code == 0
    assert [one["targets"] for one in said.document["services"]] == [{"healthy": 1, "total": 2}] * 2
    assert office.lbctl("status", "--targets").out.count("1/2") == 2
    calls = sum(office.cloud.calls.values())
    assert "targets" not in office.lbctl("status", "-o", "json").document["services"][0]
    assert sum(office.cloud.calls.values()) == calls


def test_envoy_tells_how_many_targets_are_healthy(served):
    """Each of the two nodes serves every port of the sandbox's Services, and Envoy's checks find them healthy."""
    said = served.lbctl("status", "--targets", "-o", "json")
    found = {one["name"]: one["targets"] for one in said.document["services"]}
    assert found["web"] == {"healthy": 2, "total": 2}
    assert found["names"]["total"] == 4
