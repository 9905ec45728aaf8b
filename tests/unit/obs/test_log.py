"""Log lines."""

from __future__ import annotations

import io
import json
import logging

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lbctl.errors import InvalidSettings, Rejected
from lbctl.obs.context import about
from lbctl.obs.log import JsonFormatter, KlogFormatter, hide, set_up, without_secrets

FORMATTERS = (JsonFormatter(), KlogFormatter())


@pytest.fixture
def root():
    """The root logger, put back afterwards."""
    logger = logging.getLogger()
    handlers, level = logger.handlers[:], logger.level
    yield logger
    logger.handlers[:] = handlers
    logger.setLevel(level)


def record(message, *args, **extra):
    """A log record."""
    made = logging.LogRecord("lbctl.engine", logging.WARNING, "x.py", 1, message, args, None)
    vars(made).update(extra)
    return made


def test_a_json_line_holds_the_message_and_its_fields():
    """For programs."""
    line = json.loads(JsonFormatter().format(record("could not %s", "write", scope="balancer/a")))
    assert (line["level"], line["message"], line["scope"]) == ("warning", "could not write", "balancer/a")


def test_a_text_line_looks_like_a_kubernetes_component():
    """For eyes."""
    line = KlogFormatter().format(record("hello"))
    assert line.startswith("W")
    assert line.endswith("engine] hello")


def test_a_line_says_which_piece_of_work_it_belongs_to():
    """Service, provider and reconcile id of the work at hand, and nothing of it once it is over."""
    with about(service="shop/web", provider="aws", reconcile="0123456789ab", scope=""):
        line = json.loads(JsonFormatter().format(record("hello")))
        text = KlogFormatter().format(record("hello"))
    assert (line["service"], line["provider"], line["reconcile"]) == ("shop/web", "aws", "0123456789ab")
    assert "scope" not in line
    assert text.endswith('hello service="shop/web" provider="aws" reconcile="0123456789ab"')
    assert KlogFormatter().format(record("hello")).endswith("] hello")


def test_a_clouds_error_brings_its_request_id():
    """Whether it is told or raised: support asks for it first."""
    error = Rejected("no such subnet", request_id="req-1")
    raised = record("failed")
    raised.exc_info = (Rejected, error, None)
    for one in (record("could not: %s", error), raised):
        assert json.loads(JsonFormatter().format(one))["request"] == "req-1"
        assert 'request="req-1"' in KlogFormatter().format(one)


@pytest.mark.parametrize(
    "text",
    [
        "Authorization: Bearer abcdef",
        "authorization: Basic abcdef",
        '{"Authorization": "Bearer abcdef"}',
        "password=hunter2",
        '"secret": "s3cr3t"',
        "token=abc&x=1",
        "Signature=Zm9v",
        "aws_secret_access_key = hunter2",
        "{'secretKey': 'hunter2 with blanks'}",
        "client_secret=hunter2;tenant=x",
        "https://admin:hunter2@cloud.example.com/v3",
        "-----BEGIN RSA PRIVATE KEY-----\nhunter2\ns3cr3t\n-----END RSA PRIVATE KEY-----",
        "X-Amz-Security-Token: abcdef",
        "X-Auth-Token: abcdef",
        "apiKey=abcdef",
    ],
)
def test_credentials_never_get_out(text):
    """Whatever module logs them."""
    for formatter in FORMATTERS:
        line = formatter.format(record(text))
        assert not any(word in line for word in ("abcdef", "hunter2", "s3cr3t", "=abc", "Zm9v"))
    assert "(hidden)" in without_secrets(text)


SECRETS = st.text("abcdefghijklmnopqrstuvwxyz0123456789+/=-_.!$%", min_size=8, max_size=40).map(lambda s: f"Q{s}Z")
ANY_TEXT = st.text(max_size=30)


@given(SECRETS, ANY_TEXT, ANY_TEXT, st.sampled_from(["message", "argument", "field", "context", "exception", "name"]))
def test_no_secret_of_the_settings_appears_wherever_it_is_put(secret, before, after, where):
    """In the message, an argument, a field, the work's context or an exception: the line does not have it."""
    hide([secret])
    text = f"{before}{secret}{after}"
    made, context = record("hello"), {}
    if where == "message":
        made = record(text)
        made.args = ()
    elif where == "argument":
        made = record("%s", text)
    elif where == "field":
        made = record("hello", detail=text)
    elif where == "context":
        context = {"detail": text}
    elif where == "name":
        made = record("hello", api_key=secret)
    else:
        error = ValueError(text)
        made.exc_info = (ValueError, error, None)
    with about(**context):
        lines = [formatter.format(made) for formatter in FORMATTERS]
    hide([])
    assert not [line for line in lines if secret in line]


def test_the_form_follows_the_flag_and_the_stream(root):
    """`json` and `text` as asked; `auto` is JSON where nobody watches; another word is a mistake that is told."""
    for form, starts in (("json", "{"), ("text", "I"), ("auto", "{")):
        stream = io.StringIO()
        set_up(form=form, verbosity=0, stream=stream)
        logging.getLogger("lbctl.x").info("hello")
        assert stream.getvalue().startswith(starts)
    with pytest.raises(InvalidSettings, match="xml"):
        set_up(form="xml", verbosity=0)


def test_more_is_told_with_more_v(root):
    """Each cloud call is told from 3 on."""
    for verbosity, told in ((2, False), (3, True)):
        stream = io.StringIO()
        set_up(form="text", verbosity=verbosity, stream=stream)
        logging.getLogger("lbctl.engine.telling").debug("a call")
        assert bool(stream.getvalue()) is told
