"""What a lost Service left behind is found and removed by `lbctl gc`'s search, and nothing else."""

import pytest

from lbctl.engine.collecting import agreed
from lbctl.engine.sweeping import Search
from tests.aws.cluster import MODES, Cluster, service
from tests.world import change


@pytest.mark.spec("SC-093")
@pytest.mark.parametrize("mode", ["classic", "nlb"])
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
