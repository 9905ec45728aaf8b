"""What `lbctl doctor` finds on AWS: each thing that is wrong is one finding that says what to do."""

import pytest

from lbctl.driver import Level
from lbctl_aws.permissions import PERMISSIONS
from tests.aws.cluster import EXTERNAL, Cluster, service


def findings(cluster):
    """Every finding by its subject; each has one."""
    found = list(cluster.driver.check())
    assert len({one.subject for one in found}) == len(found)
    assert all(one.hint for one in found if one.level is not Level.OK)
    return {one.subject: one for one in found}


@pytest.fixture
def user(aws, monkeypatch):
    """A user with a key of its own, in the environment."""

    def make(cluster):
        iam = aws.backstage("iam")
        iam.create_user(UserName="lbctl")
        key = iam.create_access_key(UserName="lbctl")["AccessKey"]
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", key["AccessKeyId"])
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", key["SecretAccessKey"])
        cluster.crash()
        return cluster

    return make


def test_a_healthy_account_has_nothing_to_do(aws, user):
    """Identity, every permission, subnets of both schemes, groups and quotas: all fine, and nothing was written."""
    cluster = user(Cluster.begin(aws))
    cluster.apply(service(annotations=EXTERNAL))
    aws.calls.clear()
    before = cluster.state()
    found = findings(cluster)
    assert {one.level for one in found.values()} == {Level.OK}, found
    assert "user/lbctl in eu-west-1, from the environment, without end" in found["identity"].message
    assert {permission.action for permission in PERMISSIONS} <= found.keys()
    assert found["network load balancers"].message == "2 of 50 used"
    assert cluster.state() == before


def test_an_assumed_role_is_named_with_the_time_until_which_it_lasts(aws):
    """A role's credentials expire, and its policies are asked for by the role, not by its session."""
    role = "arn:aws:iam::123456789012:role/lbctl"
    cluster = Cluster(aws, aws.seed("basic"), role_arn=role)
    found = findings(cluster)
    assert "assumed-role/lbctl" in found["identity"].message
    assert "from a role that is assumed, until 20" in found["identity"].message
    assert found["elasticloadbalancing:CreateListener"].level is Level.OK


def test_each_denied_permission_is_a_finding_of_its_own(aws, user):
    """What all modes need has failed, what some need is a warning that names them, and the others are fine."""
    cluster = user(Cluster.begin(aws))
    aws.faults.deny("ec2:CreateTags")
    aws.faults.deny("elb:ConfigureHealthCheck")
    found = findings(cluster)
    assert found["ec2:CreateTags"].level is Level.FAILED
    assert "allow ec2:CreateTags" in found["ec2:CreateTags"].hint
    assert found["elasticloadbalancing:ConfigureHealthCheck"].level is Level.WARNING
    assert "clb" in found["elasticloadbalancing:ConfigureHealthCheck"].message
    assert found["ec2:DescribeSubnets"].level is Level.OK


def test_without_the_simulation_dry_runs_and_reads_tell_what_they_can(aws, user):
    """EC2's dry runs still find a denial, and what nobody can tell is said to be unknown, never to be fine."""
    cluster = user(Cluster.begin(aws))
    aws.faults.deny("iam:SimulatePrincipalPolicy")
    aws.faults.deny("ec2:CreateSecurityGroup")
    groups = set(cluster.groups())
    found = findings(cluster)
    assert found["ec2:CreateSecurityGroup"].level is Level.FAILED
    assert found["ec2:DescribeSubnets"].level is Level.OK
    assert "elasticloadbalancing:CreateListener" not in found
    unknown = [permission for permission in PERMISSIONS if permission.action not in found]
    assert f"the other {len(unknown)} actions" in found["permissions"].message
    assert "is not known" in found["permissions"].message
    assert "iam:SimulatePrincipalPolicy" in found["permissions"].hint
    assert set(cluster.groups()) == groups


def test_a_read_that_is_denied_does_not_hide_the_rest(aws, user):
    """The part that needs it says which call is denied; the other parts are looked at all the same."""
    cluster = user(Cluster.begin(aws))
    aws.faults.deny("elbv2:DescribeTargetGroups")
    found = findings(cluster)
    assert found["quotas"].level is Level.FAILED
    assert "DescribeTargetGroups" in found["quotas"].message
    assert found["network load balancers"].level is Level.OK


def test_subnets_without_their_tag_are_named_with_it(aws):
    """Where routes decide because no subnet has the role's tag, the subnets and the tag are told for each scheme."""
    cluster = Cluster.begin(aws, "untagged")
    found = findings(cluster)
    public = found["internet-facing subnets for clb, nlb-legacy"]
    assert public.level is Level.WARNING
    assert "kubernetes.io/role/elb=1" in public.hint
    assert all(subnet in public.message for subnet in ("subnet-",))
    assert "kubernetes.io/role/internal-elb=1" in found["internal subnets for nlb-instance, nlb-ip"].hint


def test_what_is_nearly_used_up_is_told_before_it_is(aws):
    """Rules of the nodes' group, and balancers of the account, with used and limit."""
    cluster = Cluster.begin(aws, "crowded")
    aws.quotas["network-load-balancers"] = 1
    found = findings(cluster)
    (rules,) = (one for subject, one in found.items() if subject.startswith("rules of") and "59" in one.message)
    assert rules.message == "59 of 60 used"
    assert rules.level is Level.WARNING
    assert found["network load balancers"].level is Level.FAILED
