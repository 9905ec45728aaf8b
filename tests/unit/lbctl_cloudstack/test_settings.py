"""Upstream's cloud-config is read as it is, and what is wrong in it is said all at once."""

from __future__ import annotations

import pytest

from lbctl.errors import InvalidSettings
from lbctl_cloudstack.settings import CloudStackSettings, load_settings, read_cloud_config

UPSTREAM = """
# comments and quotes as gcfg has them
[Global]
api-url = "https://cloud.example.com/client/api"
api-key = key
secret-key = se=cret   ; the rest is a comment
ssl-no-verify = yes
project-id = 0c0c0c0c-0000-4000-8000-000000000001
zone = z1
region = r1
version = 4.22.1.0
"""


@pytest.mark.spec("CS-076")
def test_every_key_of_upstream_is_read(tmp_path):
    """Quotes, comments, booleans and all keys."""
    path = tmp_path / "cloud-config"
    path.write_text(UPSTREAM)
    settings = load_settings(CloudStackSettings(cloud_config=str(path)))
    assert settings.api_url == "https://cloud.example.com/client/api"
    assert (settings.api_key, settings.secret_key, settings.ssl_no_verify) == ("key", "se=cret", True)
    assert (settings.project_id[:8], settings.zone, settings.region) == ("0c0c0c0c", "z1", "r1")
    assert settings.version == "4.22.1.0"


def test_settings_win_over_the_file_and_keys_may_be_in_files(tmp_path):
    """What the operator sets is kept; a key's file is read without its line end."""
    path, key = tmp_path / "cloud-config", tmp_path / "key"
    path.write_text("[Global]\napi-url = https://a/client/api\nsecret-key = s\n")
    key.write_text("abc\n")
    settings = load_settings(
        CloudStackSettings(cloud_config=str(path), api_key_file=str(key), api_url="https://b/client/api")
    )
    assert (settings.api_url, settings.api_key) == ("https://b/client/api", "abc")


@pytest.mark.spec("CS-076")
def test_all_missing_keys_are_named():
    """Without the three keys all three are in the error."""
    with pytest.raises(InvalidSettings, match=r"api-url is missing.*api-key is missing.*secret-key is missing"):
        load_settings(CloudStackSettings())


@pytest.mark.parametrize(
    ("line", "text"),
    [
        ("api-ulr = x", "unknown key api-ulr, did you mean api-url"),
        ("ssl-no-verify = maybe", "neither true nor false"),
        ("timeout = long", "not a whole number"),
    ],
)
def test_wrong_lines_are_named(line, text):
    """The key and what is wrong with it; never its value when it may be a secret."""
    with pytest.raises(InvalidSettings, match=text):
        read_cloud_config(f"[Global]\n{line}\n")


def test_unknown_sections_are_named():
    """Only [Global] is upstream's."""
    with pytest.raises(InvalidSettings, match=r"unknown section \[Other\]"):
        read_cloud_config("[Other]\na = b\n")


def test_choices_and_bounds_are_checked():
    """Every wrong setting is in one error."""
    wrong = CloudStackSettings(api_url="u", api_key="k~", secret_key="s", method="put", expires=5000, page_size=0)
    with pytest.raises(InvalidSettings, match=r"method.*expires.*page-size.*api-key has a ~"):
        load_settings(wrong)


@pytest.mark.spec("CS-053")
def test_settings_never_show_their_secrets():
    """The representation has neither key nor secret."""
    text = repr(CloudStackSettings(api_key="the-key", secret_key="the-secret"))
    assert "the-key" not in text
    assert "the-secret" not in text
