"""The commands as a person types them: on what both upstream controllers left behind, and on what lbctl made."""

import json
from functools import partial

import pytest

from lbctl.engine.claim import SHARED_FINALIZER
from lbctl.sandbox.api import ApiServer
from tests.aws.cluster import EVERY_MODE, EXTERNAL, NLB, service
from tests.aws.desk import Desk
from tests.aws.recorded import CCM, LBC, RECORDED
from tests.world import change

CLASSES = ("service.k8s.aws/nlb", "lbctl.io/aws")
LBC_FINALIZER = "service.k8s.aws/resources"
FROM = {
    "aws-ccm": ("ccm-existing", CCM, SHARED_FINALIZER),
    "aws-lbc": ("lbc-existing", LBC, LBC_FINALIZER),
}
NOW = ("--older-than", "0s")
DELETE = ("--delete", "--apart", "0s", "--yes", *NOW)
GONE = ("--cluster-id", "demo", "--cluster-name", "demo")
OTHERS = "a0prod"


@pytest.fixture
def desk(aws, tmp_path, monkeypatch, capsys):
    """Opens the desk of a cluster on a topology."""
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "kubeconfig"))
    with ApiServer() as api:
        yield partial(Desk.open, aws, api=api, folder=tmp_path, said=capsys.readouterr)


def marked(finalizer, services):
    """The Services with the finalizer of the controller that serves them."""
    return [change(one, metadata=change(one.metadata, finalizers=(finalizer,))) for one in services]


def every_mode():
    """One Service in each mode, each on a node port of its own."""
    modes = enumerate(EVERY_MODE.items(), 31100)
    return [service(mode, annotations=marks, node_ports={80: port}) for port, (mode, marks) in modes]


def by_service(said):
    """A document's Services by name."""
    return {one["service"]: one for one in said.document["services"]}


def without(state, *kinds):
    """A state of the cloud without some kinds, and without what only tells that time goes by."""
    return {kind: found for kind, found in state.items() if kind not in (*kinds, "subnets")}


class TestPlan:
    """`lbctl plan`."""

    @pytest.mark.parametrize("topology", ["ccm-existing", "lbc-existing"])
    def test_for_what_upstream_left_whole_it_has_no_action(self, aws, desk, topology):
        """Exit code 0, no action in the document for any scope, and no write in the cloud."""
        at = desk(topology)
        at.put(*RECORDED[topology])
        said = at.lbctl("plan", "-o", "json")
        assert said.code == 0, said.err
        assert [action for one in said.document["plans"] for action in one.get("actions", ())] == []
        assert at.lbctl("plan").out == "Nothing to do.\n"
        assert not aws.calls.writes
        assert len(aws.calls.reads) > 0

    def test_for_what_upstream_left_half_made_it_has_the_rest(self, aws, desk):
        """Exit code 2 and the missing listeners, tags as key=value; nothing is written."""
        at = desk("half-created-ccm")
        at.put(*RECORDED["half-created-ccm"])
        said = at.lbctl("plan")
        assert said.code == 2, said.err
        assert "+ listener       ab1de5e2c0d0b4f0c8a5c5b6f6a1c9d0:443 forward" in said.out
        assert "kubernetes.io/cluster/demo=owned" in said.out
        assert "elbv2.CreateListener" in at.lbctl("plan", "-o", "json").out
        assert not aws.calls.writes

    def test_what_would_move_the_address_is_held_and_says_how_to_let_it_happen(self, aws, desk):
        """A name that changes needs a new balancer: shown as held, with the command that approves; nothing is done."""
        at = desk("basic")
        at.serve(service(annotations=EXTERNAL))
        name = "service.beta.kubernetes.io/aws-load-balancer-name"
        at.hands.patch("shop/web", {"metadata": {"annotations": {name: "another"}}})
        aws.calls.clear()
        said = at.lbctl("plan")
        assert said.code == 2
        assert "HELD" in said.out
        assert "lbctl apply --approve" in said.out
        assert "lbctl apply --approve" in at.lbctl("explain", "shop/web").out
        assert not aws.calls.writes


def test_one_run_makes_every_kind_of_balancer(aws, desk):
    """By annotation in each mode and by both classes: all are ready after `once`, and `plan` has nothing to do."""
    classes = enumerate(CLASSES, 31200)
    classed = [service(f"by-{port}", load_balancer_class=name, node_ports={80: port}) for port, name in classes]
    at = desk("basic")
    at.put(*every_mode(), *classed)
    said = at.lbctl("once", "-o", "json")
    plan = at.lbctl("plan")
    assert said.code == 0, said.err
    assert plan.code == 0, plan.err + plan.out
    networks = aws.backstage("elbv2").describe_load_balancers()["LoadBalancers"]
    assert sum(one["DNSName"].lower() in said.out for one in networks) == 5
    assert said.out.count(".elb.amazonaws.com") == 1


@pytest.mark.parametrize("upstream", FROM)
class TestAdopt:
    """`lbctl adopt` on what each upstream controller left behind."""

    def test_what_fits_needs_nothing_and_nothing_is_written(self, aws, desk, upstream):
        """Every Service that carries the controller's finalizer: nothing to do, exit code 0; others are not listed."""
        topology, services, finalizer = FROM[upstream]
        at = desk(topology)
        at.put(*marked(finalizer, services), service("other", annotations=NLB, node_ports={80: 31900}))
        said = at.lbctl("adopt", "--from", upstream, "-o", "json")
        assert said.code == 0, said
        assert {key: one["verdict"] for key, one in by_service(said).items()} == {
            one.key: "nothing" for one in services
        }
        table = at.lbctl("adopt", "--from", upstream).out
        assert f"{len(services)} nothing" in table
        assert ("the finalizer service.k8s.aws/resources stays" in table) == (upstream == "aws-lbc")
        assert not aws.calls.writes

    def test_marks_are_written_and_nothing_else_changes(self, aws, desk, upstream):
        """With a tag that is due: `tags only`, then written; balancers, rules and others' objects are as before."""
        topology, services, finalizer = FROM[upstream]
        at = desk(topology, default_tags={"team": "shop"})
        at.put(*marked(finalizer, services))
        before = aws.state()
        looked = by_service(at.lbctl("adopt", "--from", upstream, "-o", "json"))
        assert {one["verdict"] for one in looked.values()} == {"tags only"}
        assert aws.state() == before
        said = at.lbctl("adopt", "--from", upstream, "--write", "--yes")
        assert said.code == 0, said
        assert f"{len(services)} written" in said.out
        assert untagged(aws.state()) == untagged(before)
        tagged = [one["Tags"] for kind in ("balancers", "classic") for one in aws.state()[kind].values()]
        assert sum(tags.get("team") == "shop" for tags in tagged) == len(services)
        after = by_service(at.lbctl("adopt", "--from", upstream, "-o", "json"))
        assert {one["verdict"] for one in after.values()} == {"nothing"}
        assert {key: one["deletes"] for key, one in after.items()} == {k: one["deletes"] for k, one in looked.items()}
        assert at.lbctl("plan").code == 0

    def test_everything_of_that_cluster_goes_when_it_is_gone(self, aws, desk, upstream):
        """`gc --cluster-id`: listed with owners, refused without --all, then all that is proven to be its goes."""
        topology, services, _ = FROM[upstream]
        at = desk(topology)
        bystanders = aws.bystanders()
        listed = at.lbctl("gc", *GONE, *NOW, "-o", "json")
        owners = {one["owner"]["name"] for one in listed.document["orphans"]}
        assert listed.code == 2
        assert owners >= {one.metadata.name for one in services}
        assert at.lbctl("gc", *GONE, *DELETE).code == 3
        assert not aws.calls.writes
        said = at.lbctl("gc", *GONE, "--all", *DELETE)
        assert said.code == 0, said
        state = aws.state()
        assert aws.bystanders() == bystanders
        assert not {*state["classic"]} - {OTHERS}
        assert not [one for one in state["balancers"].values() if "demo" in str(one["Tags"])]
        assert at.lbctl("gc", *GONE, *NOW).out.startswith("Nothing is left behind")


def untagged(state):
    """The state without tags and time."""
    if isinstance(state, dict):
        return {key: untagged(one) for key, one in state.items() if key not in ("Tags", "TargetHealth")}
    return [untagged(one) for one in state] if isinstance(state, list) else state


class TestGc:
    """`lbctl gc` in a cluster that lives."""

    def test_orphans_of_every_mode_go_and_all_else_stays(self, aws, desk):
        """One owner a lost Service, nothing young without --older-than; after --delete the cloud is as before them."""
        at = desk("basic")
        kept = service("kept", ports=(1, 999), annotations=EXTERNAL)
        at.serve(kept)
        before = without(aws.state())
        lost = every_mode()
        at.serve(*lost)
        for one in lost:
            at.lose(one.key)
        young = at.lbctl("gc")
        assert young.code == 0, young
        assert young.out.count("young") == len(lost)
        listed = at.lbctl("gc", *NOW, "-o", "json")
        assert listed.code == 2
        assert [one["owner"]["name"] for one in listed.document["orphans"]] == sorted(EVERY_MODE)
        assert all(one["created"] for one in listed.document["orphans"])
        wide = at.lbctl("gc", *NOW, "-o", "wide").out
        assert "tcp 80 from 0.0.0.0/0" in wide
        assert len(set(wide.splitlines())) == len(wide.splitlines())
        said = at.lbctl("gc", *DELETE)
        assert said.code == 0, said
        assert said.out.count("deleted") == len(lost)
        assert at.lbctl("gc", *NOW, "-o", "wide").out.startswith("Nothing is left behind")
        assert at.lbctl("once").code == 0  # fits the rules that serve all Services
        aws.clock.advance(900)
        assert without(aws.state(), "interfaces") == without(before, "interfaces")

    def test_what_is_not_done_in_time_says_what_it_waits_for(self, aws, desk):
        """A group that a balancer's interface still holds: exit code 1, with AWS's own words, and what to do."""
        at = desk("basic")
        at.serve(service())
        at.lose("shop/web")
        aws.follow(lambda: 0.0)
        said = at.lbctl("gc", *DELETE, "--timeout", "3s")
        assert said.code == 1
        assert "not done in time: ec2.DeleteSecurityGroup: DependencyViolation" in said.out
        assert "run the command again" in said.out


class TestRelease:
    """`lbctl release`."""

    @pytest.mark.parametrize("mode", EVERY_MODE)
    def test_the_balancer_stays_without_our_marks(self, aws, desk, mode):
        """Our tags and finalizer go, upstream's tags and everything else stay; the document lists what was kept."""
        at = desk("basic")
        at.serve(service(annotations=EVERY_MODE[mode]))
        before = aws.state()
        said = at.lbctl("release", "shop/web", "--yes", "-o", "json")
        assert said.code == 0, said
        assert said.document["released"]
        assert {one["kind"] for one in said.document["kept"]} & {"classic-balancer", "network-balancer"}
        assert at.hands.get("shop/web").metadata.finalizers == ()
        assert untagged(aws.state()) == untagged(before)
        owner = [tags for tags in tags_of(aws.state()) if "lbctl.io/owner" in tags and "web" in str(tags)]
        assert owner == []
        assert at.lbctl("adopt", "shop/web", "-o", "json").document["services"][0]["verdict"] in (
            "nothing",
            "tags only",
        )


def tags_of(state):
    """The tags of everything that has some."""
    for kind in ("balancers", "classic", "target_groups", "security_groups"):
        for one in state[kind].values():
            yield one["Tags"]
            yield from (listener["Tags"] for listener in one.get("Listeners", ()) if "Tags" in listener)


class TestStatus:
    """`lbctl status --targets` and `lbctl explain`."""

    def test_health_is_counted_in_every_mode(self, aws, desk):
        """All targets are healthy in time; one that fails its checks is counted out, in the table and for programs."""
        at = desk("basic")
        at.serve(*every_mode())
        aws.clock.advance(120)
        assert healths(at) == {"classic": "4/4", "external": "4/4", "nlb": "4/4", "pods": "2/2"}
        groups = aws.backstage("elbv2").describe_target_groups()["TargetGroups"]
        nlb = next(one for one in groups if one["TargetGroupName"].startswith("k8s-shop-nlb"))
        aws.set_health(nlb["TargetGroupArn"], at.scene["node-1"], state="unhealthy")
        assert healths(at)["nlb"] == "3/4"
        assert "3/4" in at.lbctl("status", "--targets").out

    def test_what_is_missing_is_explained_with_what_to_do(self, desk):
        """An unknown subnet and a wrong attribute: exit code 6; each finding names the thing and the way out."""
        at = desk("basic")
        prefix = "service.beta.kubernetes.io/aws-load-balancer-"
        at.put(
            service("lost", annotations={**NLB, prefix + "subnets": "subnet-nope"}),
            service("odd", annotations={**EXTERNAL, prefix + "attributes": "foo=bar"}, node_ports={80: 31900}),
        )
        assert at.lbctl("once", "--timeout", "20s").code == 1
        lost, odd = at.lbctl("explain", "shop/lost"), at.lbctl("explain", "shop/odd", "-o", "json")
        assert (lost.code, odd.code) == (6, 6)
        assert "subnet-nope is no subnet of vpc-" in lost.out
        told = [one for one in odd.document["findings"] if one["level"] == "failed" and "attributes" in one["subject"]]
        assert "'foo' is no attribute" in told[0]["message"]
        assert "deletion_protection.enabled" in told[0]["hint"]


def healths(at):
    """`healthy/total` by Service, as the document has it."""
    services = at.lbctl("status", "--targets", "-o", "json").document["services"]
    return {one["name"]: f"{one['targets']['healthy']}/{one['targets']['total']}" for one in services}


class TestDoctor:
    """`lbctl doctor`."""

    def test_a_sound_account_has_no_failure(self, aws, desk):
        """Exit code 0: identity, rights, subnets, rules and quotas, each with its figure; nothing is changed."""
        at = desk("basic")
        at.serve(service(annotations=EXTERNAL))
        before = aws.state()
        said = at.lbctl("doctor", "-o", "json")
        assert said.code == 0, said
        found = {one["subject"]: one for one in said.document["findings"]}
        assert "user/moto in eu-west-1" in found["identity"]["message"]
        assert found["network load balancers"]["message"].endswith("of 50 used")
        assert found["internet-facing subnets for nlb-instance, nlb-ip"]["level"] == "ok"
        assert not [one for one in found.values() if one["level"] == "failed"]
        assert max(len(line) for line in at.lbctl("doctor").out.splitlines()) < 250
        assert aws.state() == before

    def test_what_is_not_tagged_is_told_with_the_tag(self, desk):
        """Subnets without role tags are used by their routes, and doctor says which tag to put on which of them."""
        at = desk("untagged")
        said = at.lbctl("doctor")
        assert said.code == 0, said
        assert "do this: tag the subnets that are meant with kubernetes.io/role/elb=1" in said.out


class TestPermissions:
    """`lbctl permissions`."""

    def test_the_role_is_for_the_services_named(self, desk):
        """A classic Service needs nothing of network balancers, nor the other way round; everything without a name."""
        at = desk("basic")
        at.put(*every_mode())
        classic, pods, all_of_it = (
            at.lbctl("permissions", *named) for named in (("shop/classic",), ("shop/pods",), ())
        )
        assert "ConfigureHealthCheck" in classic.out
        assert "CreateTargetGroup" not in classic.out
        assert "CreateTargetGroup" in pods.out
        assert "ConfigureHealthCheck" not in pods.out
        every, *some = (actions(json.loads(said.out)) for said in (all_of_it, classic, pods))
        assert every >= set().union(*some)
        assert '"aws:ResourceTag/elbv2.k8s.aws/cluster": "demo"' in pods.out
        assert '"aws:ResourceTag/kubernetes.io/cluster/demo": "owned"' in classic.out
        assert "CLUSTER" not in all_of_it.out
        wrapped = at.lbctl("permissions", "shop/pods", "-o", "json").document
        assert wrapped["services"] == ["shop/pods"]
        assert json.dumps(wrapped["role"], indent=2) + "\n" == pods.out


def actions(policy):
    """Every action that a policy allows."""
    return {action for one in policy["Statement"] for action in one["Action"]}
