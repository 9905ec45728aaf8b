"""Log lines."""

from __future__ import annotations

import json
import logging

import pytest

from lbctl.obs.log import JsonFormatter, KlogFormatter, without_secrets


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


@pytest.mark.parametrize(
    "text",
    ["Authorization: Bearer abcdef", "password=hunter2", '"secret": "s3cr3t"', "token=abc&x=1", "Signature=Zm9v"],
)
def test_credentials_never_get_out(text):
    """Whatever module logs them."""
    for formatter in (JsonFormatter(), KlogFormatter()):
        line = formatter.format(record(text))
        assert not any(word in line for word in ("abcdef", "hunter2", "s3cr3t", "=abc", "Zm9v"))
    assert "(hidden)" in without_secrets(text)
