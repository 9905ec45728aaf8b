"""The commands as a person types them, on what others left in the group: what they print, and what the cloud holds."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from lbctl.sandbox.api import ApiServer
from tests.azure.desk import APP, Desk
from tests.azure.test_adoption import settings_of
from tests.clouds.azure.bystanders import add_bystanders, foreign_parts
from tests.clouds.azure.limits import UNLIMITED
from tests.clouds.azure.recorded import RECORDED
from tests.clouds.azure.server import ArmServer
from tests.clouds.azure.tls import loopback_tls

PREFIX = "service.beta.kubernetes.io/azure-"
INTERNAL = {PREFIX + "load-balancer-internal": "true"}
LABEL = {PREFIX + "dns-label-name": "shop-web"}
GONE = ("--cluster-name", "kubernetes", "--cluster-id", "gone")
AT_ONCE = ("--delete", "--apart", "0s", "--older-than", "0s", "--yes")
FLAVOURS = {flavour.name: flavour for flavour in RECORDED}


@pytest.fixture
def make_desk(tmp_path, monkeypatch) -> Iterator:
    """Opens a desk with this azure.json on top of the tests' own."""
    tls = loopback_tls(tmp_path)
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", tls.trusted)
    with ApiServer() as api, ArmServer(limits=UNLIMITED, tls=tls.context) as server:

        def make(**config) -> Desk:
            return Desk.open(api, server, tmp_path, **config)

        yield make


@pytest.fixture
def desk(make_desk) -> Desk:
    """A desk with two machines and, in the same group, everything that is nobody's business of ours."""
    made = make_desk()
    made.machines = made.azure.uniform_set(count=2)
    made.add_machines(made.machines)
    made.bystanders = add_bystanders(made.azure)
    return made


@pytest.fixture
def served(desk) -> Desk:
    """An external and an internal Service, made by `once`."""
    desk.office.create("web", annotations=LABEL)
    desk.office.create("db", ports=(5432,), annotations=INTERNAL)
    said = desk("once")
    assert said.code == 0, said
    desk.server.journal.clear()
    return desk


def steps_of(said) -> list[tuple[str, str, str]]:
    """Verb, kind and name of everything in a plan's document."""
    actions = [action for plan in said.document["plans"] for action in plan["actions"]]
    return [(step["verb"], step["kind"], step["name"]) for action in actions for step in action["steps"]]


@pytest.mark.spec("AZ-093")
def test_a_plan_shows_everything_that_comes_and_writes_nothing(desk):
    """Address, frontend, probe and rule of a new Service are shown before any of them exists: exit code 2."""
    desk.office.create("web", annotations=LABEL)
    before = desk.azure.state()
    said = desk("plan", "-o", "json")
    assert said.code == 2, said
    made = {kind for verb, kind, _ in steps_of(said) if verb == "create"}
    assert made == {"public-ip", "frontend", "probe", "rule"}
    shown = desk("plan").out
    assert "3 calls. No effect on traffic." in shown
    assert "  ~ load-balancer  kubernetes " in shown
    assert "-TCP-80 interval" in shown, "a key that differs from the name in its case alone says nothing"
    assert (desk.writes(), desk.azure.state()) == ([], before)


def test_a_plan_tells_traffic_that_ends_from_members_that_join(served):
    """A node that joins is no hazard; one that leaves drains its connections."""
    served.add_machines(served.azure.scale_out("nodes"))
    assert "No effect on traffic." in served("plan", "shop/db").out
    assert served("once").code == 0
    for node in served.office.api.store.objects("v1", "Node"):
        if node["metadata"]["name"] == "nodes-2":
            node["metadata"]["labels"] = {"node.kubernetes.io/exclude-from-external-load-balancers": ""}
            served.office.replace_node(node)
    assert "Connections drain." in served("plan", "shop/db").out


def test_one_run_serves_and_a_second_finds_nothing_to_do(served):
    """After `once` both Services have the addresses that the cloud gave, and no plan is left."""
    address = served.azure.address(next(key for key in served.azure.state() if "/kubernetes-a" in key))
    status = {one["name"]: one for one in served("status", "-o", "json").document["services"]}
    assert status["web"]["addresses"] == [address]
    assert status["db"]["addresses"][0].startswith("10.1.")
    assert {one["state"] for one in status.values()} == {"ready"}
    assert served("status").out.splitlines()[1].split()[:5] == ["shop", "db", "ready", *_row(status["db"])]
    assert served("plan").out == "Nothing to do.\n"
    assert served("once", "-o", "json").code == 0
    assert served.writes() == []
    assert foreign_parts(served.azure) == served.bystanders


def _row(one) -> list[str]:
    return [",".join(one["addresses"]), ",".join(one["ports"])]


def test_the_health_of_targets_is_shown_on_demand(served):
    """`status --targets` asks Azure: two machines a port, less the one that answers no probe; the JSON has numbers."""
    shown = {line.split()[1]: line.split()[5] for line in served("status", "--targets").out.splitlines()[1:]}
    assert shown == {"web": "4/4", "db": "4/4"}
    address = next(one.addresses[0] for one in served.machines)
    served.server.arm.health.sick.add(address)
    services = served("status", "--targets", "-o", "json").document["services"]
    assert [one["targets"] for one in services] == [{"healthy": 3, "total": 4}] * 2
    assert "targets" not in served("status", "-o", "json").document["services"][0]


def test_a_held_move_is_shown_with_its_digest_and_done_when_it_is_approved(served):
    """Another prefix would move the address: `plan` shows what is held, `apply --approve` does it, all the way."""
    body = {"sku": {"name": "Standard"}, "properties": {"prefixLength": 30}}
    prefix = served.azure.put("publicIPPrefixes", "edge", body)
    annotations = {**LABEL, PREFIX + "pip-prefix-id": prefix}
    served.office.hands.patch("shop/web", {"metadata": {"annotations": annotations}})
    served("once")
    assert served.writes() == []
    said = served("plan", "shop/web")
    assert said.code == 2
    assert "3 held." in said.out
    document = served("plan", "shop/web", "-o", "json").document
    (plan,) = (one for one in document["plans"] if one["heldDigest"])
    assert [action["held"] for action in plan["actions"]] == [True] * 3
    assert f"lbctl apply --approve {plan['heldDigest']}" in said.out
    done = served("apply", "--approve", plan["heldDigest"])
    assert done.code == 0, done
    served("once")
    (address,) = (body for key, body in served.azure.state().items() if "/kubernetes-a" in key)
    assert address["properties"]["publicIPPrefix"]["id"] == prefix
    assert address["properties"]["dnsSettings"]["domainNameLabel"] == "shop-web"
    (web,) = (one for one in served("status", "-o", "json").document["services"] if one["name"] == "web")
    assert web["addresses"] == [address["properties"]["ipAddress"]]
    assert served("plan").code == 0
    assert foreign_parts(served.azure) == served.bystanders


def test_explain_names_the_objects_that_were_looked_at(served):
    """Balancer and security group are each in order for the external Service; the JSON says the same."""
    said = served("explain", "shop/web", "-o", "json")
    assert said.code == 0
    subjects = {one["subject"]: one["level"] for one in said.document["findings"]}
    assert (subjects["plan balancer/kubernetes"], subjects["plan nsg/nodes-nsg"]) == ("ok", "ok")
    assert "+ plan balancer/kubernetes: the cloud holds what the Service asks for" in served("explain", "shop/web").out


def test_explain_says_why_a_service_waits(desk):
    """An address that nobody made yet is named with the group to make it in, and nothing is written."""
    desk.office.create("web", annotations={PREFIX + "pip-name": "not-there"})
    assert desk("once").code != 0
    said = desk("explain", "shop/web")
    assert "no public address not-there exists in group cluster-rg" in said.out
    assert "create it, or name one that exists" in said.out
    assert [action for action in desk.writes() if "publicIPAddresses" in action] == []


def test_what_a_lost_service_had_is_one_orphan_and_goes_whole(served):
    """Balancer parts, address and opening are told as one owner's by name; gc removes them and nothing else."""
    served.office.lose("web")
    said = served("gc", "-o", "json")
    assert said.code == 2
    (orphan,) = said.document["orphans"]
    assert (orphan["owner"]["namespace"], orphan["owner"]["name"]) == ("shop", "web")
    assert sorted(one["kind"] for one in orphan["objects"]) == ["frontend", "opening", "probe", "public-ip", "rule"]
    assert served.writes() == []
    before = served.azure.state()

    said = served("gc", *AT_ONCE, "-o", "json")
    assert said.code == 0, said
    assert [one["state"] for one in said.document["orphans"]] == ["deleted"]
    left = served.azure.state()
    assert [key for key in left if "/kubernetes-a" in key] == []
    rules = left[served.azure.security_group]["properties"]["securityRules"]
    assert [rule["name"] for rule in rules if rule["name"].startswith("k8s-azure-lb_allow")] == []
    internal = served.azure.id("loadBalancers", "kubernetes-internal")
    assert left[internal] == before[internal]
    assert foreign_parts(served.azure) == served.bystanders
    assert served("gc").out.startswith("Nothing is left behind")
    assert served("plan").code == 0


def test_an_orphan_without_an_address_goes_by_the_name_of_its_objects(served):
    """An internal balancer tells a uid alone: that is shown, and it is enough to remove what is left."""
    (uid,) = (one["metadata"]["uid"] for one in served.office.api.store.objects("v1", "Service") if _is_db(one))
    served.office.lose("db")
    assert f"a{uid.replace('-', '')}"[:32] in served("gc").out
    assert served("gc", *AT_ONCE).code == 0
    assert served("gc").code == 0
    assert served("plan").code == 0


@pytest.mark.parametrize("kind", ["uniform_set", "flex_set"])
def test_the_last_orphan_of_a_balancer_goes_with_the_machines_in_its_pool(make_desk, kind):
    """No Service asks for the balancer any more: gc takes the machines out of its pool, and then it goes."""
    desk = make_desk(loadBalancerBackendPoolConfigurationType="nodeIPConfiguration")
    desk.add_machines(getattr(desk.azure, kind)(count=2))
    before = desk.azure.state()
    desk.office.create("db", ports=(5432,), annotations=INTERNAL)
    assert desk("once").code == 0
    assert desk.azure.state() != before
    desk.office.lose("db")
    said = desk("gc", *AT_ONCE)
    assert said.code == 0, said
    assert desk.azure.state() == before
    assert desk("gc").code == 0


def _is_db(service) -> bool:
    return service["metadata"]["name"] == "db"


def test_everything_of_a_cluster_that_is_gone_goes_by_its_name(served):
    """Without an API server `--cluster-name` tells whose is what: all of it goes, and no bystander with it."""
    said = served.without_cluster("gc", *GONE, "-o", "json")
    assert said.code == 2, said
    kinds = [one["kind"] for orphan in said.document["orphans"] for one in orphan["objects"]]
    assert (kinds.count("frontend"), kinds.count("public-ip"), kinds.count("opening")) == (2, 1, 1)
    refused = served.without_cluster("gc", *GONE, *AT_ONCE)
    assert refused.code == 3
    assert "--all" in refused.err
    assert served.writes() == []

    said = served.without_cluster("gc", *GONE, "--all", *AT_ONCE, "-o", "json")
    states = {one["owner"]["name"] or one["owner"]["uid"]: one["state"] for one in said.document["orphans"]}
    # What stands beside others' parts in one balancer stays with them, and is told.
    assert states.pop("") == "kept"
    assert (said.code, set(states.values())) == (2, {"deleted"})
    left = served.azure.state()
    assert served.azure.id("loadBalancers", "kubernetes-internal") not in left
    assert [key for key in left if "/kubernetes-a" in key] == []
    assert foreign_parts(served.azure) == served.bystanders


def test_another_clusters_objects_are_no_orphans_of_ours(served):
    """A search for a cluster of another name finds nothing of this one."""
    said = served.without_cluster("gc", "--cluster-name", "nobody", "--cluster-id", "gone", "-o", "json")
    assert (said.code, said.document["orphans"]) == (0, [])


@pytest.mark.parametrize("name", ["external", "dual-stack", "internal"])
def test_what_upstream_left_is_taken_over_without_a_write(make_desk, name):
    """`adopt --from azure` says `nothing`, with what a deletion would remove; `--write` writes nothing to the cloud."""
    flavour = FLAVOURS[name]
    desk = make_desk(**{**settings_of(flavour), "loadBalancerBackendPoolConfigurationType": "nodeIPConfiguration"})
    flavour.write(desk.azure)
    cleanup = {"finalizers": ["service.kubernetes.io/load-balancer-cleanup"]}
    desk.seed("Service", [{**body, "metadata": {**body["metadata"], **cleanup}} for body in flavour.services])
    before = desk.azure.state()
    said = desk("adopt", "--from", "azure", "-o", "json")
    assert said.code == 0, said
    (one,) = said.document["services"]
    assert (one["verdict"], one["hazard"], one["calls"]) == ("nothing", "none", 0)
    assert {"frontend", "rule", "probe"} <= {entry["kind"] for entry in one["deletes"]}
    written = desk("adopt", "--from", "azure", "--write", "--yes", "-o", "json")
    assert written.code == 0, written
    assert (desk.writes(), desk.azure.state()) == ([], before)


def test_a_released_service_keeps_its_balancer_and_an_address_of_its_own(served):
    """Our tags go from the address, so that nothing of ours deletes it any more; all else stays byte for byte."""
    (pip,) = (key for key in served.azure.state() if "/kubernetes-a" in key)
    before = served.azure.state()
    said = served("release", "shop/web", "--yes", "-o", "json")
    assert said.code == 0, said
    after = served.azure.state()
    assert after[pip].pop("tags", {}) == {}
    before[pip].pop("tags")
    assert after == before
    assert served.office.hands.get("shop/web").metadata.finalizers == ()


def test_doctor_says_in_short_what_was_looked_at(desk):
    """Objects are named with their group, not by ids of a line's length; nothing has failed: exit code 0."""
    said = desk("doctor")
    assert said.code == 0, said
    assert "+ network security group: nodes-nsg of group cluster-rg can be read" in said.out
    assert "+ load balancers: those of group cluster-rg can be read" in said.out
    assert f"+ identity: {APP} of tenant" in said.out
    assert "/subscriptions/" not in said.out
    found = {one["subject"]: one["level"] for one in desk("doctor", "-o", "json").document["findings"]}
    assert (found["identity"], found["rights in cluster-rg"]) == ("ok", "ok")


def test_the_printed_role_is_enough_and_doctor_misses_what_it_is_without(desk):
    """`permissions` knows subscription and kind of pools from azure.json; without one of its actions doctor fails."""
    role = json.loads(desk("permissions").out)
    assert role["AssignableScopes"] == [f"/subscriptions/{desk.server.cloud.subscription}"]
    assert not [action for action in role["Actions"] if "Compute" in action]
    desk.office.create("web")
    _grant(desk, role["Actions"])
    assert desk("doctor").code == 0
    assert desk("once").code == 0
    write = "Microsoft.Network/networkSecurityGroups/write"
    _grant(desk, [action for action in role["Actions"] if action != write])
    said = desk("doctor")
    assert said.code == 2
    assert f"x right {write}: is not granted in cluster-rg" in said.out


def _grant(desk, actions) -> None:
    """From now on every token of the application may do these actions only."""
    desk.server.arm.directory.roles[APP] = frozenset(actions)


def test_secrets_are_in_no_answer(served):
    """The application's secret and its tokens appear in no output of any command, however wide."""
    tokens = list(served.server.access.principals)
    for words in (("config", "show"), ("doctor",), ("explain", "shop/web", "-o", "json"), ("plan", "-o", "json")):
        said = served(*words)
        assert not [secret for secret in ("secret-of-the-app", *tokens) if secret in said.out + said.err], words
