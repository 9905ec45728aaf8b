"""What `lbctl manifests` prints, what is checked in, and that an API server takes it."""

from __future__ import annotations

import json
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from lbctl.deploy.files import rendered_files
from lbctl.deploy.objects import build
from lbctl.deploy.variants import PLACES, variant_of
from lbctl.kube.rights import needed_rights
from lbctl.model.reference import SERVICES
from lbctl.registry import find_provider, known_providers
from lbctl.sandbox.api.kinds import BY_TYPE
from lbctl.settings import decode, load
from tests.cli.console import lbctl

MANIFESTS = Path(__file__).parents[2] / "manifests"
RENDERED = ("base", "overlays", "install", "chart", "alerts", "dashboards", "admission")
PROVIDERS = sorted(PLACES)


def objects(provider):
    """All objects of one installation."""
    return build(variant_of(find_provider(provider)))


def by_name(found):
    """Objects by what identifies them."""
    return {(one["kind"], one["metadata"].get("namespace"), one["metadata"]["name"]): one for one in found}


def pod_of(provider):
    """The Pod that the Deployment makes."""
    return by_name(objects(provider))["Deployment", "kube-system", "lbctl"]["spec"]["template"]["spec"]


def test_what_is_checked_in_is_what_the_code_says():
    """Every rendered file is fresh, and no other is among them: after a change, `make manifests`."""
    rendered = rendered_files(map(find_provider, known_providers()))
    present = {
        str(path.relative_to(MANIFESTS)): path.read_text()
        for folder in RENDERED
        for path in (MANIFESTS / folder).rglob("*")
        if path.is_file()
    }
    assert present == {name: text for name, text in rendered.items() if name.split("/")[0] in RENDERED}


def given_objects(*arguments):
    """What `lbctl manifests` prints for aws, by what identifies it."""
    said = lbctl("manifests", "--provider", "aws", "-o", "json", *arguments)
    assert said.code == 0, said.err
    return by_name(said.document["items"])


def test_the_owner_gives_image_and_settings(tmp_path):
    """`--image` and `--config` go into Deployment and ConfigMap, nothing else changes, and lbctl takes the file."""
    file = tmp_path / "mine.yaml"
    file.write_text("cluster: {name: prod}\naccounts: {main: {provider: aws, settings: {region: eu-west-1}}}")
    plain, mine = given_objects(), given_objects("--image", "registry.example.com/lbctl:1", "--config", str(file))
    changed = {key[0] for key in plain if plain[key] != mine[key]}
    assert (set(plain), changed) == (set(mine), {"ConfigMap", "Deployment"})
    pod = mine["Deployment", "kube-system", "lbctl"]["spec"]["template"]
    before = plain["Deployment", "kube-system", "lbctl"]["spec"]["template"]
    assert pod["spec"]["containers"][0]["image"] == "registry.example.com/lbctl:1"
    assert pod["metadata"]["annotations"] != before["metadata"]["annotations"]
    (text,) = mine["ConfigMap", "kube-system", "lbctl"]["data"].values()
    file.write_text(text)
    found = load(file=file, environ={}, flags={}).settings
    assert found.cluster.name == "prod"
    assert {name: (one.provider, one.settings) for name, one in found.accounts.items()} == {
        "main": ("aws", {"region": "eu-west-1"})
    }


def test_settings_of_the_owner_keep_what_the_installation_needs(tmp_path):
    """A file without accounts gets the cloud's own; one with an account of azure still reads the file of the Secret."""
    file = tmp_path / "mine.yaml"
    for text, name in (("queue: {workers: 8}", "azure"), ("accounts: {main: {provider: azure}}", "main")):
        file.write_text(text)
        said = lbctl("manifests", "--provider", "azure", "--config", str(file), "-o", "json")
        (written,) = by_name(said.document["items"])["ConfigMap", "kube-system", "lbctl"]["data"].values()
        account = yaml.safe_load(written)["accounts"]
        assert account == {name: {"provider": "azure", "settings": {"cloud_config": "/etc/lbctl/cloud/cloud-config"}}}


def test_settings_that_cannot_be_installed_are_refused_all_at_once(tmp_path):
    """Accounts of other drivers, another lease, secrets: exit code 4, and no secret is printed; so are unknown keys."""
    file = tmp_path / "mine.yaml"
    accounts = "accounts: {a: {provider: gce}, b: {provider: aws, settings: {secret_key: hush}}}"
    file.write_text(f"lease: {{name: other}}\n{accounts}")
    said = lbctl("manifests", "--provider", "aws", "--config", str(file))
    assert said.code == 4
    assert all(words in said.err for words in ("the account a", "lease kube-system/lbctl", "a secret"))
    assert "hush" not in said.out + said.err
    for text, nearest in (
        ("queue: {worker: 1}", "workers"),
        ("accounts: {a: {provider: aws, settings: {regoin: x}}}", "region"),
    ):
        file.write_text(text)
        said = lbctl("manifests", "--provider", "aws", "--config", str(file))
        assert (said.code, said.out) == (4, "")
        assert f"did you mean {nearest}?" in said.err


def test_every_driver_of_the_project_has_an_installation():
    """None is forgotten in the table."""
    assert set(known_providers()) == set(PLACES)


@pytest.mark.parametrize("provider", PROVIDERS)
def test_the_command_prints_what_is_checked_in(provider):
    """The folder and the command say the same, in YAML and as a List in JSON."""
    installed = list(yaml.safe_load_all((MANIFESTS / "install" / f"{provider}.yaml").read_text()))
    assert list(yaml.safe_load_all(lbctl("manifests", "--provider", provider).out)) == installed
    assert lbctl("manifests", "--provider", provider, "-o", "json").document["items"] == installed


def test_the_command_lists_names_and_a_table():
    """For scripts and for eyes."""
    assert "deployment/lbctl" in lbctl("manifests", "--provider", "aws", "-o", "name").out.split()
    assert lbctl("manifests", "--provider", "aws", "-o", "table").out.split()[:3] == ["KIND", "NAMESPACE", "NAME"]


def test_the_command_refuses_what_is_no_driver():
    """A misspelt driver is a configuration error with the nearest name; none at all is invalid input."""
    misspelt, none = lbctl("manifests", "--provider", "awz"), lbctl("manifests")
    assert (misspelt.code, none.code) == (4, 3)
    assert "did you mean aws?" in misspelt.err
    assert "--provider" in none.err


@pytest.mark.parametrize("provider", PROVIDERS)
def test_the_overlay_gives_the_same_objects(provider):
    """A kustomization makes of base and overlay what `lbctl manifests` prints."""
    kubectl = shutil.which("kubectl")
    if kubectl is None:
        pytest.skip("no kubectl here, which has kustomize in it")
    command = [kubectl, "kustomize", str(MANIFESTS / "overlays" / provider)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert by_name(yaml.safe_load_all(done.stdout)) == by_name(objects(provider))


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::urllib3.exceptions.InsecureRequestWarning")
@pytest.mark.parametrize("provider", PROVIDERS)
def test_an_api_server_takes_every_object(provider, kube):
    """Strict validation finds no unknown and no missing field, in a dry run of each object."""
    for one in objects(provider):
        kind = BY_TYPE[one["apiVersion"], one["kind"]]
        root = f"/apis/{one['apiVersion']}" if "/" in one["apiVersion"] else f"/api/{one['apiVersion']}"
        namespace = one["metadata"].get("namespace")
        scope = f"/namespaces/{namespace}" if namespace else ""
        where = f"{root}{scope}/{kind.resource}/{one['metadata']['name']}"
        query = "fieldManager=somebody&force=true&dryRun=All&fieldValidation=Strict"
        answer = kube.send("PATCH", f"{where}?{query}", one, Content_Type="application/apply-patch+yaml")
        assert answer.code in (200, 201), answer.body


@pytest.mark.parametrize("provider", PROVIDERS)
def test_no_object_needs_a_namespace_that_a_cluster_may_lack(provider):
    """An object in a namespace that is not there makes `kubectl apply` fail."""
    namespaces = {one["metadata"].get("namespace", "") for one in build(variant_of(find_provider(provider)))}
    assert namespaces <= {"", "kube-system"}


@pytest.mark.parametrize("provider", PROVIDERS)
def test_the_pod_can_do_no_harm(provider):
    """Not root, nothing written to its image, no capability, no new privileges, the runtime's seccomp profile."""
    pod = pod_of(provider)
    (container,) = pod["containers"]
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["runAsUser"] == pod["securityContext"]["runAsGroup"] == 65532
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert not pod.get("hostPID")
    assert not pod.get("hostIPC")
    assert not [volume for volume in pod["volumes"] if "hostPath" in volume]


@pytest.mark.parametrize("provider", PROVIDERS)
def test_the_pod_is_probed_ranked_and_runs_where_nothing_else_does_yet(provider):
    """Probes on the metrics port, a priority class, tolerations for new nodes and the control plane."""
    pod = pod_of(provider)
    (container,) = pod["containers"]
    assert container["livenessProbe"]["httpGet"] == {"path": "/healthz", "port": "metrics"}
    assert container["readinessProbe"]["httpGet"] == {"path": "/readyz", "port": "metrics"}
    assert pod["priorityClassName"] == "system-cluster-critical"
    assert "node.cloudprovider.kubernetes.io/uninitialized" in {one["key"] for one in pod["tolerations"]}


@pytest.mark.parametrize("provider", PROVIDERS)
def test_the_settings_are_what_lbctl_reads(provider, tmp_path):
    """The ConfigMap's file is accepted, with one account of this driver and its own settings checked."""
    settings = by_name(objects(provider))["ConfigMap", "kube-system", "lbctl"]["data"]["settings.yaml"]
    file = tmp_path / "settings.yaml"
    file.write_text(settings)
    said = lbctl("config", "show", "--config", str(file), "-o", "json")
    # The cloud's own file is the operator's, and not here.
    assert said.code == 0 or "cannot read /etc/lbctl/cloud/" in said.err, said.err
    found = {one["path"]: one["value"] for one in said.document["settings"]}
    assert found[f"accounts.{provider}.provider"] == provider
    assert found["lease.namespace"] == "kube-system"


def test_what_a_driver_watches_is_granted_to_that_driver_only():
    """EndpointSlices are in the roles exactly where the driver watches them, custom kinds where it refers to them."""
    for provider in PROVIDERS:
        roles = {one["metadata"]["name"] for one in objects(provider) if one["kind"] == "ClusterRole"}
        info = find_provider(provider)
        kinds = {name.partition(".")[0] for name in info.refers_to} - {SERVICES}
        assert roles == {"lbctl", *(f"lbctl-{watched}" for watched in {*info.watches, *kinds})}


def test_rights_on_pods_go_to_those_drivers_only_that_judge_gates():
    """Pods may be read, and their status be patched, exactly where the driver opens their gates; nothing else is."""
    wanted = {*((verb, "pods", "", "") for verb in ("get", "list", "watch")), ("patch", "pods/status", "", "")}
    for provider in PROVIDERS:
        on_pods = {right for right in granted(provider) if right[1].startswith("pods")}
        assert on_pods == (wanted if "pods" in find_provider(provider).watches else set())


def test_leases_of_others_are_bound_to_their_names():
    """A Lease that is only looked at may be read; one that is taken may be updated too, by name only."""
    info = replace(find_provider("azure"), controller_leases=("kube-system/ccm",), write_lease="kube-system/writer")
    found = by_name(build(variant_of(info)))
    reader = found["Role", "kube-system", "lbctl-lease-ccm"]["rules"]
    writer = found["Role", "kube-system", "lbctl-lease-writer"]["rules"]
    assert [(rule.get("resourceNames"), rule["verbs"]) for rule in reader] == [(["ccm"], ["get"])]
    assert [(rule.get("resourceNames"), rule["verbs"]) for rule in writer] == [(["writer"], ["get", "update"])]


def granted(provider):
    """Every right of an installation as (verb, resource with its group, namespace, name)."""
    return {
        (verb, f"{resource}.{group}" if group else resource, one["metadata"].get("namespace", ""), name)
        for one in objects(provider)
        for rule in one.get("rules", ())
        for verb in rule["verbs"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for name in rule.get("resourceNames", [""])
    }


@pytest.mark.parametrize("provider", PROVIDERS)
def test_the_doctor_asks_for_exactly_what_the_manifests_grant(provider):
    """Neither a right that nobody needs is given, nor one that is needed forgotten."""
    info = find_provider(provider)
    settings = decode(PLACES[provider].settings, info.settings, where="settings")
    needed = needed_rights([info], lease=("kube-system", "lbctl"), documents=info.documents(settings))
    asked = {
        (verb, target.right, target.namespace, target.name)
        for verb, target in needed
        # One in a namespace that a cluster may lack is asked for by the doctor, who warns, and granted by nobody.
        if target.namespace in ("", "kube-system")
    }
    assert asked == granted(provider)


def test_no_role_lets_a_service_itself_be_written():
    """Only its status may be patched, and nothing has a wildcard; a Secret is read by its name alone."""
    for provider in PROVIDERS:
        for one in objects(provider):
            for rule in one.get("rules", ()):
                assert "*" not in json.dumps(rule)
                if "secrets" in rule["resources"]:
                    assert rule["resourceNames"]
                    assert rule["verbs"] == ["get"]
                if "services" in rule["resources"]:
                    assert set(rule["verbs"]) == {"get", "list", "watch"}
