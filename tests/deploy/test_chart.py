"""The Helm chart: it says what the manifests say, and its schema refuses what cannot be meant."""

from __future__ import annotations

import importlib
import json
from pathlib import Path

import pytest
import yaml

from lbctl.deploy.objects import build
from lbctl.deploy.variants import PLACES, variant_of
from lbctl.registry import find_provider
from tests.deploy.helm import NO_HELM, find_helm, helm, helm_template, merged_values, render_chart
from tests.deploy.test_manifests import by_name

CHART = Path(__file__).parents[2] / "manifests" / "chart"
PROVIDERS = sorted(PLACES)
EVERYTHING = ("alerts.enabled", "dashboard.enabled", "admissionPolicy.enabled")
SCHEMA = json.loads((CHART / "values.schema.json").read_text())


def values_of(provider):
    return CHART / f"values-{provider}.yaml"


def plain(objects):
    """Without empty maps, and with the settings as data: text of one meaning may be laid out in two ways."""
    found = by_name(objects)
    for one in found.values():
        one["metadata"] = {name: value for name, value in one["metadata"].items() if value}
        if one["kind"] == "ConfigMap" and "settings.yaml" in one["data"]:
            one["data"] = {"settings.yaml": yaml.safe_load(one["data"]["settings.yaml"])}
    return found


@pytest.mark.parametrize("provider", PROVIDERS)
def test_the_chart_gives_the_same_objects(provider):
    """With a cloud's values file, the chart installs what `lbctl manifests` prints."""
    rendered = render_chart(CHART, [values_of(provider)], namespace="kube-system")
    assert plain(rendered) == plain(build(variant_of(find_provider(provider))))


needs_helm = pytest.mark.skipif(find_helm() is None, reason=NO_HELM)


@needs_helm
@pytest.mark.parametrize("provider", PROVIDERS)
def test_helm_finds_no_fault(provider):
    """`helm lint --strict` has neither an error nor a warning, with everything switched on too."""
    on = [argument for name in EVERYTHING for argument in ("--set", f"{name}=true")]
    for more in ([], on):
        done = helm("lint", "--strict", str(CHART), "-f", str(values_of(provider)), *more)
        assert done.returncode == 0, done.stdout + done.stderr
        assert "[WARNING]" not in done.stdout
        assert "[ERROR]" not in done.stdout


@needs_helm
@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ("replica=3", "replica"),
        ("replicas=two", "replicas"),
        ("watches={pods-of-others}", "watches"),
        ("image.pullPolicy=Sometimes", "pullPolicy"),
        ("podLabels.app\\.kubernetes\\.io/name=another", "podLabels"),
    ],
)
def test_helm_refuses_what_the_schema_refuses(setting, said):
    """A misspelt or impossible value stops the installation and is named."""
    done = helm("template", "lbctl", str(CHART), "-f", str(values_of("aws")), "--set", setting)
    assert done.returncode != 0
    assert said in done.stderr


@needs_helm
def test_helm_refuses_the_chart_without_a_cloud():
    """The chart's own defaults name no cloud: Helm says what is missing."""
    done = helm("template", "lbctl", str(CHART))
    assert done.returncode != 0
    assert "provider" in done.stderr


@needs_helm
@pytest.mark.parametrize("provider", PROVIDERS)
def test_helm_itself_gives_the_same_objects(provider):
    """The real Helm reads the templates as the tests do, also with everything switched on."""
    on = tuple(f"{name}=true" for name in EVERYTHING)
    ours = render_chart(CHART, [values_of(provider)], namespace="lb", sets=dict.fromkeys(EVERYTHING, True))
    assert plain(helm_template(CHART, [values_of(provider)], namespace="lb", sets=on)) == plain(ours)


def test_the_rights_on_pods_can_be_left_out():
    """Who has no gates gives no right on Pods, and everything else is as it was."""
    files = [values_of("aws")]
    without = plain(render_chart(CHART, files, namespace="kube-system", sets={"watches": ["endpointslices"]}))
    whole = plain(render_chart(CHART, files, namespace="kube-system"))
    assert {name for _, _, name in whole.keys() - without.keys()} == {"lbctl-pods"}
    assert all(whole[key] == one for key, one in without.items())


def test_a_release_goes_into_its_own_namespace():
    """All but the Lease's Role, whose namespace the settings name."""
    rendered = by_name(render_chart(CHART, [values_of("azure")], namespace="lb"))
    namespaces = {key[:2] for key in rendered if key[1]}
    assert ("Deployment", "lb") in namespaces
    assert ("Role", "kube-system") in namespaces
    bindings = [one for one in rendered.values() if one["kind"].endswith("Binding")]
    assert {one["subjects"][0]["namespace"] for one in bindings} == {"lb"}


@pytest.fixture(scope="module")
def jsonschema():
    """Loaded by the tests that need it: it costs two seconds, and every worker collects this module."""
    return importlib.import_module("jsonschema")


@pytest.mark.parametrize("provider", PROVIDERS)
def test_each_values_file_fits_the_schema(jsonschema, provider):
    """What is shipped is valid."""
    jsonschema.validate(merged_values(CHART, values_of(provider)), SCHEMA)


def test_the_schema_is_one(jsonschema):
    """It is a valid JSON schema of its own draft."""
    jsonschema.Draft7Validator.check_schema(SCHEMA)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("replica", 3),  # a misspelt name
        ("replicas", "two"),
        ("provider", ""),
        ("settings", {"accounts": {}, "lease": {"name": "a", "namespace": "b"}}),
        ("image", {"repository": "lbctl", "tag": "", "pullPolicy": "IfNotPresent"}),
        ("podLabels", {"app.kubernetes.io/name": "another"}),
        ("leases", [{"namespace": "kube-system"}]),
    ],
)
def test_the_schema_refuses_what_cannot_be_meant(jsonschema, path, value):
    """A misspelt name, a wrong type, no account, no image: said before anything is installed."""
    values = merged_values(CHART, values_of("aws"))
    values[path] = value
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(values, SCHEMA)


def test_without_the_values_of_a_cloud_nothing_is_installed(jsonschema):
    """The chart's own defaults name no cloud, and the schema says so."""
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(yaml.safe_load((CHART / "values.yaml").read_text()), SCHEMA)


def test_nobody_can_switch_the_protection_off():
    """No value of the chart touches the security contexts."""
    template = (CHART / "templates" / "workload.yaml").read_text()
    pod = template.partition("securityContext:")[2].partition("containers:")[0]
    container = template.rpartition("securityContext:")[2].partition("volumeMounts:")[0]
    assert "{{" not in pod + container
