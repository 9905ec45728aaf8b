"""What both upstream controllers left behind is taken over as it is."""

import pytest

from lbctl.model.objects import (
    Endpoint,
    EndpointConditions,
    EndpointPort,
    EndpointSlice,
    ObjectMeta,
    ServicePort,
    TargetRef,
)
from lbctl_aws.annotations import AWS
from tests.aws.cluster import EXTERNAL, NLB, Cluster, service
from tests.world import change

WEB_UID = "8c9a1f1e-52f4-4b0e-9a53-0d6b6f3f2a10"
STREAM_UID = "b1de5e2c-0d0b-4f0c-8a5c-5b6f6a1c9d02"
API_UID = "c2ef6f3d-1e1c-4a1d-9b6d-6c7a7b2dae03"


def begin(aws, topology, services, slices=()):
    """Start on a recorded state with the Services that it was made for."""
    cluster = Cluster(aws, aws.seed(topology))
    for uid, wanted in services.items():
        cluster.put_as(uid, wanted)
    cluster.start()
    for one in slices:
        cluster.controller.see_slice(None, one)
    return cluster


@pytest.mark.spec("AWS-021", "SC-033")
def test_balancers_of_ccm_are_adopted_without_a_write(aws):
    """A classic and a network balancer as cloud-provider-aws left them need no call; their addresses are published."""
    cluster = begin(
        aws,
        "ccm-existing",
        {
            WEB_UID: service("web", namespace="default", node_ports={80: 31000}),
            STREAM_UID: service(
                "stream", ports=(80, 443), namespace="default", annotations=NLB, node_ports={80: 31080, 443: 31443}
            ),
        },
    )
    cluster.settle()
    assert not cluster.write_calls()
    assert not cluster.plans()
    assert all(one.status.load_balancer.ingress for one in cluster.kube.services.values())


@pytest.mark.spec("AWS-022", "SC-033")
def test_balancers_of_the_load_balancer_controller_are_adopted_without_a_write(aws):
    """Network balancers with instances and with pods as targets, their groups and the shared one, need no call."""
    api = change(
        service(
            "api",
            namespace="default",
            annotations={**EXTERNAL, AWS + "nlb-target-type": "ip", AWS + "scheme": "internal"},
        ),
    )
    port = ServicePort(port=80, node_port=31081, name="p80", target_port=8080)
    api = change(api, spec=change(api.spec, ports=(port,)))
    cluster = begin(
        aws,
        "lbc-existing",
        {
            WEB_UID: service(
                "web", ports=(80, 443), namespace="default", annotations=EXTERNAL, node_ports={80: 31000, 443: 31443}
            ),
            API_UID: api,
        },
        [pods("api", {"10.0.10.101": True, "10.0.11.102": True})],
    )
    cluster.settle()
    assert not cluster.write_calls()
    assert not cluster.plans()
    assert all(one.status.load_balancer.ingress for one in cluster.kube.services.values())


def pods(name, ready, *, port=8080):
    """An EndpointSlice with these pod addresses."""
    endpoints = tuple(
        Endpoint(
            addresses=(address,),
            conditions=EndpointConditions(ready=is_ready),
            target_ref=TargetRef(kind="Pod", name=f"pod-{address}", namespace="default"),
        )
        for address, is_ready in ready.items()
    )
    return EndpointSlice(
        metadata=ObjectMeta(name=f"{name}-1", namespace="default", labels={"kubernetes.io/service-name": name}),
        endpoints=endpoints,
        ports=(EndpointPort(name="p80", port=port),),
    )


@pytest.mark.spec("AWS-023")
def test_a_balancer_of_our_name_that_another_cluster_owns_is_never_touched(aws):
    """A name hit with another cluster's tag is an error that names the cluster, and nothing is written."""
    cluster = begin(aws, "foreign", {WEB_UID: service("web", namespace="default", node_ports={80: 31000})})
    cluster.settle()
    assert "NotOurs" in cluster.kube.reasons("default/web")
    writes = [call for call in cluster.aws.calls.writes if call.outcome == "ok"]
    assert not writes
