"""`lbctl doctor`: what is wrong with the place, each with what to do."""

from __future__ import annotations

import datetime as dt

import pytest

from lbctl.clock import ManualClock, SystemClock
from lbctl.driver import Level
from lbctl.engine.doctor import Doctor
from lbctl.kube.access import Access
from lbctl.kube.reads import Cluster
from lbctl.kube.rest import Rest
from lbctl.settings import Settings
from tests.cli.console import lbctl

BASIC = {  # what every cluster gives to everybody who logged in
    "kind": "ClusterRole",
    "rules": [{"apiGroups": ["authorization.k8s.io"], "resources": ["selfsubjectaccessreviews"], "verbs": ["create"]}],
}
ROLE = {
    "kind": "ClusterRole",
    "rules": [
        {"apiGroups": [""], "resources": ["services", "nodes"], "verbs": ["get", "list", "watch"]},
        {"apiGroups": [""], "resources": ["events"], "verbs": ["create", "patch"]},
        {"apiGroups": [""], "resources": ["namespaces"], "resourceNames": ["kube-system"], "verbs": ["get"]},
        {"apiGroups": ["coordination.k8s.io"], "resources": ["leases"], "verbs": ["get", "create", "update"]},
        {"apiGroups": ["discovery.k8s.io"], "resources": ["endpointslices"], "verbs": ["get", "list", "watch"]},
    ],
}


def findings(said):
    return said.document["findings"]


def bad(said):
    return {one["subject"]: one for one in findings(said) if one["level"] != "ok"}


def test_a_sound_place_has_no_failed_finding(office):
    """With rights, a leader and nodes every finding is ok, the driver's too: exit code 0."""
    office.lead("controller-1", seconds_ago=7)
    said = office.lbctl("doctor", "-o", "json")
    assert said.code == 0
    assert said.document["version"] == 1
    assert bad(said) == {}
    told = {one["message"] for one in findings(said)}
    assert {"the cloud answers", "2 nodes can be targets", "none of this cloud runs here"} <= told
    assert any("controller-1 leads, renewed 7 s ago" in text or "renewed 8 s ago" in text for text in told)
    assert sum(one["subject"] == "right" for one in findings(said)) == 25


def test_each_missing_right_is_a_finding(office):
    """A role without services/status and the driver's Secret: a failed finding for each names both, exit code 2."""
    office.kubeconfig.write_text(office.api.kubeconfig(office.api.users.add("limited", roles=[BASIC, ROLE])))
    said = office.lbctl("doctor", "-o", "json")
    failed = [one for one in findings(said) if one["level"] == "failed"]
    assert said.code == 2
    assert [one["message"] for one in failed] == [
        "may not patch services/status",
        "may not get secrets kube-system/memory-config",
    ]
    assert "grant the verb patch on services/status" in failed[0]["hint"]
    assert "grant the verb get on secrets in namespace kube-system" in failed[1]["hint"]


def test_a_missing_right_on_pods_is_a_warning(office):
    """Only their readiness gates need it, so everything else may go on: each verb is told with what to do."""
    told = [one for one in findings(office.lbctl("doctor", "-o", "json")) if "pods" in one["message"]]
    assert {(one["level"], one["message"]) for one in told} == {
        ("ok", f"may {right}") for right in ("get pods", "list pods", "watch pods", "patch pods/status")
    }
    office.kubeconfig.write_text(office.api.kubeconfig(office.api.users.add("limited", roles=[BASIC, ROLE])))
    missed = [one for one in findings(office.lbctl("doctor", "-o", "json")) if "pods" in one["message"]]
    assert [one["level"] for one in missed] == ["warning"] * 4
    assert missed[-1]["hint"] == "grant the verb patch on pods/status to the identity that runs lbctl"


def test_who_may_nothing_hears_all_of_it(office):
    """Without any right every right is named and the rest is looked at all the same: exit code 2, no traceback."""
    office.kubeconfig.write_text(office.api.kubeconfig(office.api.users.add("nobody", roles=[BASIC])))
    said = office.lbctl("doctor", "-o", "json")
    failed = [one for one in findings(said) if one["level"] == "failed"]
    assert said.code == 2
    assert sum(one["subject"] == "right" for one in failed) == 17
    assert "the cloud answers" in {one["message"] for one in findings(said)}
    assert all(one["hint"] for one in failed)


def test_another_controller_of_the_cloud_is_named_with_its_age(office):
    """A Lease of the cloud's own controller that is alive is a warning with holder and age."""
    office.lead("upstream-1", lease="kube-system/memory-controller", seconds_ago=20)
    other = bad(office.lbctl("doctor", "-o", "json"))["other controllers"]
    assert other["level"] == "warning"
    assert "upstream-1 holds kube-system/memory-controller, renewed 2" in other["message"]
    assert "stop it" in other["hint"]


def test_a_controller_that_is_gone_is_no_finding(office):
    """A Lease whose time has run out does not count."""
    office.lead("upstream-1", lease="kube-system/memory-controller", seconds_ago=90)
    assert "other controllers" not in bad(office.lbctl("doctor", "-o", "json"))


def test_nodes_that_cannot_be_targets_are_named(office):
    """A node without a provider id is a warning; when none is left it is a failed finding and exit code 2."""
    for name in ("n1", "n2"):
        node = office.node(name)
        office.replace_node({**node, "spec": {}})
        said = office.lbctl("doctor", "-o", "json")
        told = [one for one in findings(said) if one["subject"] == "nodes" and one["level"] != "ok"]
        assert name in told[0]["message"]
        assert all(one["hint"] for one in told)
    assert said.code == 2
    assert told[1]["message"] == "no node can be a target"


@pytest.mark.parametrize(
    ("off", "level", "words"),
    [(0, Level.OK, "agree"), (30, Level.WARNING, "30 s ahead of"), (-600, Level.FAILED, "600 s behind")],
)
def test_clock_skew_is_told(office, off, level, words):
    """The API server's Date says how far this machine's clock is off, and which way."""
    clock = ManualClock(SystemClock().now() + dt.timedelta(seconds=off))
    reads = Cluster(Rest(Access(kubeconfig=str(office.kubeconfig)), SystemClock()))
    doctor = Doctor(Settings(), reads, clock, {}, lambda _name: None)
    (skew,) = [finding for finding in doctor.findings() if finding.subject == "clock"]
    assert skew.level is level
    seconds = [words, words.replace("30", "29"), words.replace("600", "601")]
    assert any(word in skew.message for word in seconds)


def test_the_drivers_findings_decide_too(office):
    """A failed check of the driver is shown with what to do, and the exit code is 2."""
    office.cloud.most_targets = 5
    said = office.lbctl("doctor")
    assert said.code == 2
    assert "x quota: 5 targets are allowed" in said.out
    assert "do this: ask for more" in said.out


def test_mistakes_in_the_upstreams_file_are_told(office):
    """Each fault of the file that the driver reads is a failed finding with what to do: exit code 2."""
    office.cloud.config_faults = ["/etc/memory.conf: the key zonne is unknown, did you mean zone?"]
    said = office.lbctl("doctor", "-o", "json")
    assert said.code == 2
    assert "zonne" in bad(said)["configuration file"]["message"]
    assert "take it out" in bad(said)["configuration file"]["hint"]


def test_every_warning_says_what_to_do(office):
    """Nobody leads, policy is observe, the lease is off: warnings with a hint, exit code 0."""
    said = office.lbctl("doctor", "-o", "json", "--policy", "observe", "--set", "lease.enabled=false")
    assert said.code == 0
    assert {one["subject"] for one in bad(said).values()} == {"settings", "lease"}
    assert all(one["hint"] for one in bad(said).values())


def test_wrong_settings_of_one_account_do_not_hide_the_rest(office):
    """An unknown key in an account's settings is a failed finding of that account; the others are looked at."""
    wrong = ("--set", "accounts.far.provider=local", "--set", "accounts.far.settings.adresses=x")
    said = office.run("doctor", "-o", "json", "--set", "accounts.memory.provider=memory", *wrong)
    assert said.code == 2
    assert "did you mean addresses" in bad(said)["far settings"]["hint"]
    assert "the cloud answers" in {one["message"] for one in findings(said)}


def test_the_local_driver_is_looked_at(unserved):
    """In a sandbox Envoy, pool and addresses are findings, and nothing fails."""
    said = unserved.lbctl("doctor", "-o", "json")
    assert said.code == 0, said
    assert {"envoy", "addresses", "pool"} <= {one["subject"] for one in findings(said)}


def test_without_an_account_it_is_said_how_to_name_one():
    """No provider: exit code 4 and `--provider`."""
    said = lbctl("doctor", given={"KUBECONFIG": "/nowhere"})
    assert said.code == 4
    assert "--provider" in said.err
