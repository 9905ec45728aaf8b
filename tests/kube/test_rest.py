"""Requests to an API server: credentials, refusals, and what has no answer."""

from __future__ import annotations

import http.server
import random
import threading

import pytest
import yaml

from lbctl import __version__
from lbctl.clock import ManualClock
from lbctl.errors import InvalidSettings, KubeConflict, KubeDenied, KubeGone, KubeThrottled, KubeUnreachable
from lbctl.kube.access import Access
from lbctl.kube.election import Election
from lbctl.kube.fence import LeaseFence
from lbctl.kube.reads import Cluster
from lbctl.kube.rest import Rest
from lbctl.kube.target import NAMESPACES, NODES, SERVICES, Target
from tests.kube.conftest import FINALIZER, connect, create_service, patch_service

SECRET = "not-a-token-anybody-should-read"
READER = {
    "kind": "ClusterRole",
    "rules": [
        {"apiGroups": [""], "resources": ["services"], "verbs": ["get"]},
        {"apiGroups": ["authorization.k8s.io"], "resources": ["selfsubjectaccessreviews"], "verbs": ["create"]},
    ],
}


def test_a_server_tells_its_version_and_its_identity(rest):
    """Version and uid of the cluster are read from the server, and stay the same."""
    cluster = Cluster(rest)
    assert cluster.get_version().startswith("v1.")
    assert len(cluster.get_cluster_uid()) == 36
    assert cluster.get_cluster_uid() == cluster.get_cluster_uid()


def test_a_service_is_read_live(rest, namespace):
    """A Service that exists is returned as it is, a missing one is None."""
    service = create_service(rest, namespace)
    assert Cluster(rest).get_service(namespace, "web") == service
    assert Cluster(rest).get_service(namespace, "other") is None


@pytest.mark.parametrize(("resource", "stored"), [("secrets", "dmFsdWU="), ("configmaps", "value")])
def test_a_document_is_read_as_text(rest, namespace, resource, stored):
    """The entries of a Secret are decoded, those of a ConfigMap are as they are; a missing one is None."""
    target = Target(resource=resource, namespace=namespace)
    rest.send("create", target, body={"metadata": {"name": "cloud"}, "data": {"key": stored}})
    assert Cluster(rest).get_document(f"{resource}/{namespace}/cloud") == {"key": "value"}
    assert Cluster(rest).get_document(f"{resource}/{namespace}/other") is None


def test_all_services_are_listed_whatever_their_type(own, api):
    """More than a page of Services, of every type: this is how a forgotten finalizer is found."""
    api.store.seed(
        {"apiVersion": "v1", "kind": "Service", "metadata": {"name": f"s{number}"}, "spec": {"ports": [{"port": 1}]}}
        for number in range(700)
    )
    service = create_service(own, "default", finalizers=(FINALIZER,))
    changed = patch_service(own, service, {"spec": {"type": "ClusterIP"}})
    found = list(Cluster(own).list_services())
    assert len(found) == 702
    assert changed in found
    assert api.journal.count("list") == 2


def test_the_writer_of_the_ingress_is_named(rest, namespace):
    """Whoever wrote status.loadBalancer last is read from the managed fields."""
    service = create_service(rest, namespace)
    assert Cluster(rest).get_ingress_owner(service) == ""
    target = SERVICES.one("web", namespace=namespace, subresource="status")
    for address, manager in (("192.0.2.1", "lbctl"), ("192.0.2.2", "metallb")):
        body = {"status": {"loadBalancer": {"ingress": [{"ip": address}]}}}
        kind = "application/merge-patch+json"
        rest.send("patch", target, body=body, content_type=kind, query={"fieldManager": manager})
    assert Cluster(rest).get_ingress_owner(service) == "metallb"


def test_rights_are_asked_of_the_server(api, tmp_path):
    """A preflight learns what the identity may do, without trying."""
    reader = Cluster(connect(api.kubeconfig(api.users.add("reader", [READER])), tmp_path))
    assert reader.can_i("get", SERVICES.one("web", namespace="default"))
    assert not reader.can_i("patch", SERVICES.one("web", namespace="default", subresource="status"))


def test_a_missing_right_names_what_to_grant(api, tmp_path):
    """403 becomes a sentence with verb, resource and namespace."""
    reader = connect(api.kubeconfig(api.users.add("reader", [READER])), tmp_path)
    with pytest.raises(KubeDenied, match=r"Grant the verb create on services in namespace default"):
        create_service(reader, "default")


def test_credentials_that_were_renewed_in_the_file_are_taken(api, tmp_path):
    """A refused token costs one look into the kubeconfig, not the process."""
    rest = connect(api.kubeconfig(SECRET), tmp_path)
    (tmp_path / "kubeconfig").write_text(api.kubeconfig())
    assert rest.get(NAMESPACES.one("default"))
    assert [line.code for line in api.journal.lines(verb="get")] == [401, 200]


@pytest.mark.parametrize("left", ["apiVersion: v1\nclusters: [", None])
def test_a_kubeconfig_that_is_being_written_is_looked_at_again(api, tmp_path, left):
    """Half a file, or none for a moment, refuses one request and nothing more: no thread ends of it."""
    rest = connect(api.kubeconfig(SECRET), tmp_path)
    file = tmp_path / "kubeconfig"
    file.unlink()
    if left is not None:
        file.write_text(left)
    with pytest.raises(KubeDenied, match=r"could not be renewed: cannot (use|read) the kubeconfig"):
        rest.get(NAMESPACES.one("default"))
    file.write_text(api.kubeconfig())
    assert rest.get(NAMESPACES.one("default"))


class ProxyPage(http.server.BaseHTTPRequestHandler):
    """Answers everything with a page, as a captive proxy does."""

    def do_GET(self) -> None:
        """One page."""
        self.send_response(200)
        self.send_header("Content-Length", "13")
        self.end_headers()
        self.wfile.write(b"<html></html>")

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def behind_a_proxy(tmp_path):
    """Requests that only reach a proxy."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), ProxyPage) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        cluster = {"server": f"http://127.0.0.1:{server.server_address[1]}"}
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "a", "cluster": cluster}],
            "users": [{"name": "a", "user": {"token": "a"}}],
            "contexts": [{"name": "a", "context": {"cluster": "a", "user": "a"}}],
            "current-context": "a",
        }
        yield connect(yaml.safe_dump(config), tmp_path)
        server.shutdown()
        thread.join()


@pytest.mark.parametrize(
    "read",
    [
        lambda cluster: cluster.get_service("default", "web"),
        lambda cluster: list(cluster.list_nodes()),
        lambda cluster: cluster.get_lease("lbctl", namespace="kube-system"),
        lambda cluster: cluster.get_version(),
    ],
    ids=["service", "nodes", "lease", "version"],
)
def test_a_page_of_a_proxy_is_no_answer(behind_a_proxy, read):
    """It is an error of the network like any other, which everybody repeats."""
    with pytest.raises(KubeUnreachable, match="the answer cannot be read"):
        read(Cluster(behind_a_proxy))


def test_a_candidate_outlives_a_page_of_a_proxy(behind_a_proxy):
    """It goes on to stand for election."""
    clock = ManualClock()
    fence = LeaseFence(clock)
    election = Election(rest=behind_a_proxy, clock=clock, rng=random.Random(1), fence=fence, identity="first")
    assert election.step() > 0
    assert not election.leading.is_set()


def test_credentials_that_stay_refused_are_an_error_without_the_secret(api, tmp_path):
    """One retry, then the operator is told; the token appears nowhere."""
    rest = connect(api.kubeconfig(SECRET), tmp_path)
    with pytest.raises(KubeDenied, match="Renew the credentials") as caught:
        rest.get(NODES.one("a"))
    assert SECRET not in str(caught.value)
    assert api.journal.count("get", 401) == 2


@pytest.mark.parametrize(
    ("code", "kind"), [(500, KubeUnreachable), (503, KubeUnreachable), (409, KubeConflict), (429, KubeThrottled)]
)
def test_refusals_are_not_retried(own, api, code, kind):
    """What to do after a refusal is the caller's decision: each costs one request."""
    api.faults.answer(code, verb="get", path="/nodes/", retry_after_seconds=3)
    with pytest.raises(kind):
        own.get(NODES.one("a"))
    assert len(api.journal.lines(verb="get", containing="/nodes/")) == 1


def test_a_lost_answer_is_reported_and_not_sent_again(own, api):
    """After a write without an answer only the caller can find out whether it was done."""
    api.faults.lose_answer(verb="create")
    with pytest.raises(KubeUnreachable, match="cannot create services default: the connection broke"):
        create_service(own, "default")
    assert Cluster(own).get_service("default", "web") is not None


def test_a_silent_server_is_given_up(own, api):
    """A request waits for its answer for as long as it was told."""
    api.faults.delay(30.0, verb="get")
    with pytest.raises(KubeUnreachable, match="no answer from the server in time"):
        own.send("get", NODES.one("a"), read_seconds=0.1)


def test_a_refused_connection_reads_alike_each_time(own, api):
    """The sentence holds the server's address, no port of ours and no address of an object, so that events merge."""
    with api.faults.unreachable():
        sentences = set()
        for _ in range(2):
            with pytest.raises(KubeUnreachable) as caught:
                own.get(NODES.one("a"))
            sentences.add(str(caught.value))
    assert len(sentences) == 1
    assert f"cannot get nodes a: no connection to the server ({api.url}, context sandbox). Check" in sentences.pop()


def test_an_address_is_named_without_what_is_secret_in_it(api, tmp_path):
    """Credentials in the server's URL are not part of the sentence."""
    url = api.url.replace("https://", f"https://me:{SECRET}@")
    rest = connect(api.kubeconfig().replace(api.url, url), tmp_path)
    with api.faults.unreachable(), pytest.raises(KubeUnreachable, match=f"{api.url}, context") as caught:
        rest.get(NODES.one("a"))
    assert SECRET not in str(caught.value)


def test_a_missing_object_is_gone(own):
    """404 is KubeGone, with the server's words."""
    with pytest.raises(KubeGone, match='nodes "a" not found'):
        own.get(NODES.one("a"))


def test_requests_keep_to_the_rate(api, tmp_path):
    """70 requests at 20 a second after a burst of 30 take two seconds."""
    path = tmp_path / "kubeconfig"
    path.write_text(api.kubeconfig())
    clock = ManualClock()
    rest = Rest(Access(kubeconfig=str(path)), clock)
    for _ in range(70):
        rest.get(NAMESPACES.one("default"))
    assert clock.monotonic() == pytest.approx(2.0)


def test_we_say_who_we_are(own, api):
    """Every request carries our name and version."""
    own.get(NAMESPACES.one("default"))
    assert api.journal.lines(verb="get")[-1].user_agent == f"lbctl/{__version__}"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "Invalid kube-config"),
        ("{", "expected the node content"),
        ("apiVersion: v1\nkind: Config\n", "Invalid kube-config"),
        (
            yaml.safe_dump({"current-context": "x", "contexts": [], "clusters": [], "users": []}),
            "Expected object with name x",
        ),
    ],
)
def test_a_broken_kubeconfig_is_named(tmp_path, text, said):
    """The file, what is wrong with it, and what to do."""
    path = tmp_path / "broken"
    path.write_text(text)
    with pytest.raises(InvalidSettings) as caught:
        Rest(Access(kubeconfig=str(path)), ManualClock())
    assert str(path) in str(caught.value)
    assert said in str(caught.value)
    assert "kubectl config view" in caught.value.hint


def test_a_missing_kubeconfig_is_named(tmp_path):
    """The file and how to name another one."""
    with pytest.raises(InvalidSettings, match=r"/none: there is no such file.*--kubeconfig"):
        Rest(Access(kubeconfig=str(tmp_path / "none")), ManualClock())


def test_a_missing_context_is_named(api, tmp_path):
    """The file and the context that is not in it."""
    path = tmp_path / "kubeconfig"
    path.write_text(api.kubeconfig())
    with pytest.raises(InvalidSettings, match="kubeconfig, context nowhere"):
        Rest(Access(kubeconfig=str(path), context="nowhere"), ManualClock())


def test_inside_of_a_pod_without_account_the_account_is_asked_for(monkeypatch):
    """Without a kubeconfig in a cluster, what is missing is the service account's token."""
    monkeypatch.delenv("KUBECONFIG", raising=False)
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "127.0.0.1")
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", "1")
    with pytest.raises(InvalidSettings, match="cannot use the pod's service account"):
        Rest(Access(), ManualClock())
