"""Security groups: exactly the wanted rules, never the rules of others, and the limit of sixty."""

import pytest

from lbctl_aws.annotations import AWS
from tests.aws.cluster import CLASSIC, EXTERNAL, NLB, POD_ADDRESSES, PODS, Cluster, ready_pods, service
from tests.world import change

CLASSIC_GROUP = "k8s-elb-"


def rules(group):
    """Rules of a group as (protocol, from, to, source)."""
    found = set()
    for permission in group["IpPermissions"]:
        sources = [r["CidrIp"] for r in permission["IpRanges"]]
        sources += [r["CidrIpv6"] for r in permission["Ipv6Ranges"]]
        sources += [r["GroupId"] for r in permission["UserIdGroupPairs"]]
        found |= {(permission["IpProtocol"], permission.get("FromPort"), permission.get("ToPort"), s) for s in sources}
    return found


def managed(cluster):
    """The one managed group."""
    (group,) = (g for name, g in cluster.groups().items() if name.startswith(("k8s-elb-", "k8s-shop-")))
    return group


@pytest.mark.spec("AWS-042")
def test_a_managed_group_holds_exactly_the_wanted_rules(aws):
    """Ports from each source, ICMP 3/4 from each source, and nothing else: a foreign rule on it is removed."""
    cluster = Cluster.begin(aws)
    sources = ("10.0.0.0/8", "192.168.0.0/16")
    cluster.apply(service(ports=(80, 443), load_balancer_source_ranges=sources))
    wanted = {("tcp", port, port, source) for port in (80, 443) for source in sources}
    wanted |= {("icmp", 3, 4, source) for source in sources}
    assert rules(managed(cluster)) == wanted
    extra = [{"IpProtocol": "tcp", "FromPort": 22, "ToPort": 22, "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}]
    group = managed(cluster)["GroupId"]
    aws.backstage("ec2").authorize_security_group_ingress(GroupId=group, IpPermissions=extra)
    cluster.settle(1500)
    assert rules(managed(cluster)) == wanted
    assert "DriftRepaired" in cluster.reasons()
    aws.calls.clear()
    cluster.crash()
    cluster.settle()
    assert not cluster.write_calls()


@pytest.mark.spec("AWS-047")
def test_a_group_of_the_user_is_never_edited_nor_deleted(aws):
    """A balancer with the Service's own group leaves the group as it was, also when it goes."""
    cluster = Cluster.begin(aws)
    own = cluster.scene["user-group"]
    before = cluster.groups()["user-made"]
    for mode in (CLASSIC, EXTERNAL):
        cluster.apply(service(annotations={**mode, AWS + "security-groups": own}))
        assert own in str(cluster.classics() or cluster.balancers())
        assert not cluster.plans()
        cluster.delete("web")
        cluster.settle(900)
        assert cluster.groups()["user-made"] == before
        assert not cluster.exists()


@pytest.mark.spec("AWS-051")
@pytest.mark.parametrize("mode", [CLASSIC, NLB, EXTERNAL], ids=["classic", "nlb", "external"])
def test_node_rules_can_be_forbidden(aws, mode):
    """With DisableSecurityGroupIngress no call concerns the nodes' groups."""
    cluster = Cluster.begin(aws, disable_security_group_ingress=True)
    before = cluster.groups()["demo-nodes"]
    cluster.apply(service(annotations=mode))
    assert cluster.groups()["demo-nodes"] == before
    assert "ec2.DescribeInstances" not in cluster.read_calls()


@pytest.mark.spec("AWS-046")
def test_a_hundred_services_cost_two_rule_calls(aws):
    """Rules of a hundred Services for one node group come in one call, and go in one."""
    cluster = Cluster.begin(aws)
    aws.quotas["network-load-balancers"] = 200
    names = [f"s{number}" for number in range(100)]
    aws.calls.clear()
    for number, name in enumerate(names):
        cluster.kube.put(service(name, annotations=NLB, node_ports={80: 30000 + number}))
    cluster.settle(120)
    node_group = cluster.scene["nodes"]
    calls = [c for c in aws.calls.writes if c.service == "ec2" and c.params.get("GroupId") == node_group]
    assert len(calls) <= 2, [c.operation for c in calls]
    assert len(rules(cluster.groups()["demo-nodes"])) <= 60
    assert not cluster.plans()


@pytest.mark.spec("AWS-045")
def test_a_full_group_is_not_touched_and_told(aws):
    """A rule that does not fit into the sixty is not tried: nothing is revoked, and the Event names group and count."""
    cluster = Cluster.begin(aws, "crowded")
    before = rules(cluster.groups()["demo-nodes"])
    assert len(before) == 59
    aws.calls.clear()
    cluster.apply(service("one"))
    cluster.apply(service("two", node_ports={80: 31500}))
    assert before <= rules(cluster.groups()["demo-nodes"])
    assert "ec2.RevokeSecurityGroupIngress" not in cluster.write_calls()
    told = " ".join(notice.message for _, notice in cluster.kube.events)
    assert cluster.scene["nodes"] in told
    assert "61 rules" in told


def test_one_service_too_many_does_not_hold_up_the_others(aws):
    """The one without room is told alone, the others' rules still change, and it gets its rule when one goes."""
    cluster = Cluster.begin(aws, "crowded")
    cluster.apply(service("one"))
    cluster.apply(service("two", node_ports={80: 31500}))
    assert cluster.condition("one").status == "True"
    assert cluster.condition("two").status == "False"
    cluster.delete("one")
    cluster.settle(900)
    groups = {name: one["GroupId"] for name, one in cluster.groups().items() if name.startswith(CLASSIC_GROUP)}
    assert len(groups) == 1
    assert {source for *_, source in rules(cluster.groups()["demo-nodes"])} >= set(groups.values())
    assert cluster.condition("two").status == "True"


@pytest.mark.spec("AWS-045")
def test_old_rules_go_first_when_there_is_no_room_for_both(aws):
    """A change of ranges that fits only once the old rules are gone revokes first and converges."""
    cluster = Cluster.begin(aws)
    many = tuple(f"10.{number}.0.0/16" for number in range(25))
    other = tuple(f"172.16.{number}.0/24" for number in range(25))
    cluster.apply(service(load_balancer_source_ranges=many))
    aws.calls.clear()
    cluster.edit("web", load_balancer_source_ranges=other)
    assert cluster.write_calls() == ["ec2.RevokeSecurityGroupIngress", "ec2.AuthorizeSecurityGroupIngress"]
    assert {source for *_, source in rules(managed(cluster))} == set(other)


@pytest.mark.spec("AWS-044")
def test_a_rule_that_exists_already_is_read_and_kept(aws):
    """A rule that somebody made meanwhile fails the whole call: the group is read again, and the rest is added."""
    cluster = Cluster.begin(aws)
    cluster.apply(service())
    rule = [{"IpProtocol": "tcp", "FromPort": 443, "ToPort": 443, "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}]
    group = managed(cluster)["GroupId"]
    aws.backstage("ec2").authorize_security_group_ingress(GroupId=group, IpPermissions=rule)
    cluster.edit("web", ports=service(ports=(80, 443, 8080)).spec.ports)
    assert {low for protocol, low, *_ in rules(managed(cluster)) if protocol == "tcp"} == {80, 443, 8080}
    assert not cluster.plans()


@pytest.mark.spec("AWS-048")
def test_an_unclear_choice_of_groups_warns_and_goes_on(aws):
    """Nodes with two tagged groups: targets are registered, one of the groups gets the rules, and one warning tells."""
    cluster = Cluster.begin(aws, "multisg")
    cluster.apply(service(annotations=NLB))
    assert "SecurityGroupUnclear" in cluster.reasons()
    assert cluster.addresses()
    (group,) = cluster.target_groups()
    assert cluster.targets(group)


@pytest.mark.spec("AWS-050")
def test_a_tls_listener_opens_tcp(aws):
    """The rule of a TLS port says tcp, which EC2 knows, and an IPv6 range goes into the IPv6 list."""
    cluster = Cluster.begin(aws, "dualstack")
    annotations = {**EXTERNAL, AWS + "ssl-cert": cluster.scene["certificate"], AWS + "ip-address-type": "dualstack"}
    cluster.apply(service(annotations=annotations, load_balancer_source_ranges=("10.0.0.0/8", "2001:db8::/32")))
    assert rules(managed(cluster)) == {("tcp", 80, 80, "10.0.0.0/8"), ("tcp", 80, 80, "2001:db8::/32")}


@pytest.mark.spec("AWS-024")
def test_an_untagged_group_of_our_name_is_tagged_and_used(aws):
    """A group that has our name and no owner, as a crash of CCM left it, is tagged and used, not duplicated."""
    cluster = Cluster.begin(aws)
    stored = cluster.kube.put(service())
    name = CLASSIC_GROUP + ("a" + stored.metadata.uid.replace("-", ""))[:32]
    made = aws.backstage("ec2").create_security_group(
        GroupName=name, Description="left over", VpcId=cluster.scene["main"]
    )
    cluster.settle()
    assert not cluster.bugs
    group = cluster.groups()[name]
    assert group["GroupId"] == made["GroupId"]
    assert "kubernetes.io/cluster/demo" in {tag["Key"] for tag in group["Tags"]}
    assert cluster.addresses()


@pytest.mark.spec("AWS-049")
def test_an_nlb_without_groups_never_gets_one(aws):
    """Security groups on a balancer that was made without any are reported, not tried."""
    cluster = Cluster.begin(aws)
    cluster.apply(service(annotations={**EXTERNAL, AWS + "disable-nlb-sg": "true"}))
    aws.calls.clear()
    cluster.annotate("web", {**EXTERNAL, AWS + "security-groups": cluster.scene["user-group"]})
    assert "elbv2.SetSecurityGroups" not in cluster.write_calls()
    assert "PlanHeld" in cluster.reasons()


def test_a_group_that_only_pods_have_gets_the_rules_of_their_services(aws):
    """Pods with interfaces of their own are reached on their ports, others' rules stay off, and all go in the end."""
    cluster = Cluster.begin(aws)
    cluster.pods_own_group("for-pods", POD_ADDRESSES[0])
    cluster.apply(service(annotations=PODS))
    cluster.apply(service("other", annotations=EXTERNAL, node_ports={80: 31999}))
    backend = next(one["GroupId"] for name, one in cluster.groups().items() if name.startswith("k8s-traffic"))
    assert rules(cluster.groups()["for-pods"]) == {("tcp", 80, 80, backend)}
    assert not cluster.plans()
    cluster.delete("web")
    assert rules(cluster.groups()["for-pods"]) == set()


def test_a_pods_interface_that_the_cloud_shows_late_is_found(aws):
    """An address that no interface had is looked for again with a later sweep, and its group is opened then."""
    cluster = Cluster.begin(aws)
    cluster.apply(service(annotations=PODS))
    cluster.pods_own_group("late", POD_ADDRESSES[0])
    cluster.settle(1500)
    assert len(rules(cluster.groups()["late"])) == 1


@pytest.mark.parametrize("described", ["", "elbv2.k8s.aws/targetGroupBinding=shared"])
def test_a_group_that_lets_our_balancers_in_by_its_owners_will_stays_open(aws, described):
    """Of the groups that neither nodes nor pods have, a process that starts closes what it once opened, and no more."""
    cluster = Cluster.begin(aws)
    cluster.apply(service(annotations=PODS))
    (backend,) = (one["GroupId"] for name, one in cluster.groups().items() if name.startswith("k8s-traffic-"))
    ec2 = aws.backstage("ec2")
    theirs = ec2.create_security_group(GroupName="theirs", Description="d", VpcId=cluster.scene["main"])["GroupId"]
    pairs = [{"GroupId": backend, "Description": described} if described else {"GroupId": backend}]
    rule = {"IpProtocol": "tcp", "FromPort": 80, "ToPort": 80, "UserIdGroupPairs": pairs}
    ec2.authorize_security_group_ingress(GroupId=theirs, IpPermissions=[rule])
    cluster.crash()
    cluster.settle(900)
    assert rules(cluster.groups()["theirs"]) == (set() if described else {("tcp", 80, 80, backend)})


SHARED = "elbv2.k8s.aws/targetGroupBinding=shared"


@pytest.mark.parametrize("described", ["", SHARED, f"{SHARED},lbctl.io/owner=other", "lbctl.io/owner=demo2"])
def test_rules_of_other_clusters_on_groups_that_nobody_here_has_stay(aws, described):
    """While all groups of the VPC are looked at, only what is marked as this cluster's is its own."""
    cluster = Cluster.begin(aws)
    cluster.apply(service(annotations={**PODS, AWS + "disable-nlb-sg": "true"}))
    ec2 = aws.backstage("ec2")
    theirs = ec2.create_security_group(GroupName="theirs", Description="d", VpcId=cluster.scene["main"])["GroupId"]
    rule = {
        "IpProtocol": "tcp",
        "FromPort": 80,
        "ToPort": 80,
        "IpRanges": [{"CidrIp": "0.0.0.0/0", "Description": described}],
    }
    ec2.authorize_security_group_ingress(GroupId=theirs, IpPermissions=[rule])
    for act in (cluster.crash, lambda: cluster.delete("web"), cluster.crash):
        act()
        cluster.settle(900)
        assert rules(cluster.groups()["theirs"]) == {("tcp", 80, 80, "0.0.0.0/0")}
    assert not cluster.bugs


def test_all_groups_are_looked_at_only_while_clients_are_let_in_to_pods(aws):
    """A balancer without groups that sends to pods costs one page more for a start; all others cost none."""
    reads = {}
    bare = {AWS + "disable-nlb-sg": "true"}
    for name, mode in {"pods": PODS, "instances": {**EXTERNAL, **bare}, "bare pods": {**PODS, **bare}}.items():
        cluster = Cluster.begin(aws)
        cluster.apply(service(annotations=mode))
        aws.calls.clear()
        cluster.crash()
        cluster.settle(1)
        reads[name] = cluster.read_calls().count("ec2.DescribeSecurityGroups")
        assert all(call.params.get("Filters") for call in aws.calls.reads if call.operation == "DescribeSecurityGroups")
    assert reads["pods"] == reads["bare pods"] == reads["instances"] + 1


@pytest.mark.parametrize("protocol", ["TCP", "UDP"])
def test_ipv6_pods_behind_a_balancer_without_groups_are_reached_over_ipv6(aws, protocol):
    """From the balancer's IPv6 ranges, from which checks and IPv4 clients come too, and from clients that are kept."""
    cluster = Cluster.begin(aws, "dualstack")
    marks = {**PODS, AWS + "disable-nlb-sg": "true", AWS + "ip-address-type": "dualstack"}
    wanted = service(ip_families=("IPv6",), annotations=marks, protocols={80: protocol})
    cluster.kube.listeners.pop()
    cluster.apply(wanted)
    cluster.see_slice(change(ready_pods(wanted, ("2001:db8::10",)), address_type="IPv6"))
    ids = [zone["SubnetId"] for zone in cluster.balancers()[0]["AvailabilityZones"]]
    subnets = aws.backstage("ec2").describe_subnets(SubnetIds=ids)["Subnets"]
    ranges = {one["Ipv6CidrBlock"] for subnet in subnets for one in subnet["Ipv6CidrBlockAssociationSet"]}
    checks = {("tcp", 80, 80, source) for source in ranges}
    traffic = {("udp", 80, 80, source) for source in (*ranges, "::/0")} if protocol == "UDP" else checks
    opened = {rule for rule in rules(cluster.groups()["demo-nodes"]) if rule[1] == 80}
    assert opened == checks | traffic
    assert not cluster.plans()


@pytest.mark.parametrize("has_ingress", [False, True])
def test_rules_from_the_operators_group_go_with_the_last_service(aws, has_ingress):
    """Another process revokes them too, but not while a balancer of somebody else carries the group."""
    scene = aws.seed("basic")
    given = scene["user-group"]
    cluster = Cluster(aws, scene, backend_security_group=given)
    cluster.apply(service(annotations=EXTERNAL))
    opened = {("tcp", 31080, 31080, given)}
    assert opened <= rules(cluster.groups()["demo-nodes"])
    if has_ingress:
        subnets = [zone["SubnetId"] for zone in cluster.balancers()[0]["AvailabilityZones"]]
        elbv2 = aws.backstage("elbv2")
        made = elbv2.create_load_balancer(Name="ingress", Type="application", Subnets=subnets, SecurityGroups=[given])
    cluster.crash()
    cluster.settle(900)
    cluster.delete("web")
    cluster.settle(900)
    assert (opened <= rules(cluster.groups()["demo-nodes"])) == has_ingress
    if has_ingress:
        elbv2.delete_load_balancer(LoadBalancerArn=made["LoadBalancers"][0]["LoadBalancerArn"])
        cluster.settle(900)
        assert not opened <= rules(cluster.groups()["demo-nodes"])


@pytest.mark.parametrize("settings", [{}, {"disable_restricted_sg_rules": True}], ids=["ports", "everything"])
@pytest.mark.parametrize("mode", [EXTERNAL, PODS], ids=["instance", "ip"])
def test_a_udp_port_lets_its_health_check_in(aws, mode, settings):
    """AWS probes targets of UDP by TCP on the port of their traffic: both protocols are open from the shared group."""
    cluster = Cluster.begin(aws, **settings)
    cluster.apply(service(ports=(53,), protocols={53: "UDP"}, annotations=mode))
    (shared,) = (one["GroupId"] for name, one in cluster.groups().items() if name.startswith("k8s-traffic-"))
    port = 31053 if mode is EXTERNAL else 53
    low, high = (0, 65535) if settings else (port, port)
    open_now = {rule for rule in rules(cluster.groups()["demo-nodes"]) if rule[3] == shared}
    assert open_now == {("udp", low, high, shared), ("tcp", low, high, shared)}
    assert not cluster.plans()


def test_a_named_udp_port_lets_its_health_check_in_without_groups(aws):
    """Pods may each have another number behind the name: checks from the balancer's subnets reach all of them."""
    cluster = Cluster.begin(aws)
    wanted = service(ports=(53,), protocols={53: "UDP"}, annotations={**PODS, AWS + "disable-nlb-sg": "true"})
    cluster.kube.listeners.pop()  # its pods do not matter here
    cluster.apply(change(wanted, spec=change(wanted.spec, ports=(change(wanted.spec.ports[0], target_port="dns"),))))
    opened = rules(cluster.groups()["demo-nodes"])
    assert ("udp", 0, 65535, "0.0.0.0/0") in opened
    assert {one[:3] for one in opened if one[3].startswith("10.0.") and one[0] == "tcp"} == {("tcp", 0, 65535)}


@pytest.mark.parametrize("has_ingress", [False, True])
def test_the_shared_range_shrinks_only_where_nobody_else_can_need_it(aws, has_ingress):
    """After a Service went, the range fits those that are left; not while an Ingress's balancer carries the group."""
    cluster = Cluster.begin(aws)
    for name, port in (("web", 80), ("api", 81)):
        cluster.apply(service(name, ports=(port,), annotations=EXTERNAL))
    (shared,) = (one["GroupId"] for name, one in cluster.groups().items() if name.startswith("k8s-traffic-"))
    assert ("tcp", 31080, 31081, shared) in rules(cluster.groups()["demo-nodes"])
    if has_ingress:
        subnets = [zone["SubnetId"] for zone in cluster.balancers()[0]["AvailabilityZones"]]
        aws.backstage("elbv2").create_load_balancer(
            Name="ingress", Type="application", Subnets=subnets, SecurityGroups=[shared]
        )
        cluster.settle(900)
    cluster.delete("api")
    cluster.settle(900)
    left = {rule for rule in rules(cluster.groups()["demo-nodes"]) if rule[3] == shared}
    assert left == {("tcp", 31080, 31081 if has_ingress else 31080, shared)}
