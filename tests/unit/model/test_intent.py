"""What any cloud is asked for, and what none could serve."""

from __future__ import annotations

import pytest

from lbctl.annotations import Values
from lbctl.model.capabilities import Capabilities
from lbctl.model.intent import read_intent
from lbctl.model.objects import ServicePort
from lbctl.naming import default_balancer_name
from tests.world import change, service

BOTH = Capabilities(protocols=frozenset({"TCP", "UDP"}), families=("IPv4", "IPv6"), dual_stack=True)


def read(wanted, capabilities=BOTH):
    """Intent and problems."""
    return read_intent(wanted, capabilities=capabilities, values=Values({}))


@pytest.mark.spec("SC-074")
def test_traffic_policy_local_brings_its_health_port_and_cluster_none():
    """Port 0 is never probed."""
    local, problems = read(service(external_traffic_policy="Local", health_check_node_port=32000))
    assert (local.local, local.health_port, problems) == (True, 32000, [])
    cluster, _ = read(service(health_check_node_port=32000))
    assert (cluster.local, cluster.health_port) == (False, 0)
    _, problems = read(service(external_traffic_policy="Local"))
    assert [p.path for p in problems] == ["spec.healthCheckNodePort"]


def test_all_problems_come_at_once():
    """Ports, ranges, policy and families together."""
    wanted = service(
        external_traffic_policy="Local",
        load_balancer_source_ranges=("x",),
        ip_families=("IPv6",),
    )
    sctp = ServicePort(port=9, protocol="SCTP", node_port=0)
    wanted = change(wanted, spec=change(wanted.spec, ports=(sctp,)))
    _, problems = read(wanted, Capabilities())
    paths = [p.path for p in problems]
    assert paths.count("spec.ports[9/SCTP]") == 2
    assert {"spec.loadBalancerSourceRanges", "spec.healthCheckNodePort", "spec.ipFamilies"} <= set(paths)


def test_a_preferred_second_family_is_dropped_and_a_required_one_refused():
    """A cloud that serves one family serves the first."""
    one = Capabilities(families=("IPv4", "IPv6"))
    preferred, problems = read(service(ip_families=("IPv6", "IPv4"), ip_family_policy="PreferDualStack"), one)
    assert (preferred.families, problems) == (("IPv6",), [])
    _, problems = read(service(ip_families=("IPv6", "IPv4"), ip_family_policy="RequireDualStack"), one)
    assert [p.path for p in problems] == ["spec.ipFamilyPolicy"]


def test_the_order_of_ports_means_nothing():
    """Two Services that differ in order alone ask for the same."""
    wanted = service(ports=(80, 443))
    other = change(wanted, spec=change(wanted.spec, ports=wanted.spec.ports[::-1]))
    assert read(wanted)[0] == read(other)[0]


@pytest.mark.spec("SC-095")
def test_the_default_name_is_a_and_the_uid_cut_to_32():
    """The last hex digit of a usual uid is lost, as upstream loses it."""
    assert default_balancer_name("8c9a1f1e-52f4-4b0e-9a53-0d6b6f3f2a10") == "a8c9a1f1e52f44b0e9a530d6b6f3f2a1"
