"""Which pods a Service gets, and what they serve."""

from __future__ import annotations

import msgspec
import pytest

from lbctl.sandbox.nodes.echo import Speech
from lbctl.sandbox.nodes.workloads import (
    REPLICAS_ANNOTATION,
    Deployment,
    container_ports,
    roomiest,
    speech_of,
    target_number,
    workloads_of,
)
from tests.sandbox.views import service


def deployment(*ports, name="web", replicas=2, **labels) -> Deployment:
    """A Deployment shop/NAME with one container."""
    template = {"metadata": {"labels": labels or {"app": name}}, "spec": {"containers": [{"ports": list(ports)}]}}
    return msgspec.convert(
        {"metadata": {"namespace": "shop", "name": name}, "spec": {"replicas": replicas, "template": template}},
        Deployment,
    )


def only(workloads):
    """The one workload."""
    (workload,) = workloads.values()
    return workload


@pytest.mark.parametrize(("annotation", "replicas"), [(None, 3), ("5", 5), ("0", 0), ("-1", 3), ("many", 3)])
def test_a_service_gets_as_many_pods_as_it_says(annotation, replicas):
    """The annotation counts, three is the default, and nonsense is the default too."""
    annotations = {} if annotation is None else {REPLICAS_ANNOTATION: annotation}
    assert only(workloads_of([service(annotations=annotations)], [])).replicas == replicas


def test_services_with_the_same_selector_share_their_pods():
    """Two Services on one selector are one workload, with the larger number of pods, whichever comes first."""
    pair = [
        service(name="web"),
        service(name="admin", selector={"app": "web"}, annotations={REPLICAS_ANNOTATION: "4"}),
    ]
    workload = only(workloads_of(pair, []))
    assert workload.replicas == 4
    assert only(workloads_of(pair[::-1], [])) == workload
    assert only(workloads_of(pair[:1], [])).key == workload.key


def test_a_deployment_provides_the_pods_of_the_services_that_select_it():
    """With a Deployment whose labels fit, the Service implies no pods of its own."""
    workload = only(workloads_of([service()], [deployment(replicas=2, app="web", tier="front")]))
    assert (workload.name, workload.replicas) == ("web", 2)


def test_a_service_that_no_deployment_fits_has_its_own_pods():
    """Another label or another namespace does not fit."""
    found = workloads_of([service()], [deployment(app="other")])
    assert len(found) == 2


def test_a_service_without_selector_implies_nothing():
    """Its endpoints are somebody else's."""
    assert workloads_of([service(selector={})], []) == {}


def test_target_ports_are_found_by_number_by_name_and_by_default():
    """A number is taken as it is, a name comes from the Deployment or is the same in every run, none is the port."""
    made = only(workloads_of([service()], [deployment({"name": "http", "containerPort": 3000})]))
    implied = only(workloads_of([service()], []))
    ports = service(
        {"name": "a", "port": 8000},
        {"name": "b", "port": 8000, "targetPort": 9000},
        {"name": "c", "port": 8000, "targetPort": "http"},
        {"name": "d", "port": 8000, "targetPort": "whatever"},
    ).spec.ports
    assert [target_number(port, made) for port in ports[:3]] == [8000, 9000, 3000]
    assert [target_number(port, implied) for port in ports] == [8000, 9000, 8080, 8591]


def test_privileged_target_ports_move_up():
    """Port 80 is served on 20080, which needs no privilege."""
    assert target_number(service().spec.ports[0], only(workloads_of([service()], []))) == 20080


@pytest.mark.parametrize(
    ("port", "speech"),
    [
        ({"name": "http"}, Speech.HTTP),
        ({"name": "http-admin"}, Speech.HTTP),
        ({"name": "https"}, Speech.DETECT),
        ({"name": "tcp-line"}, Speech.TCP),
        ({"name": "line"}, Speech.DETECT),
        ({"name": "tcp-x", "appProtocol": "http"}, Speech.HTTP),
        ({"name": "http", "protocol": "UDP"}, Speech.UDP),
    ],
)
def test_a_port_speaks_what_its_name_or_protocol_says(port, speech):
    """`appProtocol` goes before the name, UDP before both; otherwise the pod finds out."""
    assert speech_of(service({"port": 80, **port}).spec.ports[0]) is speech


def test_one_port_for_several_services_names_them_all():
    """Two Services that lead to one target port share its server."""
    pair = [service(name="web"), service({"name": "tcp", "port": 80}, name="raw", selector={"app": "web"})]
    (port,) = container_ports(only(workloads_of(pair, [])), pair)
    assert (port.number, port.services, port.speech) == (20080, ("raw", "web"), Speech.DETECT)


def test_pods_go_where_their_workload_has_fewest():
    """Own pods count first, then all pods, then the name decides."""
    assert roomiest(["a", "b", "c"], own={"a": 1}, all_pods={"a": 1, "b": 5, "c": 5}) == "b"
    assert roomiest(["a", "b"], own={}, all_pods={"a": 2, "b": 1}) == "b"
    assert roomiest([], own={}, all_pods={}) is None
