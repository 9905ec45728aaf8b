"""What a node does with a Service follows kube-proxy."""

from __future__ import annotations

import pytest

from lbctl.sandbox.nodes.rules import NO_RULES, HealthRule, PortRule, Target, rules_on
from tests.sandbox.views import endpoint, endpoint_slice, service

LOCAL = {"externalTrafficPolicy": "Local", "healthCheckNodePort": 30999}


def only_port(rules) -> PortRule:
    """The rule of the one port."""
    (rule,) = rules.ports
    return rule


def test_policy_cluster_sends_to_the_ready_endpoints_of_all_nodes():
    """Every node sends to every ready endpoint, and to no other."""
    slices = [
        endpoint_slice(endpoint("127.0.0.2", "b"), endpoint("127.0.0.1", "a"), endpoint("127.0.0.3", "a", ready=False))
    ]
    rule = only_port(rules_on("a", service=service(), slices=slices))
    assert rule.targets == (Target("127.0.0.1", 8080), Target("127.0.0.2", 8080))
    assert not rule.keeps_source
    assert not rule.silent


def test_policy_local_sends_to_this_nodes_endpoints_only():
    """A node with policy Local sends to its own endpoints and keeps the client's address."""
    slices = [endpoint_slice(endpoint("127.0.0.2", "b"), endpoint("127.0.0.1", "a"))]
    rule = only_port(rules_on("a", service=service(**LOCAL), slices=slices))
    assert rule.targets == (Target("127.0.0.1", 8080),)
    assert rule.keeps_source


def test_policy_local_without_own_endpoints_has_no_targets():
    """A node without endpoints of its own has nowhere to send, and says nothing to datagrams."""
    rule = only_port(rules_on("c", service=service(**LOCAL), slices=[endpoint_slice(endpoint("127.0.0.1", "a"))]))
    assert rule.targets == ()
    assert rule.silent


@pytest.mark.parametrize("policy", ["Cluster", "Local"])
def test_endpoints_that_terminate_are_used_when_no_other_is_left(policy):
    """With no ready endpoint, those that still serve while terminating take the traffic."""
    leaving = endpoint("127.0.0.1", "a", ready=False, serving=True, terminating=True)
    silent = endpoint("127.0.0.2", "a", ready=False, serving=False, terminating=True)
    exposed = service(externalTrafficPolicy=policy)
    assert only_port(rules_on("a", service=exposed, slices=[endpoint_slice(leaving, silent)])).targets == (
        Target("127.0.0.1", 8080),
    )
    ready = endpoint("127.0.0.3", "a")
    assert only_port(rules_on("a", service=exposed, slices=[endpoint_slice(leaving, silent, ready)])).targets == (
        Target("127.0.0.3", 8080),
    )


def test_the_health_port_counts_ready_endpoints_of_this_node():
    """Endpoints that are not ready, terminate or live elsewhere do not count."""
    slices = [
        endpoint_slice(
            endpoint("127.0.0.1", "a"),
            endpoint("127.0.0.2", "a", ready=False, serving=True, terminating=True),
            endpoint("127.0.0.3", "b"),
        )
    ]
    assert rules_on("a", service=service(**LOCAL), slices=slices).health == HealthRule(30999, 1)
    assert rules_on("c", service=service(**LOCAL), slices=slices).health == HealthRule(30999, 0)


def test_there_is_a_health_port_for_local_load_balancers_only():
    """Policy Cluster and type NodePort have none."""
    assert rules_on("a", service=service(healthCheckNodePort=30999), slices=[]).health is None
    node_port = service(**{**LOCAL, "type": "NodePort"})
    assert rules_on("a", service=node_port, slices=[]).health is None


def test_a_service_without_node_ports_is_not_served():
    """ClusterIP Services, ports without a node port and SCTP make no rule."""
    slices = [endpoint_slice(endpoint("127.0.0.1", "a"))]
    assert rules_on("a", service=service(type="ClusterIP"), slices=slices) == NO_RULES
    assert rules_on("a", service=service({"name": "http", "port": 80}), slices=slices) == NO_RULES
    sctp = service({"name": "http", "port": 80, "protocol": "SCTP", "nodePort": 30080})
    assert rules_on("a", service=sctp, slices=slices) == NO_RULES


def test_slices_are_matched_by_port_name_and_family():
    """A slice of another family or a port of another name brings no target."""
    other_name = endpoint_slice(endpoint("127.0.0.1", "a"), port_name="admin")
    other_family = endpoint_slice(endpoint("::1", "a"), family="IPv6")
    assert only_port(rules_on("a", service=service(), slices=[other_name, other_family])).targets == ()
    six = service(ipFamilies=["IPv6"])
    assert only_port(rules_on("a", service=six, slices=[other_family])).targets == (Target("::1", 8080),)


def test_established_traffic_stays_with_endpoints_that_are_not_ready():
    """TCP stays until the endpoint is gone; UDP leaves as soon as it does not serve."""
    unready = endpoint("127.0.0.1", "a", ready=False, serving=False)
    tcp = only_port(rules_on("a", service=service(), slices=[endpoint_slice(unready)]))
    assert tcp.alive == {Target("127.0.0.1", 8080)}
    datagrams = service({"name": "dns", "port": 53, "protocol": "UDP", "nodePort": 30053})
    slices = [endpoint_slice(unready, port_name="dns", protocol="UDP")]
    assert only_port(rules_on("a", service=datagrams, slices=slices)).alive == frozenset()


def test_affinity_lasts_three_hours_unless_said():
    """The API's default is 10800 seconds."""
    sticky = service(sessionAffinity="ClientIP")
    assert only_port(rules_on("a", service=sticky, slices=[])).affinity_seconds == 10800
    short = service(sessionAffinity="ClientIP", sessionAffinityConfig={"clientIP": {"timeoutSeconds": 5}})
    assert only_port(rules_on("a", service=short, slices=[])).affinity_seconds == 5
