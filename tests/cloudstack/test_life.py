"""The life of a Service over HTTP, seen from what the cloud holds and what its router serves."""

from __future__ import annotations

from tests.clouds.cloudstack.topology import picture
from tests.cloudstack.stage import Stage
from tests.world import service


def test_a_service_is_served_on_an_address_of_its_own_and_leaves_nothing(stage: Stage):
    """Two ports get a free address, are served by all nodes for everybody, and the cloud is as before once they go."""
    before = picture(stage.cloud)
    stage.apply(service(ports=(80, 443)))
    assert {port: (s["protocol"], s["algorithm"], s["admits"]) for port, s in stage.served().items()} == {
        80: ("tcp", "roundrobin", ["0.0.0.0/0"]),
        443: ("tcp", "roundrobin", ["0.0.0.0/0"]),
    }
    assert stage.served()[80]["members"] == stage.machine_ids("n1", "n2")
    assert stage.condition().reason == "Ready"
    assert stage.plans() == []
    stage.delete("web")
    assert not stage.exists()
    assert picture(stage.cloud) == before
    assert stage.plans() == []
