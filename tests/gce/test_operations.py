"""Operations, errors and limits of the API: what each means for the Service, and what it must not mean."""

from __future__ import annotations

import functools
import random
import subprocess
import sys
from pathlib import Path

import pytest

from lbctl.driver import Setup, World
from lbctl.errors import CloudError, InvalidSettings, PermissionDenied, QuotaExceeded, Rejected, Throttled, Unreachable
from lbctl.obs.metrics import Metrics
from lbctl_gce import DRIVER
from lbctl_gce.errors import ApiError, translated
from tests.clouds.gce.credentials import write_account, write_federation
from tests.clouds.gce.description import checked, find_method
from tests.clouds.gce.errors import Refusal
from tests.clouds.gce.faults import Fault
from tests.clouds.gce.world import PROJECT, REGIONAL, Google
from tests.gce.conftest import Build
from tests.world import change, service


@pytest.mark.spec("GCE-080")
def test_an_operation_that_ends_with_an_error_is_a_failure(world: Google) -> None:
    """Although the request itself was answered with success."""
    quota = Refusal(403, "quotaExceeded", "Quota 'FORWARDING_RULES' exceeded.  Limit: 15.0 in region europe-west1.")
    world.compute.faults.append(Fault("forwardingRules.insert", quota, in_operation=True))
    world.kube.put(service())
    world.settle(30)
    assert world.condition().reason == "QuotaExceeded"
    assert "FORWARDING_RULES" in world.condition().message


@pytest.mark.spec("GCE-081")
def test_a_slow_operation_is_asked_about_until_it_is_over(world: Google) -> None:
    """Nothing that depends on it is tried before."""
    world.compute.operations.latency = 45.0
    world.kube.put(service())
    world.settle(60)
    assert world.condition().status == "False"
    world.settle(600)
    assert world.condition().status == "True"
    assert world.compute.journal.counts["forwardingRules.insert"] == 1


@pytest.mark.spec("GCE-083")
def test_a_backend_that_somebody_links_at_the_same_time_survives(world: Google) -> None:
    """The fingerprint is stale, the service is read again, and the change is made beside the foreign one."""
    world.apply(service())
    (path,) = [p for p, b in world.compute.store.of("backendServices") if "shop-web" in b["name"]]
    group = f"{REGIONAL.rpartition('/regions')[0]}/zones/europe-west1-b/instanceGroups/somebody-elses"
    link = f"https://www.googleapis.com/compute/v1/{group}"

    def meddle(call: str, _number: int) -> None:
        body = world.compute.store.objects[path]
        if call == "regionBackendServices.patch" and len(body["backends"]) == 1:
            body["backends"].append({"group": link})
            body["fingerprint"] = "changed"

    world.before = meddle
    world.edit("web", session_affinity="ClientIP")
    body = world.compute.store.objects[path]
    assert body["sessionAffinity"] == "CLIENT_IP"
    assert link in {entry["group"] for entry in body["backends"]}


@pytest.mark.spec("GCE-084")
def test_an_exceeded_quota_is_named_and_tried_again_after_five_minutes(world: Google) -> None:
    """The condition has metric and limit; nothing hammers the API meanwhile."""
    world.compute.limits["FORWARDING_RULES"] = 1
    world.kube.put(service())
    world.settle(290)
    assert world.condition().reason == "QuotaExceeded"
    assert "FORWARDING_RULES" in world.condition().message
    tries = world.compute.journal.counts["forwardingRules.insert"]
    assert tries == 1
    world.compute.limits.clear()
    world.settle(60)
    assert world.condition().status == "True"


@pytest.mark.spec("GCE-085")
def test_one_throttled_call_pauses_everybody_and_blames_nobody(world: Google) -> None:
    """No write of any Service goes out in the pause, and no Service counts a failure."""
    refusal = Refusal(403, "rateLimitExceeded", "Rate Limit Exceeded")
    world.compute.faults.append(Fault("regionBackendServices.insert", refusal))
    for index in range(5):
        world.kube.put(service(f"s{index}", ports=(1000 + index,)))
    world.settle(10)
    writes = world.compute.journal.writes
    world.settle(5)
    assert world.compute.journal.writes == writes
    world.settle(60)
    assert all(world.condition(f"s{index}").status == "True" for index in range(5))
    assert not [notice for _, notice in world.kube.events if "Failed" in notice.reason]


@pytest.mark.parametrize(
    ("refusal", "counted"),
    [
        (Refusal(403, "rateLimitExceeded", "Rate Limit Exceeded"), 1.0),
        (Refusal(429, "tooManyRequests", "Slow down"), 1.0),
        (Refusal(403, "forbidden", "Required 'compute.forwardingRules.list' permission"), 0.0),
        (Refusal(403, "quotaExceeded", "Quota 'READ_REQUESTS' exceeded"), 0.0),
    ],
    ids=lambda value: getattr(value, "reason", ""),
)
def test_measures_count_what_the_cloud_throttles_and_nothing_else(
    world: Google, refusal: Refusal, counted: float
) -> None:
    """A rate that was exceeded has the status of a missing right; the reason tells them apart."""
    metrics = Metrics()
    record = functools.partial(metrics.record_call, "gce")
    setup = Setup(world.cluster, world.clock, world.settings, "lbctl/test", random.Random(1).random, record=record)
    driver = DRIVER.connect(setup)
    world.compute.faults.append(Fault("forwardingRules.list", refusal))
    with pytest.raises(CloudError):
        driver.snapshot(World(world.cluster, world.clock.now()))
    driver.close()
    shown = metrics.registry.get_sample_value("lbctl_cloud_throttled_total", {"provider": "gce"})
    assert (shown or 0.0) == counted


@pytest.mark.spec("GCE-086")
def test_what_only_the_author_can_mend_is_not_tried_again(world: Google) -> None:
    """A request that the cloud calls invalid rests until the Service changes."""
    refusal = Refusal(400, "invalid", "Invalid value for field 'resource.ports': the port range is conflicting.")
    world.compute.faults.append(Fault("forwardingRules.insert", refusal, times=1000))
    world.kube.put(service())
    world.settle(500)
    assert world.condition().reason == "InvalidService"
    assert world.compute.journal.counts["forwardingRules.insert"] == 1


@pytest.mark.spec("GCE-087")
@pytest.mark.parametrize("kind", ["federation", "key"])
def test_every_call_goes_to_the_configured_endpoint(world: Google, tmp_path: Path, kind: str) -> None:
    """Looking up any other name fails the test, in whatever thread: neither waiting nor signing in is an exception."""
    write = {"federation": write_federation, "key": write_account}[kind]
    world.settings = change(world.settings, credentials_file=str(write(tmp_path / kind, world.server.url)))
    world.crash()
    world.compute.operations.latency = 5.0
    world.apply(service())
    world.settle(60)
    assert world.condition().status == "True"
    assert world.compute.journal.polls > 0


@pytest.mark.spec("GCE-088")
@pytest.mark.parametrize(
    "wrong",
    [
        {"name": "x", "priority": "999"},
        {"name": "x", "ports": []},
        {"name": "Upper"},
        {"name": "x", "direction": "SIDEWAYS"},
    ],
)
def test_a_body_that_the_published_description_does_not_know_is_refused(wrong: dict) -> None:
    """The fake holds every request of this suite against it."""
    with pytest.raises(Refusal):
        checked("Firewall", wrong)


def test_what_only_the_server_sets_is_dropped_from_requests() -> None:
    """Clients send back what they have read."""
    assert checked("Firewall", {"name": "x", "creationTimestamp": "now", "kind": "y"}) == {"name": "x"}


@pytest.mark.parametrize("path", ["/compute/v1/projects/p/regions/r/nothing", "/compute/v1/projects/p"])
def test_an_unknown_method_is_refused(path: str) -> None:
    """Only what the description has is served."""
    with pytest.raises(Refusal):
        find_method("POST", path)


@pytest.mark.parametrize(
    ("status", "reason", "message", "kind"),
    [
        (403, "quotaExceeded", "Quota exceeded", QuotaExceeded),
        (403, "rateLimitExceeded", "slow down", Throttled),
        (429, "", "slow down", Throttled),
        (403, "forbidden", "Required 'compute.firewalls.create' permission", PermissionDenied),
        (412, "conditionNotMet", "Constraint constraints/compute.restrict violated", PermissionDenied),
        (400, "invalid", "nonsense", Rejected),
        (503, "backendError", "later", Unreachable),
        (0, "unreachable", "no answer", Unreachable),
        (403, "QUOTA_EXCEEDED", "Quota exceeded", QuotaExceeded),
    ],
)
def test_every_answer_is_one_of_the_cores_errors(status: int, reason: str, message: str, kind: type) -> None:
    """The class says whose move it is."""
    error = translated(ApiError(status, reason, message), "firewalls.insert web")
    assert isinstance(error, kind)
    assert "firewalls.insert" in str(error)


def test_a_missing_permission_names_call_and_permission(world: Google) -> None:
    """The operator knows what to grant."""
    world.compute.denied.add(("shop-project", "forwardingRules.insert"))
    world.kube.put(service())
    world.settle(30)
    assert world.condition().reason == "PermissionDenied"
    assert "forwardingRules.insert" in world.condition().message


@pytest.mark.spec("GCE-055")
def test_members_that_are_there_or_gone_already_are_no_failure(world: Google) -> None:
    """Somebody was faster."""
    world.apply(service())
    path = next(p for p in world.compute.store.members if "k8s-ig--" in p)
    joined = world.join("n3")
    assert joined
    world.compute.store.members[path].append(path.rpartition("/instanceGroups")[0] + "/instances/n3")
    world.settle(60)
    assert world.members() == {"n1", "n2", "n3"}
    world.compute.store.members[path] = [m for m in world.compute.store.members[path] if not m.endswith("n3")]
    world.see_node(None, "n3")
    world.settle(60)
    assert world.members() == {"n1", "n2"}
    assert world.plans() == []


@pytest.mark.spec("GCE-064", "GCE-065")
def test_traffic_policy_there_and_back_leaves_just_the_shared_check(world: Google) -> None:
    """The Service's own check and its firewall rule are gone; with the last Service the shared ones go too."""
    world.apply(service())
    world.apply(service("other", ports=(81,)))
    before = world.state()
    world.edit("web", external_traffic_policy="Local", health_check_node_port=32100)
    assert len(world.objects("healthChecks")) == 2
    world.edit("web", external_traffic_policy="Cluster", health_check_node_port=0)
    assert world.state() == before
    world.delete("other")
    assert len(world.objects("healthChecks")) == 1
    world.delete("web")
    assert world.objects("healthChecks") == world.objects("firewalls") == {}


@pytest.mark.spec("GCE-066")
def test_the_shared_firewall_stays_while_the_check_of_the_other_place_is_there(world: Google) -> None:
    """External balancers have their check in the region, internal ones globally; the rule serves both."""
    world.apply(service())
    internal = service("inside", ports=(81,), load_balancer_class="networking.gke.io/l4-regional-internal")
    world.apply(internal)
    assert shared_checks(world) == 2
    world.delete("web")
    assert shared_checks(world) == 1
    assert "k8s2-7kpbhpki-l4-shared-hc-fw" in world.objects("firewalls")
    world.delete("inside")
    assert world.objects("firewalls") == {}


def shared_checks(world: Google) -> int:
    """How many checks bear the shared name, in the region and globally."""
    return sum(1 for _, body in world.compute.store.of("healthChecks") if body["name"].endswith("l4-shared-hc"))


@pytest.mark.spec("GCE-003")
def test_an_unknown_class_causes_nothing(world: Google) -> None:
    """No call, no event."""
    world.compute.journal.clear()
    world.apply(service(load_balancer_class="example.com/other"))
    assert world.compute.journal.calls == []
    assert world.kube.events == []


@pytest.mark.spec("GCE-009", "GCE-010", "GCE-091")
def test_finalizers_come_first_and_go_last(world: Google) -> None:
    """Both are on the Service before the first write, and go in the very write that empties the status."""
    order: list[str] = []
    world.kube.after = lambda what, _n: order.append(what)
    world.after = lambda what, _n: order.append(what)
    world.apply(service())
    assert order[0] == "add-finalizers"
    assert set(world.live().metadata.finalizers) == {
        "service.kubernetes.io/load-balancer-cleanup",
        "gke.networking.io/l4-netlb-v2",
    }
    order.clear()
    seen = []
    world.kube.listeners.append(lambda _old, new: seen.append(new) if new else None)
    world.edit("web", type="ClusterIP")
    assert order[-1] == "remove-finalizers" or "remove-finalizers" in order
    (last,) = [s for s in seen if not s.metadata.finalizers][:1]
    assert last.status.load_balancer.ingress == ()
    assert all(s.metadata.finalizers for s in seen[: seen.index(last)])


@pytest.mark.spec("GCE-099")
def test_planning_works_with_the_right_to_read_alone(world: Google) -> None:
    """The smallest role of all, which lists and gets, is enough; no write is made."""
    world.kube.listeners = []
    world.kube.put(service())
    world.compute.journal.clear()
    reader = DRIVER.permissions(world.settings, [])["includedPermissions"]
    world.compute.granted = {PROJECT: set(reader)}
    world.crash()
    world.do(world.controller.next_work())
    plans = world.plans()
    assert {action.call for plan in plans for action in plan.actions} >= {
        "forwardingRules.insert",
        "regionBackendServices.insert",
        "firewalls.insert",
    }
    assert world.compute.journal.writes == 0


@pytest.mark.spec("GCE-039", "GCE-041")
def test_internal_ports_and_global_access(world: Google) -> None:
    """Five ports one by one, six as all; global access is switched in place, both ways."""
    inside = {"networking.gke.io/load-balancer-type": "Internal"}
    world.apply(service(ports=(1, 2, 3, 4, 5), annotations=inside))
    (rule,) = world.objects("forwardingRules").values()
    assert sorted(rule["ports"]) == ["1", "2", "3", "4", "5"]
    for value in ("true", "false"):
        world.annotate("web", {**inside, "networking.gke.io/internal-load-balancer-allow-global-access": value})
        (now,) = world.objects("forwardingRules").values()
        assert now["id"] == rule["id"]
        assert now.get("allowGlobalAccess", False) is (value == "true")
    world.edit("web", ports=service(ports=(1, 2, 3, 4, 5, 6)).spec.ports)
    (rule,) = world.objects("forwardingRules").values()
    assert rule["allPorts"]


@pytest.mark.spec("GCE-040")
def test_a_range_that_spans_the_wanted_ports_is_kept(world: Google) -> None:
    """Recreating the rule would gain nothing."""
    world.apply(service(ports=(80, 443)))
    (before,) = world.objects("forwardingRules").values()
    world.settings = change(world.settings, discrete_ports=True)
    world.crash()
    world.settle(60)
    (after,) = world.objects("forwardingRules").values()
    assert before == after


@pytest.mark.spec("GCE-042", "GCE-043", "GCE-044")
@pytest.mark.parametrize("inside", [True, False], ids=["internal", "external"])
def test_several_protocols_share_one_rule_and_can_be_switched_both_ways(world: Google, inside: bool) -> None:
    """One rule for all ports, a backend service of no protocol, a firewall rule with both; the address is kept."""
    kind = "internal" if inside else "external"
    wanted = service(ports=(53,), load_balancer_class=f"networking.gke.io/l4-regional-{kind}")
    world.apply(wanted)
    address = world.addresses()
    tcp = wanted.spec.ports[0]
    world.edit("web", ports=(tcp, change(tcp, protocol="UDP", name="udp", node_port=30999)))
    world.settle(60)
    (rule,) = world.objects("forwardingRules").values()
    (backend,) = world.objects("backendServices").values()
    assert (rule["IPProtocol"], rule["allPorts"], backend["protocol"]) == ("L3_DEFAULT", True, "UNSPECIFIED")
    allowed = [f["allowed"] for f in world.objects("firewalls").values() if f.get("destinationRanges")]
    assert allowed == [[{"IPProtocol": "udp", "ports": ["53"]}, {"IPProtocol": "tcp", "ports": ["53"]}]]
    assert world.addresses() == address
    world.edit("web", ports=(tcp,))
    world.settle(60)
    (rule,) = world.objects("forwardingRules").values()
    assert rule["IPProtocol"] == "TCP"
    assert world.addresses() == address
    assert world.objects("addresses") == {}
    assert world.plans() == []


CLASS = "networking.gke.io/l4-regional-"
SLOW, QUICK = (8, 1, 1, 3), (3, 1, 1, 2)


@pytest.mark.spec("GCE-063")
@pytest.mark.parametrize(
    ("kind", "place", "own"),
    [
        ("external-legacy", "global/httpHealthChecks", SLOW),
        ("internal-legacy", "global/healthChecks", SLOW),
        ("external", "regions/europe-west1/healthChecks", QUICK),
        ("internal", "global/healthChecks", QUICK),
    ],
)
def test_health_checks_have_upstreams_numbers(world: Google, kind: str, place: str, own: tuple) -> None:
    """Interval, time-out and thresholds of the shared and of the Service's own; the page is kube-proxy's or its own."""
    names = ("checkIntervalSec", "timeoutSec", "healthyThreshold", "unhealthyThreshold")
    local = {"external_traffic_policy": "Local", "health_check_node_port": 32100}
    for spec, numbers, port in (({}, SLOW, 10256), (local, own, 32100)):
        world.apply(service(load_balancer_class=f"{CLASS}{kind}", **spec))
        world.settle(60)
        (check,) = world.objects(place.rpartition("/")[2]).values()
        assert f"/{place}/" in check["selfLink"]
        assert tuple(check[name] for name in names) == numbers
        page = check.get("httpHealthCheck", check)
        assert (page["port"], page["requestPath"]) == (port, "/healthz")


@pytest.mark.spec("GCE-045")
def test_several_protocols_on_a_target_pool_are_refused_and_the_balancer_lives_on(build: Build) -> None:
    """The API's own condition says so; address and objects of the living balancer stay as they are."""
    world = build(backend_service_default=False)
    world.apply(service(ports=(53,)))
    before, address = world.state(), world.addresses()
    (tcp,) = world.live().spec.ports
    world.edit("web", ports=(tcp, change(tcp, protocol="UDP", name="udp", node_port=30999)))
    found = {c.type: c for c in world.live().status.conditions}
    assert found["LoadBalancerPortsError"].status == "True"
    assert (world.state(), world.addresses()) == (before, address)


MEASURE = """
import resource, sys
import lbctl.driver
size = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
before = size()
import lbctl_gce
package = size() - before
loaded = any(name.split('.')[0] == 'google' for name in sys.modules)
import lbctl_gce.driver
print(loaded, package, size() - before - package)
"""


@pytest.mark.spec("GCE-100")
def test_importing_the_package_loads_no_sdk_and_the_client_costs_what_it_must() -> None:
    """Less than 5 MB for the package, at most 160 MB once connecting has loaded the SDK."""
    done = subprocess.run([sys.executable, "-c", MEASURE], check=True, capture_output=True, text=True)
    loaded, package, client = done.stdout.split()
    assert loaded == "False"
    assert int(package) < 5
    assert int(client) <= 160


@pytest.mark.spec("GCE-089")
@pytest.mark.parametrize("gone", [("forwardingRules",), ("forwardingRules", "backendServices"), ("firewalls",)])
def test_a_deletion_succeeds_whatever_is_gone_already(world: Google, gone: tuple[str, ...]) -> None:
    """Somebody has removed part of the balancer by hand; the rest goes, and the Service too."""
    before = world.state()
    world.apply(service())
    for collection in gone:
        for path, _ in list(world.compute.store.of(collection)):
            if "shop-web" in path or "/a00" in path:
                world.compute.store.drop(path)
    world.delete("web")
    world.settle(60)
    assert not world.exists()
    assert world.state() == before


def test_missing_settings_are_named(build, monkeypatch) -> None:
    """Where no instance tells either, the process ends with what to set."""
    monkeypatch.setenv("NO_GCE_CHECK", "true")
    with pytest.raises(InvalidSettings, match="region"):
        build(region="")
