"""Random worlds: one seed decides what users, nodes, the cloud and the process do; the end must always be the same."""

from __future__ import annotations

import random

import pytest

from lbctl.errors import (
    CloudError,
    Conflict,
    MissingFact,
    NotAuthenticated,
    NotReady,
    PermissionDenied,
    QuotaExceeded,
    Throttled,
    Unreachable,
)
from tests.clouds.memory import PREFIX, Crash, MemoryCloud, info
from tests.world import World, change, node, service

SEEDS = 240
STEPS = 14
NAMES = ("a", "b", "c", "d", "e")


class Story:
    """What happens in one world, and the list of it for whoever has to read a failure."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.cloud = MemoryCloud()
        self.cloud.slow = seed % 3 == 0
        self.log: list[str] = []
        theirs = {"cluster": "other", "owner": "shop/a/u", "scope": "x", "key": "x"}
        self.cloud.create("balancer", "theirs", tags=theirs, fields={"timeout": 1}, uses=())
        self.cloud.create("balancer", "unmarked", tags={}, fields={"timeout": 1}, uses=())
        self.bystanders = self.cloud.state()
        self.world = World(info(self.cloud), seed=seed)
        self.world.settle()
        self.next_port = 1000
        self.addresses: dict[str, str] = {}

    # -- what may happen --------------------------------------------------------------------------------------------

    def create_or_edit(self) -> None:
        name = self.random.choice(NAMES)
        ports = tuple(sorted(self.random.sample(range(80, 90), self.random.randint(1, 3))))
        annotations = {}
        if self.random.random() < 0.3:
            annotations[PREFIX + "timeout"] = str(self.random.choice([30, 60, 90, "soon"]))
        if self.random.random() < 0.1:
            annotations[PREFIX + "poison"] = "true"
        ranges = ("10.0.0.0/8",) if self.random.random() < 0.3 else ()
        self.note(f"put {name} {ports} {annotations} {ranges}")
        known = self.world.kube.services.get(f"shop/{name}")
        if known is not None and known.metadata.deletion_timestamp is not None:
            return
        wanted = service(name, ports=ports, annotations=annotations, load_balancer_source_ranges=ranges)
        if known is not None:
            meta = change(known.metadata, annotations=annotations)
            wanted = change(known, spec=wanted.spec, metadata=meta)
        self.world.kube.put(wanted)

    def delete(self) -> None:
        name = self.random.choice(NAMES)
        if f"shop/{name}" in self.world.kube.services:
            self.note(f"delete {name}")
            self.world.kube.delete(f"shop/{name}")

    def change_type(self) -> None:
        name = self.random.choice(NAMES)
        known = self.world.kube.services.get(f"shop/{name}")
        if known is not None and known.metadata.deletion_timestamp is None:
            kind = self.random.choice(["ClusterIP", "LoadBalancer"])
            self.note(f"{name} becomes {kind}")
            self.world.kube.put(change(known, spec=change(known.spec, type=kind)))

    def strip_finalizers(self) -> None:
        name = self.random.choice(NAMES)
        known = self.world.kube.services.get(f"shop/{name}")
        if known is not None:
            self.note(f"strip {name}")
            self.world.kube.overwrite(change(known, metadata=change(known.metadata, finalizers=())))

    def node_comes_or_goes(self) -> None:
        name = f"n{self.random.randint(1, 6)}"
        if name in self.world.kube.nodes and len(self.world.kube.nodes) > 1:
            self.note(f"node {name} leaves")
            self.world.see_node(None, name)
        else:
            self.note(f"node {name} joins")
            self.world.see_node(node(name))

    def drift(self) -> None:
        ours = [t for t in self.cloud.things.values() if t.tags.get("cluster") == "cluster-1" and t.kind == "listener"]
        if ours:
            thing = self.random.choice(ours)
            self.note(f"somebody deletes {thing.name}")
            del self.cloud.things[thing.id]

    def crash(self) -> None:
        self.note("crash")
        self.world.crash()

    def wait(self) -> None:
        seconds = self.random.choice([0.05, 0.5, 3, 30, 700])
        self.note(f"wait {seconds}")
        self.settle(seconds / 2)
        self.cloud.finish()
        self.settle(seconds / 2)

    # -- faults -----------------------------------------------------------------------------------------------------

    def fault(self, _name: str, _number: int) -> None:
        draw = self.random.random()
        if draw < 0.02:
            raise Crash
        if draw < 0.12:
            raise self.an_error()

    def an_error(self) -> CloudError:
        kinds = [
            Unreachable("no answer"),
            Throttled("slow down", after_seconds=self.random.choice([1, 20])),
            Conflict("changed"),
            PermissionDenied("not allowed"),
            QuotaExceeded("too many"),
            MissingFact("no subnet"),
            NotReady("busy", after_seconds=2),
            NotAuthenticated("who are you"),
        ]
        return self.random.choice(kinds)

    # -- telling it -------------------------------------------------------------------------------------------------

    def note(self, what: str) -> None:
        self.log.append(f"{self.world.clock.monotonic():8.2f} {what}")

    def settle(self, seconds: float) -> None:
        end = self.world.clock.monotonic() + seconds
        while self.world.clock.monotonic() < end:
            try:
                self.world.settle(end - self.world.clock.monotonic())
            except Crash:
                self.note("died in a write")
                self.world.crash()
        self.check()

    def check(self) -> None:
        """What holds at every moment."""
        theirs = [t for t in self.cloud.state() if t[1] in ("theirs", "unmarked")]
        assert theirs == self.bystanders, self.text()
        assert not self.world.bugs, self.text()
        names = [t.name for t in self.cloud.things.values() if t.kind == "balancer"]
        assert len(names) == len(set(names)), self.text()
        for key, live in self.world.kube.services.items():
            self.check_address(key, live)

    def check_address(self, key: str, live) -> None:
        """An address never changes for the same Service of type LoadBalancer."""
        known_as = f"{key}/{live.metadata.uid}"
        if live.spec.type != "LoadBalancer":
            self.addresses.pop(known_as, None)
            return
        for entry in live.status.load_balancer.ingress:
            address = entry.ip or ""
            assert self.addresses.setdefault(known_as, address) == address, self.text()

    def text(self) -> str:
        return "\n".join(["the story so far:", *self.log])

    def tell(self) -> None:
        self.cloud.before = self.cloud.after = self.fault
        happenings = [
            *[self.create_or_edit] * 5,
            *[self.wait] * 4,
            *[self.node_comes_or_goes] * 2,
            self.delete,
            self.change_type,
            self.strip_finalizers,
            self.drift,
            self.crash,
        ]
        for _ in range(STEPS):
            self.random.choice(happenings)()
        self.cloud.before = self.cloud.after = lambda _name, _number: None
        for _ in range(4):
            self.settle(500)
            self.cloud.finish()
        self.settle(1000)


def ideal(story: Story) -> list:
    """The cloud as an undisturbed lbctl would have made it for the Services that are there in the end."""
    cloud = MemoryCloud()
    theirs = {"cluster": "other", "owner": "shop/a/u", "scope": "x", "key": "x"}
    cloud.create("balancer", "theirs", tags=theirs, fields={"timeout": 1}, uses=())
    cloud.create("balancer", "unmarked", tags={}, fields={"timeout": 1}, uses=())
    world = World(info(cloud), nodes=())
    world.kube.nodes = dict(story.world.kube.nodes)
    for live in story.world.kube.services.values():
        world.kube.services[live.key] = change(live, metadata=change(live.metadata, finalizers=()))
    world.start()
    world.settle(100)
    return cloud.state()


def without_empty(state: list) -> list:
    """The state without a firewall document that has no rule: nobody is owed its removal."""
    return [thing for thing in state if thing[0] != "firewall" or thing[3] != [("rules", [])]]


def is_plain(live) -> bool:
    """True for a Service whose end does not depend on its history: invalid ones keep what they had."""
    return (
        live.metadata.annotations.get(PREFIX + "timeout") != "soon"
        and PREFIX + "poison" not in live.metadata.annotations
    )


@pytest.mark.spec("SC-078")
@pytest.mark.parametrize("chunk", range(8))
def test_every_story_ends_well(chunk):
    """Whatever happened, in the end the cloud is as an undisturbed process would have made it, with an empty plan."""
    for seed in range(chunk, SEEDS, 8):
        story = Story(seed)
        story.tell()
        plain = all(is_plain(live) for live in story.world.kube.services.values())
        if plain:
            assert without_empty(story.cloud.state()) == without_empty(ideal(story)), f"seed {seed}\n{story.text()}"
            assert not story.world.plans(), f"seed {seed}\n{story.text()}"
        for live in story.world.kube.services.values():
            assert live.metadata.deletion_timestamp is None, f"seed {seed}: {live.key} is stuck\n{story.text()}"


def test_a_seed_fixes_the_story():
    """The same seed twice gives the same log and the same cloud."""
    first, second = Story(7), Story(7)
    first.tell()
    second.tell()
    assert first.log == second.log
    assert first.cloud.state() == second.cloud.state()
