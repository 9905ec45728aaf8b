"""cloud.conf, in the dialect that upstream reads."""

from __future__ import annotations

import pytest

from lbctl.errors import InvalidSettings
from lbctl_openstack import DRIVER
from lbctl_openstack.cloudconf import parse_cloud_conf, parse_duration, unquote
from lbctl_openstack.settings import OpenStackSettings, load

FILE = r"""
; as an operator writes it
[Global]
auth-url="https://keystone.example.com/v3"   # the public one
username=user
password="pa ss;w#\"ord"
region = RegionOne
tls-insecure

[LoadBalancer]
use-octavia=true
lb-provider = ovn
monitor-delay=1m30s
create-monitor = yes
max-shared-lb=4

[LoadBalancerClass "internet"]
floating-network-id = net-1
subnet-id = sub-1

[Networking]
public-network-name=one
public-network-name=two
"""


def test_a_file_is_read_with_its_quotes_comments_classes_and_defaults():
    """Values lose quotes and comments, durations are seconds, classes have names, what is not said has its default."""
    conf = parse_cloud_conf(FILE)
    assert conf.faults == conf.unknown == ()
    assert conf.access.auth_url == "https://keystone.example.com/v3"
    assert conf.access.password == 'pa ss;w#"ord'
    assert conf.access.tls_insecure is True
    assert conf.balancing.lb_provider == "ovn"
    assert conf.balancing.monitor_delay == 90
    assert conf.balancing.create_monitor is True
    assert conf.balancing.max_shared_lb == 4
    assert conf.balancing.cascade_delete is True
    assert conf.classes["internet"].floating_network_id == "net-1"
    assert conf.metadata.request_timeout == 60


@pytest.mark.spec("OS-094")
def test_what_cannot_be_used_is_told_at_once_with_a_suggestion():
    """Unknown keys come with the nearest known one, an old octavia switch is taken, an old API version is a fault."""
    text = "[LoadBalancer]\nfloating-netwrk-id=x\nuse-octavia=false\nlb-version=v1\nmax-shared-lb=many\n"
    conf = parse_cloud_conf(text)
    assert conf.unknown == ("line 2: key floating-netwrk-id is unknown; did you mean floating-network-id?",)
    assert len(conf.faults) == 2
    assert "max-shared-lb=many is not a whole number" in conf.faults[0]
    assert "only v2 is" in conf.faults[1]


def test_a_file_with_faults_ends_the_start(tmp_path):
    """Every fault is in one error that names the file; a missing file is named as well."""
    path = tmp_path / "cloud.conf"
    path.write_text("[LoadBalancer]\nlb-version=v1\nmonitor-delay=soon\n")
    with pytest.raises(InvalidSettings, match=r"cloud\.conf.*soon.*lb-version=v1"):
        load(OpenStackSettings(cloud_config=str(path)))
    with pytest.raises(InvalidSettings, match="cannot read"):
        load(OpenStackSettings(cloud_config=str(tmp_path / "none")))


def test_settings_win_over_the_file(tmp_path):
    """Cloud, its file and the region of the settings beat those of cloud.conf, and naming a cloud uses clouds.yaml."""
    path = tmp_path / "cloud.conf"
    path.write_text("[Global]\nauth-url=https://k\nregion=one\n")
    access = load(OpenStackSettings(cloud_config=str(path), region="two")).access
    assert (access.region, access.use_clouds) == ("two", False)
    assert load(OpenStackSettings(cloud_config=str(path), cloud="dev")).access.use_clouds is True


@pytest.mark.parametrize(("text", "seconds"), [("60s", 60), ("1m30s", 90), ("500ms", 0.5), ("5", 5), ("1.5h", 5400)])
def test_durations_are_gos(text, seconds):
    """Go's durations become seconds."""
    assert parse_duration(text) == pytest.approx(seconds)


@pytest.mark.parametrize("text", ["", "soon", "5 s", "5d"])
def test_what_is_no_duration_is_refused(text):
    """Anything else is a ValueError."""
    with pytest.raises(ValueError, match="duration"):
        parse_duration(text)


@pytest.mark.parametrize(
    ("raw", "value"),
    [("plain ; note", "plain"), ('" kept "', " kept "), (r'"a\"b"', 'a"b'), ('""', ""), ('"a;b" # c', "a;b")],
)
def test_values_are_unquoted(raw, value):
    """Quotes keep blanks and comment signs."""
    assert unquote(raw) == value


@pytest.mark.spec("OS-094")
def test_what_is_wrong_in_the_file_is_told_before_anything_runs(tmp_path):
    """`config show` gets every fault and every unknown key of cloud.conf, with the file and the nearest known key."""
    path = tmp_path / "cloud.conf"
    path.write_text("[LoadBalancer]\nlb-version=v1\nfloating-netwrk-id=x\nuse-octavia=true\n")
    faults = DRIVER.config_faults(OpenStackSettings(cloud_config=str(path)))
    assert [str(path) in fault for fault in faults] == [True, True]
    assert "lb-version=v1 is not supported" in faults[0]
    assert "did you mean floating-network-id?" in faults[1]
    (missing,) = DRIVER.config_faults(OpenStackSettings(cloud_config=str(tmp_path / "none")))
    assert "cannot read" in missing
