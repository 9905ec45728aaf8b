"""What both upstream controllers left behind is taken over as it is."""

import pytest

from tests.aws.recorded import CLASSIC, begin


@pytest.mark.spec("AWS-021", "SC-033")
def test_balancers_of_ccm_are_adopted_without_a_write(aws):
    """A classic and a network balancer as cloud-provider-aws left them need no call; their addresses are published."""
    cluster = begin(aws, "ccm-existing")
    cluster.settle()
    assert not cluster.write_calls()
    assert not cluster.plans()
    assert all(one.status.load_balancer.ingress for one in cluster.kube.services.values())


@pytest.mark.spec("AWS-022", "SC-033")
def test_balancers_of_the_load_balancer_controller_are_adopted_without_a_write(aws):
    """Network balancers with instances and with pods as targets, their groups and the shared one, need no call."""
    cluster = begin(aws, "lbc-existing")
    cluster.settle()
    assert not cluster.write_calls()
    assert not cluster.plans()
    assert all(one.status.load_balancer.ingress for one in cluster.kube.services.values())


@pytest.mark.spec("AWS-022", "SC-033")
def test_weights_of_the_load_balancer_controller_are_adopted_without_a_write(aws):
    """A listener that shares its traffic with another Service's target group needs no call."""
    cluster = begin(aws, "lbc-weighted")
    cluster.settle()
    assert not cluster.write_calls()
    assert not cluster.plans()
    published = {key for key, one in cluster.kube.services.items() if one.status.load_balancer.ingress}
    assert published == {"default/web", "default/api"}


@pytest.mark.spec("AWS-023")
def test_a_balancer_of_our_name_that_another_cluster_owns_is_never_touched(aws):
    """A name hit with another cluster's tag is an error that names the cluster, and nothing is written."""
    cluster = begin(aws, "foreign", (CLASSIC,))
    cluster.settle()
    assert "NotOurs" in cluster.kube.reasons("default/web")
    writes = [call for call in cluster.aws.calls.writes if call.outcome == "ok"]
    assert not writes
