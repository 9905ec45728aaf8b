"""Faults happen when and where a test wants them, and what was done stays done."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import pytest
from azure.core.exceptions import HttpResponseError, ServiceRequestError, ServiceResponseError

from tests.azure.bodies import PUBLIC_IP
from tests.clouds.azure.client import network_client, send
from tests.clouds.azure.faults import Delay, Drop, Fault, Hold, Refuse
from tests.clouds.azure.server import ArmServer
from tests.clouds.azure.world import World

if TYPE_CHECKING:
    from tests.azure.conftest import HandClock

VERSION = "?api-version=2025-05-01"
WRITE_IP = "Microsoft.Network/publicIPAddresses/write"
CUT = (ServiceRequestError, ServiceResponseError)


def create(network: Any, world: World, name: str) -> Any:
    """The answer to the creation of an address."""
    return send(network, "PUT", f"{world.id('publicIPAddresses', name)}{VERSION}", body=PUBLIC_IP)


def names(world: World) -> list[str]:
    """The names of all addresses there are."""
    return [identity.rpartition("/")[2] for identity in world.state() if "/publicIPAddresses/" in identity]


def test_the_nth_call_of_one_kind_is_refused(arm: ArmServer, network: Any, world: World) -> None:
    """Only the second creation of an address fails, as told; nothing of it is done."""
    arm.faults.add(Fault(Refuse(503, "ServiceUnavailable", headers={"Retry-After": "9"}), action=WRITE_IP, skip=1))
    answers = [create(network, world, name) for name in ("one", "two", "three")]
    assert [answer.status_code for answer in answers] == [201, 503, 201]
    assert answers[1].headers["Retry-After"] == "9"
    assert names(world) == ["one", "three"]


def test_the_sdk_sees_an_injected_refusal_as_the_clouds(arm: ArmServer, network: Any, world: World) -> None:
    """Code and message arrive in the SDK's exception."""
    arm.faults.add(Fault(Refuse(429, "TooManyRequests", "Slow down.", {"Retry-After": "30"})))
    with pytest.raises(HttpResponseError) as refused:
        list(network.public_ip_addresses.list("cluster-rg"))
    assert refused.value.error.code == "TooManyRequests"
    assert refused.value.response.headers["Retry-After"] == "30"


def test_an_answer_can_be_lost_after_the_write(arm: ArmServer, network: Any, world: World) -> None:
    """The client sees a cut connection, and the address is there."""
    arm.faults.add(Fault(Drop(after_write=True), action=WRITE_IP))
    with pytest.raises(CUT):
        create(network, world, "web")
    assert names(world) == ["web"]


def test_a_connection_can_be_cut_before_the_write(arm: ArmServer, network: Any, world: World) -> None:
    """The client sees the same, and nothing was done."""
    arm.faults.add(Fault(Drop(), method="PUT", path="/publicIPAddresses/web"))
    with pytest.raises(CUT):
        create(network, world, "web")
    assert names(world) == []
    assert arm.journal.calls[-1].status == 0


@pytest.mark.parametrize(("after", "left"), [(False, ["one"]), (True, ["one", "two"])])
def test_the_client_dies_at_a_certain_write(
    arm: ArmServer, network: Any, world: World, *, after: bool, left: list[str]
) -> None:
    """From its second write on the client reaches nothing, reads included, until it is started afresh."""
    told = threading.Event()
    arm.faults.die(at_write=2, after=after, tell=told.set)
    create(network, world, "one")
    send(network, "GET", f"{world.network}{VERSION}")
    with pytest.raises(CUT):
        create(network, world, "two")
    with pytest.raises(CUT):
        send(network, "GET", f"{world.network}{VERSION}")
    assert told.is_set()
    assert arm.faults.died
    assert names(world) == left
    arm.faults.clear()
    assert create(network, world, "three").status_code == 201


def test_a_held_call_does_not_hold_up_others(arm: ArmServer, network: Any, world: World) -> None:
    """While one creation waits, another is answered; released, the first is done as well."""
    gate = threading.Event()
    arm.faults.add(Fault(Hold(gate), path="/slow"))
    answers: list[Any] = []
    slow = threading.Thread(target=lambda: answers.append(create(network, world, "slow")))
    slow.start()
    assert create(network, world, "quick").status_code == 201
    assert names(world) == ["quick"]
    gate.set()
    slow.join()
    assert answers[0].status_code == 201
    assert names(world) == ["quick", "slow"]


def test_a_delayed_call_is_answered_in_the_end(arm: ArmServer, network: Any, world: World) -> None:
    """A delay changes nothing but the time."""
    arm.faults.add(Fault(Delay(0.05), action=WRITE_IP))
    assert create(network, world, "web").status_code == 201


def test_reads_can_lag_behind_writes(arm: ArmServer, network: Any, world: World, clock: HandClock) -> None:
    """For the time of the lag reads show what was before, lists too, while ETags are compared with the truth."""
    old = create(network, world, "kept").json()
    arm.arm.views.lag_seconds = 5.0
    create(network, world, "new")
    tagged = {**PUBLIC_IP, "tags": {"a": "b"}}
    kept = f"{world.id('publicIPAddresses', 'kept')}{VERSION}"
    send(network, "PUT", kept, body=tagged)
    assert send(network, "GET", f"{world.id('publicIPAddresses', 'new')}{VERSION}").status_code == 404
    assert send(network, "GET", kept).json()["etag"] == old["etag"]
    assert [item.name for item in network.public_ip_addresses.list("cluster-rg")] == ["kept"]
    stale = send(network, "PUT", kept, body=tagged, headers={"If-Match": old["etag"]})
    assert stale.status_code == 412
    clock.advance(5)
    assert send(network, "GET", kept).json()["tags"] == {"a": "b"}
    assert [item.name for item in network.public_ip_addresses.list("cluster-rg")] == ["kept", "new"]


def use_a_broken_endpoint() -> None:
    """Asks an endpoint whose quotas are gone for an address."""
    with ArmServer() as broken:
        world = World(broken.cloud)
        broken.cloud.quotas = None  # type: ignore[assignment]  # whatever looks at a quota breaks
        with network_client(broken.url) as client:
            assert create(client, world, "web").status_code == 500


def test_a_fault_of_the_endpoint_itself_fails_the_test() -> None:
    """What breaks in the endpoint is a 500 for the client, and is raised where the endpoint is left."""
    with pytest.raises(AttributeError, match="public_ips"):
        use_a_broken_endpoint()


def test_a_removal_can_lag_as_well(arm: ArmServer, network: Any, world: World, clock: HandClock) -> None:
    """A deleted address is shown until the lag is over."""
    create(network, world, "web")
    arm.arm.views.lag_seconds = 5.0
    target = f"{world.id('publicIPAddresses', 'web')}{VERSION}"
    assert send(network, "DELETE", target).status_code == 202
    assert send(network, "GET", target).status_code == 200
    assert [item.name for item in network.public_ip_addresses.list("cluster-rg")] == ["web"]
    clock.advance(5)
    assert send(network, "GET", target).status_code == 404
    assert list(network.public_ip_addresses.list("cluster-rg")) == []
