"""The admission policy refuses what `lbctl check -f` refuses, as far as CEL can tell, and nothing else."""

from __future__ import annotations

import functools
import json
import re
from pathlib import Path

import pytest
import re2
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from lbctl.annotations import UNKNOWN
from lbctl.cli.validation import validate
from lbctl.deploy.admission import admission_policies, expression_of
from lbctl.deploy.variants import PLACES
from lbctl.grammar import Address, Boolean, Choice, Cidr, Integer, ListOf, Pairs, Text
from lbctl.kube.manifests import Document
from lbctl.registry import find_provider
from lbctl.settings import load
from tests.deploy.cel import evaluate, refusals

ROOT = Path(__file__).parents[2]
PROVIDERS = sorted(PLACES)
AWS = "service.beta.kubernetes.io/aws-load-balancer-"
AZURE = "service.beta.kubernetes.io/azure-"
OCTAVIA = "loadbalancer.openstack.org/"
LOCAL = "lbctl.io/"


@functools.cache
def policy_of(provider):
    """The one that refuses."""
    return admission_policies(find_provider(provider))[0]["spec"]


@functools.cache
def warning_policy_of(provider):
    """The one that warns of unknown keys."""
    return admission_policies(find_provider(provider))[2]["spec"]


def service(annotations=None, **spec):
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "web", "namespace": "shop", "annotations": annotations or {}},
        "spec": {"type": "LoadBalancer", "ports": [{"port": 80, "protocol": "TCP"}], **spec},
    }


def verdict(provider, body):
    """What `lbctl check -f` says of it."""
    loaded = load(file=None, environ={}, flags={"accounts.a.provider": provider})
    return validate(Document("x", body), loaded.settings)


def checked(provider, body):
    """The fields that are wrong."""
    return [problem.path for problem in verdict(provider, body).problems]


def strangers(provider, body):
    """The keys of which it says that they are unknown."""
    return sorted(note.partition(" ")[0] for note in verdict(provider, body).notes if UNKNOWN in note)


def warned_of(provider, body):
    """The keys of which the policy warns."""
    said = "; ".join(refusals(warning_policy_of(provider), body))
    return sorted(one.partition(" ")[0] for one in said.split("; ") if one)


CASES = [
    ("aws", service()),
    ("aws", service({AWS + "type": "nlb", AWS + "scheme": "internet-facing"})),
    ("aws", service({AWS + "scheme": "public"})),
    ("aws", service({AWS + "healthcheck-interval": "0"})),
    ("aws", service({AWS + "healthcheck-interval": "+10"})),
    ("aws", service({AWS + "healthcheck-interval": "1_0"})),
    ("aws", service({AWS + "healthcheck-interval": "99999999999999999999999"})),
    ("aws", service({AWS + "name": "internal-web"})),
    ("aws", service({AWS + "name": "web"})),
    ("aws", service({AWS + "healthcheck-path": "/" + 1023 * "a"})),
    ("aws", service({AWS + "healthcheck-path": "/" + 1024 * "a"})),
    ("aws", service({AWS + "additional-resource-tags": "a=b,c=d"})),
    ("aws", service({AWS + "target-group-attributes.80": "=x"})),
    ("aws", service({AWS + "cross-zone-load-balancing-enabled": "yes"})),
    ("aws", service({AWS + "scheme": "public"}, loadBalancerClass="example.com/other")),
    ("aws", service({AWS + "scheme": "public"}, loadBalancerClass="service.k8s.aws/nlb")),
    ("aws", service({AWS + "scheme": "public"}, type="ClusterIP")),
    ("aws", service({"lbctl.io/deletion-policy": "keep"})),
    ("aws", service({"lbctl.io/approve": "0123456789ab"})),
    ("azure", service({AZURE + "load-balancer-internal": "perhaps"})),
    ("azure", service({"service.beta.kubernetes.io/port_80_health-probe_interval": "soon"})),
    ("azure", service({"service.beta.kubernetes.io/port_80_health-probe_interval": "10"})),
    ("azure", service({AZURE + "load-balancer-ipv4": "10.0.0.300"})),
    ("azure", service({AZURE + "load-balancer-ipv4": "fe80::1"})),
    ("azure", service({AZURE + "load-balancer-ipv4": "20.50.1.3"})),
    ("gce", service({"networking.gke.io/load-balancer-type": "Internal"})),
    ("openstack", service({OCTAVIA + "timeout-client-data": "-1"})),
    ("openstack", service({OCTAVIA + "timeout-client-data": "soon"})),
    ("openstack", service(ports=[{"port": 80, "protocol": "SCTP"}])),
    ("local", service({LOCAL + "algorithm": "fastest", LOCAL + "idle-timeout": "never"})),
    ("local", service({LOCAL + "algorithm": "maglev"})),
    ("local", service(ports=[{"port": 80, "protocol": "SCTP"}])),
    (
        "cloudstack",
        service(ports=[{"name": "a", "port": 80, "protocol": "TCP"}, {"name": "b", "port": 53, "protocol": "UDP"}]),
    ),
    ("cloudstack", service(ipFamilies=["IPv6"])),
    ("cloudstack", service(ipFamilies=["IPv4", "IPv6"], ipFamilyPolicy="RequireDualStack")),
    ("cloudstack", service(ipFamilies=["IPv4", "IPv6"], ipFamilyPolicy="PreferDualStack")),
    ("cloudstack", service(allocateLoadBalancerNodePorts=False)),
]


@pytest.mark.parametrize(("provider", "body"), CASES)
def test_the_policy_answers_as_check_does(provider, body):
    """Each problem of `lbctl check` is one refusal about the same field, and what is valid is let through."""
    fields = sorted(said.split(" is not ")[0].split(": ")[0] for said in refusals(policy_of(provider), body))
    expected = sorted(path.split("[80")[0].split("[53")[0] for path in checked(provider, body))
    patterns = [annotation for annotation in find_provider(provider).annotations if annotation.is_pattern]
    for annotation in patterns:
        for index, path in enumerate(expected):
            key = path.removeprefix("metadata.annotations[").removesuffix("]")
            if annotation.match(key) is not None:
                expected[index] = f"metadata.annotations[{annotation.key}]"
    assert fields == sorted(expected)


STRANGERS = [
    ("aws", {AWS + "schem": "internal", AWS + "type": "nlb"}, [AWS + "schem"]),
    ("aws", {AWS + "flux-capacitor": "on", "lbctl.io/approv": "x"}, ["lbctl.io/approv", AWS + "flux-capacitor"]),
    ("aws", {AWS + "connection-idle-timeout": "60", "example.com/whatever": "x"}, []),
    ("azure", {AZURE + "load-balancer-intrnal": "true"}, [AZURE + "load-balancer-intrnal"]),
    ("azure", {AWS + "schem": "internal"}, []),
    ("gce", {"cloud.google.com/neg": "{}", "cloud.google.com/l4-rb": "enabled"}, ["cloud.google.com/l4-rb"]),
    ("openstack", {OCTAVIA + "flavour": "x"}, [OCTAVIA + "flavour"]),
    ("local", {LOCAL + "algoritm": "maglev", OCTAVIA + "flavour": "x"}, [LOCAL + "algoritm"]),
]


@pytest.mark.parametrize(("provider", "annotations", "expected"), STRANGERS)
def test_the_policy_warns_of_the_keys_that_check_does_not_know(provider, annotations, expected):
    """A key under a known prefix that is not in the table is named by both, and refused by neither."""
    body = service(annotations)
    assert warned_of(provider, body) == strangers(provider, body) == expected
    assert refusals(policy_of(provider), body) == checked(provider, body) == []


@pytest.mark.parametrize("provider", PROVIDERS)
def test_policy_and_check_know_the_same_keys(provider):
    """Whatever is made of the table's keys, both know it or neither does."""
    table = find_provider(provider).annotations
    known = st.sampled_from([annotation.key for annotation in table] + sorted(table.ignored))
    made = st.builds(
        lambda key, cut, tail: key[:cut] + tail, known, st.integers(0, 80), st.sampled_from(["", "x", ".80", "{port}"])
    )

    @settings(max_examples=60, deadline=None)
    @given(st.sets(made, max_size=3))
    def holds(keys):
        body = service(dict.fromkeys(keys, "x"))
        assert warned_of(provider, body) == strangers(provider, body)

    holds()


TEXTS = st.text("0123456789abcdefgxyzTRUEtruenlb.,:/=\\-_ +\t%", max_size=16)
KINDS = [
    Text(pattern="[a-z]+", what="letters", never="abc"),
    Integer(-5, 3600),
    Boolean(),
    Choice(("Tcp", "it's"), any_case=True),
    Choice(("nlb", "external")),
    Address(),
    Address(4),
    Address(6),
    Cidr(),
    ListOf(Integer(1, 9)),
    ListOf(Text(pattern="[a-z]+"), separator=" "),
    ListOf(Cidr()),
    Pairs(),
    Pairs(bare_keys=True),
]
EXAMPLES = {
    Address: ("10.0.0.1", "::1", "::ffff:1.2.3.4", "fe80::1%e", "010.0.0.1"),
    Cidr: (
        "10.0.0.1/8", "010.0.0.0/08", "10.0.0.0/33", "10.0.0.0/255.0.0.0", "::/0", "::/064", "::ffff:1.2.3.4/120",
        "fe80::%e/64", "10.0.0/8", "10.0.0.0/", "0.0.0.0/00",
    ),
    Pairs: ("a=b,c", "c,a=b", "a=b,=c", r"a=b\,c", r"\,=c", " =c", ",,", "a"),
    Integer: ("+5", "-5", "-6", "007", "1_0", "٣", "5.0", ""),
    Choice: ("TCP", "IT'S", "nlb "),
}  # fmt: skip


def accepts(kind, text):
    try:
        kind.parse(text)
    except ValueError:
        return False
    return True


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_a_kinds_cel_accepts_exactly_what_it_parses(kind):
    """For the awkward spellings of each kind, and for whatever a generator writes."""
    expression = kind.cel("value")
    for text in EXAMPLES.get(type(kind), ()):
        assert evaluate(expression, value=text) is accepts(kind, text), text

    @settings(max_examples=60, deadline=None)
    @given(TEXTS)
    def holds(text):
        assert evaluate(expression, value=text) is accepts(kind, text)

    holds()


ANY_VALUE = st.one_of(TEXTS, st.sampled_from(["true", "10", "a=b", "10.0.0.0/8", "/path", "internal", "tcp", "80,443"]))


@pytest.mark.parametrize("provider", PROVIDERS)
def test_no_annotation_is_refused_that_check_accepts(provider):
    """Whatever is written as any annotation of the table, the policy is never stricter than `lbctl check`."""
    annotations = list(find_provider(provider).annotations)
    keys = st.sampled_from([annotation.key.replace("{port}", "80") for annotation in annotations])

    @settings(max_examples=40, deadline=None)
    @given(keys, ANY_VALUE)
    def holds(key, value):
        body = service({key: value})
        if refusals(policy_of(provider), body):
            assert checked(provider, body)

    holds()


@pytest.mark.parametrize("provider", PROVIDERS)
def test_every_expression_is_one_that_an_api_server_takes(provider):
    """Each compiles, and each regular expression is RE2's, which knows no looking ahead and no thousand repeats."""
    for spec in (policy_of(provider), warning_policy_of(provider)):
        for one in (*spec["validations"], *spec["matchConditions"], *spec["variables"]):
            assert one["expression"]
            for pattern in literals(one["expression"]):
                re2.compile(pattern)
        names = [one["name"] for one in spec["matchConditions"]]
        assert len(set(names)) == len(names)
        assert len(json.dumps(spec)) < 500_000


def literals(expression):
    """The patterns in an expression."""
    marker = ".matches("
    at = expression.find(marker)
    while at >= 0:
        pattern, _ = json.JSONDecoder().raw_decode(expression[at + len(marker) :].replace("'", '"', 2))
        yield pattern
        at = expression.find(marker, at + 1)


def test_a_service_that_was_there_before_the_policy_is_left_alone():
    """A change that is not of its wish, such as a label, is let through; a change of an annotation is looked at."""
    old = service({AWS + "scheme": "public"})
    labelled = json.loads(json.dumps(old))
    labelled["metadata"]["labels"] = {"a": "b"}
    assert refusals(policy_of("aws"), labelled, old) == []
    changed = service({AWS + "scheme": "open"})
    assert len(refusals(policy_of("aws"), changed, old)) == 1


def test_a_service_that_is_being_deleted_is_left_alone():
    """Nothing may keep a finalizer on it."""
    old = service({AWS + "scheme": "public"})
    going = service({AWS + "scheme": "worse"})
    going["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    assert refusals(policy_of("aws"), going, old) == []


def test_a_fault_of_the_policy_stops_nobody():
    """It advises; the controller decides."""
    for provider in PROVIDERS:
        assert policy_of(provider)["failurePolicy"] == warning_policy_of(provider)["failurePolicy"] == "Ignore"


def test_a_pattern_finds_the_keys_that_the_table_finds():
    """The key's variable part is anything but nothing."""
    expression = expression_of("example.com/port_{port}_probe")
    for key, found in (("example.com/port_80_probe", True), ("example.com/port__probe", False), ("xample.com/", False)):
        assert bool(re2.search(expression, key)) is found


@pytest.mark.parametrize("provider", PROVIDERS)
def test_beside_the_default_driver_a_policy_looks_at_its_own_classes_only(provider):
    """What the guide has `sed` do to a file: Services without a class are the default driver's to judge."""
    guide = (ROOT / "docs" / "guides" / "check-in-ci.md").read_text()
    command = re.search(r"sed 's/(.+)/(.+)/' manifests/admission", guide)
    assert command is not None
    written = (ROOT / "manifests" / "admission" / f"{provider}.yaml").read_text()
    changed = written.replace(command[1], command[2].replace("\\&", "&"))
    refuses, _, warns, _ = (one["spec"] for one in yaml.safe_load_all(changed))
    mistakes = {"lbctl.io/deletion-policy": "keep", "lbctl.io/deletion": "retain"}
    classed = service(mistakes, loadBalancerClass=find_provider(provider).served_classes[0])
    assert refusals(refuses, service(mistakes)) == refusals(warns, service(mistakes)) == []
    assert refusals(refuses, classed)
    assert refusals(warns, classed)
