"""What the server says, as errors that tell what to do."""

from __future__ import annotations

import msgspec
import pytest

from lbctl.errors import KubeConflict, KubeDenied, KubeError, KubeGone, KubeThrottled, KubeUnreachable
from lbctl.kube.answers import Answer, error_of
from lbctl.kube.target import LEASES, SERVICES, VERSION

STATUS_OF_WEB = SERVICES.one("web", namespace="shop", subresource="status")


def status(message: str = "", *, field: str = "", seconds: int = 0) -> bytes:
    """A `Status` body with one cause."""
    details = {"causes": [{"field": field, "reason": "FieldValueInvalid"}], "retryAfterSeconds": seconds}
    return msgspec.json.encode({"kind": "Status", "message": message, "details": details})


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (400, KubeError),
        (401, KubeDenied),
        (403, KubeDenied),
        (404, KubeGone),
        (409, KubeConflict),
        (410, KubeError),
        (422, KubeError),
        (429, KubeThrottled),
        (500, KubeUnreachable),
        (503, KubeUnreachable),
    ],
)
def test_each_code_has_its_error(code, kind):
    """The HTTP code decides the class, and stays readable on the error."""
    error = error_of("patch", STATUS_OF_WEB, Answer(code, status("no")))
    assert type(error) is kind
    assert error.status == code


@pytest.mark.spec("SC-066")
@pytest.mark.parametrize(
    ("field", "kind"),
    [
        ("metadata.uid", KubeGone),
        ("status.loadBalancer.ingress", KubeConflict),
        ("metadata.finalizers", KubeConflict),
        ("status.loadBalancer.ingress[0].hostname", KubeError),
    ],
)
def test_a_refused_field_tells_how_old_our_view_is(field, kind):
    """A changed uid is a recreated object, a forbidden ingress a changed type; other fields are our fault."""
    assert type(error_of("patch", STATUS_OF_WEB, Answer(422, status("invalid", field=field)))) is kind


def test_a_missing_right_is_named():
    """The sentence for 403 holds verb, resource, namespace, the server's words and what to grant."""
    said = 'services "web" is forbidden: User "ctl" cannot patch resource "services/status"'
    assert str(error_of("patch", STATUS_OF_WEB, Answer(403, status(said)))) == (
        f"cannot patch services/status shop/web: the API server answered 403: {said}. "
        "Grant the verb patch on services/status in namespace shop to the identity that runs lbctl"
    )


@pytest.mark.parametrize(
    ("answer", "seconds"),
    [
        (Answer(429, status(), "7"), 7.0),
        (Answer(429, status(seconds=3)), 3.0),
        (Answer(429, b"too many"), 1.0),
        (Answer(503, status(), "2"), 2.0),
        (Answer(500, status()), 0.0),
    ],
)
def test_the_pause_that_the_server_asks_for_is_kept(answer, seconds):
    """Retry-After counts before the body; 429 without either means a second."""
    assert error_of("list", SERVICES, answer).after_seconds == seconds


def test_a_body_that_is_no_status_is_quoted():
    """A proxy's page is shortened to one line."""
    error = error_of("get", VERSION, Answer(502, b"<html>\n  Bad\n gateway" + b"x" * 5000))
    assert "<html> Bad gateway" in error.message
    assert len(error.message) < 700


def test_targets_name_their_path_and_their_right():
    """Path, right and sentence of a target agree, and names cannot break out of the path."""
    assert STATUS_OF_WEB.path == "/api/v1/namespaces/shop/services/web/status"
    assert LEASES.one("a/../b", namespace="x?y").path == (
        "/apis/coordination.k8s.io/v1/namespaces/x%3Fy/leases/a%2F..%2Fb"
    )
    assert LEASES.right == "leases.coordination.k8s.io"
    assert str(SERVICES.within("shop")) == "services shop"
    assert VERSION.path == "/version"
