"""Settings, and upstream's configuration file as it is."""

import subprocess
import sys

import pytest

from lbctl.errors import InvalidSettings
from lbctl_aws.settings import AwsSettings, file_faults, read_cloud_config, region_of_zone, with_cloud_config

CLOUD_CONF = """
[Global]
Zone = eu-west-1a
VPC = vpc-1
SubnetID = subnet-1
RouteTableID = rtb-1
RoleARN = arn:aws:iam::123456789012:role/lb
SourceARN = "arn:aws:eks:eu-west-1:123456789012:cluster/demo"
KubernetesClusterID = demo
DisableSecurityGroupIngress = true
ElbSecurityGroup = sg-1
NodeIPFamilies = ipv4
ClusterServiceLoadBalancerHealthProbeMode = Shared
ClusterServiceSharedLoadBalancerHealthProbePort = 10257
NLBSecurityGroupMode = Managed

[ServiceOverride "1"]
Service = ec2
Region = eu-west-1
URL = https://ec2.example.com
SigningRegion = eu-west-1

[ServiceOverride "2"]
Service = elasticloadbalancing
URL = https://elb.example.com
"""


def test_a_cloud_conf_is_read_as_it_is():
    """Every key of CCM's file becomes a setting or is known to have no effect; overrides become endpoints."""
    found, warnings = read_cloud_config(CLOUD_CONF)
    assert not warnings
    settings = AwsSettings(**found)
    assert settings.cluster_id == "demo"
    assert settings.vpc_id == "vpc-1"
    assert settings.disable_security_group_ingress is True
    assert settings.shared_probe
    assert settings.shared_probe_port == 10257
    assert settings.source_arn.endswith("cluster/demo")
    assert settings.endpoints == {
        "ec2": "https://ec2.example.com",
        "elb": "https://elb.example.com",
        "elbv2": "https://elb.example.com",
    }


def test_an_unknown_key_is_told_with_the_nearest_one():
    """A key that CCM does not know is a warning that suggests what was meant."""
    _, warnings = read_cloud_config("[Global]\nElbSecurityGroups = sg-1\n")
    assert warnings == ["cloud.conf: [Global] elbsecuritygroups is unknown; did you mean elbsecuritygroup?"]


@pytest.mark.parametrize(
    ("text", "named"),
    [("[Global]\nDisableSecurityGroupIngress = perhaps\n", "perhaps"), ("[Global\n", "cannot be read")],
)
def test_a_file_that_cannot_be_meant_is_refused(text, named):
    """A value that is none, and a file that is none, end the start with the text that was found."""
    with pytest.raises(InvalidSettings, match=named):
        read_cloud_config(text)


@pytest.mark.parametrize(
    ("zone", "region"),
    [("eu-west-1a", "eu-west-1"), ("us-gov-west-1b", "us-gov-west-1"), ("us-west-2-lax-1a", "us-west-2"), ("x", "")],
)
def test_a_zone_tells_its_region(zone, region):
    """Zones of all partitions, local ones too, name their region."""
    assert region_of_zone(zone) == region


def test_a_zone_and_a_region_that_disagree_are_refused():
    """Two places at once cannot be meant, and a word that is no choice neither: both are told."""
    with pytest.raises(InvalidSettings) as raised:
        AwsSettings(zone="eu-west-1a", region="us-east-1", health_probe_mode="shared")
    assert "eu-west-1" in str(raised.value)
    assert "health_probe_mode" in str(raised.value)


def test_importing_the_package_loads_no_sdk():
    """`import lbctl_aws` leaves boto3 and botocore unloaded."""
    code = "import sys, lbctl_aws; sys.exit(any(n in sys.modules for n in ('boto3', 'botocore', 'tenacity')))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_the_file_decides_what_the_settings_leave_open(tmp_path):
    """What stands in our own settings wins over upstream's file, key by key and endpoint by endpoint."""
    path = tmp_path / "cloud.conf"
    path.write_text(CLOUD_CONF)
    given = AwsSettings(cloud_config=str(path), vpc_id="vpc-ours", endpoints={"ec2": "https://ours.example.com"})
    settings = with_cloud_config(given)
    assert settings.vpc_id == "vpc-ours"
    assert settings.zone == "eu-west-1a"
    assert settings.disable_security_group_ingress is True
    assert settings.endpoints["ec2"] == "https://ours.example.com"
    assert settings.endpoints["elbv2"] == "https://elb.example.com"
    assert file_faults(settings) == []


def test_what_is_wrong_with_the_file_is_told(tmp_path):
    """An unknown key is a sentence for `config show`; a file that is not there stops the start, and says which."""
    path = tmp_path / "cloud.conf"
    path.write_text("[Global]\nVPCs = vpc-1\n")
    (fault,) = file_faults(AwsSettings(cloud_config=str(path)))
    assert "did you mean vpc?" in fault
    missing = AwsSettings(cloud_config=str(tmp_path / "none"))
    assert "cannot read" in file_faults(missing)[0]
    with pytest.raises(InvalidSettings, match="cannot read"):
        with_cloud_config(missing)
