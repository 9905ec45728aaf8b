"""How the demo does and checks things: planning before a change, waiting for its effect, sending traffic.

The story's steps call it. It drives the cluster only as users do, over the API server and the published addresses; for
plans it asks the engine what it would do, as `lbctl plan` does.
"""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Protocol

from lbctl.engine.account import Account
from lbctl.engine.planning import build_world
from lbctl.engine.plans import Result, plans_of
from lbctl.engine.process import Process
from lbctl.engine.summary import State, Summary, summarise
from lbctl.engine.whatif import imagine
from lbctl.errors import LbctlError
from lbctl.kube.access import Access
from lbctl.kube.reads import Cluster
from lbctl.kube.rest import Rest
from lbctl.kube.throttle import Rate
from lbctl.model.objects import Node, Service
from lbctl.plan.render import plan_lines
from lbctl.sandbox.demo.report import Report
from lbctl.sandbox.hands import Hands
from lbctl.sandbox.nodes.traffic import Kind, NoAnswer, Request, Tally, Traffic
from lbctl.sandbox.sandbox import Sandbox

RATE = Rate(per_second=500.0, burst=500.0)
KINDS = {"TCP": Kind.TCP, "UDP": Kind.UDP}
LOOK_SECONDS = 0.1
PATIENCE_SECONDS = 20.0
LINE_WIDTH = 116
BATCH = 12
AT_ONCE = 4
COLUMNS = ("SERVICE", "STATE", "ADDRESS", "PORTS", "REQUESTS", "ANSWERED", "TARGETS SEEN")


class StepFailed(LbctlError):
    """Something in the demo is not as it should be."""

    reason = "StepFailed"


class Screen(Protocol):
    """Where the demo is seen (`lbctl.text`)."""

    def say(self, line: str = "") -> None:
        """One line that stays."""

    def show(self, columns: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> None:
        """The newest state of the table."""


class Stage:
    """The sandbox with its controller, a user, a client and a screen."""

    def __init__(self, sandbox: Sandbox, traffic: Traffic, screen: Screen, report: Report) -> None:
        rest = Rest(Access(kubeconfig=str(sandbox.kubeconfig)), sandbox.clock, rate=RATE)
        self.sandbox = sandbox
        self.fleet = sandbox.fleet
        self.hands = Hands(rest)
        self.traffic = traffic
        self.screen = screen
        self.report = report
        self._reads = Cluster(rest)
        self._process = Process(sandbox.settings, clock=sandbox.clock)
        self._running = False

    def start_controller(self) -> None:
        """Let the controller run; it ends with the sandbox."""
        self.sandbox.start_controller(self._process)
        self._running = True

    # Plans.

    def show_plan(self, *changed: Service, nodes: Iterable[Node] | None = None) -> None:
        """Print what would be done if these Services, or these nodes, were so; long lines are cut."""
        results = self._plans(changed, nodes)
        for line in (line for result in results for line in result.lines(plan_lines) if line):
            self.screen.say(f"    {shorten(line, LINE_WIDTH)}")
        if not results:
            self.screen.say("    Nothing to do.")

    def changes(self, *changed: Service) -> bool:
        """True when something would be done if these Services were so."""
        return not all(result.is_empty for result in self._plans(changed))

    def nodes(self) -> tuple[Node, ...]:
        """The Nodes as the API server has them."""
        return tuple(self._reads.list_nodes())

    def _plans(self, changed: Iterable[Service] = (), nodes: Iterable[Node] | None = None) -> list[Result]:
        services = {service.key: service for service in (*self._reads.list_services(), *changed)}
        assembly = self._process.assembly
        listed = self.nodes() if nodes is None else nodes
        imagined = imagine(assembly, services=services.values(), nodes=listed, slices=self._reads.list_slices())
        return list(plans_of(imagined, (), everything=True))

    # Waiting.

    def wait(self, what: str, condition: Callable[[], bool], *, seconds: float = PATIENCE_SECONDS) -> None:
        """Return once `condition` holds; `StepFailed` names what was waited for."""
        clock = self.sandbox.clock
        give_up_at = clock.monotonic() + seconds
        while not condition():
            self.sandbox.check_controller()
            if clock.monotonic() > give_up_at:
                raise StepFailed(f"waited {seconds:.0f} s for {what}", hint="see the log below")
            clock.wait(LOOK_SECONDS)
            self.refresh()
        self.refresh()

    def wait_settled(self) -> None:
        """Return once nothing is left to do: every plan is empty and nothing is under way."""
        self.wait("every plan to be empty", self._is_settled)

    def wait_state(self, key: str, state: State) -> Summary:
        """The Service's summary once it is in this state."""
        self.wait(f"{key} to be {state}", lambda: self.summary(key).state is state)
        return self.summary(key)

    def summary(self, key: str) -> Summary:
        """How a Service is, from what the API server shows."""
        service = self.hands.get(key)
        if service is None:
            raise StepFailed(f"{key} does not exist")
        return summarise(service, self._process.assembly.controller.intake.claim_of(service))

    def _is_settled(self) -> bool:
        accounts = self._process.assembly.accounts.values()
        if any(account.in_flight or account.snapshot_at is None for account in accounts):
            return False
        return all(result.plan is None or result.plan.is_empty for result in self._plans())

    # Traffic.

    def ask(self, kind: Kind, key: str, port: int, *, at_least: int = 1, source: str | None = None) -> Counter[str]:
        """Who answered at least two batches of requests, and more until `at_least` pods have.

        Counts for the report. `StepFailed` when a request stays without an answer.
        """
        total = Tally()
        request = Request(kind, self.address(key), port, source=source)
        for number in range(10):
            self._merge(total, self.traffic.ask_many(request, count=BATCH, at_once=AT_ONCE))
            if number and (len(total.pods) >= at_least or total.failed):
                break
        self._record(key, total)
        if total.failed or len(total.pods) < at_least:
            seen = f"{total.answered} of {total.requests} answered by {len(total.pods)} pods"
            raise StepFailed(f"{request}: {seen}; {'; '.join(total.errors) or f'expected {at_least} pods'}")
        return total.pods

    @contextlib.contextmanager
    def steady(self, kind: Kind, key: str, port: int) -> Iterator[None]:
        """Requests all the while that the context lasts, every one of which has to be answered."""
        with self.traffic.steady(Request(kind, self.address(key), port)) as stream:
            yield
        self._record(key, stream.tally)
        tally = stream.tally
        self.screen.say(f"  meanwhile {tally.answered} of {tally.requests} {kind} requests to {key} were answered")
        if tally.failed:
            raise StepFailed(f"{tally.failed} requests to {key} failed: {'; '.join(tally.errors)}")

    def is_refused(self, kind: Kind, key: str, port: int, *, source: str | None = None) -> bool:
        """True when a request gets no answer; not counted in the report, since none is due."""
        try:
            self.traffic.ask(Request(kind, self.address(key), port, source=source, timeout_seconds=1.0))
        except NoAnswer:
            return True
        return False

    def clients_seen(self, key: str, port: int, count: int) -> list[tuple[str, str]]:
        """For `count` requests the node of the pod that answered and the address that the pod saw."""
        answers = [self.traffic.ask(Request(Kind.HTTP, self.address(key), port)) for _ in range(count)]
        self.report.service(key).count(requests=count, answered=count, targets=(answer.pod for answer in answers))
        return [(answer.node, answer.client.rpartition(":")[0]) for answer in answers]

    def address(self, key: str) -> str:
        """The Service's published address."""
        found = self.summary(key).addresses
        if not found:
            raise StepFailed(f"{key} has no address")
        return found[0]

    def _record(self, key: str, total: Tally) -> None:
        self.report.service(key).count(requests=total.requests, answered=total.answered, targets=total.pods)
        self.refresh()

    def _merge(self, total: Tally, more: Tally) -> None:
        total.requests += more.requests
        total.pods += more.pods
        total.nodes += more.nodes
        total.errors += more.errors

    # What is seen and what is left.

    def refresh(self) -> None:
        """Bring table and report up to what the API server shows."""
        self.screen.show(COLUMNS, [self._row(service) for service in self.balancers()])

    def balancers(self) -> list[Service]:
        """The Services that want a balancer."""
        return [service for service in self._reads.list_services() if service.spec.type == "LoadBalancer"]

    def count_leftovers(self) -> int:
        """Parts of balancers, Services, finalizers and ports that answer: all that is still there, read afresh."""
        assembly = self._process.assembly
        parts = sum(self._count_parts(account) for account in assembly.accounts.values())
        marked = [s for s in self._reads.list_services() if assembly.finalizers.intersection(s.metadata.finalizers)]
        return parts + len({service.key for service in (*marked, *self.balancers())}) + self._count_answering()

    def _count_parts(self, account: Account) -> int:
        """Objects of any Service that the driver finds when it looks now, not when it looked last."""
        assembly = self._process.assembly
        world = build_world(account, (), cluster=assembly.cluster, now=assembly.clock.now())
        seen = account.driver.snapshot(world).values()
        return sum(len(observed.resources) for observed in seen if observed.owners())

    def _count_answering(self) -> int:
        asked = (
            Request(KINDS[protocol], one.address, int(port), timeout_seconds=1.0)
            for one in self.report.services.values()
            for port, _, protocol in (text.partition("/") for text in one.ports)
            if one.address
        )
        return sum(self.traffic.ask_many(request, count=1).answered for request in asked)

    def _row(self, service: Service) -> tuple[str, ...]:
        line = summarise(service, self._process.assembly.controller.intake.claim_of(service))
        if line.state is State.FOREIGN:
            return (line.key, line.state, "", ",".join(line.ports), "", "", "")
        figures = self.report.service(line.key)
        figures.ports = line.ports
        figures.address = line.addresses[0] if line.addresses else figures.address
        counts = (figures.requests, figures.answered, len(figures.targets))
        return (line.key, line.state, ",".join(line.addresses), ",".join(line.ports), *map(str, counts))


def shorten(line: str, width: int) -> str:
    """The line, cut with an ellipsis where it is longer than `width`."""
    return line if len(line) <= width else line[: width - 1] + "…"


def spec(**fields: object) -> Mapping[str, Any]:
    """A merge patch of a Service's spec."""
    return {"spec": fields}


def annotation(key: str, value: str | None) -> Mapping[str, Any]:
    """A merge patch that sets an annotation, or removes it."""
    return {"metadata": {"annotations": {key: value}}}
