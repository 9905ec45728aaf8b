"""Merging a file into what is live, as `kubectl apply` does."""

from __future__ import annotations

import json

from lbctl.model.applied import LAST_APPLIED, as_created, merged
from tests.world import service

DOCUMENT = {"metadata": {"name": "web"}, "spec": {"type": "LoadBalancer", "ports": [{"port": 80}, {"port": 443}]}}


def live(**spec):
    return {
        "metadata": {"name": "web", "namespace": "default", "uid": "u", "annotations": {"kept": "1"}},
        "spec": {"type": "LoadBalancer", "clusterIP": "10.0.0.1", **spec},
    }


def test_a_new_object_is_the_document_in_its_namespace():
    """Without a live object the document is taken as it is, in the default namespace."""
    assert merged(None, DOCUMENT)["metadata"] == {"name": "web", "namespace": "default"}


def test_what_the_document_does_not_name_stays():
    """Server-made fields and others' annotations survive; the document's own fields win."""
    found = merged(live(sessionAffinity="None"), DOCUMENT)
    assert found["metadata"]["annotations"] == {"kept": "1"}
    assert found["metadata"]["uid"] == "u"
    assert found["spec"]["clusterIP"] == "10.0.0.1"
    assert [port["port"] for port in found["spec"]["ports"]] == [80, 443]


def test_what_was_applied_before_and_is_gone_from_the_document_goes():
    """A field and an annotation of the last applied document are removed when the new one lacks them."""
    old = live(loadBalancerSourceRanges=["10.0.0.0/8"])
    before = {"metadata": {"annotations": {"old": "1"}}, "spec": {"loadBalancerSourceRanges": ["10.0.0.0/8"]}}
    old["metadata"]["annotations"] |= {LAST_APPLIED: json.dumps(before), "old": "1"}
    found = merged(old, DOCUMENT)
    assert "loadBalancerSourceRanges" not in found["spec"]
    assert "old" not in found["metadata"]["annotations"]
    assert found["metadata"]["annotations"]["kept"] == "1"


def test_ports_that_stay_keep_their_node_ports():
    """A port is the same by number and protocol: its node port is kept, a new port has none."""
    found = merged(live(ports=[{"port": 80, "protocol": "TCP", "nodePort": 30080}]), DOCUMENT)
    assert found["spec"]["ports"] == [{"nodePort": 30080, "port": 80}, {"port": 443}]


def test_what_only_a_server_knows_is_assumed_and_stable():
    """Node ports, health port, family and uid are filled in, the same each time; what is given stays."""
    bare = service(ports=[80, 81], ip_families=(), external_traffic_policy="Local")
    first, second = as_created(bare), as_created(bare)
    assert first == second
    assert first.metadata.uid
    assert first.spec.ip_families == ("IPv4",)
    assert first.spec.health_check_node_port > 0
    assert [port.node_port for port in first.spec.ports] == [port.node_port for port in bare.spec.ports]
