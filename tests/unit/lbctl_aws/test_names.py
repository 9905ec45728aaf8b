"""Names of both upstream controllers, as vectors."""

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lbctl.model.resource import Identity
from lbctl_aws import names
from lbctl_aws.names import GroupTraits

WEB = Identity("default", "web", "8c9a1f1e-52f4-4b0e-9a53-0d6b6f3f2a10")
NLB_IP = Identity("default", "nlb-ip-svc", "bdca2bd0-bfc6-449a-88a3-03451f05f18c")


def traits(**changes):
    """Traits of the specification's example."""
    values = {
        "port": 80,
        "target_port": 31000,
        "protocol": "TCP",
        "target_type": "instance",
        "health_protocol": "TCP",
        "health_interval": 30,
    }
    return GroupTraits(**{**values, **changes})


VECTORS = [
    (names.ccm_balancer(WEB.uid), "a8c9a1f1e52f44b0e9a530d6b6f3f2a1"),
    (names.ccm_target_group("demo", WEB, traits()), "k8s-default-web-f1b1ebd1b9"),
    (names.lbc_balancer("demo", WEB, "internet-facing"), "k8s-default-web-e58314e025"),
    (
        names.lbc_target_group("demo", WEB, traits(health_interval=10), service_port="80"),
        "k8s-default-web-3e26c6c208",
    ),
    (names.frontend_group("demo", WEB), "k8s-default-web-e3d0f0446b"),
    (names.backend_group("demo"), "k8s-traffic-demo-2a97516c35"),
    (
        names.ccm_target_group(
            "cluster-a",
            Identity("default", "service-a", "u"),
            traits(target_port=8080, health_protocol="", health_interval=0),
        ),
        "k8s-default-servicea-7fa2e07508",
    ),
    (names.lbc_balancer("my-cluster", NLB_IP, "internal"), "k8s-default-nlbipsvc-6b0ba8ff70"),
    (names.lbc_balancer("my-cluster", NLB_IP, "internet-facing"), "k8s-default-nlbipsvc-4d831c6ca6"),
    (
        names.lbc_target_group(
            "my-cluster",
            NLB_IP,
            traits(target_port=80, target_type="ip", health_interval=10),
            service_port="80",
        ),
        "k8s-default-nlbipsvc-d4818dcd51",
    ),
    (
        names.lbc_target_group(
            "demo",
            Identity("default", "canary", "d3f07a4e-2f2d-4b2e-8c7e-7d8b8c3ebf04"),
            traits(target_port=9090, target_type="ip", health_interval=10),
            service_port="8080",
            base="c2ef6f3d-1e1c-4a1d-9b6d-6c7a7b2dae03",
        ),
        "k8s-default-canary-74febfef5b",
    ),
    (names.backend_group("testCluster"), "k8s-traffic-testCluster-411a1bcdb1"),
]


@pytest.mark.spec("AWS-018")
@pytest.mark.parametrize(("name", "expected"), VECTORS)
def test_names_are_those_of_upstream(name, expected):
    """Every name equals what the upstream controller gives the same Service, so its balancers are found again."""
    assert name == expected


@pytest.mark.spec("AWS-019")
@given(st.text(string.printable, max_size=80), st.text(max_size=80), st.integers(1, 12))
def test_names_fit_whatever_the_service_is_called(namespace, name, generation):
    """No name of a balancer or target group exceeds 32 characters, also for names of symbols only."""
    owner = Identity(namespace, name, WEB.uid)
    for text in (
        names.ccm_balancer(owner.uid, generation=generation),
        names.lbc_balancer("demo", owner, "internal"),
        names.with_generation(names.lbc_balancer("demo", owner, "internal"), generation),
        names.ccm_target_group("demo", owner, traits()),
        names.lbc_target_group("demo", owner, traits(), service_port="80"),
        names.frontend_group("demo", owner),
    ):
        assert 0 < len(text) <= 32
        assert set(text) <= set(string.ascii_letters + string.digits + "-")


def test_a_generation_changes_the_end_of_the_name_only():
    """A balancer that takes over is told from its predecessor by a number, and the first has none."""
    base = names.ccm_balancer(WEB.uid)
    assert names.with_generation(base, 1) == base
    assert names.with_generation(base, 2) == base[:30] + "-2"
