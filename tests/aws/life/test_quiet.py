"""What must not happen: metadata requests, calls for Services of others, workers that wait."""

import pytest

from lbctl.errors import InvalidSettings
from lbctl_aws.annotations import AWS
from moto_fixtures.metadata import Metadata
from tests.aws.cluster import EXTERNAL, MODES, Cluster, service
from tests.world import change

SERVICES = ("ec2", "elasticloadbalancing")


@pytest.mark.spec("AWS-041")
def test_nothing_asks_the_instance_metadata(aws, monkeypatch):
    """With region, VPC and cluster given and credentials in the environment, no metadata request is made."""
    monkeypatch.delenv("AWS_EC2_METADATA_DISABLED")
    with Metadata().serving() as metadata:
        monkeypatch.setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", metadata.endpoint)
        cluster = Cluster.begin(aws)
        cluster.apply(service())
    assert cluster.addresses()
    assert not metadata.asked


def test_region_and_vpc_that_nobody_gives_are_those_of_the_instance(aws, monkeypatch):
    """Without them in settings and environment, the instance metadata service is asked at the endpoint given."""
    monkeypatch.delenv("AWS_EC2_METADATA_DISABLED")
    monkeypatch.delenv("AWS_REGION")
    scene = aws.seed("basic")
    with Metadata(region=aws.region, vpc=scene["main"]).serving() as metadata:
        cluster = Cluster(aws, scene, region="", vpc_id="", metadata_endpoint=metadata.endpoint)
        cluster.apply(service())
    assert cluster.addresses()
    assert len(cluster.classics()) == 1


def test_everything_that_upstreams_file_says_is_enough(aws, monkeypatch, tmp_path):
    """With region, VPC, cluster and endpoints in cloud.conf alone, a Service gets its balancer in that place."""
    monkeypatch.delenv("AWS_REGION")
    scene = aws.seed("basic")
    overrides = (f'[ServiceOverride "{n}"]\nService = {s}\nURL = {aws.endpoint}\n' for n, s in enumerate(SERVICES))
    head = f"[Global]\nRegion = {aws.region}\nVPC = {scene['main']}\nKubernetesClusterID = demo\n"
    (tmp_path / "cloud.conf").write_text(head + "".join(overrides))
    cluster = Cluster(aws, scene, region="", vpc_id="", endpoints={}, cloud_config=str(tmp_path / "cloud.conf"))
    cluster.apply(service())
    assert cluster.addresses()
    assert len(cluster.classics()) == 1


def test_without_any_region_the_driver_says_what_to_set(aws, monkeypatch):
    """No settings, no environment, no instance: the error names the setting, and nothing waits for an answer."""
    monkeypatch.delenv("AWS_REGION")
    with pytest.raises(InvalidSettings, match="region is not known"):
        Cluster(aws, aws.seed("basic"), region="")


@pytest.mark.spec("AWS-009")
def test_a_service_of_another_type_is_left_alone(aws):
    """A NodePort Service with the annotations of a balancer causes no call."""
    cluster = Cluster.begin(aws)
    wanted = service(annotations=EXTERNAL)
    aws.calls.clear()
    cluster.apply(change(wanted, spec=change(wanted.spec, type="NodePort")))
    assert not aws.calls.by_operation()


@pytest.mark.spec("AWS-005")
def test_a_service_that_nobody_serves_causes_no_call(aws):
    """`external` without target type is an Event and nothing else."""
    cluster = Cluster.begin(aws)
    aws.calls.clear()
    cluster.apply(service(annotations={AWS + "type": "external"}))
    assert not aws.calls.by_operation()
    assert "UnclaimedService" in " ".join(notice.message for _, notice in cluster.kube.events)


@pytest.mark.spec("AWS-078")
@pytest.mark.parametrize("mode", ["classic", "external"])
def test_a_held_group_is_asked_again_and_nobody_waits_for_it(aws, mode):
    """While the balancer's interfaces hold its group, other Services are served at once; later the group goes."""
    cluster = Cluster.begin(aws)
    cluster.apply(service(annotations=MODES[mode]))
    cluster.kube.delete("shop/web")
    cluster.settle(1)
    assert any(call.outcome == "DependencyViolation" for call in aws.calls)
    before = cluster.clock.monotonic()
    cluster.kube.put(service("next", annotations=MODES[mode], node_ports={80: 31500}))
    cluster.settle(1)
    assert cluster.addresses("next")
    assert cluster.clock.monotonic() - before <= 1
    cluster.settle(600)
    assert not cluster.exists()


@pytest.mark.spec("AWS-081")
@pytest.mark.parametrize("mode", MODES)
def test_orphans_are_listed_and_left_alone(aws, mode):
    """What a Service that vanished left behind is known as orphaned, and stays until somebody says so."""
    cluster = Cluster.begin(aws)
    cluster.apply(service(annotations=MODES[mode]))
    before = cluster.state()
    cluster.kube.listeners = []
    cluster.kube.services.clear()
    cluster.crash()
    aws.calls.clear()
    cluster.settle(1500)
    assert not cluster.write_calls()
    assert cluster.state() == before
    owners = {owner.name for observed in cluster.account.observed.values() for owner in observed.owners()}
    assert "web" in owners
    assert "shop" not in owners  # another cluster's Service
