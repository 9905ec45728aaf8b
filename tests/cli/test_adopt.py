"""`lbctl adopt`: what taking over would do, and marks that change nothing else."""

from __future__ import annotations

import json

import pytest

from lbctl.engine.claim import SHARED_FINALIZER
from moto_fixtures.fixtures import aws, aws_server
from tests.cli.office import Office

__all__ = ["aws", "aws_server"]

WEB_UID = "8c9a1f1e-52f4-4b0e-9a53-0d6b6f3f2a10"
STREAM_UID = "b1de5e2c-0d0b-4f0c-8a5c-5b6f6a1c9d02"
NLB = {"service.beta.kubernetes.io/aws-load-balancer-type": "nlb"}


def told(said):
    return {one["service"]: one for one in said.document["services"]}


def test_each_service_gets_its_verdict(office):
    """What fits is nothing, what differs a change with hazard and calls, what is invalid cannot: exit code 1."""
    office.serve("web", "moves")
    office.create("new")
    office.create("wrong", annotations={"memory.example.com/flavor": "huge"})
    office.hands.patch("shop/moves", {"metadata": {"annotations": {"memory.example.com/flavor": "large"}}})
    said = office.lbctl("adopt", "-o", "json")
    found = told(said)
    assert said.code == 1
    assert said.document["version"] == 1
    assert {name: one["verdict"] for name, one in found.items()} == {
        "shop/web": "nothing",
        "shop/moves": "change",
        "shop/new": "change",
        "shop/wrong": "cannot",
    }
    assert found["shop/moves"]["hazard"] == "moves-address"
    assert (found["shop/new"]["hazard"], found["shop/new"]["calls"]) == ("none", 2)
    assert "huge" in found["shop/wrong"]["reasons"][0]
    assert "1 nothing, 2 change, 1 cannot" in office.lbctl("adopt").out


def test_what_would_be_deleted_is_listed_and_is_the_services_alone(office):
    """A Service's list of deletions holds its own objects; an untagged bystander of the same cloud is in none."""
    office.serve("web", "api")
    office.cloud.create("balancer", "theirs", tags={}, fields={}, uses=())
    found = told(office.lbctl("adopt", "-o", "json"))
    own = {t.tags["key"]: t.tags["owner"].split("/")[1] for t in office.cloud.things.values() if "key" in t.tags}
    for name in ("web", "api"):
        listed = {one["id"] for one in found[f"shop/{name}"]["deletes"] if one["kind"] == "balancer"}
        assert {own[key] for key in listed} == {name}
    assert office.lbctl("adopt").code == 0


def test_an_address_that_nothing_recognised_serves_is_a_hazard(office):
    """A published address without any object of ours: taking over would make a new balancer, and that is said."""
    office.serve("web")
    office.cloud.things.clear()
    said = office.lbctl("adopt", "shop/web", "-o", "json")
    (one,) = said.document["services"]
    assert said.code == 2
    assert (one["verdict"], one["hazard"]) == ("change", "moves-address")
    assert "nothing in the cloud was recognised" in one["reasons"][0]


def test_only_what_the_upstream_serves(office):
    """--from of another cloud's controller needs an account of that cloud; it is invalid input without one."""
    said = office.lbctl("adopt", "--from", "occm")
    assert said.code == 3
    assert "--provider openstack" in said.err


def test_a_foreign_finalizer_is_told(office):
    """A finalizer that lbctl does not know stays on the Service, and the report says what to do."""
    office.serve("web")
    office.hands.patch("shop/web", {"metadata": {"finalizers": [SHARED_FINALIZER, "example.com/other"]}})
    (one,) = office.lbctl("adopt", "-o", "json").document["services"]
    assert "the finalizer example.com/other stays" in one["reasons"][0]


def test_while_our_own_controller_leads_nothing_is_written(office):
    """The leader takes over by itself: --write is refused with exit code 1."""
    office.serve("web")
    office.lead("controller-1")
    said = office.lbctl("adopt", "--write", "--yes")
    assert said.code == 1
    assert "controller-1 leads" in said.err


class TestAws:
    """Balancers as cloud-provider-aws leaves them."""

    @pytest.fixture
    def migrating(self, office, aws) -> Office:
        """Two Services with the balancers that upstream made, and settings that add a tag to whatever lbctl makes."""
        scene = aws.seed("ccm-existing")
        nodes = [{"apiVersion": "v1", "kind": "Node", **node} for node in scene.nodes]
        office.api.store.seed(nodes)
        office.api.store.seed(
            [
                upstreams("web", WEB_UID, {80: 31000}),
                upstreams("stream", STREAM_UID, {80: 31080, 443: 31443}, annotations=NLB),
            ]
        )
        endpoints = dict.fromkeys(("ec2", "elb", "elbv2", "sts"), aws.endpoint)
        settings = {"region": aws.region, "vpc_id": scene["main"], "endpoints": endpoints}
        settings |= {"default_tags": {"team": "shop"}}
        accounts = {"main": {"provider": "aws", "settings": settings}}
        office.config.write_text(json.dumps({"accounts": accounts, "cluster": {"name": "demo", "id": "demo"}}))
        return office

    def test_tags_are_written_and_deletions_do_not_widen(self, migrating, aws):
        """Both are `tags only`; --write tags them and adds the finalizer, and a deletion would remove the same."""
        config = ("--config", str(migrating.config), "--from", "aws-ccm", "-o", "json")
        before = told(migrating.run("adopt", *config))
        assert {one["verdict"] for one in before.values()} == {"tags only"}
        assert len(aws.calls.writes) == 0

        said = migrating.run("adopt", "--write", "--yes", *config)
        assert said.code == 0, said
        assert all(one["written"] for one in told(said).values())
        tagged = aws.backstage("elb").describe_tags(LoadBalancerNames=["a8c9a1f1e52f44b0e9a530d6b6f3f2a1"])
        assert {"Key": "team", "Value": "shop"} in tagged["TagDescriptions"][0]["Tags"]

        after = migrating.run("adopt", *config)
        assert after.code == 0
        assert {one["verdict"] for one in told(after).values()} == {"nothing"}
        for name, one in told(after).items():
            assert one["deletes"] == before[name]["deletes"]
            assert one["deletes"]


def upstreams(name, uid, ports, *, annotations=None):
    """A Service as upstream's controller serves it."""
    listed = [{"name": f"p{port}", "port": port, "protocol": "TCP", "nodePort": n} for port, n in ports.items()]
    meta = {"name": name, "namespace": "default", "uid": uid, "finalizers": [SHARED_FINALIZER]}
    spec = {"type": "LoadBalancer", "ports": listed, "ipFamilies": ["IPv4"], "externalTrafficPolicy": "Cluster"}
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {**meta, "annotations": annotations or {}},
        "spec": spec,
        "status": {"loadBalancer": {"ingress": [{"hostname": f"{name}.example.com"}]}},
    }
