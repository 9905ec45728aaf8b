"""ETags, and changes that take time: when they are stale, what is refused meanwhile, and how they end."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from azure.core.exceptions import HttpResponseError

from tests.azure.asking import VERSION, code_of
from tests.azure.bodies import PUBLIC_IP, first, public_balancer, security_group
from tests.clouds.azure.client import network_client, send
from tests.clouds.azure.cloud import Timing
from tests.clouds.azure.server import ArmServer
from tests.clouds.azure.world import GROUP, World

if TYPE_CHECKING:
    from tests.azure.conftest import HandClock


# Questions


def test_the_health_of_a_rule_is_asked_as_the_sdk_does(
    network: Any, world: World, arm: ArmServer, clock: HandClock
) -> None:
    """The SDK's own poller gets up and down with a state for each member; a rule that is not there is not found."""
    body = public_balancer(world)
    members = [{"name": f"n{n}", "properties": {"ipAddress": f"10.1.0.{n}"}} for n in (10, 11)]
    pool = {"virtualNetwork": {"id": world.network}, "loadBalancerBackendAddresses": members}
    body["properties"]["backendAddressPools"][0]["properties"] = pool
    network.load_balancers.begin_create_or_update(GROUP, "kubernetes", body).result()
    arm.arm.health.sick.add("10.1.0.11")
    poller = network.load_balancer_load_balancing_rules.begin_health(GROUP, "kubernetes", "web")
    assert not poller.done()
    clock.advance(3)
    told = poller.result()
    assert (told.up, told.down) == (1, 1)
    states = {member.ip_address: (member.state, member.reason) for member in told.load_balancer_backend_addresses}
    assert states["10.1.0.11"] == ("Down", "Down_Probe_TcpProbeTimeout")
    with pytest.raises(HttpResponseError, match="ResourceNotFound"):
        network.load_balancer_load_balancing_rules.begin_health(GROUP, "kubernetes", "other")


# ETags


def test_a_stale_etag_is_refused_and_a_fresh_one_taken(network: Any, world: World) -> None:
    """If-Match compares with the ETag of now."""
    created = network.public_ip_addresses.begin_create_or_update(GROUP, "web", PUBLIC_IP).result()
    tagged = {**PUBLIC_IP, "tags": {"a": "b"}}
    network.public_ip_addresses.begin_create_or_update(
        GROUP, "web", tagged, headers={"If-Match": created.etag}
    ).result()
    with pytest.raises(HttpResponseError) as stale:
        network.public_ip_addresses.begin_create_or_update(GROUP, "web", PUBLIC_IP, headers={"If-Match": created.etag})
    assert stale.value.status_code == 412
    assert stale.value.error.code == "PreconditionFailed"
    assert network.public_ip_addresses.get(GROUP, "web").tags == {"a": "b"}


def test_a_second_creator_is_refused_with_if_none_match(network: Any, world: World) -> None:
    """If-None-Match: * creates, and refuses to replace."""
    target, only_new = f"{world.id('publicIPAddresses', 'web')}{VERSION}", {"If-None-Match": "*"}
    assert send(network, "PUT", target, body=PUBLIC_IP, headers=only_new).status_code == 201
    assert code_of(send(network, "PUT", target, body=PUBLIC_IP, headers=only_new)) == (412, "PreconditionFailed")


def test_a_pool_and_its_balancer_share_one_etag(network: Any, world: World) -> None:
    """Writing a pool makes the balancer's ETag stale, and the pool's own answer carries the new one."""
    created = network.load_balancers.begin_create_or_update(GROUP, "kubernetes", public_balancer(world)).result()
    pool: dict[str, Any] = {"properties": {"loadBalancerBackendAddresses": []}}
    poller = network.load_balancer_backend_address_pools.begin_create_or_update(
        GROUP, "kubernetes", "nodes", pool, headers={"If-Match": created.etag}
    )
    balancer = network.load_balancers.get(GROUP, "kubernetes")
    assert poller.result().etag == balancer.etag != created.etag
    with pytest.raises(HttpResponseError, match="PreconditionFailed"):
        network.load_balancer_backend_address_pools.begin_create_or_update(
            GROUP, "kubernetes", "nodes", pool, headers={"If-Match": created.etag}
        )


def test_attaching_changes_the_etag_of_the_address(network: Any, world: World) -> None:
    """A balancer's write that takes or drops an address changes the address's ETag; another write does not."""
    body = public_balancer(world)

    def etag() -> str:
        found: str = network.public_ip_addresses.get(GROUP, "web").etag
        return found

    loose = etag()
    world.put("loadBalancers", "kubernetes", body)
    held = etag()
    assert held != loose
    first(body, "probes")["port"] = 30081
    world.put("loadBalancers", "kubernetes", body)
    assert etag() == held
    network.load_balancers.begin_delete(GROUP, "kubernetes").result()
    assert etag() != held


def test_a_node_that_joins_changes_the_etag_of_the_balancer(network: Any, world: World) -> None:
    """An interface's write shows on the balancer whose pool it joins."""
    balancer = world.put("loadBalancers", "kubernetes", public_balancer(world))
    before = network.load_balancers.get(GROUP, "kubernetes").etag
    world.machine("node-1", pools=[f"{balancer}/backendAddressPools/nodes"])
    assert network.load_balancers.get(GROUP, "kubernetes").etag != before


# Operations that take time


def test_a_write_takes_the_time_that_was_set(arm: ArmServer, network: Any, world: World, clock: HandClock) -> None:
    """While it runs the resource is Updating and polls say so with Retry-After; then it is Succeeded."""
    arm.cloud.timing = Timing(by_type={"publicIPAddresses": 30.0}, retry_after=7)
    response = send(network, "PUT", f"{world.id('publicIPAddresses', 'web')}{VERSION}", body=PUBLIC_IP)
    assert response.status_code == 201
    assert response.json()["properties"]["provisioningState"] == "Creating"
    poll = response.headers["Azure-AsyncOperation"]
    clock.advance(29)
    running = send(network, "GET", poll)
    assert (running.json(), running.headers["Retry-After"]) == ({"status": "InProgress"}, "7")
    clock.advance(1)
    assert send(network, "GET", poll).json() == {"status": "Succeeded"}
    assert network.public_ip_addresses.get(GROUP, "web").provisioning_state == "Succeeded"


def test_operations_end_by_themselves_on_a_real_clock() -> None:
    """Without a clock moved by hand a creation ends when its time is over, and the SDK waits for it."""
    with ArmServer() as arm, network_client(arm.url) as client:
        World(arm.cloud)
        arm.cloud.timing = Timing(otherwise=0.1)
        poller = client.public_ip_addresses.begin_create_or_update(GROUP, "web", PUBLIC_IP)
        assert client.public_ip_addresses.get(GROUP, "web").provisioning_state == "Creating"
        assert poller.result().provisioning_state == "Succeeded"


def test_a_removal_takes_time_as_well(arm: ArmServer, network: Any, world: World, clock: HandClock) -> None:
    """A resource that is being deleted can be seen until it is gone; asking twice joins the first removal."""
    identity = world.put_public_ip("web")
    arm.cloud.timing = Timing(otherwise=10.0)
    response = send(network, "DELETE", f"{identity}{VERSION}")
    assert response.status_code == 202
    assert network.public_ip_addresses.get(GROUP, "web").provisioning_state == "Deleting"
    again = send(network, "DELETE", f"{identity}{VERSION}")
    assert again.headers["Azure-AsyncOperation"] == response.headers["Azure-AsyncOperation"]
    assert send(network, "GET", response.headers["Location"]).status_code == 202
    clock.advance(10)
    assert send(network, "GET", response.headers["Location"]).status_code == 204
    assert send(network, "GET", f"{identity}{VERSION}").status_code == 404
    assert send(network, "DELETE", f"{identity}{VERSION}").status_code == 204


def test_many_operations_run_at_once(arm: ArmServer, network: Any, world: World, clock: HandClock) -> None:
    """Each of a hundred creations has its own operation, and all end together."""
    arm.cloud.timing = Timing(otherwise=5.0)
    polls = [
        send(network, "PUT", f"{world.id('publicIPAddresses', f'web-{number}')}{VERSION}", body=PUBLIC_IP).headers[
            "Azure-AsyncOperation"
        ]
        for number in range(100)
    ]
    assert len(set(polls)) == 100
    clock.advance(5)
    assert {send(network, "GET", poll).json()["status"] for poll in polls} == {"Succeeded"}


def test_a_later_write_supersedes_one_under_way(arm: ArmServer, network: Any, world: World, clock: HandClock) -> None:
    """The overtaken operation ends Canceled, and the later body stands."""
    arm.cloud.timing = Timing(otherwise=10.0)
    target = f"{world.security_group}{VERSION}"
    overtaken = send(network, "PUT", target, body=security_group()).headers["Azure-AsyncOperation"]
    later = send(network, "PUT", target, body=security_group(priority=600)).headers["Azure-AsyncOperation"]
    ended = send(network, "GET", overtaken).json()
    assert ended["status"] == "Canceled"
    assert ended["error"]["details"][0]["code"] == "CanceledAndSupersededDueToAnotherOperation"
    clock.advance(10)
    assert send(network, "GET", later).json()["status"] == "Succeeded"
    shown = network.network_security_groups.get(GROUP, "nodes-nsg").as_dict()
    assert first(shown, "securityRules")["priority"] == 600


def test_a_network_takes_one_write_at_a_time(arm: ArmServer, network: Any, world: World, clock: HandClock) -> None:
    """A second subnet write is refused with the address of the first one's operation."""
    arm.cloud.timing = Timing(otherwise=10.0)
    subnet = {"properties": {"addressPrefix": "10.4.0.0/24"}}
    target = f"{world.network}/subnets/more{VERSION}"
    operation = send(network, "PUT", target, body=subnet).headers["Azure-AsyncOperation"]
    refused = send(network, "PUT", target, body=subnet)
    assert code_of(refused) == (409, "AnotherOperationInProgress")
    assert operation in refused.json()["error"]["message"]
    clock.advance(10)
    assert send(network, "PUT", target, body=subnet).status_code == 200


def test_what_is_referenced_has_to_be_finished(arm: ArmServer, network: Any, world: World, clock: HandClock) -> None:
    """A balancer that names an address still being made gets a 429 that is no throttling; later it is taken."""
    body = public_balancer(world)
    arm.cloud.timing = Timing(by_type={"publicIPAddresses": 10.0})
    send(network, "PUT", f"{world.id('publicIPAddresses', 'web')}{VERSION}", body=PUBLIC_IP)
    target = f"{world.id('loadBalancers', 'kubernetes')}{VERSION}"
    refused = send(network, "PUT", target, body=body)
    assert code_of(refused) == (429, "RetryableError")
    assert refused.json()["error"]["details"][0]["code"] == "ReferencedResourceNotProvisioned"
    clock.advance(10)
    assert send(network, "PUT", target, body=body).status_code == 201


def test_an_operation_can_fail_in_the_end(arm: ArmServer, network: Any, world: World) -> None:
    """The SDK raises the operation's code, the resource is Failed, and the next write repairs it."""
    arm.cloud.plan_failure("publicIPAddresses", code="InternalServerError", message="An error occurred.")
    with pytest.raises(HttpResponseError) as failed:
        network.public_ip_addresses.begin_create_or_update(GROUP, "web", PUBLIC_IP).result()
    assert failed.value.error.code == "InternalServerError"
    assert network.public_ip_addresses.get(GROUP, "web").provisioning_state == "Failed"
    body = public_balancer(world, public_ip="other")
    first(body, "frontendIPConfigurations")["publicIPAddress"]["id"] = world.id("publicIPAddresses", "web")
    target = f"{world.id('loadBalancers', 'kubernetes')}{VERSION}"
    assert code_of(send(network, "PUT", target, body=body)) == (400, "ReferencedResourceNotProvisioned")
    network.public_ip_addresses.begin_create_or_update(GROUP, "web", PUBLIC_IP).result()
    assert send(network, "PUT", target, body=body).status_code == 201
