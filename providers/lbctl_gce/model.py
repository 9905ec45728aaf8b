"""Intent, nodes and facts -> everything that one Service's balancer should hold. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from lbctl.driver import World
from lbctl.model.problem import Problem
from lbctl.model.resource import Desired, Identity, Observed, Resource, Scope
from lbctl.model.status import Notice
from lbctl_gce.access import Access
from lbctl_gce.backends import Backends
from lbctl_gce.facts import Facts
from lbctl_gce.flowlogs import choose_flowlogs
from lbctl_gce.frontends import Frontend, frontends_of
from lbctl_gce.fronts import choose_fronts
from lbctl_gce.machines import machines_of
from lbctl_gce.place import Place
from lbctl_gce.wish import Wish


def model_balancer(scope: Scope, world: World, facts: Facts, place: Place) -> Desired:
    """What the scope's Service should have; problems that only facts show go into `rejected`."""
    resources: list[Resource] = []
    rejected: dict[Identity, tuple[Problem, ...]] = {}
    notices: dict[Identity, tuple[Notice, ...]] = {}
    seen = world.observed.get(scope) or Observed(scope)
    machines = world.nodes.project(machines_of)
    for identity, intent in sorted(world.intents.items()):
        flowlogs = choose_flowlogs(world.services[identity], world.referred)
        balancer = Balancer(Wish(intent, place, facts, seen, machines, flowlogs))
        problems = tuple(balancer.problems())
        if problems:
            rejected[identity] = problems
        else:
            resources.extend(balancer.resources())
            notices[identity] = tuple(balancer.notices())
    return Desired.of(scope, resources, rejected=rejected, notices=notices)


@dataclass(frozen=True, slots=True)
class Balancer:
    """One Service's balancer from the way in to what is behind."""

    wish: Wish

    @property
    def access(self) -> Access:
        """Who may come."""
        return Access(self.wish)

    @property
    def backends(self) -> Backends:
        """What is behind."""
        return Backends(self.wish)

    @property
    def frontends(self) -> dict[str, tuple[Frontend, ...]]:
        """Forwarding rules by address family."""
        return {family: frontends_of(self.wish, family) for family in self.wish.intent.families}

    def problems(self) -> Iterator[Problem]:
        """What facts and limits say against the wish."""
        if not self.wish.mode.has_balancer:
            return
        for frontends in self.frontends.values():
            yield from frontends[0].problems()
        yield from self._collisions()
        yield from self.access.problems()

    def _collisions(self) -> Iterator[Problem]:
        has = {seen.resource.name for seen in self.wish.seen.resources.values() if seen.ours}
        for name, other in sorted(self.wish.facts.collisions.items()):
            if name not in has:
                text = f"its object {name} would have the same name as that of {other}"
                yield Problem("metadata.name", text, "give one of the two Services another name")

    def notices(self) -> Iterator[Notice]:
        """What the author should know although it is served."""
        if not self.wish.mode.has_balancer:
            region = self.wish.place.config.region
            yield from choose_fronts(self.wish.intent, region, self.wish.seen, self.wish.facts.fronts).notices
            return
        yield from self.access.notices()
        yield from self.backends.notices()

    def resources(self) -> Iterator[Resource]:
        """Everything, in no particular order."""
        if not self.wish.mode.has_balancer:
            yield from self.backends.endpoint_groups()
            return
        backend, needs = yield from self.backends.resources()
        for frontends in self.frontends.values():
            yield from (frontend.resource(backend, needs) for frontend in frontends)
            yield from self.access.resources(frontends)
