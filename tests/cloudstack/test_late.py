"""An address that the server hands out after its Service was deleted comes back with the Service still there."""

from __future__ import annotations

import pytest

from tests.clouds.cloudstack.faults import Fault, How, Moment
from tests.clouds.cloudstack.objects import Rule
from tests.clouds.cloudstack.topology import add_network, add_tier, picture
from tests.cloudstack.stage import Stage
from tests.cloudstack.test_wishes import HOSTNAME
from tests.world import service

VALIDITY = 900 + 60


@pytest.fixture(params=[add_network, add_tier], ids=["isolated", "vpc"])
def stage(serve, request) -> Stage:
    """A cluster in each kind of network."""
    server = serve()
    return Stage(server, request.param(server.cloud))


def ask_in_vain(stage: Stage, **spec: str) -> Fault:
    """Create a Service whose request for an address is held up on its way, and delete it at once."""
    fault = stage.cloud.faults.plan(How.LATE, Moment.BEFORE, command="associateIpAddress")
    stage.kube.put(service(**spec))
    while not fault.seen:
        stage.settle(0.1)
    stage.kube.delete("shop/web")
    stage.settle(5)
    return fault


@pytest.mark.parametrize("restarts", [False, True], ids=["same-process", "after-a-restart"])
@pytest.mark.parametrize("spec", [{}, {"load_balancer_ip": "203.0.113.14"}], ids=["chosen", "named"])
@pytest.mark.parametrize("seconds", [10, 800])
def test_an_address_that_comes_late_is_released(stage, seconds, restarts, spec):
    """The Service stays until the request has arrived; its address is free again then, and both are gone."""
    before = picture(stage.cloud)
    ask_in_vain(stage, **spec)
    if restarts:
        stage.crash()
    stage.settle(seconds)
    assert stage.exists()
    stage.server.let_in()
    stage.settle(VALIDITY if restarts else 200)
    assert not stage.exists()
    assert picture(stage.cloud) == before


def test_of_two_requests_the_one_that_comes_late_is_released_too(stage):
    """The first is held up and the second answered; the Service that is deleted waits for the first."""
    before = picture(stage.cloud)
    stage.cloud.faults.plan(How.LATE, Moment.BEFORE, command="associateIpAddress")
    stage.apply(service())
    stage.settle(60)
    assert stage.served().keys() == {80}
    stage.kube.delete("shop/web")
    stage.settle(120)
    assert stage.exists()
    stage.server.let_in()
    stage.settle(VALIDITY)
    assert not stage.exists()
    assert picture(stage.cloud) == before


@pytest.mark.parametrize("restarts", [False, True], ids=["same-process", "after-a-restart"])
def test_a_request_that_never_comes_is_waited_for_until_its_signature_expires(stage, restarts):
    """After the validity of the signature the Service goes, and nothing was written in the cloud."""
    before = picture(stage.cloud)
    ask_in_vain(stage)
    if restarts:
        stage.crash()
    stage.settle(VALIDITY - 120)
    assert stage.exists()
    assert "the request may still arrive" in stage.condition().message
    stage.settle(300)
    assert not stage.exists()
    assert picture(stage.cloud) == before


def test_somebody_elses_use_of_the_address_is_respected(stage):
    """While the Service waits, somebody takes the same address and puts a rule on it: it stays theirs."""
    ask_in_vain(stage)
    ip = stage.live().metadata.annotations["lbctl.io/cloudstack-address"]
    (address,) = (a for a in stage.cloud.addresses.values() if a.ip == ip)
    address.state, address.network_id = "Allocated", stage.network.id
    address.vpc_id = stage.network.vpc_id
    overtake(stage, address.id)
    stage.settle(VALIDITY + 200)
    assert not stage.exists()
    assert address.state == "Allocated"
    assert [rule.name for rule in stage.cloud.rules_of(address.id)] == ["theirs-80"]


@pytest.mark.parametrize("restarts", [False, True], ids=["same-process", "after-a-restart"])
@pytest.mark.parametrize("annotations", [{}, {HOSTNAME: "web.example.com"}], ids=["address", "hostname"])
def test_a_service_that_was_served_goes_at_once(stage, restarts, annotations):
    """Whoever was told an address, or a name in its place, has nothing to wait for."""
    stage.apply(service(annotations=annotations))
    if restarts:
        stage.crash()
        stage.settle(5)
    stage.delete("web")
    assert not stage.exists()


def test_a_service_whose_request_was_refused_goes_at_once(stage):
    """A refusal is an answer: nothing can come of it."""
    stage.cloud.address_limit = 0
    stage.apply(service())
    assert stage.condition().reason == "QuotaExceeded"
    stage.delete("web")
    assert not stage.exists()


def overtake(stage: Stage, address_id: str) -> None:
    """Somebody makes a rule on an address."""
    rule = Rule(stage.cloud.new_id(), "theirs-80", address_id, stage.network.id, 80, 1, "source", "tcp")
    stage.cloud.rules[rule.id] = rule
