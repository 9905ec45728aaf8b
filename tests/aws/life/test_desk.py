"""The commands as a person types them: on what both upstream controllers left behind, and on an empty account."""

from contextlib import contextmanager
from functools import partial

import msgspec
import pytest
import yaml

from lbctl.sandbox.api import ApiServer
from tests.aws.cluster import EVERY_MODE, ready_pods, service
from tests.aws.recorded import RECORDED
from tests.cli.console import lbctl

CLASSES = ("service.k8s.aws/nlb", "lbctl.io/aws")


def objects(scene, services):
    """The cluster's objects as the API server holds them."""
    yield from ({"apiVersion": "v1", "kind": "Node", **node} for node in scene.nodes)
    for one in services:
        yield {"apiVersion": "v1", "kind": "Service", **msgspec.to_builtins(one)}
        slices = msgspec.to_builtins(ready_pods(one))
        yield {"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", **slices}


@pytest.fixture
def desk(aws, tmp_path):
    """`lbctl` for a cluster with these Services, on a topology."""

    @contextmanager
    def prepare(topology, services):
        scene = aws.seed(topology)
        endpoints = dict.fromkeys(("ec2", "elb", "elbv2"), aws.endpoint)
        account = {"region": aws.region, "vpc_id": scene["main"], "endpoints": endpoints}
        settings = {
            "cluster": {"name": "demo", "id": "demo"},
            "accounts": {"aws": {"provider": "aws", "settings": account}},
        }
        kubeconfig, config = tmp_path / "kubeconfig", tmp_path / "settings.yaml"
        config.write_text(yaml.safe_dump(settings))
        with ApiServer() as api:
            api.store.seed(objects(scene, services))
            kubeconfig.write_text(api.kubeconfig())
            yield partial(lbctl, given={"KUBECONFIG": str(kubeconfig), "LBCTL_CONFIG": str(config)})

    return prepare


@pytest.mark.parametrize("topology", ["ccm-existing", "lbc-existing"])
def test_a_plan_for_what_upstream_left_whole_has_no_action(aws, desk, topology):
    """Exit code 0, no action in the document for any scope, and no write in the cloud."""
    with desk(topology, RECORDED[topology]) as command:
        said = command("plan", "-o", "json")
    assert said.code == 0, said.err
    actions = [action for one in said.document["plans"] for action in one.get("actions", ())]
    assert actions == []
    assert not aws.calls.writes
    assert len(aws.calls.reads) > 0


def test_a_plan_for_what_upstream_left_half_made_has_the_rest(aws, desk):
    """Exit code 2 and the missing listeners; nothing is written."""
    with desk("half-created-ccm", RECORDED["half-created-ccm"]) as command:
        said = command("plan", "-o", "json")
    assert said.code == 2, said.err
    assert "CreateListener" in said.out
    assert not aws.calls.writes


def test_one_run_makes_every_kind_of_balancer(aws, desk):
    """By annotation in each mode and by both classes: all are ready after `once`, and `plan` has nothing to do."""
    modes = enumerate(EVERY_MODE.items(), 31100)
    annotated = [service(mode, annotations=marks, node_ports={80: port}) for port, (mode, marks) in modes]
    classes = enumerate(CLASSES, 31200)
    classed = [service(f"by-{port}", load_balancer_class=name, node_ports={80: port}) for port, name in classes]
    with desk("basic", [*annotated, *classed]) as command:
        said = command("once", "-o", "json")
        plan = command("plan")
    assert said.code == 0, said.err
    assert plan.code == 0, plan.err + plan.out
    networks = aws.backstage("elbv2").describe_load_balancers()["LoadBalancers"]
    assert sum(one["DNSName"].lower() in said.out for one in networks) == 5
    assert said.out.count(".elb.amazonaws.com") == 1
