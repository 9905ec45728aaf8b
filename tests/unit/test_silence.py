"""Why there was no answer, from what an SDK's exception was raised from; the servers and sockets are real."""

from __future__ import annotations

import socket

import pytest
import requests

from lbctl.driver import Finding, Level, look_at_all
from lbctl.errors import PermissionDenied, Unreachable
from lbctl.sandbox.api import ApiServer
from lbctl.silence import Silence

SECRET = "not-a-secret-anybody-should-read"


def silence(url: str, **options) -> Silence:
    """What is said of a request to this address."""
    with pytest.raises(requests.RequestException) as caught:
        requests.get(url, **{"timeout": 5.0, **options})
    return Silence.of(caught.value)


def test_a_closed_port_is_named_without_what_is_secret():
    """Scheme, host and port, and the system's word; neither credentials nor path nor query."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        at = f"127.0.0.1:{bound.getsockname()[1]}"
        found = silence(f"http://me:{SECRET}@{at}/client/api?signature={SECRET}")
    assert found == Silence(f"http://{at}", "Connection refused")
    assert str(found.error("listZones")).startswith(
        f"listZones: no answer from http://{at}: Connection refused. check "
    )
    assert found.error("listZones").endpoint == f"http://{at}"


def test_a_server_that_says_nothing_was_too_late():
    """A connection that is taken and never answered."""
    with socket.create_server(("127.0.0.1", 0)) as mute:
        url = f"http://127.0.0.1:{mute.getsockname()[1]}"
        assert silence(url, timeout=0.1) == Silence(url, "no answer in time")


def test_an_unknown_authority_is_told():
    """A certificate that nobody vouches for is no matter of the network."""
    with ApiServer() as server:
        found = silence(server.url)
    assert found.cause.startswith("its certificate is not trusted: ")


def looks(*errors):
    """A look for each of these errors, and how many of them were looked at."""
    seen: list[str] = []

    def look(name, error):
        seen.append(name)
        if error is not None:
            raise error
        yield Finding(Level.OK, name, "is fine")

    named = [(f"look {index}", lambda n=f"look {index}", e=error: look(n, e)) for index, error in enumerate(errors)]
    return list(look_at_all(named)), seen


def test_a_silent_address_is_told_once_and_the_rest_is_named():
    """After the second silence of one address nothing more is asked; another address, and a refusal, stop nothing."""
    here, there = (Unreachable(f"no answer from {name}", endpoint=name) for name in ("here", "there"))
    findings, seen = looks(here, there, PermissionDenied("no"), None, here, None, None)
    assert seen == [f"look {index}" for index in range(5)]
    assert [(one.level, one.subject) for one in findings] == [
        (Level.FAILED, "look 0"),
        (Level.FAILED, "look 1"),
        (Level.FAILED, "look 2"),
        (Level.OK, "look 3"),
        (Level.WARNING, "cloud"),
    ]
    assert findings[-1].message == "not looked at while here is silent: look 4, look 5, look 6"


def test_servers_that_answer_with_errors_are_all_told():
    """A server error is an answer: everything is looked at."""
    findings, _ = looks(Unreachable("503"), Unreachable("503"), None)
    assert [one.level for one in findings] == [Level.FAILED, Level.FAILED, Level.OK]
