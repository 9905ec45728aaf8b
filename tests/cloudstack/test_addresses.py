"""Public addresses: named, shared, moved, kept, and released only when they are ours and nobody else is on them."""

from __future__ import annotations

import pytest

from tests.clouds.cloudstack.cloud import Cloud
from tests.clouds.cloudstack.faults import How
from tests.clouds.cloudstack.objects import Firewall, Forwarding, Rule
from tests.clouds.cloudstack.topology import (
    BYSTANDING_ADDRESSES,
    BYSTANDING_REASONS,
    add_address,
    add_network,
    add_shared,
    add_tier,
    picture,
    served,
)
from tests.cloudstack.stage import Stage
from tests.world import change, service

ADDRESS = "service.beta.kubernetes.io/cloudstack-load-balancer-address"
ID = "service.beta.kubernetes.io/cloudstack-load-balancer-id"
KEEP = "service.beta.kubernetes.io/cloudstack-load-balancer-keep-ip"
ASSOCIATED = "service.beta.kubernetes.io/cloudstack-load-balancer-ip-associated-by-controller"


def state(stage: Stage, ip: str) -> str:
    """State of an address."""
    return next(a.state for a in stage.cloud.addresses.values() if a.ip == ip)


def address_id(stage: Stage, ip: str) -> str:
    """Id of an address."""
    return next(a.id for a in stage.cloud.addresses.values() if a.ip == ip)


@pytest.mark.spec("CS-023", "CS-027")
def test_a_free_address_that_is_named_is_taken_noted_and_released(stage: Stage):
    """A free loadBalancerIP is associated, upstream's annotation says so, and the address is free again after all."""
    stage.apply(service(load_balancer_ip="203.0.113.14"))
    assert stage.addresses() == ["203.0.113.14"]
    assert stage.live().metadata.annotations[ASSOCIATED] == "true"
    assert state(stage, "203.0.113.14") == "Allocated"
    stage.delete("web")
    assert state(stage, "203.0.113.14") == "Free"


@pytest.mark.spec("CS-024")
def test_an_allocated_address_is_used_and_stays(stage: Stage):
    """An address that its user has allocated serves, and is still allocated once the Service is gone."""
    add_address(stage.cloud, "203.0.113.60", state="Allocated", network_id=stage.network.id)
    before = picture(stage.cloud)
    stage.apply(service(load_balancer_ip="203.0.113.60"))
    assert served(stage.cloud, "203.0.113.60").keys() == {80}
    stage.delete("web")
    assert not stage.exists()
    assert picture(stage.cloud) == before


@pytest.mark.spec("CS-025")
def test_an_unknown_address_is_refused_and_nothing_is_torn_down(stage: Stage):
    """Naming an address that the account does not have leaves the balancer serving where it was."""
    stage.apply(service())
    (before,) = stage.addresses()
    stage.edit("web", load_balancer_ip="192.0.2.9")
    assert stage.condition().reason == "InvalidService"
    assert "192.0.2.9" in stage.condition().message
    assert stage.addresses() == [before]
    assert served(stage.cloud, before).keys() == {80}


@pytest.mark.spec("CS-026")
def test_a_new_address_serves_before_the_old_one_goes(stage: Stage):
    """While a Service moves to the address that it names, the published one always serves; then the old one is free."""
    stage.apply(service())
    (old,) = stage.addresses()
    live = stage.live()
    stage.kube.put(change(live, spec=change(live.spec, load_balancer_ip="203.0.113.16")))
    for _ in range(60):
        stage.settle(1)
        assert served(stage.cloud, old) or served(stage.cloud, "203.0.113.16")
        assert served(stage.cloud, stage.addresses()[0]).keys() == {80}
    assert stage.addresses() == ["203.0.113.16"]
    assert state(stage, old) == "Free"
    assert stage.plans() == []


@pytest.mark.spec("CS-029")
def test_a_shared_address_survives_the_deletion_of_one_of_its_services(stage: Stage):
    """Two Services that name one address are served on it; the second outlives the first; then all is free."""
    stage.apply(service("one", ports=(80,), load_balancer_ip="203.0.113.15"))
    stage.apply(service("two", ports=(443,), load_balancer_ip="203.0.113.15"))
    assert served(stage.cloud, "203.0.113.15").keys() == {80, 443}
    stage.delete("one")
    assert not stage.exists("one")
    assert served(stage.cloud, "203.0.113.15").keys() == {443}
    stage.delete("two")
    assert not stage.exists("two")
    assert state(stage, "203.0.113.15") == "Free"


@pytest.mark.spec("CS-029")
def test_an_address_that_another_service_names_is_not_released_with_its_first_holder(stage: Stage):
    """B names the address that A got by itself: deleting A leaves B serving, deleting B frees the address."""
    stage.apply(service("a", ports=(80,)))
    (ip,) = stage.addresses("a")
    stage.apply(service("b", ports=(443,), load_balancer_ip=ip))
    assert served(stage.cloud, ip).keys() == {80, 443}
    stage.delete("a")
    assert not stage.exists("a")
    assert served(stage.cloud, ip).keys() == {443}
    stage.settle(1300)
    assert served(stage.cloud, ip).keys() == {443}
    stage.delete("b")
    assert not stage.exists("b")
    assert state(stage, ip) == "Free"


def test_the_older_service_keeps_a_port_that_two_ask_for(stage: Stage):
    """The second Service is told who holds the port; the first serves on."""
    stage.apply(service("one", ports=(80,), load_balancer_ip="203.0.113.15"))
    stage.apply(service("two", ports=(80, 81), load_balancer_ip="203.0.113.15"))
    assert stage.condition("one").reason == "Ready"
    assert stage.condition("two").reason == "InvalidService"
    assert "shop/one" in stage.condition("two").message
    assert served(stage.cloud, "203.0.113.15").keys() == {80}


@pytest.mark.spec("CS-066")
def test_a_foreign_rule_in_the_way_is_named_and_left_alone(stage: Stage):
    """A port of a user's address that a foreign rule holds is refused with the rule's name."""
    before = picture(stage.cloud)
    stage.apply(service(load_balancer_ip="203.0.113.3"))
    assert stage.condition().reason == "InvalidService"
    assert "shop-frontend" in stage.condition().message
    assert picture(stage.cloud)["rules"] == before["rules"]


def overtake(stage: Stage, address_id: str, *ports: int) -> None:
    """Somebody makes rules on an address of ours."""
    for port in ports:
        rule = Rule(stage.cloud.new_id(), f"theirs-{port}", address_id, stage.network.id, port, 1, "source", "tcp")
        stage.cloud.rules[rule.id] = rule


@pytest.mark.spec("CS-066")
@pytest.mark.parametrize("tags", [True, False], ids=["tags", "no-tags"])
def test_a_chosen_address_on_which_somebody_is_faster_is_given_up_once(serve, tags):
    """Another address is taken, once; what somebody has on the first one stays, and nothing of ours is left there."""
    stage = Stage(serve(), options={"tags": tags})
    taken: list[str] = []
    associated = stage.cloud.jobs.submit

    def submit(job_id, command, **job):
        done = associated(job_id, command, **job)
        fresh = [a for a in stage.cloud.addresses.values() if a.state == "Allocating" and a.id not in taken]
        for address in fresh if len(taken) < stolen else ():
            taken.append(address.id)
            overtake(stage, address.id, 80)
        return done

    stage.cloud.jobs.submit = submit
    stolen = 1
    stage.apply(service(ports=(80, 443)))
    stage.settle(120)
    (ip,) = stage.addresses()
    assert served(stage.cloud, ip).keys() == {80, 443}
    (first,) = (stage.cloud.addresses[key] for key in taken)
    assert first.ip != ip
    assert (first.state, first.tags) == ("Allocated", {})
    assert [r.name for r in stage.cloud.rules_of(first.id)] == ["theirs-80"]
    stage.crash()
    stage.settle(60)
    assert stage.addresses() == [ip]
    assert stage.plans() == []
    stolen = 3
    stage.apply(service("unlucky", ports=(80,)))
    stage.settle(120)
    assert stage.condition("unlucky").reason == "InvalidService"
    assert "theirs-80" in stage.condition("unlucky").message
    assert len(taken) == 3
    assert not stage.bugs


def test_an_address_may_be_named_by_its_id(stage: Stage):
    """The public address with the id of upstream's proposed annotation serves, and stays allocated in the end."""
    mine = add_address(stage.cloud, "203.0.113.60", state="Allocated", network_id=stage.network.id)
    stage.apply(service(annotations={ID: mine.id}))
    assert stage.addresses() == ["203.0.113.60"]
    stage.crash()
    stage.settle()
    assert stage.plans() == []
    stage.delete("web")
    assert not stage.exists()
    assert (mine.state, stage.cloud.rules_of(mine.id)) == ("Allocated", [])
    stage.apply(service("lost", annotations={ID: "00000000-0000-4000-8000-00000000dead"}))
    assert "no public address of the account has the id" in stage.condition("lost").message


def _foreign_rule(stage: Stage, address: str) -> None:
    rule = Rule(stage.cloud.new_id(), "other", address, stage.network.id, 9000, 9000, "roundrobin", "tcp")
    stage.cloud.rules[rule.id] = rule


def _foreign_forwarding(stage: Stage, address: str) -> None:
    forwarding = Forwarding(stage.cloud.new_id(), address, 2200)
    stage.cloud.forwardings[forwarding.id] = forwarding


def _foreign_firewall(stage: Stage, address: str) -> None:
    firewall = Firewall(stage.cloud.new_id(), address, "udp", 500, 500, ("0.0.0.0/0",))
    stage.cloud.firewalls[firewall.id] = firewall


@pytest.mark.spec("CS-028")
@pytest.mark.parametrize("guest", [_foreign_rule, _foreign_forwarding, _foreign_firewall])
def test_an_address_with_somebody_elses_rule_is_not_released(stage: Stage, guest):
    """A foreign rule, port forwarding or VPN opening on our address keeps it allocated, and itself, when we leave."""
    stage.apply(service())
    (ip,) = stage.addresses()
    guest(stage, address_id(stage, ip))
    stage.delete("web")
    assert not stage.exists()
    assert state(stage, ip) == "Allocated"
    here = address_id(stage, ip)
    kinds = (stage.cloud.rules, stage.cloud.forwardings, stage.cloud.firewalls)
    left = [thing for things in kinds for thing in things.values() if thing.address_id == here]
    assert len(left) == 1


@pytest.mark.spec("CS-028")
@pytest.mark.parametrize("make", [add_tier, add_shared])
@pytest.mark.parametrize("guest", [_foreign_rule, _foreign_forwarding])
def test_where_addresses_have_no_firewall_a_guest_keeps_them_too(server, make, guest):
    """In a VPC tier and on a shared network a foreign rule or port forwarding keeps our address, and itself."""
    stage = Stage(server, make(server.cloud))
    stage.apply(service())
    (ip,) = stage.addresses()
    here = address_id(stage, ip)
    guest(stage, here)
    stage.delete("web")
    assert not stage.exists()
    assert state(stage, ip) == "Allocated"
    kinds = (stage.cloud.rules, stage.cloud.forwardings, stage.cloud.firewalls)
    assert len([thing for things in kinds for thing in things.values() if thing.address_id == here]) == 1
    assert {item.reason for item in stage.cloud.acl_items.values()} <= BYSTANDING_REASONS


@pytest.mark.spec("CS-028")
@pytest.mark.parametrize("make", [add_network, add_tier])
def test_a_guest_that_comes_between_two_attempts_to_release_is_seen(server, make):
    """One look is good for one release: when its job fails, what came onto the address meanwhile keeps it."""
    stage = Stage(server, make(server.cloud))
    stage.apply(service())
    (ip,) = stage.addresses()
    fault = stage.cloud.faults.plan(How.JOB, command="disassociateIpAddress")
    stage.kube.delete("shop/web")
    while not fault.seen:
        stage.settle(0.5)
    _foreign_forwarding(stage, address_id(stage, ip))
    stage.settle(120)
    assert not stage.exists()
    assert state(stage, ip) == "Allocated"
    assert [f.address_id for f in stage.cloud.forwardings.values()].count(address_id(stage, ip)) == 1


@pytest.mark.spec("CS-027")
def test_keep_ip_keeps_the_address(stage: Stage):
    """With keep-ip the rules go and the address stays allocated."""
    stage.apply(service(annotations={KEEP: "true"}))
    (ip,) = stage.addresses()
    stage.delete("web")
    assert not stage.exists()
    assert state(stage, ip) == "Allocated"
    assert served(stage.cloud, ip) == {}


@pytest.mark.spec("CS-030")
def test_source_nat_is_served_and_never_released_and_static_nat_is_refused(stage: Stage):
    """A source NAT address may serve and stays; a static NAT address is refused with a sentence."""
    stage.apply(service(load_balancer_ip="203.0.113.2"))
    assert served(stage.cloud, "203.0.113.2").keys() == {80}
    stage.delete("web")
    assert state(stage, "203.0.113.2") == "Allocated"
    add_address(stage.cloud, "203.0.113.61", state="Allocated", network_id=stage.network.id, is_static_nat=True)
    stage.apply(service("nat", load_balancer_ip="203.0.113.61"))
    assert "static NAT" in stage.condition("nat").message


@pytest.mark.spec("CS-022")
def test_port_53_of_a_source_nat_address_is_refused(stage: Stage):
    """Port 53 of the address where the network's DNS listens is refused before any write, to the first Service too."""
    stage.apply(service("first", ports=(53,), load_balancer_ip="203.0.113.2"))
    assert "53" in stage.condition("first").message
    assert stage.cloud.faults.writes == 0
    stage.delete("first")
    stage.apply(service(ports=(80,), load_balancer_ip="203.0.113.2"))
    writes = stage.cloud.faults.writes
    stage.apply(service("dns", ports=(53,), load_balancer_ip="203.0.113.2"))
    assert "port 53" in stage.condition("dns").message
    assert stage.cloud.faults.writes == writes


@pytest.mark.spec("CS-031")
def test_a_users_address_stays_after_its_name_was_cleared(stage: Stage):
    """Clearing loadBalancerIP keeps the Service where it is, and its deletion does not release the user's address."""
    add_address(stage.cloud, "203.0.113.60", state="Allocated", network_id=stage.network.id)
    stage.apply(service(load_balancer_ip="203.0.113.60"))
    stage.edit("web", load_balancer_ip=None)
    stage.settle(1300)
    assert stage.addresses() == ["203.0.113.60"]
    stage.crash()
    stage.settle()
    stage.delete("web")
    assert not stage.exists()
    assert state(stage, "203.0.113.60") == "Allocated"


@pytest.mark.spec("CS-065")
def test_an_exhausted_limit_is_named(stage: Stage):
    """At the account's limit of addresses the Service says so, and is served once there is room."""
    stage.cloud.address_limit = BYSTANDING_ADDRESSES
    stage.apply(service())
    assert stage.condition().reason == "QuotaExceeded"
    stage.cloud.address_limit = 10
    stage.settle(700)
    assert stage.condition().reason == "Ready"


@pytest.mark.spec("CS-065")
def test_a_zone_without_free_addresses_is_named(stage: Stage):
    """When nothing is free the Service says so once, and is served once something is."""
    for address in stage.cloud.addresses.values():
        address.account = "somebody" if address.state == "Free" else address.account
        address.state = "Allocated"
    stage.apply(service())
    assert stage.condition().reason == "QuotaExceeded"
    assert "free public IP" in stage.condition().message
    stage.settle(200)
    assert stage.cloud.faults.counts()["associateIpAddress"] == 1
    next(a for a in stage.cloud.addresses.values() if a.ip == "203.0.113.11").state = "Free"
    stage.settle(700)
    assert stage.condition().reason == "Ready"


def test_where_free_addresses_are_not_shown_one_is_taken_blindly(stage: Stage):
    """A role that sees no free addresses still gets one."""
    stage.cloud.free_addresses_visible = False
    stage.apply(service())
    assert stage.served().keys() == {80}
    stage.delete("web")
    assert not stage.exists()


def test_the_address_is_of_the_networks_zone(server):
    """Of two zones with free addresses that of the network is looked at; the other's are as before."""
    elsewhere = "0000000b-0000-4000-8000-000000000002"
    for number in range(10, 60):
        add_address(server.cloud, f"203.0.113.{number}").zone_id = elsewhere
    add_address(server.cloud, "198.51.100.7")
    stage = Stage(server)
    stage.apply(service())
    assert stage.addresses() == ["198.51.100.7"]
    stage.apply(service("second", ports=(443,)))
    assert stage.condition("second").reason == "QuotaExceeded"


@pytest.mark.spec("CS-028")
@pytest.mark.parametrize("release", ["4.22", "next"])
def test_a_firewall_rule_on_a_vpcs_address_keeps_it_where_there_can_be_one(serve, release):
    """From the release on that has them, somebody's firewall rule on our address of a VPC is looked for."""
    cloud = Cloud(release)
    stage = Stage(serve(cloud), add_tier(cloud))
    stage.apply(service())
    (ip,) = stage.addresses()
    if release == "next":
        _foreign_firewall(stage, address_id(stage, ip))
    stage.delete("web")
    assert not stage.exists()
    assert state(stage, ip) == ("Allocated" if release == "next" else "Free")
    assert len(cloud.firewalls) == (1 if release == "next" else 0)
