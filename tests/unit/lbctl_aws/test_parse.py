"""Which mode serves a Service, and what is refused before any call."""

import pytest

import lbctl_aws
from lbctl.grammar import Pairs
from lbctl.model.reference import Reference
from lbctl_aws.annotations import AWS, PREFIX, TABLE
from lbctl_aws.grammar import Forward, WeightedTarget
from lbctl_aws.options import UNCLAIMED, mode_of, options_of
from lbctl_aws.settings import AwsSettings
from tests.unit.lbctl_aws.shapes import CLASSED, MODES, SETTINGS, annotated, intent, problems, service

TYPE, TARGET = AWS + "type", AWS + "nlb-target-type"


@pytest.mark.parametrize(
    ("annotations", "spec", "mode"),
    [
        pytest.param({}, {}, "clb", marks=pytest.mark.spec("AWS-001")),
        pytest.param({TYPE: "anything"}, {}, "clb", marks=pytest.mark.spec("AWS-001")),
        pytest.param({TYPE: "nlb"}, {}, "nlb-legacy", marks=pytest.mark.spec("AWS-002")),
        pytest.param({TYPE: "nlb-ip"}, {}, "nlb-ip", marks=pytest.mark.spec("AWS-003")),
        pytest.param({TYPE: "external", TARGET: "instance"}, {}, "nlb-instance", marks=pytest.mark.spec("AWS-004")),
        pytest.param({TYPE: "external", TARGET: "ip"}, {}, "nlb-ip", marks=pytest.mark.spec("AWS-004")),
        pytest.param({TYPE: "external"}, {}, UNCLAIMED, marks=pytest.mark.spec("AWS-005")),
        pytest.param({}, {"load_balancer_class": CLASSED}, "nlb-instance", marks=pytest.mark.spec("AWS-006")),
        pytest.param({TYPE: "nlb-ip"}, {"load_balancer_class": CLASSED}, "nlb-ip", marks=pytest.mark.spec("AWS-006")),
        pytest.param({TARGET: "ip"}, {"load_balancer_class": CLASSED}, "nlb-ip", marks=pytest.mark.spec("AWS-006")),
        pytest.param({TYPE: "nlb"}, {"load_balancer_class": "other/one"}, "", marks=pytest.mark.spec("AWS-007")),
        ({TYPE: "NLB"}, {}, "clb"),
    ],
)
def test_class_and_type_choose_the_mode(annotations, spec, mode):
    """Class, type and target type choose the mode as the two upstream controllers share out Services."""
    assert mode_of(service(annotations, **spec), SETTINGS) == mode


@pytest.mark.spec("AWS-005")
def test_a_service_that_nobody_serves_upstream_is_told_so():
    """`external` without a target type is refused with a sentence that names the missing annotation."""
    (problem,) = problems({TYPE: "external"})
    assert "UnclaimedService" in problem
    assert TARGET in problem


def test_a_type_that_looks_mistaken_is_warned_of():
    """`NLB` means a classic balancer, as upstream has it, and the Service is told."""
    assert any("classic" in notice.message for notice in intent({TYPE: "NLB"}).notices)


BAD = {
    "nlb-instance": {
        "nlb_target_type": "pod",
        "name": "internal-web",
        "internal": "no",
        "scheme": "public",
        "eip_allocations": "10.0.0.1",
        "private_ipv4_addresses": "::1",
        "ipv6_addresses": "10.0.0.1",
        "ip_address_type": "dual",
        "enable_prefix_for_ipv6_source_nat": "yes",
        "source_nat_ipv6_prefixes": "nat",
        "minimum_load_balancer_capacity": "100",
        "proxy_protocol": "v2",
        "proxy_protocol_per_target_group": "http",
        "ssl_cert": "my-cert",
        "ssl_ports": "9999",
        "backend_protocol": "udp",
        "alpn_policy": "h2",
        "enable_tcp_udp_listener": "maybe",
        "quic_enabled_ports": "443",
        "cross_zone_load_balancing_enabled": "maybe",
        "access_log_enabled": "true",
        "attributes": "idle=1",
        "target_group_attributes": "unknown=1",
        "target_group_attributes.99": "stickiness.enabled=true",
        "listener_attributes.TCP-80": "tcp.idle_timeout.seconds=10",
        "additional_resource_tags": "elbv2.k8s.aws/cluster=other",
        "healthcheck_protocol": "icmp",
        "healthcheck_port": "nowhere",
        "healthcheck_path": "healthz",
        "healthcheck_healthy_threshold": "1",
        "healthcheck_unhealthy_threshold": "11",
        "healthcheck_timeout": "121",
        "healthcheck_interval": "4",
        "healthcheck_success_codes": "200",
        "manage_backend_security_group_rules": "perhaps",
        "disable_nlb_sg": "perhaps",
        "inbound_sg_rules_on_private_link_traffic": "true",
        "security_group_prefix_lists": "list-1",
        "enable_icmp_for_path_mtu_discovery": "true",
        "multi_cluster_target_group": "perhaps",
    },
    "clb": {
        "internal": "no",
        "ssl_cert": "my-cert",
        "backend_protocol": "udp",
        "connection_idle_timeout": "3601",
        "connection_draining_enabled": "maybe",
        "connection_draining_timeout": "0",
        "access_log_emit_interval": "30",
        "extra_security_groups": "web",
        "healthcheck_timeout": "30",
        "target_group_attributes": "preserve_client_ip.enabled=true",
    },
    "nlb-legacy": {
        "backend_protocol": "http",
        "target_group_attributes": "stickiness.enabled=true",
        "security_groups": "sg-1",
    },
    "nlb-ip": {"target_node_labels": "a=b"},
}
BAD_CASES = [(mode, suffix, value) for mode, values in BAD.items() for suffix, value in values.items()]


@pytest.mark.spec("AWS-010")
@pytest.mark.parametrize(("mode", "suffix", "value"), BAD_CASES)
def test_every_bad_value_is_refused_with_its_name(mode, suffix, value):
    """A value that cannot be is refused before any call, with the annotation's full name."""
    found = problems(annotated(mode, **{suffix: value}))
    assert any(AWS + suffix.replace("_", "-") in problem for problem in found), found


def test_the_table_of_bad_values_misses_no_annotation_that_can_be_wrong():
    """Every annotation of AWS except free texts has a bad value in the table above."""
    free = {"type", "subnets", "ssl-negotiation-policy", "access-log-s3-bucket-name", "access-log-s3-bucket-prefix"}
    tried = {suffix.replace("_", "-").split(".")[0] for _, suffix, _ in BAD_CASES}
    known = {a.key.removeprefix(AWS).split(".")[0] for a in TABLE if a.key.startswith(AWS)}
    assert known - tried - free == set()


def test_all_problems_come_at_once():
    """Three faults of one Service are three problems."""
    assert len(problems(annotated("nlb-instance", scheme="x", healthcheck_interval="1", internal="no"))) == 3


@pytest.mark.spec("AWS-012")
@pytest.mark.parametrize(
    ("text", "bare", "expected"),
    [
        ("a=b=c", False, {"a": "b=c"}),
        (r"k=v\,w", False, {"k": "v,w"}),
        ("k=v,w", False, {"k": "v,w"}),
        ("k=v,w", True, {"k": "v", "w": ""}),
        ("k", True, {"k": ""}),
        ("k", False, None),
        ("=v", False, None),
        ("=v", True, None),
        (" a = 1 , b = 2 ", False, {"a": "1", "b": "2"}),
    ],
)
def test_maps_are_read_like_upstream(text, bare, expected):
    """Maps split on the first equals sign and on commas that do not belong to a value; an empty key is refused."""
    if expected is None:
        with pytest.raises(ValueError, match="piece"):
            Pairs(bare_keys=bare).parse(text)
    else:
        assert dict(Pairs(bare_keys=bare).parse(text)) == expected


@pytest.mark.spec("AWS-012")
def test_a_value_with_an_equals_sign_is_warned_of_in_ccm_modes():
    """CCM would keep another value, so that an adopted tag would change: the Service is told."""
    read = intent(annotated("clb", additional_resource_tags="a=b=c"))
    assert options_of(read).additional_resource_tags == {"a": "b=c"}
    assert any("equals signs" in notice.message for notice in read.notices)


@pytest.mark.spec("AWS-013")
def test_list_items_are_trimmed():
    """Blanks around items and empty items do not count."""
    read = options_of(intent(annotated("nlb-instance", subnets=" subnet-1 ,, subnet-2 ,")))
    assert read.subnets == ("subnet-1", "subnet-2")


CERTIFICATE = "arn:aws:acm:eu-west-1:123456789012:certificate/abc"


@pytest.mark.spec("AWS-014")
def test_a_star_selects_all_ports_in_ccm_modes_only():
    """`*` in ssl-ports means all ports in CCM modes and is refused in LBC's."""
    assert options_of(intent(annotated("clb", ssl_cert=CERTIFICATE, ssl_ports="*"))).ssl_ports == ("*",)
    assert any("'*'" in p for p in problems(annotated("nlb-instance", ssl_cert=CERTIFICATE, ssl_ports="*")))


@pytest.mark.spec("AWS-015")
@pytest.mark.parametrize("mode", MODES)
def test_session_affinity_is_refused_or_warned_of(mode):
    """ClientIP affinity is refused in CCM modes; LBC's modes warn and name the attribute to use."""
    if mode in ("clb", "nlb-legacy"):
        assert any("sessionAffinity" in p for p in problems(MODES[mode], session_affinity="ClientIP"))
    else:
        notices = intent(MODES[mode], session_affinity="ClientIP").notices
        assert any("stickiness" in notice.message for notice in notices)


@pytest.mark.spec("AWS-016")
def test_udp_needs_a_network_balancer():
    """UDP is refused on a classic balancer and fine on a network one, also beside TCP."""
    ports = ((53, "UDP"), (80, "TCP"))
    assert any("UDP" in p for p in problems({}, ports=ports))
    for mode in ("nlb-legacy", "nlb-instance", "nlb-ip"):
        assert intent(MODES[mode], ports=ports).protocols == {"TCP", "UDP"}


@pytest.mark.spec("AWS-017")
@pytest.mark.parametrize("mode", ["clb", "nlb-legacy", "nlb-instance"])
def test_a_port_without_node_port_is_refused_by_name(mode):
    """Where nodes are the targets, a port without node port is refused and named; pods need none."""
    bare = service(MODES[mode]).spec.ports[0]
    from tests.world import change

    ports = (change(bare, node_port=0),)
    from lbctl.errors import InvalidService
    from lbctl_aws.parse import parse

    wanted = service(MODES[mode])
    with pytest.raises(InvalidService, match="80/TCP"):
        parse(change(wanted, spec=change(wanted.spec, ports=ports)), SETTINGS)
    pods = service(MODES["nlb-ip"])
    assert parse(change(pods, spec=change(pods.spec, ports=ports)), SETTINGS)


@pytest.mark.spec("AWS-026")
@pytest.mark.parametrize("key", ["kubernetes.io/cluster/demo", "lbctl.io/owner", "service.k8s.aws/stack", "aws:name"])
def test_tags_that_prove_ownership_cannot_be_set(key):
    """A user tag with a key that proves ownership, or of AWS's own, is refused."""
    assert any(key in p for p in problems(annotated("nlb-instance", additional_resource_tags=f"{key}=x")))


@pytest.mark.spec("AWS-027")
def test_a_classic_balancer_has_room_for_ten_tags():
    """Nine user tags exceed the ten of a classic balancer together with upstream's two; eight fit."""
    tags = ",".join(f"t{n}=x" for n in range(9))
    assert any("limit is 10" in p for p in problems(annotated("clb", additional_resource_tags=tags)))
    assert intent(annotated("clb", additional_resource_tags=tags.rpartition(",")[0]))
    assert intent(annotated("nlb-instance", additional_resource_tags=tags))


@pytest.mark.spec("AWS-057")
def test_a_classic_timeout_must_be_less_than_the_interval():
    """A timeout that reaches the interval is refused before AWS does."""
    assert any("interval" in p for p in problems(annotated("clb", healthcheck_timeout="10", healthcheck_interval="10")))


@pytest.mark.spec("AWS-064")
def test_access_logs_need_a_bucket():
    """Access logs without a bucket are refused; with one they are fine."""
    assert problems(annotated("clb", access_log_enabled="true"))
    assert intent(annotated("clb", access_log_enabled="true", access_log_s3_bucket_name="logs"))


def test_ports_of_one_number_need_the_annotation():
    """TCP and UDP on one port are refused without enable-tcp-udp-listener and make one listener with it."""
    ports = ((53, "TCP"), (53, "UDP"))
    assert any("enable-tcp-udp-listener" in p for p in problems(MODES["nlb-instance"], ports=ports))
    from lbctl_aws.listeners import build_listeners

    (wish,) = build_listeners(intent(annotated("nlb-instance", enable_tcp_udp_listener="true"), ports=ports))
    assert (wish.protocol, wish.backend) == ("TCP_UDP", "TCP_UDP")


FORWARD = '{"type":"forward","forwardConfig":{"baseServiceWeight":1,"targetGroups":[%s]}}'
OTHER = '{"serviceName":"other","servicePort":%s,"weight":1}'


@pytest.mark.parametrize(
    ("listener", "target", "named"),
    [
        ("TCP-81", '{"targetGroupARN":"arn:aws:x","weight":1}', "no such listener"),
        ("TCP-80", '{"targetGroupARN":"arn:aws:x","weight":1000}', "weight 1000"),
        ("TCP-80", '{"targetGroupARN":"arn:aws:x","weight":-1}', "weight -1"),
        ("TCP-80", '{"targetGroupARN":"arn:aws:x","weight":true}', "weight True"),
        ("TCP-80", "not json", "JSON"),
        ("TCP-80", "[" * 100_000, "JSON"),
        ("TCP-80", '{"weight":1}', "either targetGroupARN or serviceName"),
        ("TCP-80", '{"serviceName":"other","servicePort":1,"targetGroupARN":"arn:aws:x"}', "either targetGroupARN or"),
        ("TCP-80", '{"serviceName":"other","weight":1}', "without servicePort"),
        ("TCP-80", '{"serviceName":"other","servicePort":80,"decrypt":"yes"}', "decrypt 'yes'"),
        ("TCP-80", '{"serviceName":"a","servicePort":80,"weight":1},{"serviceName":"b","servicePort":80}', "a weight"),
        ("TCP-80", ",".join(OTHER % port for port in (1, 2, 3, 4, 5)), "5 target groups"),
        ("TCP-80", ",".join(['{"targetGroupARN":"arn:aws:x","weight":1}'] * 2), "twice"),
    ],
)
def test_weighted_actions_that_cannot_be_are_refused(listener, target, named):
    """What AWS or upstream would refuse, or nobody can have meant, is refused by name, not dropped."""
    key = f"{PREFIX}actions.{listener}"
    found = problems({**MODES["nlb-instance"], key: FORWARD % target})
    assert any(key in problem and named in problem for problem in found), found


@pytest.mark.parametrize("port", ["80", '"80"', '"http"'])
def test_a_weighted_action_names_ports_of_other_services_by_number_or_name(port):
    """Both ways are taken, a single one needs no weight, and the Service's own weight is 1 where it says nothing."""
    targets = f'[{{"serviceName":"other","servicePort":{port}}}]'
    text = f'{{"type":"forward","forwardConfig":{{"targetGroups":{targets}}}}}'
    key = f"{PREFIX}actions.TCP-80"
    forward = intent({**MODES["nlb-ip"], key: text}).options["aws"].actions["TCP-80"]
    assert forward == Forward((WeightedTarget(1, service="other", port=port.strip('"')),), base_weight=1)


def test_attributes_of_a_port_may_be_of_a_service_that_an_action_names():
    """A number that an action names is known, as is any while it names a port by name; others are refused."""
    key = f"{PREFIX}actions.TCP-80"
    for named, attributed, is_fine in (("8080", "8080", True), ('"http"', "9090", True), ("8080", "9090", False)):
        marks = {
            key: FORWARD % (OTHER % named),
            f"{AWS}target-group-attributes.{attributed}": "stickiness.enabled=true",
        }
        if is_fine:
            assert intent({**MODES["nlb-ip"], **marks})
        else:
            assert any("no such port" in p or "have such a port" in p for p in problems({**MODES["nlb-ip"], **marks}))


def test_decrypt_without_tls_is_told():
    """There is nothing to decrypt on a TCP listener: a warning says so."""
    text = FORWARD % '{"serviceName":"other","servicePort":80,"weight":1,"decrypt":true}'
    read = intent({**MODES["nlb-ip"], f"{PREFIX}actions.TCP-80": text})
    assert any("decrypt" in notice.message for notice in read.notices)


@pytest.mark.parametrize(
    ("text", "names"),
    [
        (FORWARD % (OTHER % 80), {"other"}),
        (FORWARD % '{"targetGroupARN":"arn:aws:x","weight":1}', set()),
        (FORWARD % '{"serviceName":"other"}', set()),
        ("", set()),
        ("null", set()),
        ("[" * 100_000, set()),
        ("9" * 5000, set()),
    ],
)
def test_what_a_service_refers_to_is_told_without_fail(text, names):
    """The Services that its actions name, in its namespace; an action that is none names none, and raises nothing."""
    wanted = service({f"{PREFIX}actions.TCP-80": text, f"{PREFIX}actions.TCP-81": text, PREFIX + "actionsTCP-80": text})
    assert lbctl_aws.DRIVER.references(wanted) == {Reference("services", "default", name) for name in names}
    assert lbctl_aws.DRIVER.refers_to == ("services",)


def test_status_codes_need_an_http_check_whoever_chose_it():
    """Under policy Local the check of node ports is an HTTP one by default, so it has codes; a TCP check has none."""
    codes = annotated("nlb-instance", healthcheck_success_codes="200")
    assert any("status codes" in problem for problem in problems(codes))
    assert intent(codes, external_traffic_policy="Local", health_check_node_port=32000)


def test_extra_groups_need_a_classic_balancer():
    """A network balancer of the cloud controller manager's kind takes no extra security groups: told, not dropped."""
    assert any("extra-security-groups" in p for p in problems(annotated("nlb-legacy", extra_security_groups="sg-1")))
    assert intent(annotated("clb", extra_security_groups="sg-1"))


def test_a_tls_listener_has_no_stickiness_between_groups():
    """AWS knows no stickiness between the target groups of a TLS listener; a word instead of a boolean is told too."""
    sticky = '{"forwardConfig":{"targetGroups":[{"targetGroupARN":"a","weight":1}],"targetGroupStickinessConfig":%s}}'
    certified = annotated("nlb-instance", ssl_cert="arn:aws:acm:eu-west-1:1:certificate/x")
    for marks, config, named in (
        ({**certified, PREFIX + "actions.TLS-80": sticky}, '{"enabled":true}', "TLS listener"),
        ({**MODES["nlb-instance"], PREFIX + "actions.TCP-80": sticky}, '{"enabled":"yes"}', "enabled: true"),
    ):
        filled = {key: value % config if value is sticky else value for key, value in marks.items()}
        assert any(named in problem for problem in problems(filled)), problems(filled)


def test_an_annotation_of_another_mode_is_told():
    """What has no effect in this mode is warned of, by name."""
    read = intent(annotated("clb", scheme="internal"))
    assert any(AWS + "scheme" in notice.message for notice in read.notices)


def test_a_mistyped_annotation_gets_a_suggestion():
    """An unknown key that looks like one of ours is warned of with the nearest known one."""
    read = intent({AWS + "healthcheck-intervall": "10"})
    assert any("healthcheck-interval?" in notice.message for notice in read.notices)


def test_ipv6_ranges_need_a_dualstack_balancer():
    """An IPv6 source range is refused on a balancer that serves IPv4 only."""
    assert any("IPv6" in p for p in problems({}, load_balancer_source_ranges=("2001:db8::/32",)))
    assert intent(
        annotated("nlb-instance", ip_address_type="dualstack"), load_balancer_source_ranges=("2001:db8::/32",)
    )


@pytest.mark.parametrize("mode", ["nlb-instance", "nlb-ip"])
def test_an_ipv6_service_needs_a_dualstack_balancer(mode):
    """IPv6 alone is refused on a balancer that serves IPv4 only, before AWS does; one with IPv4 as well is served."""
    assert any("spec.ipFamilies" in p for p in problems(MODES[mode], ip_families=("IPv6",)))
    assert intent(annotated(mode, ip_address_type="dualstack"), ip_families=("IPv6",))
    assert intent(MODES[mode], ip_families=("IPv4", "IPv6"))


def test_the_source_range_annotation_is_read():
    """The annotation counts where the field is empty."""
    read = intent({PREFIX + "load-balancer-source-ranges": "10.0.0.0/8, 192.168.0.0/16"})
    assert read.source_ranges == {"10.0.0.0/8", "192.168.0.0/16"}


def test_security_groups_on_a_legacy_balancer_need_the_cloud_configuration():
    """NLBSecurityGroupMode=Managed lets a legacy network balancer have the Service's own groups."""
    settings = AwsSettings(nlb_security_group_mode="Managed")
    assert intent(annotated("nlb-legacy", security_groups="sg-1"), settings=settings)
