"""What a lost Service left behind is found and removed by `lbctl gc`'s search, and nothing else."""

import pytest

from lbctl.cli.sweep import Findings
from lbctl.clock import ManualClock, SystemClock
from lbctl.driver import Cluster as Ours
from lbctl.engine.collecting import agreed
from lbctl.engine.sweeping import Search
from lbctl.settings import AccountSettings, Settings
from tests.aws.cluster import MODES, Cluster, service
from tests.world import change


@pytest.mark.spec("SC-093")
@pytest.mark.parametrize("mode", ["classic", "nlb", "external"])
def test_an_orphaned_balancer_goes_with_its_groups_and_rules(aws, mode):
    """A Service lost its finalizer and its life: all made for it goes, all that was there before stays."""
    cluster = Cluster.begin(aws)
    cluster.apply(service("web", annotations=MODES[mode]))
    before = cluster.state()
    cluster.apply(service("lost", ports=(81,), annotations=MODES[mode]))
    cluster.kube.listeners = []
    live = cluster.live("lost")
    cluster.kube.overwrite(change(live, metadata=change(live.metadata, finalizers=())))
    cluster.kube.delete(live.key)
    cluster.crash()
    cluster.settle()

    search = Search(
        cluster.controller.accounts, cluster.cluster, cluster.clock, cluster.policy, cluster.kube.list_services
    )
    orphans = agreed(search.look(), search.look())
    assert {orphan.owner.name for orphan in orphans} == {"lost"}
    swept = search.remove(orphans, deadline=cluster.clock.monotonic() + 600)
    assert not [result for result in swept.values() if isinstance(result, Exception)]
    assert search.look() == []
    cluster.clock.advance(900)  # the cloud takes a deleted balancer's interfaces away after a while
    cluster.crash()
    cluster.settle()  # rules that serve all Services are the cluster's own, and fitted by the controller
    assert cluster.state() == before


def test_everything_of_a_gone_cluster_goes(aws):
    """What upstream made for a cluster that is gone is removed without an API server; what is another's stays.

    While some of it is too young to go, the rules that serve all of it stay.
    """
    scene = aws.seed("ccm-existing")
    clock = ManualClock(SystemClock().now())
    aws.follow(clock.monotonic)
    endpoints = dict.fromkeys(("ec2", "elb", "elbv2", "sts"), aws.endpoint)
    chosen = {"region": aws.region, "vpc_id": scene["main"], "endpoints": endpoints}
    settings = Settings(accounts={"main": AccountSettings(provider="aws", settings=chosen)})
    before = aws.state()

    search = Search.of_gone_cluster(settings, Ours("demo", "demo"), clock)
    young = Findings.of(search, older_than=3600.0)
    young.remove(apart=600.0, yes=True, timeout=900.0)
    assert aws.state() == before

    findings = Findings.of(search, older_than=0.0)
    findings.remove(apart=600.0, yes=True, timeout=900.0)
    assert not findings.left, findings.table()
    assert search.look() == []
    classics = aws.backstage("elb").describe_load_balancers()["LoadBalancerDescriptions"]
    assert [one["LoadBalancerName"] for one in classics] == ["a0prod"]
    after = aws.state()["security_groups"]
    assert "bystander ssh" in {rule.get("Description") for rule in after["demo-nodes"]["Ingress"]}
    assert set(before["security_groups"]) - set(after) == {"k8s-elb-a8c9a1f1e52f44b0e9a530d6b6f3f2a1"}
