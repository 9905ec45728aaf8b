"""`lbctl plan` as a person types it, on what both upstream controllers left behind."""

import msgspec
import pytest
import yaml

from lbctl.sandbox.api import ApiServer
from tests.aws.cluster import ready_pods
from tests.aws.recorded import RECORDED
from tests.cli.console import lbctl


def objects(scene, services):
    """The cluster's objects as the API server holds them."""
    yield from ({"apiVersion": "v1", "kind": "Node", **node} for node in scene.nodes)
    for one in services:
        yield {"apiVersion": "v1", "kind": "Service", **msgspec.to_builtins(one)}
        slices = msgspec.to_builtins(ready_pods(one))
        yield {"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", **slices}


@pytest.fixture
def plan(aws, tmp_path):
    """Runs `lbctl plan` on a recorded state, with the Services that it was made for."""

    def run(topology, *arguments):
        scene = aws.seed(topology)
        endpoints = dict.fromkeys(("ec2", "elb", "elbv2"), aws.endpoint)
        account = {"region": aws.region, "vpc_id": scene["main"], "endpoints": endpoints}
        kubeconfig, config = tmp_path / "kubeconfig", tmp_path / "settings.yaml"
        with ApiServer() as api:
            api.store.seed(objects(scene, RECORDED[topology]))
            kubeconfig.write_text(api.kubeconfig())
            settings = {
                "cluster": {"name": "demo", "id": "demo"},
                "accounts": {"aws": {"provider": "aws", "settings": account}},
            }
            config.write_text(yaml.safe_dump(settings))
            return lbctl("plan", *arguments, given={"KUBECONFIG": str(kubeconfig), "LBCTL_CONFIG": str(config)})

    return run


@pytest.mark.parametrize("topology", ["ccm-existing", "lbc-existing"])
def test_a_plan_for_what_upstream_left_whole_has_no_action(aws, plan, topology):
    """Exit code 0, no action in the document for any scope, and no write in the cloud."""
    said = plan(topology, "-o", "json")
    assert said.code == 0, said.err
    actions = [action for one in said.document["plans"] for action in one.get("actions", ())]
    assert actions == []
    assert not aws.calls.writes
    assert len(aws.calls.reads) > 0


def test_a_plan_for_what_upstream_left_half_made_has_the_rest(aws, plan):
    """Exit code 2 and the missing listeners; nothing is written."""
    said = plan("half-created-ccm", "-o", "json")
    assert said.code == 2, said.err
    assert "CreateListener" in said.out
    assert not aws.calls.writes
