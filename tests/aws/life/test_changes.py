"""Changes of a living Service: what is done in place, what is swapped, and what is held until somebody approves."""

import json

import pytest

from lbctl.annotations import APPROVE
from lbctl_aws.annotations import AWS, REMEMBERED
from lbctl_aws.names import with_generation
from tests.aws.cluster import CLASSIC, EXTERNAL, MODES, NLB, POD_ADDRESSES, PODS, Cluster, ready_pods, service
from tests.world import change


def begin(aws, annotations, topology="basic", **spec):
    """A cluster with the Service web."""
    cluster = Cluster.begin(aws, topology)
    cluster.apply(service(annotations=annotations, **spec))
    assert not cluster.bugs
    aws.calls.clear()
    return cluster


def annotate(cluster, **values):
    """Set annotations by their suffix, `_` standing for `-`; None removes. Returns the writing calls."""
    live = cluster.live()
    merged = {**live.metadata.annotations, **{AWS + key.replace("_", "-"): value for key, value in values.items()}}
    cluster.aws.calls.clear()
    cluster.annotate("web", {key: value for key, value in merged.items() if value is not None})
    assert not cluster.bugs
    return cluster.write_calls()


@pytest.mark.spec("AWS-008")
@pytest.mark.parametrize(("before", "after"), [("classic", "nlb"), ("nlb", "external"), ("external", "classic")])
def test_a_change_of_mode_is_held(aws, before, after):
    """Another mode makes no call and is told once; the published address stays."""
    cluster = begin(aws, MODES[before])
    address = cluster.addresses()
    cluster.annotate("web", MODES[after])
    cluster.settle(3000)
    assert not cluster.write_calls()
    assert cluster.reasons().count("PlanHeld") == 1
    assert cluster.addresses() == address


def test_nodes_keep_up_while_a_change_is_held(aws):
    """A node that leaves while a change of mode waits for approval is no target of the old balancer any more."""
    cluster = begin(aws, CLASSIC)
    cluster.annotate("web", NLB)
    gone = next(iter(cluster.kube.nodes.values()))
    cluster.see_node(None, gone.metadata.name)
    cluster.settle(120)
    (classic,) = cluster.classics()
    assert gone.spec.provider_id.rpartition("/")[2] not in {one["InstanceId"] for one in classic["Instances"]}


def approve(cluster):
    """Approve what is held, as the author of the Service does."""
    held = [plan.held_digest for plan in cluster.account.plans.values() if plan.held_digest]
    live = cluster.live()
    cluster.annotate("web", {**live.metadata.annotations, APPROVE: held[0]})


@pytest.mark.parametrize(("before", "after"), [("classic", "nlb"), ("nlb", "external"), ("external", "classic")])
def test_an_approved_change_of_mode_replaces_without_a_gap(aws, before, after):
    """Once approved, the new balancer is made beside the old one, published, and the old one goes after a while."""
    cluster = begin(aws, MODES[before])
    old = cluster.addresses()
    cluster.annotate("web", MODES[after])
    approve(cluster)
    assert not cluster.bugs
    cluster.settle(120)
    assert cluster.addresses() != old
    assert len(cluster.balancers()) + len(cluster.classics()) == 2
    cluster.settle(3000)
    assert len(cluster.balancers()) + len(cluster.classics()) == 1
    assert not cluster.plans()


@pytest.mark.spec("AWS-066")
@pytest.mark.parametrize("mode", MODES)
def test_a_change_of_scheme_is_held(aws, mode):
    """Another scheme needs a new balancer: nothing is written, and the Service is told why."""
    cluster = begin(aws, MODES[mode])
    scheme = {"scheme": "internal"} if mode == "external" else {"internal": "true"}
    assert annotate(cluster, **scheme) == []
    assert "PlanHeld" in cluster.reasons()


@pytest.mark.parametrize("mode", MODES)
def test_an_approved_change_of_scheme_takes_a_free_name(aws, mode):
    """The successor of the same name gets a number at its end, and everything of the old one goes."""
    cluster = begin(aws, MODES[mode], ports=(80, 443))
    annotate(cluster, **({"scheme": "internal"} if mode == "external" else {"internal": "true"}))
    approve(cluster)
    cluster.settle(3000)
    assert not cluster.bugs
    (only,) = [*cluster.balancers(), *cluster.classics()]
    assert only["Scheme"] == "internal"
    assert not cluster.plans()
    cluster.delete("web")
    cluster.settle(900)
    assert not cluster.exists()
    assert not cluster.target_groups()


@pytest.mark.spec("AWS-011")
@pytest.mark.parametrize("mode", MODES)
def test_a_bad_value_leaves_the_living_balancer_alone(aws, mode):
    """A Service that becomes invalid keeps what it has, and no call is made."""
    cluster = begin(aws, MODES[mode])
    before = cluster.state()
    assert annotate(cluster, healthcheck_interval="soon") == []
    assert cluster.state() == before
    assert "InvalidService" in cluster.reasons()


@pytest.mark.spec("AWS-059")
def test_a_living_port_becomes_tls_in_one_call(aws):
    """A certificate turns the TCP listener into a TLS one by ModifyListener, without a new one."""
    cluster = begin(aws, EXTERNAL)
    calls = annotate(cluster, ssl_cert=cluster.scene["certificate"])
    assert [call for call in calls if "Listener" in call] == ["elbv2.ModifyListener"]
    listener = cluster.listeners(cluster.balancers()[0])[80]
    assert listener["Protocol"] == "TLS"
    assert not cluster.plans()


@pytest.mark.spec("AWS-060")
@pytest.mark.parametrize("mode", MODES)
def test_a_certificate_is_rotated_on_the_living_listener(aws, mode):
    """Another certificate is set on the listener that is there: one call, no listener made or deleted."""
    cluster = begin(aws, {})
    certificate, second = cluster.scene["certificate"], cluster.scene["second-certificate"]
    cluster = begin(aws, {**MODES[mode], AWS + "ssl-cert": certificate})
    calls = annotate(cluster, ssl_cert=second)
    expected = "elb.SetLoadBalancerListenerSSLCertificate" if mode == "classic" else "elbv2.ModifyListener"
    assert calls == [expected]
    assert not cluster.plans()


@pytest.mark.spec("AWS-061")
def test_more_certificates_are_added_before_others_go(aws):
    """A list of certificates has its first as default; the others are added in one call and removed after."""
    cluster = begin(aws, EXTERNAL)
    certificate, second = cluster.scene["certificate"], cluster.scene["second-certificate"]
    annotate(cluster, ssl_cert=f"{certificate},{second}")
    assert not cluster.plans()
    calls = annotate(cluster, ssl_cert=certificate)
    assert calls == ["elbv2.RemoveListenerCertificates"]
    assert not cluster.plans()


@pytest.mark.spec("AWS-062")
def test_the_proxy_protocol_goes_off_on_every_port(aws):
    """`*` sets the policy on every backend port; without it none is left, on ports that are gone either."""
    cluster = begin(aws, {AWS + "proxy-protocol": "*"}, ports=(80, 443))
    assert {b["InstancePort"] for b in cluster.classics()[0]["BackendServerDescriptions"] if b["PolicyNames"]} == {
        31080,
        31443,
    }
    assert not cluster.plans()
    live = cluster.live()
    cluster.kube.put(change(live, spec=change(live.spec, ports=service(ports=(80,)).spec.ports)))
    annotate(cluster, proxy_protocol=None)
    assert not [b for b in cluster.classics()[0]["BackendServerDescriptions"] if b["PolicyNames"]]
    assert not cluster.plans()


@pytest.mark.spec("AWS-063")
def test_a_declared_attribute_goes_back_to_its_default(aws):
    """An attribute that was declared and is not any more has the API's default; one never declared is left alone."""
    cluster = begin(aws, EXTERNAL)
    delay = "deregistration_delay.timeout_seconds"
    (group,) = cluster.target_groups().values()
    elbv2 = aws.backstage("elbv2")
    arn = group["TargetGroupArn"]
    by_hand = [{"Key": "target_health_state.unhealthy.draining_interval_seconds", "Value": "7"}]
    elbv2.modify_target_group_attributes(TargetGroupArn=arn, Attributes=by_hand)
    annotate(cluster, target_group_attributes=f"{delay}=60")
    assert attributes(aws, arn)[delay] == "60"
    assert f"tg/80:{delay}" in cluster.live().metadata.annotations[REMEMBERED]
    cluster.crash()
    cluster.settle()
    annotate(cluster, target_group_attributes=None)
    assert attributes(aws, arn)[delay] == "300"
    assert attributes(aws, arn)["target_health_state.unhealthy.draining_interval_seconds"] == "7"
    assert REMEMBERED not in cluster.live().metadata.annotations
    assert not cluster.plans()


def attributes(aws, arn):
    """Attributes of a target group."""
    reply = aws.backstage("elbv2").describe_target_group_attributes(TargetGroupArn=arn)
    return {entry["Key"]: entry["Value"] for entry in reply["Attributes"]}


@pytest.mark.spec("AWS-067")
def test_attributes_of_one_port_win(aws):
    """A port's own attributes beat the base; an empty value keeps the base value."""
    delay = "deregistration_delay.timeout_seconds"
    annotations = {
        **EXTERNAL,
        AWS + "target-group-attributes": f"{delay}=60,stickiness.enabled=true",
        AWS + "target-group-attributes.443": f"{delay}=90,stickiness.enabled=",
    }
    cluster = begin(aws, annotations, ports=(80, 443))
    found = {group["Port"]: attributes(aws, group["TargetGroupArn"]) for group in cluster.target_groups().values()}
    assert (found[31080][delay], found[31443][delay]) == ("60", "90")
    assert found[31443]["stickiness.enabled"] == "true"
    assert not cluster.plans()


@pytest.mark.spec("AWS-065")
def test_deletion_protection_stops_the_deletion(aws):
    """A protected balancer is not deleted; the Service is told so, and goes once a person lifts the protection."""
    cluster = begin(aws, {**EXTERNAL, AWS + "attributes": "deletion_protection.enabled=true"})
    cluster.delete("web")
    assert "DeletionProtected" in cluster.condition().reason + " ".join(cluster.reasons())
    assert len(cluster.balancers()) == 1
    off = [{"Key": "deletion_protection.enabled", "Value": "false"}]
    arn = cluster.balancers()[0]["LoadBalancerArn"]
    aws.backstage("elbv2").modify_load_balancer_attributes(LoadBalancerArn=arn, Attributes=off)
    cluster.settle(1800)
    assert not cluster.exists()
    assert not cluster.balancers()


@pytest.mark.spec("AWS-025")
@pytest.mark.parametrize("mode", MODES)
def test_a_user_tag_goes_with_its_annotation(aws, mode):
    """A tag that the Service no longer names is removed everywhere; tags of others stay."""
    cluster = begin(aws, {**MODES[mode], AWS + "additional-resource-tags": "team=shop,tier=front"})
    assert not cluster.plans()
    foreign(cluster)
    annotate(cluster, additional_resource_tags="tier=front")
    for what, tags in every_tag(cluster):
        assert "team" not in tags, what
        assert tags["tier"] == "front", what
        assert what == "listener" or tags["cost"] == "foreign", what
    assert not cluster.plans()


def foreign(cluster):
    """Let somebody else tag what we made."""
    tag = [{"Key": "cost", "Value": "foreign"}]
    for one in cluster.balancers():
        cluster.aws.backstage("elbv2").add_tags(ResourceArns=[one["LoadBalancerArn"]], Tags=tag)
    for one in cluster.target_groups().values():
        cluster.aws.backstage("elbv2").add_tags(ResourceArns=[one["TargetGroupArn"]], Tags=tag)
    for one in cluster.classics():
        cluster.aws.backstage("elb").add_tags(LoadBalancerNames=[one["LoadBalancerName"]], Tags=tag)
    for one in managed_groups(cluster):
        cluster.aws.backstage("ec2").create_tags(Resources=[one["GroupId"]], Tags=tag)


def managed_groups(cluster):
    """Security groups that were made for one balancer."""
    words = ("Managed SecurityGroup", "Kubernetes ELB")
    return [one for one in cluster.groups().values() if any(word in one["Description"] for word in words)]


def every_tag(cluster):
    """What is tagged, with its tags."""
    elbv2, elb = cluster.aws.backstage("elbv2"), cluster.aws.backstage("elb")
    arns = {one["LoadBalancerArn"]: "balancer" for one in cluster.balancers()}
    arns.update({one["TargetGroupArn"]: "target group" for one in cluster.target_groups().values()})
    for balancer in cluster.balancers():
        arns.update({one["ListenerArn"]: "listener" for one in cluster.listeners(balancer).values()})
    for arn, what in arns.items():
        (described,) = elbv2.describe_tags(ResourceArns=[arn])["TagDescriptions"]
        yield what, {tag["Key"]: tag["Value"] for tag in described["Tags"]}
    for one in cluster.classics():
        (described,) = elb.describe_tags(LoadBalancerNames=[one["LoadBalancerName"]])["TagDescriptions"]
        yield "classic", {tag["Key"]: tag["Value"] for tag in described["Tags"]}
    for one in managed_groups(cluster):
        yield "security group", {tag["Key"]: tag["Value"] for tag in one["Tags"]}


def test_mixed_protocols_work_in_every_network_mode(aws):
    """TCP and UDP on distinct ports make a listener and a target group each."""
    for mode in ("nlb", "external"):
        cluster = Cluster.begin(aws)
        cluster.apply(service(ports=(80, 53), protocols={53: "UDP"}, annotations=MODES[mode]))
        found = {port: one["Protocol"] for port, one in cluster.listeners(cluster.balancers()[0]).items()}
        assert found == {80: "TCP", 53: "UDP"}
        assert not cluster.plans()


CLASSIC_ATTRIBUTES = {
    "connection_idle_timeout": "120",
    "connection_draining_enabled": "true",
    "connection_draining_timeout": "90",
    "cross_zone_load_balancing_enabled": "true",
}


def test_attributes_of_a_classic_balancer_come_and_go(aws):
    """Declared attributes are set in one call, and go back to the API's defaults when they are declared no more."""
    cluster = begin(aws, CLASSIC)
    assert annotate(cluster, **CLASSIC_ATTRIBUTES) == ["elb.ModifyLoadBalancerAttributes"]
    assert not cluster.plans()
    name = cluster.classics()[0]["LoadBalancerName"]
    assert annotate(cluster, **dict.fromkeys(CLASSIC_ATTRIBUTES)) == ["elb.ModifyLoadBalancerAttributes"]
    found = aws.backstage("elb").describe_load_balancer_attributes(LoadBalancerName=name)["LoadBalancerAttributes"]
    assert found["ConnectionSettings"]["IdleTimeout"] == 60
    assert found["ConnectionDraining"]["Enabled"] is False
    assert found["CrossZoneLoadBalancing"]["Enabled"] is False
    assert not cluster.plans()


def test_a_negotiation_policy_is_set_on_the_listener(aws):
    """The named policy is made once and set on each TLS listener; another name replaces it."""
    cluster = begin(aws, {})
    cluster = begin(aws, {AWS + "ssl-cert": cluster.scene["certificate"]})
    annotate(cluster, ssl_negotiation_policy="ELBSecurityPolicy-TLS-1-2-2017-01")
    (listener,) = cluster.classics()[0]["ListenerDescriptions"]
    assert listener["PolicyNames"] == ["k8s-SSLNegotiationPolicy-ELBSecurityPolicy-TLS-1-2-2017-01"]
    assert not cluster.plans()


@pytest.mark.spec("AWS-054")
@pytest.mark.parametrize("mode", ["nlb", "external"])
def test_an_http_check_is_in_sync_after_it_was_set(aws, mode):
    """A second pass and a fresh process make no ModifyTargetGroup for an HTTP check that is as it should be."""
    path = {AWS + "healthcheck-protocol": "http", AWS + "healthcheck-path": "/live"}
    cluster = begin(aws, {**MODES[mode], **path})
    assert not cluster.plans()
    cluster.crash()
    cluster.settle()
    assert not cluster.write_calls()


@pytest.mark.parametrize("mode", ["nlb", "external"])
def test_a_health_check_changes_in_place(aws, mode):
    """Protocol, interval and thresholds of a living target group change by one call, without a new group."""
    cluster = begin(aws, MODES[mode])
    before = set(cluster.target_groups())
    values = {"healthcheck_protocol": "http", "healthcheck_interval": "20", "healthcheck_unhealthy_threshold": "4"}
    assert annotate(cluster, **values) == ["elbv2.ModifyTargetGroup"]
    assert set(cluster.target_groups()) == before
    assert not cluster.plans()


@pytest.mark.parametrize("mode", ["nlb", "external"])
def test_a_listener_never_forwards_to_a_group_without_its_targets(aws, mode):
    """A port that needs a new target group has every node in it before the listener moves; the old group goes after."""
    cluster = begin(aws, MODES[mode])
    held = []

    def look():
        (balancer,) = cluster.balancers()
        listener = cluster.listeners(balancer)[80]
        arn = listener["DefaultActions"][0]["TargetGroupArn"]
        (name,) = (name for name, one in cluster.target_groups().items() if one["TargetGroupArn"] == arn)
        held.append((name, len(cluster.targets(name))))

    aws.faults.look_around_writes(look)
    cluster.edit("web", ports=service(node_ports={80: 31555}).spec.ports)
    assert len({name for name, _ in held}) == 2
    assert {count for _, count in held} == {len(cluster.kube.nodes)}
    assert set(cluster.target_groups()) == {held[-1][0]}
    assert not cluster.plans()


def forward(*targets, base=None, sticky=None):
    """A weighted action as its annotation writes it; targets are pairs of ARN and weight."""
    config = {"targetGroups": [{"targetGroupARN": arn, "weight": weight} for arn, weight in targets]}
    if base is not None:
        config["baseServiceWeight"] = base
    if sticky is not None:
        config["targetGroupStickinessConfig"] = {"enabled": sticky}
    return json.dumps({"type": "forward", "forwardConfig": config})


def test_a_weighted_action_shares_a_listener_with_groups_of_others(aws):
    """Weights and stickiness are set and changed in one call each, others' groups stay, and all goes back."""
    cluster = begin(aws, EXTERNAL)
    elbv2 = aws.backstage("elbv2")
    made = elbv2.create_target_group(Name="theirs", Protocol="TCP", Port=80, VpcId=cluster.scene["main"])
    theirs = made["TargetGroups"][0]["TargetGroupArn"]
    action = "service.beta.kubernetes.io/actions.TCP-80"

    def after(text):
        aws.calls.clear()
        cluster.annotate("web", {**EXTERNAL, action: text} if text else EXTERNAL)
        assert not cluster.bugs
        assert not cluster.plans()
        (balancer,) = cluster.balancers()
        (default,) = cluster.listeners(balancer)[80]["DefaultActions"]
        config = default.get("ForwardConfig", {})
        weights = {group["TargetGroupArn"] == theirs: group.get("Weight") for group in config.get("TargetGroups", ())}
        return weights, config.get("TargetGroupStickinessConfig", {}).get("Enabled", False), cluster.write_calls()

    once = ["elbv2.ModifyListener"]
    assert after(forward((theirs, 10), base=90)) == ({False: 90, True: 10}, False, once)
    assert after(forward((theirs, 10), base=90, sticky=True)) == ({False: 90, True: 10}, True, once)
    cluster.crash()
    cluster.settle()
    assert after(forward((theirs, 0), base=90, sticky=False)) == ({False: 90, True: 0}, False, once)
    assert after(None)[1:] == (False, once)
    assert "theirs" in cluster.target_groups()
    cluster.delete("web")
    cluster.settle(600)
    assert [*cluster.target_groups()] == ["theirs"]


def quiet(cluster):
    """Another process reads everything anew, and has nothing to write in half an hour."""
    cluster.aws.calls.clear()
    cluster.crash()
    cluster.settle(1800)
    assert not cluster.bugs
    return cluster.write_calls() == []


def test_reserved_capacity_is_asked_for_once_and_given_back(aws):
    """What is reserved is read back, so no sweep asks for it again; 0 resets it."""
    cluster = begin(aws, EXTERNAL)
    assert annotate(cluster, minimum_load_balancer_capacity="CapacityUnits=100") == ["elbv2.ModifyCapacityReservation"]
    assert quiet(cluster)
    (balancer,) = cluster.balancers()
    elbv2 = aws.backstage("elbv2")
    told = elbv2.describe_capacity_reservation(LoadBalancerArn=balancer["LoadBalancerArn"])
    assert told["MinimumLoadBalancerCapacity"]["CapacityUnits"] == 100
    assert annotate(cluster, minimum_load_balancer_capacity="CapacityUnits=0") == ["elbv2.ModifyCapacityReservation"]
    assert quiet(cluster)
    told = elbv2.describe_capacity_reservation(LoadBalancerArn=balancer["LoadBalancerArn"])
    assert "MinimumLoadBalancerCapacity" not in told


def test_fixed_ipv6_addresses_come_with_the_second_family(aws):
    """A balancer becomes a dualstack one with its addresses in one call; a sweep finds nothing to do."""
    cluster = begin(aws, EXTERNAL, "dualstack")
    addresses = "2001:db8::10,2001:db8::11"
    calls = annotate(
        cluster,
        ip_address_type="dualstack",
        subnets=f"{cluster.scene['public-a']},{cluster.scene['public-b']}",
        ipv6_addresses=addresses,
    )
    assert calls.count("elbv2.SetSubnets") == 1
    assert "elbv2.SetIpAddressType" not in calls
    (balancer,) = cluster.balancers()
    shown = [a["IPv6Address"] for zone in balancer["AvailabilityZones"] for a in zone["LoadBalancerAddresses"]]
    assert sorted(shown) == addresses.split(",")
    assert balancer["IpAddressType"] == "dualstack"
    assert quiet(cluster)


@pytest.mark.parametrize("dual", [True, False])
@pytest.mark.parametrize("families", [("IPv4", "IPv6"), ("IPv6", "IPv4")])
def test_pods_with_both_families_are_reached_over_ipv6_where_the_balancer_has_it(aws, dual, families):
    """As upstream does: the target group is an IPv6 one behind a dualstack balancer, and an IPv4 one otherwise."""
    cluster = Cluster.begin(aws, "dualstack")
    marks = {**PODS, **({AWS + "ip-address-type": "dualstack"} if dual else {})}
    cluster.apply(service(ip_families=families, annotations=marks))
    (group,) = cluster.target_groups().values()
    assert group["IpAddressType"] == ("ipv6" if dual else "ipv4")
    assert bool(cluster.targets(group["TargetGroupName"])) is not dual  # its pods have IPv4 addresses only
    assert not cluster.bugs
    assert not cluster.plans()


def test_another_family_takes_another_target_group(aws):
    """It is made and filled before the balancer gets its second family, and the listener moves after that; and back."""
    cluster = Cluster.begin(aws, "dualstack")
    subnets = {AWS + "subnets": f"{cluster.scene['public-a']},{cluster.scene['public-b']}"}
    dual = {AWS + "ip-address-type": "dualstack"}
    wanted = service(ip_families=("IPv4", "IPv6"), annotations={**PODS, **subnets})
    six = change(ready_pods(wanted, ("2001:db8::10",)), address_type="IPv6")
    cluster.see_slice(change(six, metadata=change(six.metadata, name="web-6")))
    cluster.apply(wanted)
    (before,) = cluster.target_groups()
    aws.calls.clear()
    cluster.annotate("web", {**PODS, **subnets, **dual})
    cluster.settle(900)
    assert [call for call in cluster.write_calls() if call.startswith("elbv2.")] == [
        "elbv2.CreateTargetGroup",
        "elbv2.RegisterTargets",
        "elbv2.SetSubnets",
        "elbv2.ModifyListener",
        "elbv2.DeleteTargetGroup",
    ]
    (after,) = cluster.target_groups()
    assert after == with_generation(before, 2)
    assert cluster.targets(after) == {("2001:db8::10", 80)}
    assert quiet(cluster)
    cluster.annotate("web", {**PODS, **subnets})
    cluster.settle(900)
    assert set(cluster.target_groups()) == {before}
    assert cluster.targets(before) == {(address, 80) for address in POD_ADDRESSES}
    assert quiet(cluster)


def test_source_nat_prefixes_are_set_once(aws):
    """Prefixes that AWS assigns itself are taken for what was asked, and a sweep finds nothing to do."""
    cluster = Cluster.begin(aws, "dualstack")
    subnets = f"{cluster.scene['public-a']},{cluster.scene['public-b']}"
    dual = {**EXTERNAL, AWS + "ip-address-type": "dualstack", AWS + "subnets": subnets}
    cluster.apply(service(annotations=dual, protocols={80: "UDP"}))
    nat = {
        AWS + "enable-prefix-for-ipv6-source-nat": "on",
        AWS + "source-nat-ipv6-prefixes": "auto_assigned,2001:db8:0:1::/80",
    }
    aws.calls.clear()
    cluster.annotate("web", {**dual, **nat})
    assert cluster.write_calls() == ["elbv2.SetSubnets"]
    (balancer,) = cluster.balancers()
    assert balancer["EnablePrefixForIpv6SourceNat"] == "on"
    assert quiet(cluster)
