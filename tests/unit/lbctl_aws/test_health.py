"""Health checks of every mode."""

import pytest

from lbctl_aws.health import classic_check, group_check
from lbctl_aws.settings import AwsSettings
from tests.unit.lbctl_aws.shapes import MODES, SETTINGS, annotated, intent

LOCAL = {"external_traffic_policy": "Local", "health_check_node_port": 32000}
SHARED = AwsSettings(health_probe_mode="Shared")


def facts(check):
    """A check as a row of the specification's table."""
    return (check.protocol, check.port, check.path, check.interval, check.timeout, check.healthy, check.unhealthy)


@pytest.mark.spec("AWS-052")
@pytest.mark.parametrize(
    ("mode", "spec", "row"),
    [
        ("nlb-legacy", {}, ("TCP", "traffic-port", "", 30, 0, 3, 3)),
        ("nlb-legacy", LOCAL, ("HTTP", "32000", "/healthz", 10, 0, 2, 2)),
        ("nlb-instance", {}, ("TCP", "traffic-port", "", 10, 10, 3, 3)),
        ("nlb-instance", LOCAL, ("HTTP", "32000", "/healthz", 10, 6, 2, 2)),
        ("nlb-ip", {}, ("TCP", "traffic-port", "", 10, 10, 3, 3)),
        ("nlb-ip", LOCAL, ("TCP", "traffic-port", "", 10, 10, 3, 3)),
    ],
)
def test_target_groups_have_the_defaults_of_their_upstream(mode, spec, row):
    """Without annotations the health check is that of the controller whose names the mode has."""
    assert facts(group_check(intent(MODES[mode], **spec), SETTINGS)) == row


@pytest.mark.spec("AWS-052")
@pytest.mark.parametrize(
    ("spec", "annotations", "row"),
    [
        ({}, {}, ("TCP", "31080", "", 10, 5, 2, 6)),
        (LOCAL, {}, ("HTTP", "32000", "/healthz", 10, 5, 2, 6)),
        ({}, {"backend_protocol": "https"}, ("SSL", "31080", "", 10, 5, 2, 6)),
    ],
)
def test_classic_balancers_have_the_defaults_of_ccm(spec, annotations, row):
    """The one check of a classic balancer looks at the first node port, or at the node's own port under Local."""
    assert facts(classic_check(intent(annotated("clb", **annotations), **spec), SETTINGS)) == row


@pytest.mark.spec("AWS-056")
def test_a_classic_target_is_written_in_upper_case():
    """`http` in the annotation becomes HTTP as the API answers; traffic-port under Local is the first node port."""
    read = intent(annotated("clb", healthcheck_protocol="http", healthcheck_path="/live"))
    assert classic_check(read, SETTINGS).classic_target == "HTTP:31080/live"
    read = intent(annotated("clb", healthcheck_port="traffic-port"), **LOCAL)
    assert classic_check(read, SETTINGS).classic_target == "HTTP:31080/healthz"


@pytest.mark.spec("AWS-053")
def test_the_shared_probe_asks_kube_proxy():
    """In shared mode every port is probed at kube-proxy; annotations win on classic balancers only; Local stays."""
    assert classic_check(intent({}), SHARED).classic_target == "HTTP:10256/healthz"
    own = annotated("clb", healthcheck_port="31443", healthcheck_path="/own")
    assert classic_check(intent(own), SHARED).classic_target == "HTTP:31443/own"
    legacy = annotated("nlb-legacy", healthcheck_port="31443", healthcheck_path="/own")
    assert facts(group_check(intent(legacy), SHARED))[:3] == ("HTTP", "10256", "/healthz")
    assert facts(group_check(intent(legacy, **LOCAL), SHARED))[:2] == ("HTTP", "31443")
    assert facts(group_check(intent(MODES["nlb-instance"]), SHARED))[:2] == ("TCP", "traffic-port")


def test_a_named_health_port_is_the_ports_own():
    """LBC takes a port's name for its node port, or its container port with pods as targets."""
    assert group_check(intent(annotated("nlb-instance", healthcheck_port="p443tcp")), SETTINGS).port == "31443"
    assert group_check(intent(annotated("nlb-ip", healthcheck_port="p443tcp")), SETTINGS).port == "443"


@pytest.mark.spec("AWS-055")
def test_each_threshold_counts_for_itself():
    """The unhealthy threshold alone changes only itself."""
    check = group_check(intent(annotated("nlb-legacy", healthcheck_unhealthy_threshold="5")), SETTINGS)
    assert (check.healthy, check.unhealthy) == (3, 5)
