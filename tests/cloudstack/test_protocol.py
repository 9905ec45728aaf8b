"""The API's protocol: signatures, methods, errors, limits, pages and jobs, through the real client."""

from __future__ import annotations

from collections import Counter

import pytest

from lbctl.clock import ManualClock, SystemClock
from lbctl.errors import (
    CloudBug,
    Conflict,
    LbctlError,
    NotAuthenticated,
    PermissionDenied,
    Rejected,
    Throttled,
    Unreachable,
)
from lbctl.model.resource import Outputs
from lbctl.plan.render import plan_lines
from lbctl_cloudstack.client import Api
from lbctl_cloudstack.errors import error_for
from lbctl_cloudstack.jobs import Jobs
from lbctl_cloudstack.permissions import PERMISSIONS, When
from lbctl_cloudstack.settings import CloudStackSettings
from tests.clouds.cloudstack.cloud import Cloud
from tests.clouds.cloudstack.faults import How, Moment
from tests.clouds.cloudstack.refusals import Refusal
from tests.clouds.cloudstack.server import API_KEY, SECRET_KEY, CloudStackServer
from tests.clouds.cloudstack.topology import BYSTANDING_ADDRESSES, add_address, add_machine, add_network, add_tier
from tests.cloudstack.stage import Stage
from tests.cloudstack.test_wishes import PROXY, SOURCES, STICKINESS
from tests.world import service

COMMANDS = {permission.command for permission in PERMISSIONS}


class Ask:
    """What `Api` takes of a `Setup`."""

    def __init__(self, clock):
        self.clock, self.user_agent, self.calls = clock, "lbctl/test", []

    def record(self, command, code, seconds):
        self.calls.append((command, code, seconds))


def api(server: CloudStackServer, *, clock=None, **options) -> Api:
    """A client of the server."""
    fields = {"api_url": server.url, "api_key": API_KEY, "secret_key": SECRET_KEY, **options}
    return Api(CloudStackSettings(**fields), Ask(clock or ManualClock()))


@pytest.mark.spec("CS-051")
@pytest.mark.parametrize("method", ["post", "get"])
@pytest.mark.parametrize("text", ["a b", "*", "a+b/c", "naïve ü", "[0]", "a&b=c", "~", 'say "x"'])
def test_any_text_can_be_sent(server, method, text):
    """The server verifies the signature of every text, by POST and by GET; a tilde is replaced, never sent."""
    network = add_network(server.cloud)
    address = add_address(server.cloud, "203.0.113.9", state="Allocated", network_id=network.id)
    tags = [{"key": "k", "value": "v"}]
    client = api(server, method=method)
    client.write("createTags", resourceids=[address.id], resourcetype="PublicIpAddress", tags=tags)
    assert client.read("listPublicIpAddresses", keyword=text, listall=True)["count"] == 1
    sent = server.cloud.faults.calls[-1][1]["keyword"]
    assert sent == text.replace("~", "-")
    client.close()


@pytest.mark.spec("CS-052", "CS-077", "CS-079")
@pytest.mark.parametrize("release", ["4.18", "4.22"])
def test_a_whole_life_is_signed_posts_of_described_user_commands(serve, release):
    """Every request is a POST of version 3 that expires within 15 minutes, and a command that a user's role has."""
    cloud = Cloud(release)
    server = serve(cloud)
    server.only_post = True
    stage = Stage(server)
    stage.apply(service(annotations={PROXY: "true", SOURCES: "10.0.0.0/8", STICKINESS: "SourceBased"}))
    stage.edit("web", load_balancer_source_ranges=("10.0.0.0/8",))
    stage.delete("web")
    assert not stage.exists()
    assert set(server.methods) == {"POST"}
    assert all(p["signatureVersion"] == "3" and "expires" in p for _, p in cloud.faults.calls)
    assert {name for name, _ in cloud.faults.calls} <= COMMANDS
    assert not stage.bugs


@pytest.mark.spec("CS-053")
def test_no_error_shows_a_key_a_secret_or_a_signature(server, caplog):
    """Refusals, broken connections and HTML answers are told without credentials, by either method."""
    texts = []
    for method in ("post", "get"):
        for how in How:
            client = api(server, method=method)
            server.cloud.faults.plan(how, command="associateIpAddress")
            with pytest.raises(LbctlError) as caught:
                client.write("associateIpAddress", networkid="x")
            texts += [str(caught.value), repr(caught.value), str(caught.value.__cause__)]
            server.cloud.faults.planned.clear()
            client.close()
    shown = " ".join([*texts, caplog.text, repr(client._settings)])
    for secret in (API_KEY, SECRET_KEY, "signature="):
        assert secret not in shown


@pytest.mark.spec("CS-054")
def test_a_wrong_clock_is_explained(server):
    """When all is refused because the clocks differ, the error says by how much."""
    server.skew_seconds = 3600.0
    client = api(server, clock=SystemClock())
    with pytest.raises(NotAuthenticated, match=r"\+3[56]\d\d s from ours"):
        client.read("listNetworks")
    client.close()


def test_a_wrong_secret_is_not_authenticated(server):
    """A key or secret that does not fit is told as such."""
    client = api(server, secret_key="other")
    with pytest.raises(NotAuthenticated, match="unable to verify user credentials"):
        client.read("listNetworks")
    client.close()


@pytest.mark.spec("CS-055")
def test_a_limit_is_waited_for_as_long_as_the_server_says(server):
    """A 429 says how long to wait in its text, and that is what the error says."""
    server.cloud.faults.plan(How.THROTTLE, command="createTags")
    client = api(server)
    with pytest.raises(Throttled) as caught:
        client.write("createTags")
    assert caught.value.after_seconds == pytest.approx(0.7)
    assert not caught.value.is_failure
    client.close()


@pytest.mark.spec("CS-055")
@pytest.mark.parametrize("text", ["please retry after [1500] ms.", "please retry after 1500 ms."])
def test_both_wordings_of_the_wait_are_understood(text):
    """Older servers write the milliseconds without brackets."""
    error = error_for("listNetworks", 429, f"The given user has reached his/her account api limit, {text}")
    assert isinstance(error, Throttled)
    assert error.after_seconds == pytest.approx(1.5)


@pytest.mark.spec("CS-053")
def test_neither_plans_nor_events_show_a_secret(serve):
    """A refused call, a plan and everything that is published for a Service are free of key, secret and signature."""
    stage = Stage(serve())
    stage.cloud.jobs.fail["associateIpAddress"] = Refusal(534, "router")
    stage.kube.put(service(ports=(80, 443)))
    plans = [line for plan in stage.plans() for line in plan_lines(plan)]
    stage.settle(120)
    stage.cloud.faults.plan(How.HTML, writes=True)
    stage.edit("web", session_affinity="ClientIP")
    shown = " ".join([*map(str, plans), str(stage.kube.events), str(stage.live())])
    assert "roundrobin" in shown
    assert "associateIpAddress" in shown
    for secret in (API_KEY, SECRET_KEY, "signature="):
        assert secret not in shown


@pytest.mark.spec("CS-060")
@pytest.mark.parametrize("make", [add_network, add_tier])
def test_a_job_that_takes_too_long_is_unknown_and_not_failed(serve, make):
    """After the job's time-out the objects are read: nothing is made twice, and in the end all is served."""
    cloud = Cloud()
    stage = Stage(serve(cloud), make(cloud))
    stage.apply(service("fast", ports=(81,)))
    cloud.jobs.seconds = 400.0
    stage.kube.put(service(ports=(80,)))
    stage.settle(450)
    cloud.jobs.seconds = 1.0
    stage.settle(2000)
    assert stage.condition().reason == "Ready"
    assert len([a for a in cloud.addresses.values() if a.state == "Allocated"]) == BYSTANDING_ADDRESSES + 2
    assert cloud.faults.counts()["associateIpAddress"] == 2
    assert stage.plans() == []
    assert not stage.bugs


@pytest.mark.spec("CS-063")
def test_three_jobs_are_one_question_and_two_are_two(server):
    """From three open jobs on a tick is one list; fewer are asked for one by one, and so are all without the right."""
    clock = ManualClock()
    client = api(server, clock=clock)
    server.cloud.now = clock.monotonic
    network = add_network(server.cloud)
    jobs = Jobs(client, clock, CloudStackSettings())
    address = add_address(server.cloud, "203.0.113.9", state="Allocated", network_id=network.id)

    def tag(number):
        pair = [{"key": f"k{number}", "value": "v"}]
        reply = client.write("createTags", resourceids=[address.id], resourcetype="PublicIpAddress", tags=pair)
        return jobs.accepted("createTags", reply, lambda _: Outputs())

    pending = [tag(number) for number in range(3)]
    clock.advance(30)
    for asked, calls in ((pending, {"listAsyncJobs": 1}), (pending[:2], {"queryAsyncJobResult": 2})):
        server.cloud.faults.clear()
        assert len(jobs.poll(asked)) == len(asked)
        assert Counter(name for name, _ in server.cloud.faults.calls) == calls
    server.cloud.catalog.forbidden.add("listAsyncJobs")
    assert len(jobs.poll(pending)) == 3
    client.close()


@pytest.mark.spec("CS-056")
def test_the_servers_limit_is_never_reached(serve):
    """With 10 calls in 5 seconds, a life with polls is never answered 429."""
    cloud = Cloud()
    cloud.api_limit = (10, 5)
    record = []
    stage = Stage(serve(cloud), record=lambda command, code, _seconds: record.append((command, code)))
    for number in range(5):
        stage.kube.put(service(f"web{number}", ports=(80, 443)))
    stage.settle(600)
    assert all(stage.condition(f"web{n}").reason == "Ready" for n in range(5))
    assert not stage.bugs
    assert not [command for command, code in record if code == "Throttled"]


@pytest.mark.spec("CS-057")
@pytest.mark.parametrize(
    "command", sorted(p.command for p in PERMISSIONS if not p.is_needed and p.when is not When.TAGS)
)
def test_a_role_without_an_optional_command_serves(serve, command):
    """Without any one of the optional commands an isolated network is served, and nothing is left after deletion."""
    cloud = Cloud()
    cloud.catalog.forbidden.add(command)
    stage = Stage(serve(cloud))
    stage.apply(service(ports=(80, 443)))
    assert stage.condition().reason == "Ready"
    stage.delete("web")
    assert not stage.exists()
    assert not stage.bugs


@pytest.mark.spec("CS-057")
def test_a_role_without_a_needed_command_is_told_which(serve):
    """The condition names the call that the role lacks."""
    cloud = Cloud()
    cloud.catalog.forbidden.add("createLoadBalancerRule")
    stage = Stage(serve(cloud))
    stage.apply(service())
    assert stage.condition().reason == "PermissionDenied"
    assert "createLoadBalancerRule" in stage.condition().message


@pytest.mark.spec("CS-058")
def test_an_empty_list_has_no_key(server):
    """The answer `{}` is an empty list."""
    client = api(server)
    assert client.read("listLoadBalancerRules") == {}
    assert client.rows("listLoadBalancerRules", "loadbalancerrule") == []
    client.close()


@pytest.mark.spec("CS-046")
def test_lists_are_read_to_their_end(server):
    """Seven rows in pages of three are seven rows in three calls."""
    network = add_network(server.cloud)
    for number in range(7):
        add_machine(server.cloud, f"vm{number}", network)
    client = api(server, page_size=3)
    rows = client.rows("listVirtualMachines", "virtualmachine", listall=True)
    assert sorted(row["name"] for row in rows) == [f"vm{n}" for n in range(7)]
    assert server.cloud.faults.counts()["listVirtualMachines"] == 3
    client.close()


@pytest.mark.spec("CS-059")
def test_a_jobs_failure_reaches_the_service(stage: Stage):
    """What the server says in a failed job is in the Service's Event."""
    stage.cloud.jobs.fail["associateIpAddress"] = Refusal(534, "the router is unreachable just now")
    stage.apply(service())
    messages = [notice.message for _, notice in stage.kube.events]
    assert any("the router is unreachable just now" in message for message in messages)
    stage.settle(700)
    assert stage.condition().reason == "Ready"


@pytest.mark.spec("CS-062", "CS-061")
def test_forgotten_jobs_and_restarts_duplicate_nothing(stage: Stage):
    """When the server forgets jobs or the process dies while they run, objects are read and nothing is made twice."""
    stage.kube.put(service(ports=(80, 443)))
    stage.settle(2)
    stage.crash()
    stage.settle(5)
    stage.cloud.jobs.by_id.clear()
    stage.settle(200)
    assert stage.served().keys() == {80, 443}
    assert len([r for r in stage.cloud.rules.values() if r.name.startswith("a00000001")]) == 2
    allocated = [a for a in stage.cloud.addresses.values() if a.state == "Allocated"]
    assert len(allocated) == BYSTANDING_ADDRESSES + 1
    assert stage.plans() == []


@pytest.mark.spec("CS-064")
def test_reads_are_repeated_and_writes_are_not(server):
    """A 503 of a proxy is retried for a list; a write is sent once, whatever comes back."""
    client = api(server)
    server.cloud.faults.plan(How.HTML, command="listNetworks")
    assert client.read("listNetworks") == {}
    server.cloud.faults.plan(How.HTML, Moment.AFTER, writes=True)
    with pytest.raises(Unreachable):
        client.write("associateIpAddress", networkid="00000000-0000-4000-8000-000000000001")
    assert server.cloud.faults.counts() == {"listNetworks": 2, "associateIpAddress": 1}
    client.close()


@pytest.mark.spec("CS-035")
def test_a_rule_stuck_in_revoke_is_deleted_again(stage: Stage):
    """A rule that the server could not delete does not count as served: it is deleted again and made anew."""
    stage.apply(service())
    (rule,) = (r for r in stage.cloud.rules.values() if r.name.startswith("a00000001"))
    rule.state, rule.served = "Revoke", None
    stage.settle(700)
    assert stage.served().keys() == {80}
    assert rule.id not in stage.cloud.rules
    assert stage.plans() == []


@pytest.mark.spec("CS-034")
def test_a_deletion_of_what_is_gone_already_only_reads(stage: Stage):
    """When somebody has released the address, the Service goes without a write to the cloud that is refused."""
    stage.apply(service())
    for things in (stage.cloud.rules, stage.cloud.firewalls):
        for key in [k for k, t in things.items() if getattr(t, "name", "a00000001").startswith("a00000001")]:
            del things[key]
    (ip,) = stage.addresses()
    address = next(a for a in stage.cloud.addresses.values() if a.ip == ip)
    address.state, address.network_id, address.tags = "Free", "", {}
    stage.crash()
    stage.kube.delete("shop/web")
    stage.cloud.faults.clear()
    stage.settle(60)
    assert not stage.exists()
    assert stage.cloud.faults.writes == 0


ANSWERS = [
    (430, "malformed", Rejected),
    (431, "Unable to execute API command x due to missing parameter y", Rejected),
    (431, "Invalid parameter id value=1 due to incorrect long value format, or entity does not exist", Conflict),
    (432, "The API [x] does not exist or is not available", PermissionDenied),
    (530, "Failed to assign load balancer rule", Conflict),
    (530, "Internal error", Unreachable),
    (531, "no permission", PermissionDenied),
    (534, "router", Unreachable),
    (537, "The range specified, 80-80, conflicts with rule 7 which has 80-80", Conflict),
    (299, "what is this", CloudBug),
]


@pytest.mark.parametrize(("code", "text", "error"), ANSWERS)
def test_every_code_has_its_error(code, text, error):
    """The table maps each code, and the texts that only mean a stale view."""
    assert type(error_for("x", code, text)) is error
