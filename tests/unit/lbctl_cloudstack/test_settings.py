"""Upstream's cloud-config is read as it is, and what is wrong in it is said all at once."""

from __future__ import annotations

import logging

import pytest

from lbctl.errors import InvalidSettings
from lbctl_cloudstack import DRIVER
from lbctl_cloudstack.settings import CloudStackSettings, load_settings

UPSTREAM = """
# comments and quotes as gcfg has them
[Global]
api-url = "https://cloud.example.com/client/api"
api-key = key
secret-key = "se=c#r;et"   ; the rest is a comment
ssl-no-verify
project-id = 0c0c0c0c-0000-4000-8000-000000000001#so is this
Zone = z1
region = r1
version = 4.22.1.0
"""
KEYS = "api-url = https://a/client/api\napi-key = k\nsecret-key = s\n"


@pytest.fixture
def load(tmp_path):
    """Loads a text as cloud-config, with other settings beside it."""

    def of(text, **settings):
        path = tmp_path / "cloud-config"
        path.write_text(text)
        return load_settings(CloudStackSettings(cloud_config=str(path), **settings))

    return of


@pytest.mark.spec("CS-076")
def test_every_key_of_upstream_is_read(load):
    """Quotes, comments with and without a blank before, bare booleans, any case, and all keys."""
    loaded = load(UPSTREAM)
    settings = loaded.settings
    assert settings.api_url == "https://cloud.example.com/client/api"
    assert (settings.api_key, settings.secret_key, settings.ssl_no_verify) == ("key", "se=c#r;et", True)
    assert settings.project_id == "0c0c0c0c-0000-4000-8000-000000000001"
    assert (settings.zone, settings.region, settings.version) == ("z1", "r1", "4.22.1.0")
    assert loaded.unknown == ()


@pytest.mark.spec("CS-076")
def test_every_setting_of_ours_may_be_in_the_file(load):
    """All settings but the file's own path can be written there with dashes."""
    text = """
ca-file = /ca.pem
timeout = 30
job-timeout = 100
job-poll-min = 2
job-poll-max = 20
max-calls-per-second = 5
page-size = 50
method = get
network-id = n
tags = off
cidr-update = inplace
empty-cidrs = allow
expires = 600
split-ips = yes
"""
    settings = load(f"[Global]\n{KEYS}{text}").settings
    assert (settings.ca_file, settings.timeout, settings.job_timeout) == ("/ca.pem", 30, 100)
    assert (settings.job_poll_min, settings.job_poll_max, settings.max_calls_per_second) == (2, 20, 5)
    assert (settings.page_size, settings.method, settings.network_id, settings.tags) == (50, "get", "n", False)
    assert (settings.cidr_update, settings.empty_cidrs) == ("inplace", "allow")
    assert (settings.expires, settings.split_ips) == (600, True)


def test_settings_win_over_the_file_and_keys_may_be_in_files(load, tmp_path):
    """What the operator sets is kept; a key's file is read without its line end."""
    key = tmp_path / "key"
    key.write_text("abc\n")
    text = "[Global]\napi-url = https://a/client/api\nsecret-key = s\n"
    settings = load(text, api_key_file=str(key), api_url="https://b/client/api").settings
    assert (settings.api_url, settings.api_key) == ("https://b/client/api", "abc")


@pytest.mark.spec("CS-076")
def test_all_missing_keys_are_named():
    """Without the three keys all three are in the error."""
    with pytest.raises(InvalidSettings, match=r"api-url is missing.*api-key is missing.*secret-key is missing"):
        load_settings(CloudStackSettings())


@pytest.mark.parametrize(
    ("line", "text"),
    [
        ("api-ulr = x", "line 5: key api-ulr is unknown; did you mean api-url?"),
        ("[Other]\na = b", "line 5: section [Other] is unknown"),
    ],
)
def test_what_is_unknown_stops_nothing_and_is_told(load, caplog, line, text):
    """A newer upstream's key or section is a warning of the running controller, with the nearest known one."""
    with caplog.at_level(logging.WARNING):
        loaded = load(f"[Global]\n{KEYS}{line}\n")
    assert loaded.settings.api_key == "k"
    assert loaded.unknown == (text,)
    assert text in caplog.text


def test_config_show_is_told_of_everything_in_the_file(tmp_path):
    """What is unknown, what cannot be used, and a file that is not there: one sentence each, with the path."""
    path = tmp_path / "cloud-config"
    path.write_text(f"[Global]\n{KEYS}api-ulr = x\ntimeout = long\n")
    faults = list(DRIVER.config_faults(CloudStackSettings(cloud_config=str(path))))
    assert faults == [
        f"{path}: line 6: timeout is not a whole number",
        f"{path}: line 5: key api-ulr is unknown; did you mean api-url?",
    ]
    (lost,) = DRIVER.config_faults(CloudStackSettings(cloud_config="/nowhere"))
    assert "/nowhere" in lost
    assert list(DRIVER.config_faults(CloudStackSettings())) == []


@pytest.mark.parametrize(
    ("line", "text"),
    [
        ("ssl-no-verify = maybe", "ssl-no-verify is neither true nor false"),
        ("timeout = long", "timeout is not a whole number"),
        ('secret-key = "hush', "secret-key has a quote that does not end"),
        (r"secret-key = hush\q", "secret-key has an unknown escape"),
        ("= hush", "line 5 is neither a section nor key = value"),
    ],
)
def test_wrong_lines_are_named_without_their_values(load, line, text):
    """The key and what is wrong with it; never its value, which may be a secret."""
    with pytest.raises(InvalidSettings, match=text) as caught:
        load(f"[Global]\n{KEYS}{line}\n")
    assert "hush" not in str(caught.value)


def test_choices_and_bounds_are_checked():
    """Every wrong setting is in one error."""
    fields = {"api_url": "u", "api_key": "k~", "secret_key": "s", "method": "put", "expires": 5000, "page_size": 0}
    with pytest.raises(InvalidSettings, match=r"method.*expires.*page-size.*job-poll-min.*api-key has a ~"):
        load_settings(CloudStackSettings(**fields, job_poll_min=20))


@pytest.mark.spec("CS-053")
def test_settings_never_show_their_secrets():
    """The representation has neither key nor secret."""
    text = repr(CloudStackSettings(api_key="the-key", secret_key="the-secret"))
    assert "the-key" not in text
    assert "the-secret" not in text
