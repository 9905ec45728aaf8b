"""Upstream's gce.conf is read as it is, and settings win over it."""

from __future__ import annotations

import pytest

from lbctl.errors import InvalidSettings
from lbctl_gce.modes import Mode
from lbctl_gce.settings import GceSettings, TokenServer, config_faults, parse_gce_conf, read_config

CONF = """
[global]
token-url = nil
project-id = shop
network-project-id = "net"
network-name = https://www.googleapis.com/compute/v1/projects/net/global/networks/prod
subnetwork-name = nodes
node-tags = one
node-tags = two
local-zone = europe-west1-b ; a comment
multizone = true
alpha-features = ILBSubsets
"""


def test_a_gce_conf_is_read_as_it_is(tmp_path):
    """Repeated keys add up, URLs and names both work, and the region follows from the zone."""
    file = tmp_path / "gce.conf"
    file.write_text(CONF)
    config = read_config(GceSettings(config_file=str(file)))
    assert (config.project, config.network_project, config.region) == ("shop", "net", "europe-west1")
    assert config.network == "global/networks/prod"
    assert config.subnetwork == "regions/europe-west1/subnetworks/nodes"
    assert config.node_tags == {"one", "two"}
    assert config.defaults.internal is Mode.INTERNAL_ENDPOINTS
    assert config.unknown_keys == ()


def test_settings_win_over_the_file(tmp_path):
    """The operator's newer word counts."""
    file = tmp_path / "gce.conf"
    file.write_text("[global]\nproject-id = shop\nlocal-zone = europe-west1-b\n")
    config = read_config(GceSettings(config_file=str(file), project="other", region="us-east1"))
    assert (config.project, config.region) == ("other", "us-east1")


def test_config_show_is_told_what_is_wrong_with_the_file(tmp_path):
    """A misspelt key, and a file that is not there, each with the file's name."""
    file = tmp_path / "gce.conf"
    file.write_text("[global]\nnode-tag = web\n")
    assert list(config_faults(GceSettings(config_file=str(file)))) == [
        f"{file}: node-tag is unknown; did you mean node-tags?"
    ]
    (missing,) = config_faults(GceSettings(config_file="/nowhere/gce.conf"))
    assert "cannot read /nowhere/gce.conf" in missing


def test_what_upstream_would_do_by_the_file_and_is_not_done_here_is_told(tmp_path):
    """Another source of tokens than the settings', and features; keys on which no balancer depends say nothing."""
    file = tmp_path / "gce.conf"
    file.write_text(CONF.replace("nil", "https://tokens.example") + "alpha-features = NetworkTiers\n")
    told = read_config(GceSettings(config_file=str(file), credentials_file="key.json")).idle_keys
    assert [sentence.split(" ")[0] for sentence in told] == ["token-url", "alpha-features"]
    assert "NetworkTiers" in told[1]
    file.write_text(CONF + "stack-type = IPV4\nregional = true\nsecondary-range-name = pods\n")
    assert read_config(GceSettings(config_file=str(file))).idle_keys == ()


def test_an_unknown_key_is_told_with_the_nearest_known_one(tmp_path):
    """It does not stop the controller."""
    file = tmp_path / "gce.conf"
    file.write_text("[Global]\nproject-id = shop\nlocal-zone = europe-west1-b\nnode-tag = x\n")
    assert read_config(GceSettings(config_file=str(file))).unknown_keys == (
        "node-tag is unknown; did you mean node-tags?",
    )


def test_what_is_missing_is_named_at_once():
    """Project and region."""
    with pytest.raises(InvalidSettings, match="project and region"):
        read_config(GceSettings())


def test_a_file_that_is_not_there_is_named():
    """With its path."""
    with pytest.raises(InvalidSettings, match="nowhere"):
        read_config(GceSettings(config_file="nowhere"))


@pytest.mark.parametrize(
    ("given", "host", "scheme"),
    [
        ("", "compute.googleapis.com", "https"),
        ("https://compute.example.com/compute/v1/", "compute.example.com", "https"),
        ("http://127.0.0.1:80", "127.0.0.1:80", "http"),
    ],
)
def test_the_endpoint_may_be_written_as_upstream_writes_it(given, host, scheme):
    """With scheme and path."""
    config = read_config(GceSettings(project="p", region="r1", api_endpoint=given))
    assert (config.host, config.scheme) == (host, scheme)


def test_a_file_that_is_no_ini_file_is_refused():
    """The error says what is wrong."""
    with pytest.raises(InvalidSettings, match="INI"):
        parse_gce_conf("no section\n")


def test_quotes_and_backslashes_of_values_are_read_as_upstream_reads_them():
    """The body of a question for tokens is JSON within quotes; a representation of it shows nothing."""
    found = parse_gce_conf('[global]\ntoken-body = "{\\"cluster\\":\\"a\\\\b\\"}"\n')
    assert found["token-body"] == ('{"cluster":"a\\b"}',)
    assert "secret" not in repr(TokenServer("https://tokens.example", "secret"))


def test_nil_means_the_default_credentials(tmp_path):
    """As the absence of the key does."""
    file = tmp_path / "gce.conf"
    for text, server in (("nil", None), ("https://tokens.example", TokenServer("https://tokens.example"))):
        file.write_text(CONF.replace("nil", text))
        assert read_config(GceSettings(config_file=str(file))).token_server == server
