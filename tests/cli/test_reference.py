"""Commands that need no cluster: check, providers, annotations, config, version."""

from __future__ import annotations

import json
import platform

import pytest
import yaml

from lbctl import __version__
from lbctl.registry import find_provider, known_providers
from tests.cli.console import lbctl, process

GOOD = {
    "apiVersion": "v1",
    "kind": "Service",
    "metadata": {"name": "web", "namespace": "shop"},
    "spec": {"type": "LoadBalancer", "ports": [{"port": 80}]},
}
BAD = {
    **GOOD,
    "metadata": {
        "name": "bad",
        "namespace": "shop",
        "annotations": {"lbctl.io/algorithm": "fastest", "lbctl.io/idle-timeout": "never"},
    },
    "spec": {"type": "LoadBalancer", "loadBalancerSourceRanges": ["10.0.0.0/40"], "ports": [{"port": 80}]},
}


@pytest.mark.parametrize("command", [lbctl, process])
def test_check_accepts_what_would_be_served(command):
    """A valid Service gives exit code 0, also among objects of other kinds and in a List."""
    listed = {"apiVersion": "v1", "kind": "List", "items": [GOOD, {**GOOD, "kind": "ConfigMap"}]}
    said = command("check", "-f", "-", "--provider", "local", text=json.dumps(listed))
    assert said.code == 0
    assert command("check", "-f", "-", "--provider", "local", "-o", "name", text=json.dumps(listed)).out == "shop/web\n"
    assert said.out.split() == ["SERVICE", "PROVIDER", "RESULT", "WHAT", "shop/web", "local", "valid", "-"]


def test_check_tells_every_problem_at_once():
    """Three mistakes of one Service are three problems, and the exit code is 3."""
    text = yaml.safe_dump_all([GOOD, BAD])
    said = lbctl("check", "-f", "-", "--provider", "local", "-o", "json", text=text)
    verdicts = {one["service"]: one for one in said.document["services"]}
    assert said.code == 3
    assert said.document["version"] == 1
    assert verdicts["shop/web"]["valid"]
    assert len(verdicts["shop/bad"]["problems"]) == 3
    assert verdicts["shop/bad"]["file"] == "-, document 2"


def test_the_provider_given_judges_whatever_the_file_says(tmp_path):
    """`--provider aws` checks with aws and prints the role of aws, beside a settings file with an account of local."""
    file = tmp_path / "settings.yaml"
    file.write_text("claim: {unclassed: here}\naccounts: {here: {provider: local}}")
    given = {"LBCTL_CONFIG": str(file)}
    said = lbctl("check", "-f", "-", "--provider", "aws", "-o", "json", text=json.dumps(GOOD), given=given)
    assert [one["provider"] for one in said.document["services"]] == ["aws"]
    said = lbctl("permissions", "--provider", "aws", "-o", "json", given=given)
    assert said.document["provider"] == "aws"


NO_SERVER_STORES = {
    "spec.ports[0].port": {"ports": [{"port": 80_000}]},
    "spec.ports[1].name": {"ports": [{"port": 80}, {"port": 81}]},
    "spec.externalTrafficPolicy": {"externalTrafficPolicy": "Foo"},
    "spec.sessionAffinity": {"sessionAffinity": "Cookie"},
    "spec.prots": {"prots": []},
}


@pytest.mark.parametrize("field", NO_SERVER_STORES)
def test_check_refuses_what_no_api_server_stores(field):
    """The field is named, whichever driver would serve the Service."""
    wrong = {**GOOD, "spec": {**GOOD["spec"], **NO_SERVER_STORES[field]}}
    said = lbctl("check", "-f", "-", "--provider", "gce", "-o", "json", text=json.dumps(wrong))
    (verdict,) = said.document["services"]
    assert said.code == 3
    assert field in [problem["path"] for problem in verdict["problems"]]


def test_check_takes_a_service_as_get_prints_it():
    """What a server filled in, such as its address and versions, is no mistake of the author's."""
    meta = {**GOOD["metadata"], "resourceVersion": "7", "uid": "8c9a1f1e", "creationTimestamp": "2026-01-01T00:00:00Z"}
    stored = {**GOOD, "metadata": meta, "spec": {**GOOD["spec"], "clusterIP": "172.20.0.9"}, "status": {}}
    assert lbctl("check", "-f", "-", "--provider", "local", text=json.dumps(stored)).code == 0


AWS_TYPE = "service.beta.kubernetes.io/aws-load-balancer-type"
DRIVERS_REFUSE = [
    ("aws", {}, {"ports": [{"port": 53, "protocol": "UDP"}]}, "protocol UDP is not supported"),
    ("aws", {AWS_TYPE: "external"}, {}, "no target type is given"),
    ("azure", {}, {"loadBalancerIP": "nonsense"}, "is not an IP address"),
    (
        "gce",
        {},
        {"ports": [{"name": "a", "port": 1}, {"name": "b", "port": 2, "protocol": "UDP"}]},
        "several protocols",
    ),
    (
        "openstack",
        {"loadbalancer.openstack.org/proxy-protocol": "true", "loadbalancer.openstack.org/x-forwarded-for": "true"},
        {},
        "forwarded",
    ),
    (
        "cloudstack",
        {"service.beta.kubernetes.io/cloudstack-load-balancer-stickiness-method-param": "a=b"},
        {},
        "stickiness",
    ),
    ("local", {}, {"loadBalancerIP": "8.8.8.8"}, "is in no address pool"),
]


@pytest.mark.parametrize(("provider", "annotations", "spec", "words"), DRIVERS_REFUSE)
def test_check_says_what_the_controller_would_say(provider, annotations, spec, words):
    """Rules of a driver that need no cloud hold without one: none is connected, and no credentials are needed."""
    meta = {**GOOD["metadata"], "annotations": annotations}
    wrong = {**GOOD, "metadata": meta, "spec": {**GOOD["spec"], **spec}}
    said = lbctl("check", "-f", "-", "--provider", provider, text=json.dumps(wrong))
    assert said.code == 3
    assert words in said.out


def test_check_goes_on_without_the_clouds_configuration_file():
    """A file that is in the cluster only is noted, and the driver's defaults judge."""
    file = ("--set", "accounts.openstack.settings.cloud_config=/nowhere/cloud.conf")
    said = lbctl("check", "-f", "-", "--provider", "openstack", *file, text=json.dumps(GOOD))
    assert said.code == 0
    assert "judged by the driver's default settings" in said.out
    assert "/nowhere/cloud.conf" in said.out


def test_check_names_the_field_of_a_wrong_type():
    """A port that is a word is invalid input that names the field."""
    wrong = {**GOOD, "spec": {"type": "LoadBalancer", "ports": [{"port": "eighty"}]}}
    said = lbctl("check", "-f", "-", "--provider", "local", text=json.dumps(wrong))
    assert said.code == 3
    assert "spec.ports[0].port" in said.out


def test_check_tells_all_unreadable_files(tmp_path):
    """Two files that cannot be used are two problems of one answer, with exit code 3."""
    broken = tmp_path / "broken.yaml"
    broken.write_text("{a: [")
    said = lbctl("check", "-f", str(broken), "-f", str(tmp_path / "missing.yaml"), "--provider", "local")
    assert said.code == 3
    assert "broken.yaml" in said.out
    assert "missing.yaml" in said.out


def test_check_notes_unknown_annotations_and_foreign_classes():
    """A misspelt key and a class of somebody else are notes: the Service is valid."""
    misspelt = {**GOOD, "metadata": {**GOOD["metadata"], "annotations": {"lbctl.io/algoritm": "random"}}}
    foreign = {**GOOD, "spec": {**GOOD["spec"], "loadBalancerClass": "example.com/other"}}
    said = lbctl("check", "-f", "-", "--provider", "local", "-o", "json", text=yaml.safe_dump_all([misspelt, foreign]))
    notes = [one["notes"] for one in said.document["services"]]
    assert said.code == 0
    assert "did you mean lbctl.io/algorithm?" in notes[0][0]
    assert "another controller's" in notes[1][0]


def test_providers_says_what_each_driver_can_do():
    """`local` is listed with its protocols; names alone are for scripts."""
    documents = {one["name"]: one for one in lbctl("providers", "-o", "json").document["providers"]}
    assert documents["local"]["protocols"] == ["TCP", "UDP"]
    assert "local" in lbctl("providers", "-o", "name").out.split()
    assert lbctl("providers").out.splitlines()[0].split()[:2] == ["NAME", "PROTOCOLS"]


def test_annotations_are_found_by_a_part_of_their_key():
    """`annotations algorithm` shows values, default and doc; a typing error gets the nearest key."""
    said = lbctl("annotations", "algorithm", "--provider", "local")
    assert said.code == 0
    assert "one of round-robin, random, least-request, maglev" in said.out
    wrong = lbctl("annotations", "lbctl.io/algoritm", "--provider", "local")
    assert wrong.code == 3
    assert "Did you mean lbctl.io/algorithm?" in wrong.err


def test_a_default_that_is_shown_may_be_written():
    """Whatever `annotations` shows as the default of a key is a value that the key's own kind takes, and means it."""
    listed = lbctl("annotations", "-o", "json").document["annotations"]
    shown = {(provider, one["key"]): one["default"] for one in listed for provider in one["providers"]}
    declared = {(name, one.key): one for name in known_providers() for one in find_provider(name).annotations}
    assert {key for key, default in shown.items() if default} < set(shown) == set(declared)
    for key, default in shown.items():
        assert not default or declared[key].kind.parse(default) == declared[key].default
    assert shown["local", "lbctl.io/health-check-port"] == shown["cloudstack", "lbctl.io/cloudstack-timeout"] == ""
    assert shown["aws", "lbctl.io/deletion-policy"] == "delete"


def test_check_says_of_another_drivers_annotation_whose_it_is():
    """A key that some driver has is not called unknown: the note names the command that tells whose it is."""
    key = "lbctl.io/cloudstack-timeout"
    service = {**GOOD, "metadata": {**GOOD["metadata"], "annotations": {key: "30"}}}
    said = lbctl("check", "-f", "-", "--provider", "local", text=json.dumps(service))
    assert said.code == 0
    assert "unknown" not in said.out
    assert f"whose it is: lbctl annotations {key}" in said.out
    assert "cloudstack" in lbctl("annotations", key).out


def test_config_show_tells_where_each_value_came_from(tmp_path):
    """Default, file, variable and flag are told apart, and the later one wins."""
    file = tmp_path / "settings.yaml"
    file.write_text("queue: {workers: 2, drift_seconds: 60}\nlease: {name: mine}\n")
    given = {"LBCTL_CONFIG": str(file), "LBCTL_QUEUE_WORKERS": "3", "LBCTL_LEASE_NAME": "theirs"}
    said = lbctl("config", "show", "--set", "queue.workers=9", "--provider", "local", "-o", "json", given=given)
    found = {one["path"]: (one["value"], one["from"]) for one in said.document["settings"]}
    assert said.code == 0
    assert found["queue.workers"] == (9, "flag")
    assert found["queue.drift_seconds"] == (60, str(file))
    assert found["lease.name"] == ("theirs", "LBCTL_LEASE_NAME")
    assert found["policy.mode"] == ("sync", "default")
    assert found["accounts.local.settings.workers"] == (2, "default")


def test_config_show_never_shows_a_secret(tmp_path):
    """A value under a key that sounds like a secret is in no answer and in no error."""
    file = tmp_path / "settings.yaml"
    file.write_text("accounts: {a: {provider: local, settings: {state_dir: /x}}}\nkube: {context: c}\n")
    said = lbctl("config", "show", "--config", str(file), "--set", "accounts.a.settings.api_key=hush")
    assert "hush" not in said.out + said.err


def test_yaml_holds_what_json_holds():
    """`version -o yaml` is the document of `version -o json`."""
    assert yaml.safe_load(lbctl("version", "-o", "yaml").out) == lbctl("version", "-o", "json").document


def test_version_is_the_packages():
    """`version` prints the version of lbctl in both forms."""
    assert f"lbctl {__version__} " in lbctl("version").out
    said = lbctl("version", "-o", "json").document
    assert said == {"version": 1, "lbctl": __version__, "python": platform.python_version()}
