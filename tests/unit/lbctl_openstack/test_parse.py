"""Service -> Intent: annotation, class and cloud.conf settled as upstream settles them."""

from __future__ import annotations

import pytest

from lbctl.errors import InvalidService
from lbctl_openstack.cloudconf import parse_cloud_conf
from lbctl_openstack.parse import parse_service
from lbctl_openstack.wish import wish_of
from tests.world import change, service

PREFIX = "loadbalancer.openstack.org/"
CLASSES = '[LoadBalancer]\nsubnet-id=conf\n[LoadBalancerClass "gold"]\nsubnet-id=class\nfloating-network-id=fn\n'


def parse(annotations=None, *, conf="", **spec):
    """The intent of a Service with these annotations of the driver."""
    named = {key if "/" in key else PREFIX + key: value for key, value in (annotations or {}).items()}
    return parse_service(service(annotations=named, **spec), conf=parse_cloud_conf(conf))


def problems(annotations=None, **options):
    """Texts of all problems of a Service."""
    with pytest.raises(InvalidService) as caught:
        parse(annotations, **options)
    return [str(problem) for problem in caught.value.problems]


def reasons(intent):
    """Reasons of the notices."""
    return [notice.reason for notice in intent.notices]


def test_the_defaults_are_upstreams():
    """Without annotations and cloud.conf a Service gets what upstream gives it."""
    wish = wish_of(parse())
    assert (wish.method, wish.connection_limit, wish.timeouts) == ("ROUND_ROBIN", -1, (50000, 5000, 50000, 0))
    assert (wish.monitor, wish.monitor_delay, wish.monitor_timeout, wish.monitor_retries) == (False, 5, 3, 1)
    assert not wish.internal


@pytest.mark.spec("OS-049")
def test_bad_numbers_and_switches_are_told_and_ignored():
    """A bad int or bool keeps the default and becomes one AnnotationIgnored each."""
    intent = parse({"connection-limit": "many", "x-forwarded-for": "yes", "timeout-client-data": "7"})
    wish = wish_of(intent)
    assert (wish.connection_limit, wish.headers, wish.timeouts[0]) == (-1, frozenset(), 7)
    assert reasons(intent) == ["AnnotationIgnored", "AnnotationIgnored"]


@pytest.mark.spec("OS-048")
def test_the_class_wins_for_an_external_service_and_the_annotation_for_an_internal_one():
    """The precedence quirk of upstream is kept; an unknown class is an error before any call."""
    internal = {"service.beta.kubernetes.io/openstack-internal-load-balancer": "true"}
    chosen = {"class": "gold", "subnet-id": "mine"}
    assert wish_of(parse(chosen, conf=CLASSES)).subnet_id == "class"
    assert wish_of(parse(chosen | internal, conf=CLASSES)).subnet_id == "mine"
    assert wish_of(parse({"subnet-id": "mine"}, conf=CLASSES)).subnet_id == "mine"
    assert wish_of(parse(conf=CLASSES)).subnet_id == "conf"
    assert "invalid loadbalancer class 'silver'" in problems({"class": "silver"}, conf=CLASSES)[0]


def test_an_empty_annotation_switches_a_default_off():
    """An empty value counts as given."""
    conf = "[LoadBalancer]\nfloating-network-id=fn\n"
    assert wish_of(parse(conf=conf)).floating_network_id == "fn"
    assert wish_of(parse({"floating-network-id": ""}, conf=conf)).floating_network_id == ""


def test_the_configuration_can_force_internal_and_the_annotation_cannot_undo_it():
    """internal-lb of cloud.conf stands whatever the annotation says."""
    external = {"service.beta.kubernetes.io/openstack-internal-load-balancer": "false"}
    assert wish_of(parse(external, conf="[LoadBalancer]\ninternal-lb=true\n")).internal


@pytest.mark.spec("OS-032")
def test_two_ways_to_tell_the_clients_address_exclude_each_other():
    """An X-Forwarded header together with proxy-protocol is a problem, found before any call."""
    for name in ("x-forwarded-for", "x-forwarded-port", "x-forwarded-proto"):
        (problem,) = problems({name: "true", "proxy-protocol": "v2"})
        assert f"{name}]: does not go together with proxy-protocol" in problem


@pytest.mark.spec("OS-052")
def test_a_port_without_node_port_is_refused_by_name():
    """Without node ports the Service is invalid, and each port is named."""
    plain = service(ports=(80, 443))
    bare = tuple(change(port, node_port=0) for port in plain.spec.ports)
    with pytest.raises(InvalidService) as caught:
        parse_service(change(plain, spec=change(plain.spec, ports=bare)), conf=parse_cloud_conf(""))
    assert [problem.path for problem in caught.value.problems] == ["spec.ports[80/TCP]", "spec.ports[443/TCP]"]


@pytest.mark.spec("OS-034")
def test_an_unknown_method_is_told_and_the_default_goes_on():
    """lb-method that the provider lacks becomes LoadBalancerLbMethodUnknown, never a failure."""
    intent = parse({"lb-method": "SOURCE_IP_PORT"})
    assert wish_of(intent).method == "ROUND_ROBIN"
    assert reasons(intent) == ["LoadBalancerLbMethodUnknown"]
    assert wish_of(parse({"lb-method": "LEAST_CONNECTIONS"})).method == "LEAST_CONNECTIONS"


@pytest.mark.spec("OS-045")
def test_ovn_gets_nothing_that_it_would_refuse():
    """Every setting that ovn lacks is left out with one Event each."""
    intent = parse(
        {
            "timeout-client-data": "7",
            "flavor-id": "f",
            "availability-zone": "z",
            "x-forwarded-for": "true",
            "default-tls-container-ref": "https://b/v1/containers/1",
            "service.beta.kubernetes.io/load-balancer-source-ranges": "10.0.0.0/8",
        },
        conf="[LoadBalancer]\nlb-provider=ovn\n",
    )
    wish = wish_of(intent)
    assert (wish.timeouts, wish.flavor_id, wish.availability_zone, wish.http_ports) == (None, "", "", frozenset())
    assert (wish.headers, wish.tls_ref, wish.method) == (frozenset(), "", "SOURCE_IP")
    assert sorted(reasons(intent)) == sorted(
        [
            "LoadBalancerAvailabilityZonesIgnored",
            "LoadBalancerSourceRangesIgnored",
            *["LimitedByDriver"] * 4,
        ]
    )


def test_local_traffic_is_monitored_unless_told_otherwise():
    """Policy Local switches the monitor on; switched off by hand it warns."""
    local = {"external_traffic_policy": "Local", "health_check_node_port": 32000}
    assert wish_of(parse(**local)).monitor
    intent = parse({"enable-health-monitor": "false"}, **local)
    assert not wish_of(intent).monitor
    assert reasons(intent) == ["LimitedByDriver"]


def test_a_check_must_be_over_before_the_next():
    """A monitor's time-out longer than its delay is a problem; Octavia would take it."""
    found = problems({"enable-health-monitor": "true", "health-monitor-timeout": "9"})
    assert "9 s is longer than the delay of 5 s" in found[0]


@pytest.mark.spec("OS-050")
def test_the_node_selector_takes_values_and_bare_keys():
    """`a=b, c` is a value for one label and the presence of another."""
    assert wish_of(parse({"node-selector": "a=b, c"})).node_selector == (("a", "b"), ("c", ""))
    conf = "[LoadBalancer]\nnode-selector=x=y,z\n"
    assert wish_of(parse(conf=conf)).node_selector == (("x", "y"), ("z", ""))


def test_what_we_wrote_is_no_wish():
    """A balancer id that comes with the address is our own note; alone it is the author's choice."""
    assert wish_of(parse({"load-balancer-id": "one"})).joins == "one"
    assert wish_of(parse({"load-balancer-id": "one", "load-balancer-address": ""})).joins == ""


def test_forwarded_headers_can_be_kept_to_some_ports():
    """x-forwarded-for makes every TCP port HTTP, or only those that our own annotation lists."""
    assert wish_of(parse({"x-forwarded-for": "true"}, ports=(80, 443))).http_ports == {80, 443}
    limited = {"x-forwarded-for": "true", "lbctl.io/x-forwarded-for-ports": "80"}
    assert wish_of(parse(limited, ports=(80, 443))).http_ports == {80}
