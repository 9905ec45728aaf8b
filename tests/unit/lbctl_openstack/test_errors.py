"""What the services answer, as errors that say whose move it is."""

from __future__ import annotations

import pytest

from lbctl import errors
from lbctl_openstack.errors import Busy, Reply, error_of, text_of

CASES = [
    (409, "Invalid state PENDING_CREATE of loadbalancer resource 1", Busy),
    (409, "Load Balancer 1 is immutable and cannot be updated.", Busy),
    (409, "Another Listener on this Load Balancer is already using protocol TCP and protocol_port 80", errors.Rejected),
    (409, "The VIP IP address is already in use", errors.Rejected),
    (409, "FloatingIPPortAlreadyAssociated: x", errors.Conflict),
    (409, "IpAddressGenerationFailure: No more IP addresses", errors.MissingFact),
    (409, "OverQuota: Quota exceeded for resources: ['floatingip'].", errors.QuotaExceeded),
    (412, "RevisionNumberConstraintFailed: x", errors.Conflict),
    (403, "Quota has been met for resources: Load Balancer", errors.QuotaExceeded),
    (403, "Policy does not allow this request to be performed.", errors.PermissionDenied),
    (404, "ExternalGatewayForFloatingIPNotFound: x", errors.MissingFact),
    (404, "pool 1 not found.", errors.Conflict),
    (401, "The request you have made requires authentication.", errors.NotAuthenticated),
    (429, "slow down", errors.Throttled),
    (400, "Validation failure: Invalid flavor_id.", errors.Rejected),
    (501, "Provider 'amphora' does not support a requested option", errors.Rejected),
    (503, "", errors.Unreachable),
    (418, "teapot", errors.CloudBug),
]


@pytest.mark.spec("OS-015", "OS-060")
@pytest.mark.parametrize(("status", "text", "kind"), CASES)
def test_the_text_decides_whose_move_it_is(status, text, kind):
    """Each answer of the services becomes the error class that says who acts and when to try again."""
    error = error_of(Reply("POST /x", status, text))
    assert type(error) is kind
    assert text in error.message


@pytest.mark.spec("OS-087")
def test_a_quota_is_tried_again_after_five_minutes():
    """The event has the resource's name, and the next try is five minutes later."""
    error = error_of(Reply("POST /x", 403, "Quota has been met for resources: Load Balancer"))
    assert error.after_seconds == 300
    assert "Load Balancer" in str(error)


@pytest.mark.spec("OS-057")
def test_a_forbidden_address_names_the_policy():
    """A member who asks for an address of his own is told the Neutron policy."""
    text = "PolicyNotAuthorized: rule:create_floatingip and rule:create_floatingip:floating_ip_address is disallowed"
    error = error_of(Reply("POST /floatingips", 403, text))
    assert "create_floatingip:floating_ip_address" in error.hint


def test_throttling_lasts_as_long_as_the_service_says():
    """Retry-After is the pause of the whole account."""
    assert error_of(Reply("GET /x", 429, "", retry_after="7")).after_seconds == 7


@pytest.mark.parametrize(
    ("body", "text"),
    [
        ({"faultstring": "no"}, "no"),
        ({"NeutronError": {"type": "T", "message": "m"}}, "T: m"),
        ({"error": {"message": "who?"}}, "who?"),
        ("plain", "plain"),
    ],
)
def test_the_sentence_is_found_in_every_services_body(body, text):
    """Octavia, Neutron and Keystone word errors in different places."""
    assert text_of(body) == text
