"""The least-privilege policy: exactly what the driver calls, and the shipped file is the generated one."""

import json
import re
from pathlib import Path

import pytest

import lbctl_aws
from lbctl_aws.annotations import AWS, CLB, INSTANCE, PREFIX
from lbctl_aws.apply import WRITES
from lbctl_aws.errors import IAM_PREFIXES
from lbctl_aws.permissions import ALL_FEATURES, EVERYTHING, PERMISSIONS, build_policy
from lbctl_aws.settings import AwsSettings
from tests.unit.lbctl_aws import shapes
from tests.unit.lbctl_aws.shapes import CLASSED, MODES

ROOT = Path(__file__).parents[3]
SOURCES = Path(lbctl_aws.__file__).parent
CALL = re.compile(r'(?:call|pages)\(\s*"(ec2|elb|elbv2)",\s*f?"(\w+)(\{what\}\w+)?"')


def action(service, operation):
    """The IAM action of a call."""
    return f"{IAM_PREFIXES.get(service, service)}:{operation}"


def read_calls():
    """Reading operations that the sources name."""
    for source in SOURCES.glob("*.py"):
        for service, operation, rest in CALL.findall(source.read_text()):
            if operation.startswith("Describe") and not rest:
                yield action(service, operation)
    for what in ("LoadBalancer", "TargetGroup", "Listener"):
        yield action("elbv2", f"Describe{what}Attributes")


def test_the_table_holds_every_call_and_no_other():
    """Each write of the driver and each read in its sources has its permission, and none is asked for in vain."""
    made = {action(*call.split(".")) for call in WRITES if "." in call} | set(read_calls()) - {
        action("elbv2", "Describe")
    }
    assert made == {permission.action for permission in PERMISSIONS}


def test_a_mode_in_use_asks_for_its_own_calls_only():
    """Classic balancers alone need no right to make target groups, and network ones none on classic calls."""
    classic = json.dumps(build_policy({CLB: ALL_FEATURES}, cluster="demo"))
    network = json.dumps(build_policy({INSTANCE: ALL_FEATURES}, cluster="demo"))
    assert "CreateTargetGroup" not in classic
    assert "ConfigureHealthCheck" not in network
    assert "kubernetes.io/cluster/demo" in classic
    assert "elbv2.k8s.aws/cluster" in network
    assert "elbv2.k8s.aws/cluster" not in classic


@pytest.mark.parametrize("partition", ["aws", "aws-cn", "aws-us-gov"])
def test_the_shipped_policy_is_the_generated_one(partition):
    """The file in manifests/policies is what the table makes."""
    path = ROOT / "manifests" / "policies" / f"{partition}-iam-policy.json"
    policy = build_policy(EVERYTHING, cluster="CLUSTER", partition=partition)
    assert path.read_text() == json.dumps(policy, indent=2) + "\n"


SETTINGS = AwsSettings(cluster_id="demo")
LONGEST_MANAGED_POLICY = 6144


def permitted(*services, settings=SETTINGS):
    """Every action of the policy for these Services."""
    policy = lbctl_aws.DRIVER.permissions(settings, services)
    return {action for statement in policy["Statement"] for action in statement["Action"]}


def test_the_policy_follows_the_annotations_and_classes_of_the_services():
    """A Service's own mode decides, whether an annotation or its class chose it; two modes need what each needs."""
    classic = permitted(shapes.service())
    assert "elasticloadbalancing:ConfigureHealthCheck" in classic
    assert "elasticloadbalancing:CreateTargetGroup" not in classic
    for network in (
        shapes.service(MODES["nlb-legacy"]),
        shapes.service(MODES["nlb-ip"]),
        shapes.service(load_balancer_class=CLASSED),
    ):
        assert "elasticloadbalancing:CreateTargetGroup" in permitted(network)
        assert "elasticloadbalancing:ConfigureHealthCheck" not in permitted(network)
    assert permitted(shapes.service(), shapes.service(load_balancer_class=CLASSED)) == classic | permitted(
        shapes.service(load_balancer_class=CLASSED)
    )


CERTIFICATES = ",".join(f"arn:aws:acm:eu-west-1:1:certificate/{n}" for n in (1, 2))
PLAIN = {"nlb-ip": MODES["nlb-ip"], "clb": MODES["clb"]}
FEATURES = [
    ("nlb-ip", {"ssl-cert": CERTIFICATES}, "AddListenerCertificates"),
    ("nlb-ip", {"ssl-cert": CERTIFICATES}, "DescribeListenerCertificates"),
    ("nlb-ip", {"attributes": "deletion_protection.enabled=true"}, "ModifyLoadBalancerAttributes"),
    ("nlb-ip", {"proxy-protocol": "*"}, "ModifyTargetGroupAttributes"),
    ("nlb-ip", {"listener-attributes.TCP-80": "tcp.idle_timeout.seconds=60"}, "ModifyListenerAttributes"),
    ("nlb-ip", {"minimum-load-balancer-capacity": "CapacityUnits=3"}, "ModifyCapacityReservation"),
    ("nlb-ip", {"ip-address-type": "dualstack"}, "SetIpAddressType"),
    ("clb", {"proxy-protocol": "*"}, "SetLoadBalancerPoliciesForBackendServer"),
    ("clb", {"connection-idle-timeout": "9"}, "DescribeLoadBalancerAttributes"),
    ("clb", {"ssl-cert": CERTIFICATES.split(",")[0], "ssl-negotiation-policy": "p"}, "CreateLoadBalancerPolicy"),
]


@pytest.mark.parametrize(("mode", "marks", "operation"), FEATURES)
def test_a_feature_that_nobody_uses_needs_no_right(mode, marks, operation):
    """A plain Service of the mode needs no such action; the annotation brings it, and so does one that is wrong now."""
    named = f"elasticloadbalancing:{operation}"
    assert named not in permitted(shapes.service(PLAIN[mode]))
    marked = {AWS + key: value for key, value in marks.items()}
    assert named in permitted(shapes.service({**PLAIN[mode], **marked}))
    assert named in permitted(shapes.service({**PLAIN[mode], AWS + "healthcheck-interval": "wrong"}))


def test_attributes_of_another_services_port_need_the_right_to_set_them():
    """Which number a port has that an action names by its name is not known, so what is set on any of them counts."""
    forward = '{"forwardConfig":{"targetGroups":[{"serviceName":"other","servicePort":"http"}]},"type":"forward"}'
    marks = {**MODES["nlb-ip"], PREFIX + "actions.TCP-80": forward}
    modify = "elasticloadbalancing:ModifyTargetGroupAttributes"
    assert modify not in permitted(shapes.service(marks))
    assert modify in permitted(
        shapes.service({**marks, AWS + "target-group-attributes.8080": "stickiness.enabled=true"})
    )


def test_groups_of_the_user_need_no_right_to_make_any():
    """With own security groups, and node rules switched off, nothing of EC2 is written."""
    own = shapes.service({**MODES["nlb-ip"], AWS + "security-groups": "sg-1"})
    closed = AwsSettings(cluster_id="demo", disable_security_group_ingress=True)
    assert "ec2:CreateSecurityGroup" in permitted(shapes.service(MODES["nlb-ip"]), settings=closed)
    assert all(":Describe" in one for one in permitted(own, settings=closed) if one.startswith("ec2:"))


def test_every_write_but_rules_is_bound_to_the_cluster():
    """Without the cluster's tag on the request or the object, a policy allows reads and rules only."""
    free = [one for one in build_policy(EVERYTHING, cluster="demo")["Statement"] if "Condition" not in one]
    actions = {action for one in free for action in one["Action"] if ":Describe" not in action}
    assert actions == {
        "ec2:AuthorizeSecurityGroupIngress",
        "ec2:RevokeSecurityGroupIngress",
        "ec2:CreateSecurityGroup",  # in the VPC, beside the group itself, which needs the tag
    }


def test_without_a_balancer_to_make_nothing_may_be_written():
    """A cluster whose Services are of other types or of other controllers needs the reads of a snapshot only."""
    nothing = permitted(shapes.service(type="ClusterIP"), shapes.service(load_balancer_class="example.com/other"))
    assert nothing
    assert all(":Describe" in action for action in nothing)
    assert nothing == permitted()


def test_with_no_services_given_the_policy_is_that_of_every_mode():
    """None means everything that the driver can do, for the partition of the settings' region."""
    policy = lbctl_aws.DRIVER.permissions(AwsSettings(cluster_id="demo", region="cn-north-1"), None)
    assert policy == build_policy(EVERYTHING, cluster="demo", partition="aws-cn")


def test_every_policy_fits_into_one_managed_policy():
    """IAM takes at most 6,144 characters without white space, the longest cluster name included."""
    policy = build_policy(EVERYTHING, cluster="c" * 100, partition="aws-us-gov")
    assert len(json.dumps(policy, separators=(",", ":"))) <= LONGEST_MANAGED_POLICY
