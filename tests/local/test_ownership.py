"""Refused configuration, drift, and what is not ours."""

from __future__ import annotations

import json
import socket
from pathlib import Path

import msgspec
import pytest

from lbctl_local.dataplane import Change
from lbctl_local.names import MARK
from tests.local.gateway import NET, Gateway, ask, echoes
from tests.world import service

NODE_PORT = 30080


@pytest.fixture
def served(gateway: Gateway):
    """A gateway with one served Service."""
    with echoes(NODE_PORT, "n1", "n2"):
        gateway.apply(service(ports=(80,), load_balancer_ip=f"{NET}.64.5"))
        yield gateway


def entries(path: Path) -> list[dict]:
    """Entries of a discovery file."""
    return json.loads(path.read_text())["resources"]


def put_entries(path: Path, resources: list[dict]) -> None:
    """Replace a discovery file behind lbctl's back, as an administrator would."""
    draft = path.with_suffix(".by-hand")
    draft.write_bytes(msgspec.json.encode({"version_info": "by hand", "resources": resources}))
    draft.replace(path)


def test_a_port_in_use_is_told_and_hurts_nobody(served: Gateway):
    """A port that another program has is told with Envoy's reason; neighbours go on, also in the same file later."""
    with socket.socket() as other:
        other.bind((f"{NET}.64.6", 80))
        other.listen()
        served.apply(service("blocked", ports=(80,), load_balancer_ip=f"{NET}.64.6"))
        assert "Address already in use" in served.condition("blocked").message
        assert ask(f"{NET}.64.5", 80)
        served.apply(service("later", ports=(80,), load_balancer_ip=f"{NET}.64.7"))
        assert ask(f"{NET}.64.7", 80)
        assert not any(f"{NET}.64.6" in entry["name"] for entry in entries(served.root / "lds.json"))
    served.crash()
    served.settle()
    assert ask(f"{NET}.64.6", 80)


def test_a_refused_entry_is_rejected_with_envoys_reason_and_taken_back(served: Gateway):
    """Of two changes in one write the bad one comes back as `Rejected` with Envoy's words, the good one is taken."""
    plane = served.driver._data_plane
    good = entries(served.root / "cds.json")[0] | {"name": "good"}
    bad = good | {"name": "bad", "load_assignment": {"cluster_name": "bad", "endpoints": [BAD_ENDPOINT]}}
    outcomes: dict = {}
    handles = [plane.submit(Change({name: entry})) for name, entry in (("blank", None), ("good", good), ("bad", bad))]
    served.until(lambda: outcomes.update(plane.poll(handles)) or len(outcomes) == 3)
    assert outcomes[handles[1]] is None
    assert outcomes[handles[2]].reason == "Rejected"
    assert "not-an-ip" in str(outcomes[handles[2]])
    assert {entry["name"] for entry in entries(served.root / "cds.json")} >= {"good"}
    assert "bad" not in {entry["name"] for entry in entries(served.root / "cds.json")}
    assert ask(f"{NET}.64.5", 80)


BAD_ENDPOINT = {
    "lb_endpoints": [{"endpoint": {"address": {"socket_address": {"address": "not-an-ip", "port_value": 1}}}}]
}


def test_edited_and_missing_entries_are_repaired(served: Gateway):
    """An entry that somebody edited or removed is as it was after the next look."""
    listeners, clusters = served.root / "lds.json", served.root / "cds.json"
    edited = entries(clusters)
    edited[0]["connect_timeout"] = "1s"
    put_entries(clusters, edited)
    put_entries(listeners, [])
    served.until(lambda: ask(f"{NET}.64.5", 80) == "")
    assert served.plans() != []
    served.crash()
    served.settle()
    assert entries(clusters)[0]["connect_timeout"] == "3s"
    assert ask(f"{NET}.64.5", 80)
    assert served.plans() == []


def test_bystanders_survive_everything(build):
    """Entries of an administrator and of another cluster in the same Envoy outlive create, change and delete."""
    ours, theirs = build(cluster="ours"), build(cluster="theirs", first_uid=100_000)
    with echoes(NODE_PORT, "n1", "n2"):
        theirs.apply(service("theirs", ports=(80,), load_balancer_ip=f"{NET}.64.20"))
        by_hand = entries(theirs.root / "lds.json")[0] | {"name": "by-hand", "metadata": {}}
        by_hand["address"]["socket_address"]["address"] = f"{NET}.64.21"
        put_entries(theirs.root / "lds.json", [*entries(theirs.root / "lds.json"), by_hand])
        ours.crash()
        ours.apply(service("web", ports=(80,)))
        assert ask(ours.addresses()[0], 80)
        ours.apply(service("greedy", ports=(80,), load_balancer_ip=f"{NET}.64.20"))
        assert "shop/theirs of cluster theirs" in ours.condition("greedy").message
        for name in ("web", "greedy"):
            ours.delete(name)
        assert ask(f"{NET}.64.20", 80)
        assert ask(f"{NET}.64.21", 80)
        assert {entry["name"].partition("/")[0] for entry in entries(theirs.root / "lds.json")} == {
            "by-hand",
            entries(theirs.root / "cds.json")[0]["name"].partition("/")[0],
        }
        theirs.crash()
        assert theirs.plans() == []


def test_a_released_balancer_serves_on_and_is_nobodys(served: Gateway):
    """With deletion policy `retain` the deleted Service's port goes on serving, and lbctl does not touch it again."""
    served.annotate("web", {"lbctl.io/deletion-policy": "retain"})
    served.delete("web")
    assert not served.exists()
    assert ask(f"{NET}.64.5", 80)
    marks = entries(served.root / "lds.json")[0]["metadata"]["filter_metadata"][MARK]
    assert marks["cluster"] != "cluster-1"
    served.crash()
    served.settle()
    assert served.plans() == []
    assert ask(f"{NET}.64.5", 80)
