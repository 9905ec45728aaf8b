"""`lbctl gc`: what Services that are gone left behind, and nothing else."""

from __future__ import annotations

import pytest

from lbctl.cli.main import run
from lbctl.sandbox.nodes.traffic import Kind, Request, Traffic
from tests.cli.office import Office

AT_ONCE = ("--delete", "--apart", "0s", "--older-than", "0s", "--yes")


@pytest.fixture
def littered(office) -> Office:
    """Two Services are served; a third was, and lost its finalizer and its life."""
    office.serve("web", "api", "lost")
    office.lose("lost")
    return office


def owners(office: Office) -> set[str]:
    return {thing.tags["owner"].rpartition("/")[0] for thing in office.cloud.things.values()} - {""}


def test_an_orphan_is_listed_with_owner_kinds_and_cost(littered):
    """The lost Service's objects are shown, what is billed is said, nothing is done: exit code 2."""
    before = littered.cloud.state()
    said = littered.lbctl("gc", "-o", "json")
    (orphan,) = said.document["orphans"]
    assert said.code == 2
    assert said.document["version"] == 1
    assert (orphan["owner"]["namespace"], orphan["owner"]["name"], orphan["state"]) == ("shop", "lost", "orphan")
    assert {one["kind"]: one["billed"] for one in orphan["objects"]} == {
        "balancer": "by the hour",
        "listener": "",
        "rule": "",
    }
    assert "shop/lost" in littered.lbctl("gc").out
    assert littered.lbctl("gc", "-o", "name").out == "shop/lost\n"
    assert littered.cloud.state() == before


@pytest.mark.spec("SC-093")
def test_orphans_go_and_bystanders_stay(littered):
    """What two looks agree on is deleted; living Services, another cluster's and untagged objects stay as they are."""
    cloud = littered.cloud
    foreign = {"cluster": "another", "owner": "shop/lost/1", "scope": "x", "key": "x"}
    cloud.create("balancer", "theirs", tags=foreign, fields={"flavor": "small"}, uses=())
    cloud.create("balancer", "untagged", tags={}, fields={"flavor": "small"}, uses=())
    littered.lbctl("once")
    lost = {t.id for t in cloud.things.values() if "lost" in t.tags.get("owner", "") and t.name != "theirs"}
    served = set(cloud.things) - lost
    rules = {name for name, (_, owner) in rules_of(cloud).items() if "lost" not in owner[0]}

    said = littered.lbctl("gc", *AT_ONCE, "-o", "json")
    assert said.code == 0, said
    assert [one["state"] for one in said.document["orphans"]] == ["deleted"]
    assert set(cloud.things) == served
    assert set(rules_of(cloud)) == rules
    assert littered.lbctl("gc").out.startswith("Nothing is left behind")
    assert littered.lbctl("plan").code == 0


def rules_of(cloud):
    (firewall,) = (thing for thing in cloud.things.values() if thing.kind == "firewall")
    return firewall.fields["rules"]


@pytest.mark.parametrize("kind", ["ClusterIP", "classed"])
def test_a_service_that_lives_is_never_an_orphan(office, kind):
    """A Service that became another controller's, or no balancer at all, is alive: gc leaves its objects alone."""
    office.serve("web")
    if kind == "ClusterIP":
        office.hands.patch("shop/web", {"metadata": {"finalizers": None}, "spec": {"type": "ClusterIP"}})
    else:
        office.hands.patch("shop/web", {"spec": {"type": "ClusterIP"}})
        office.hands.patch("shop/web", {"spec": {"type": "LoadBalancer", "loadBalancerClass": "example.com/other"}})
    before = office.cloud.state()
    assert office.lbctl("gc", *AT_ONCE).code == 0
    assert office.cloud.state() == before


def test_nothing_is_deleted_without_consent(littered):
    """Without a terminal and without --yes, gc refuses with exit code 3 and does nothing."""
    before = littered.cloud.state()
    said = littered.lbctl("gc", "--delete", "--apart", "0s", "--older-than", "0s")
    assert said.code == 3
    assert "--yes" in said.err
    assert littered.cloud.state() == before


def test_what_may_be_younger_than_asked_for_stays(littered):
    """Where the cloud tells no age, --older-than cannot hold, so nothing is removed, and it is said how it can be."""
    before = littered.cloud.state()
    said = littered.lbctl("gc", "--delete", "--apart", "0s", "--yes")
    assert said.code == 2
    assert "unsure: its cloud tells no age" in said.out
    assert "--older-than 0s" in said.out
    assert littered.cloud.state() == before


def test_the_policy_holds_for_gc_too(littered):
    """Under --policy no-delete the orphan is shown as held and stays: exit code 2."""
    before = littered.cloud.state()
    said = littered.lbctl("gc", *AT_ONCE, "--policy", "no-delete")
    assert said.code == 2
    assert "held" in said.out
    assert littered.cloud.state() == before


def test_what_cannot_be_deleted_is_said(littered):
    """A protected balancer fails with the cloud's words, the rest goes: exit code 1."""
    (lost,) = (t for t in littered.cloud.things.values() if t.kind == "balancer" and "lost" in t.tags["owner"])
    lost.fields["protected"] = True
    said = littered.lbctl("gc", *AT_ONCE)
    assert said.code == 1
    assert "is protected against deletion" in said.out
    assert lost.id in littered.cloud.things
    assert not [t for t in littered.cloud.things.values() if t.kind == "listener" and "lost" in t.tags["owner"]]


class TestGone:
    """A cluster whose API server does not exist any more."""

    @pytest.fixture
    def gone(self, office) -> Office:
        """The cloud of a cluster that was served as `dead`, beside one that lives."""
        for name in ("web", "api"):
            office.create(name)
        assert office.lbctl("once", "--cluster-id", "dead").code == 0
        tags = {"cluster": "alive", "owner": "shop/web/1", "scope": "b", "key": "b"}
        balancer = office.cloud.create("balancer", "b", tags=tags, fields={}, uses=())
        office.cloud.create("listener", "l", tags={**tags, "key": "l"}, fields={}, uses=[balancer.id])
        office.kubeconfig.unlink()
        return office

    NAMED = ("--cluster-id", "dead", "--cluster-name", "old")

    def test_everything_of_it_goes_and_no_kubeconfig_is_read(self, gone):
        """With --all everything of that cluster is removed, its own objects too; another cluster's stay."""
        alive = [row for row in gone.cloud.state() if ("cluster", "alive") in row[2]]
        said = gone.lbctl("gc", *self.NAMED, "--all", *AT_ONCE)
        assert said.code == 0, said
        assert [row for row in gone.cloud.state() if row[0] != "firewall"] == alive
        assert not rules_of(gone.cloud)
        assert len(alive) == 2

    def test_without_all_it_is_listed_only(self, gone):
        """Without --all both Services' objects are listed, and --delete is refused."""
        before = gone.cloud.state()
        said = gone.lbctl("gc", *self.NAMED, "-o", "json")
        assert said.code == 2
        assert {one["owner"]["name"] for one in said.document["orphans"]} == {"web", "api"}
        assert gone.lbctl("gc", *self.NAMED, *AT_ONCE).code == 3
        assert gone.cloud.state() == before

    def test_it_has_to_be_named_whole(self, gone):
        """An id without a name, and --all without either, are invalid input: some clouds mark by the name."""
        for wrong in (("--cluster-id", "dead", "--all"), ("--all",)):
            said = gone.lbctl("gc", *wrong)
            assert said.code == 3
            assert "--cluster-name" in said.err

    def test_a_driver_that_is_set_up_for_another_cluster_is_refused(self, gone):
        """A driver's setting that names a living cluster would win over the flags: exit code 4 names it."""
        said = gone.run("gc", *self.NAMED, "--provider", "aws", "--set", "accounts.aws.settings.cluster_id=prod")
        assert said.code == 4
        assert "accounts.aws.settings.cluster_id" in said.err


def test_a_wrong_duration_is_invalid_input(capsys):
    """`--older-than 5` says how lengths of time are written."""
    assert run(["gc", "--older-than", "5", "--provider", "local"]) == 3
    assert "1h30m" in capsys.readouterr().err


def test_a_real_balancer_of_a_lost_service_stops_answering(unserved):
    """With Envoy: the orphan's address is closed and free again, a living Service goes on answering."""
    assert unserved.lbctl("once").code == 0
    addresses = {key: unserved.hands.get(key).status.load_balancer.ingress[0].ip for key in ("shop/web", "shop/orders")}
    unserved.hands.patch("shop/orders", {"metadata": {"finalizers": None}})
    unserved.hands.delete("shop/orders")
    assert unserved.lbctl("gc", "--timeout", "30s").code == 2

    said = unserved.lbctl("gc", *AT_ONCE, "-o", "json")
    assert said.code == 0, said
    assert [one["state"] for one in said.document["orphans"]] == ["deleted"]
    with Traffic() as traffic:
        assert traffic.ask(Request(Kind.HTTP, addresses["shop/web"], 8080)).pod
    assert unserved.lbctl("gc").code == 0
    assert unserved.lbctl("plan").code == 0
