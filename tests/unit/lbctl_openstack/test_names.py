"""Names, descriptions and tags, against what cloud-provider-openstack writes."""

from __future__ import annotations

import pytest

from lbctl.model.intent import Port
from lbctl.model.resource import Identity
from lbctl_openstack import names

WEB = Identity("shop", "web", "2f3c1b4e-0000-4000-8000-00000000000a")


@pytest.mark.spec("OS-001")
def test_a_balancer_is_named_after_cluster_namespace_and_service():
    """The name is `kube_service_<cluster>_<namespace>_<service>`, cut to 255 bytes."""
    assert names.balancer_name("kubernetes", "shop", "web") == "kube_service_kubernetes_shop_web"
    long = names.balancer_name("c" * 300, "shop", "web")
    assert long == "kube_service_" + "c" * 242
    assert len(names.balancer_name("ü" * 200, "shop", "web").encode()) <= 255


@pytest.mark.spec("OS-002")
def test_children_carry_the_ports_index():
    """Listener, pool and monitor are named after the port's position and the balancer, cut to 255."""
    balancer = names.balancer_name("kubernetes", "shop", "web")
    assert names.listener_name(0, balancer) == "listener_0_kube_service_kubernetes_shop_web"
    assert names.pool_name(1, balancer) == "pool_1_kube_service_kubernetes_shop_web"
    assert names.monitor_name(2, balancer) == "monitor_2_kube_service_kubernetes_shop_web"
    assert len(names.pool_name(1, "b" * 255)) == 255


@pytest.mark.spec("OS-004")
def test_descriptions_are_upstreams_byte_for_byte():
    """Balancer, floating IP and security group are described as upstream describes them."""
    assert names.balancer_description("prod", WEB) == "Kubernetes external service shop/web from cluster prod"
    assert (
        names.floating_description("prod", WEB)
        == "Floating IP for Kubernetes external service shop/web from cluster prod"
    )
    assert names.group_description("prod", WEB) == "Security Group for shop/web Service LoadBalancer in cluster prod"
    assert names.group_name(WEB) == "lb-sg-2f3c1b4e-0000-4000-8000-00000000000a-shop-web"


def test_a_description_names_its_service_only_to_its_own_cluster():
    """Ownership is read from the whole description, cluster included, never from a part of it."""
    text = names.floating_description("prod", WEB)
    assert names.service_of(names.FLOATING_TEXT, text, cluster="prod") == ("shop", "web")
    assert names.service_of(names.FLOATING_TEXT, text, cluster="prod2") is None
    assert names.service_of(names.FLOATING_TEXT, "x" + text, cluster="prod") is None
    assert names.service_of(names.BALANCER_TEXT, text, cluster="prod") is None


def test_a_pool_is_keyed_by_the_port_that_it_serves():
    """Pools of HTTP and TLS listeners are those of a TCP port; another pool protocol is another pool."""
    assert names.pool_id("TERMINATED_HTTPS", 443, "HTTP") == "TCP/443/HTTP"
    assert names.pool_id("UDP", 53, "UDP") == "UDP/53/UDP"
    assert names.port_tag(Port(443, "TCP", 30443)) == "lbctl_port=TCP/443"
