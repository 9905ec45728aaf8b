"""kubectl works on the embedded server as on any cluster: nothing needs `--validate=false`."""

from __future__ import annotations

import json
import shutil
import subprocess
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.kube_servers import Kube

pytestmark = pytest.mark.skipif(shutil.which("kubectl") is None, reason="no kubectl on this machine's PATH")
WEB = """
apiVersion: v1
kind: Service
metadata: {name: web}
spec:
  type: LoadBalancer
  selector: {app: web}
  ports: [{name: http, port: 80}, {name: https, port: 443}]
"""
INSTALLATION = """
apiVersion: v1
kind: Namespace
metadata: {name: demo}
---
apiVersion: v1
kind: ServiceAccount
metadata: {name: controller, namespace: demo}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: "demo:controller"}
rules:
- {apiGroups: [""], resources: [services, nodes], verbs: [get, list, watch]}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: "demo:controller"}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: "demo:controller"}
subjects: [{kind: ServiceAccount, name: controller, namespace: demo}]
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: controller, namespace: demo}
spec:
  replicas: 2
  selector: {matchLabels: {app: controller}}
  template:
    metadata: {labels: {app: controller}}
    spec:
      serviceAccountName: controller
      containers:
      - name: controller
        image: example.com/controller:1
        ports: [{name: metrics, containerPort: 9090}]
        resources: {requests: {cpu: 10m, memory: 64Mi}}
---
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata: {name: controller, namespace: demo}
spec: {maxUnavailable: 1, selector: {matchLabels: {app: controller}}}
---
apiVersion: v1
kind: Service
metadata: {name: metrics, namespace: demo}
spec: {selector: {app: controller}, ports: [{name: metrics, port: 9090, targetPort: metrics}]}
"""


@pytest.fixture
def kubectl(server: Kube, tmp_path: Path) -> Callable[..., str]:
    """Runs kubectl against a fresh server; a failure is the test's."""
    config = tmp_path / "config"
    config.write_text(server.kubeconfig())

    def run(*arguments: str, stdin: str = "") -> str:
        command = ["kubectl", f"--kubeconfig={config}", f"--cache-dir={tmp_path / 'cache'}", *arguments]
        done = subprocess.run(command, input=stdin, capture_output=True, text=True, check=False, timeout=60)
        assert done.returncode == 0, (arguments, done.stdout, done.stderr)
        return done.stdout

    return run


def shown(kubectl: Callable[..., str], *what: str) -> Any:
    """What `kubectl get` says as JSON."""
    return json.loads(kubectl("get", *what, "-o", "json"))


def test_apply_creates_changes_and_leaves_alone(kubectl: Callable[..., str]) -> None:
    """A client-side apply is created, then unchanged, then configured, and what it no longer names is gone."""
    assert kubectl("apply", "-f", "-", stdin=WEB) == "service/web created\n"
    assert kubectl("apply", "-f", "-", stdin=WEB) == "service/web unchanged\n"
    assert kubectl("apply", "-f", "-", stdin=WEB.replace("443", "8443")) == "service/web configured\n"
    assert [port["port"] for port in shown(kubectl, "svc", "web")["spec"]["ports"]] == [80, 8443]


def test_server_side_apply_takes_over_from_client_side(kubectl: Callable[..., str]) -> None:
    """The same manifest applied the other way keeps the object and moves its fields to the new manager."""
    kubectl("apply", "-f", "-", stdin=WEB)
    before = shown(kubectl, "svc", "web")
    assert kubectl("apply", "--server-side", "-f", "-", stdin=WEB) == "service/web serverside-applied\n"
    after = shown(kubectl, "svc", "web", "--show-managed-fields")
    assert after["metadata"]["uid"] == before["metadata"]["uid"]
    assert after["spec"] == before["spec"]
    assert ("kubectl", "Apply") in {(it["manager"], it["operation"]) for it in after["metadata"]["managedFields"]}


def test_a_table_shows_type_addresses_and_ports(kubectl: Callable[..., str]) -> None:
    """`kubectl get` prints the columns of a Service, pending until there is an address."""
    kubectl("apply", "-f", "-", stdin=WEB)
    head, *rows = kubectl("get", "svc", "-o", "wide").splitlines()
    assert head.split() == ["NAME", "TYPE", "CLUSTER-IP", "EXTERNAL-IP", "PORT(S)", "AGE", "SELECTOR"]
    assert next(row for row in rows if row.startswith("web")).split()[3] == "<pending>"


def test_wait_sees_the_address_that_patch_writes(kubectl: Callable[..., str]) -> None:
    """A status patch is what `kubectl wait` waits for and what `kubectl get` prints."""
    kubectl("apply", "-f", "-", stdin=WEB)
    status = {"status": {"loadBalancer": {"ingress": [{"ip": "192.0.2.1"}]}}}
    kubectl("patch", "svc", "web", "--subresource=status", "--type=merge", "-p", json.dumps(status))
    path = "jsonpath={.status.loadBalancer.ingress[0].ip}=192.0.2.1"
    assert kubectl("wait", "svc/web", f"--for={path}", "--timeout=10s") == "service/web condition met\n"
    assert "192.0.2.1" in kubectl("get", "svc", "web")


def test_annotate_and_label_change_the_metadata(kubectl: Callable[..., str]) -> None:
    """Both commands write, and remove again with a dash."""
    kubectl("apply", "-f", "-", stdin=WEB)
    kubectl("annotate", "svc", "web", "lbctl.io/a=b")
    kubectl("label", "svc", "web", "c=d")
    metadata = shown(kubectl, "svc", "web")["metadata"]
    assert (metadata["annotations"]["lbctl.io/a"], metadata["labels"]) == ("b", {"c": "d"})
    kubectl("label", "svc", "web", "c-")
    assert not shown(kubectl, "svc", "web")["metadata"].get("labels")


def test_describe_shows_the_events_of_a_service(kubectl: Callable[..., str], server: Kube) -> None:
    """An Event that is about the Service is found by uid and printed."""
    kubectl("apply", "-f", "-", stdin=WEB)
    uid = shown(kubectl, "svc", "web")["metadata"]["uid"]
    about = {"kind": "Service", "namespace": "default", "name": "web", "uid": uid, "apiVersion": "v1"}
    seen = {"firstTimestamp": "2026-01-01T00:00:00Z", "lastTimestamp": "2026-01-01T00:00:00Z", "count": 1}
    event = {"metadata": {"name": "e"}, "involvedObject": about, "reason": "Ensured", "message": "all well"} | seen
    path = "/api/v1/namespaces/default/events"
    assert server.send("POST", path, event | {"type": "Normal", "source": {"component": "lbctl"}}).code == 201
    told = kubectl("describe", "svc", "web")
    assert "Ensured" in told
    assert "all well" in told
    assert "External Traffic Policy:  Cluster" in told


def test_an_installation_applies_as_a_whole(kubectl: Callable[..., str], server: Kube) -> None:
    """Namespace, RBAC, Deployment, budget and Service of one file are created; the second time changes none."""
    assert kubectl("apply", "-f", "-", stdin=INSTALLATION).count(" created") == 7
    assert server.embedded is not None
    before = server.embedded.store.revision()
    kubectl("apply", "-f", "-", stdin=INSTALLATION)
    assert server.embedded.store.revision() == before
    assert kubectl("apply", "--server-side", "-f", "-", stdin=INSTALLATION).count(" serverside-applied") == 7
    assert "0/2" in kubectl("get", "deployment", "controller", "-n", "demo")


def test_deleting_a_namespace_removes_what_is_in_it(kubectl: Callable[..., str], server: Kube) -> None:
    """The command returns when the namespace is gone, and so are its objects."""
    kubectl("apply", "-f", "-", stdin=INSTALLATION)
    kubectl("delete", "namespace", "demo", "--timeout=20s")
    assert server.send("GET", "/apis/apps/v1/namespaces/demo/deployments").body["items"] == []


def test_a_finalizer_holds_a_namespace_open(kubectl: Callable[..., str], server: Kube) -> None:
    """A namespace ends only when the last held object in it does."""
    kubectl("create", "namespace", "held")
    kubectl("create", "configmap", "c", "-n", "held")
    kubectl("patch", "configmap", "c", "-n", "held", "-p", '{"metadata":{"finalizers":["a.io/x"]}}')
    kubectl("delete", "namespace", "held", "--wait=false")
    assert server.send("GET", "/api/v1/namespaces/held").body["status"]["phase"] == "Terminating"
    kubectl("patch", "configmap", "c", "-n", "held", "--type=merge", "-p", '{"metadata":{"finalizers":null}}')
    kubectl("wait", "--for=delete", "namespace/held", "--timeout=20s")
    assert server.send("GET", "/api/v1/namespaces/held").code == 404


def test_typed_commands_create_what_they_say(kubectl: Callable[..., str]) -> None:
    """Commands that send protobuf make the same objects as manifests would."""
    kubectl("create", "deployment", "d", "--image=nginx", "--replicas=0", "--port=80")
    kubectl("expose", "deployment", "d", "--type=LoadBalancer", "--port=80", "--name=web")
    kubectl("create", "secret", "generic", "s", "--from-literal=a=b")
    kubectl("create", "service", "loadbalancer", "other", "--tcp=80:8080", "--tcp=443:https")
    deployment = shown(kubectl, "deployment", "d")
    assert deployment["spec"]["replicas"] == 0
    assert deployment["spec"]["template"]["spec"]["containers"][0]["ports"] == [{"containerPort": 80}]
    assert shown(kubectl, "secret", "s")["data"] == {"a": "Yg=="}
    ports = [(port["port"], port["targetPort"]) for port in shown(kubectl, "svc", "other")["spec"]["ports"]]
    assert ports == [(80, 8080), (443, "https")]
    assert shown(kubectl, "svc", "web")["spec"]["selector"] == {"app": "d"}


def test_a_wrong_manifest_is_refused_before_it_is_sent(server: Kube, tmp_path: Path) -> None:
    """Kubectl finds an unknown field by the schemas that the server publishes."""
    config = tmp_path / "config"
    config.write_text(server.kubeconfig())
    command = ["kubectl", f"--kubeconfig={config}", f"--cache-dir={tmp_path / 'cache'}", "apply", "-f", "-"]
    wrong = WEB.replace("type:", "tpye:")
    done = subprocess.run(command, input=wrong, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode != 0
    assert 'unknown field "spec.tpye"' in done.stderr
