"""What Services may refer to: Services that no cloud serves, and objects of custom kinds."""

from __future__ import annotations

import itertools

import pytest

from lbctl.errors import KubeError
from lbctl.kube.reads import Cluster
from lbctl.kube.resources import referred_resource
from lbctl.kube.rest import MERGE_PATCH
from lbctl.kube.target import SERVICES, Target, target_of
from lbctl.model.reference import Reference
from tests.kube.conftest import Mirror, connect, create_service, delete, eventually, patch_service

KINDS = Target(resource="customresourcedefinitions", group="apiextensions.k8s.io")
_groups = (f"test{number}.example.com" for number in itertools.count())


def test_kubectls_full_form_of_a_resource_says_where_it_is():
    """Resource, version and group; one of the core group is named alone."""
    tiers = target_of("tiers.v1beta1.example.com").one("gold", namespace="shop")
    assert tiers.path == "/apis/example.com/v1beta1/namespaces/shop/tiers/gold"
    assert target_of("services") == SERVICES


def test_services_of_every_type_but_load_balancer_are_seen(rest, namespace):
    """One that becomes a balancer leaves, and is back when it is none any more; a deletion is one."""
    target = SERVICES.within(namespace)
    rest.send("create", target, body={"metadata": {"name": "inner"}, "spec": {"ports": [{"port": 80}]}})
    balanced = create_service(rest, namespace)
    with Mirror(rest, referred_resource("services")) as mirror:
        seen = mirror.sync()
        _, inner = seen.next_about("inner")
        assert mirror.reflector.store.find(f"{namespace}/web") is None
        inner = patch_service(rest, inner, {"spec": {"type": "LoadBalancer"}})
        old, new = seen.next_about("inner")
        assert (old.spec.type, new) == ("ClusterIP", None)
        patch_service(rest, balanced, {"spec": {"type": "NodePort"}})
        _, new = seen.next_about("web")
        assert new.spec.type == "NodePort"
        delete(rest, new)
        _, new = seen.next_about("web")
        assert new is None


@pytest.fixture
def tiers(real_server, tmp_path):
    """A custom kind on a real server: requests to it, and its name in kubectl's full form."""
    rest = connect(real_server.kubeconfig(), tmp_path)
    group = next(_groups)
    schema = {
        "type": "object",
        "properties": {"spec": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}},
    }
    version = {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}
    names = {"plural": "tiers", "singular": "tier", "kind": "Tier", "listKind": "TierList"}
    spec = {"group": group, "scope": "Namespaced", "names": names, "versions": [version]}
    rest.send("create", KINDS, body={"metadata": {"name": f"tiers.{group}"}, "spec": spec})
    resource = f"tiers.v1.{group}"
    eventually(lambda: _is_served(rest, resource))
    return rest, resource


def _is_served(rest, resource):
    try:
        rest.list(target_of(resource), {})
    except KubeError:
        return False
    return True


def test_objects_of_a_custom_kind_are_seen_with_their_specification(tiers):
    """By a watch and by a single read alike; a change of nothing but a label is no news."""
    rest, resource = tiers
    target = target_of(resource)
    body = {"kind": "Tier", "apiVersion": target.group_version, "metadata": {"name": "gold"}, "spec": {"size": 1}}
    rest.send("create", target.within("default"), body=body)
    assert Cluster(rest).get_custom(Reference(resource, "default", "gold")).spec == {"size": 1}
    assert Cluster(rest).get_custom(Reference(resource, "default", "lead")) is None
    with Mirror(rest, referred_resource(resource)) as mirror:
        seen = mirror.sync()
        assert seen.next_about("gold")[1].spec == {"size": 1}
        one = target.one("gold", namespace="default")
        rest.send("patch", one, body={"metadata": {"labels": {"a": "b"}}}, content_type=MERGE_PATCH)
        rest.send("patch", one, body={"spec": {"size": 2}}, content_type=MERGE_PATCH)
        assert seen.next_about("gold")[1].spec == {"size": 2}
        rest.send("delete", one)
        assert seen.next_about("gold")[1] is None


def test_a_kind_that_is_not_served_has_no_objects(rest):
    """Nothing fails at the desk in a cluster without it."""
    assert Cluster(rest).get_custom(Reference("tiers.v1.nowhere.example.com", "default", "gold")) is None
