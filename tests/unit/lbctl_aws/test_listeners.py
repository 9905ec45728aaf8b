"""Protocols of listeners and targets."""

import pytest

from lbctl_aws.listeners import build_listeners
from tests.unit.lbctl_aws.shapes import annotated, intent

CERTIFICATE = "arn:aws:acm:eu-west-1:123456789012:certificate/abc"


@pytest.mark.spec("AWS-058")
@pytest.mark.parametrize(
    ("annotations", "expected"),
    [
        ({}, ("TCP", "TCP")),
        ({"backend_protocol": "http"}, ("HTTP", "HTTP")),
        ({"backend_protocol": "https"}, ("TCP", "TCP")),
        ({"ssl_cert": CERTIFICATE}, ("SSL", "TCP")),
        ({"ssl_cert": CERTIFICATE, "backend_protocol": "tcp"}, ("SSL", "TCP")),
        ({"ssl_cert": CERTIFICATE, "backend_protocol": "ssl"}, ("SSL", "SSL")),
        ({"ssl_cert": CERTIFICATE, "backend_protocol": "http"}, ("HTTPS", "HTTP")),
        ({"ssl_cert": CERTIFICATE, "backend_protocol": "HTTPS"}, ("HTTPS", "HTTPS")),
        ({"ssl_cert": CERTIFICATE, "ssl_ports": "443"}, ("TCP", "TCP")),
        ({"ssl_cert": CERTIFICATE, "ssl_ports": "P80tcp"}, ("SSL", "TCP")),
    ],
)
def test_classic_listeners_follow_the_table_of_ccm(annotations, expected):
    """Certificate, port selection and backend protocol decide both protocols of a classic listener."""
    wish = build_listeners(intent(annotated("clb", **annotations)))[0]
    assert (wish.protocol, wish.backend) == expected


@pytest.mark.parametrize(
    ("annotations", "expected"),
    [
        ({"ssl_cert": CERTIFICATE}, ("TLS", "TCP")),
        ({"ssl_cert": CERTIFICATE, "backend_protocol": "ssl"}, ("TLS", "TLS")),
        ({"ssl_cert": CERTIFICATE, "ssl_ports": "443"}, ("TCP", "TCP")),
    ],
)
def test_network_listeners_terminate_tls_where_selected(annotations, expected):
    """A certificate makes TLS listeners of the selected TCP ports; `ssl` speaks TLS to the targets too."""
    wish = build_listeners(intent(annotated("nlb-instance", **annotations)))[0]
    assert (wish.protocol, wish.backend) == expected


def test_quic_replaces_udp_on_the_ports_that_ask_for_it():
    """UDP becomes QUIC, and a TCP and UDP port in one becomes TCP_QUIC."""
    ports = ((443, "TCP"), (443, "UDP"), (53, "UDP"))
    read = intent(annotated("nlb-instance", enable_tcp_udp_listener="true", quic_enabled_ports="443"), ports=ports)
    assert [wish.protocol for wish in build_listeners(read)] == ["UDP", "TCP_QUIC"]
