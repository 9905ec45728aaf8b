"""Target groups that several clusters register in: which targets are ours, so that only those are taken off. Pure.

The targets of other clusters look like ours. What we registered is written down on the Service, as entries
`PLACE/TARGET` (of the group's place: the port of its listener, for a group of another Service more), before it is
registered, and struck out after it was taken off. Before the first entry is written, the ConfigMap in which LBC keeps
the same for itself tells (LBC, targetgroupbinding/multicluster_manager.go).
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

from lbctl.model.resource import Desired, Identity, Key
from lbctl.plan.actions import Action
from lbctl_aws.annotations import OWN_TARGETS
from lbctl_aws.calls import Phase
from lbctl_aws.fold import Phased
from lbctl_aws.options import Options
from lbctl_aws.place import TARGETS
from lbctl_aws.targets import target_text

OWN, LEAVING = "own", "leaving"
"""Fields of a shared target group, never compared: entries of what we want there, and of what we take off."""
LBC_TARGETS = "aws-lbc-targets-"
LBC_KEY = "targets"
ANNOTATE = "annotate Service"


def upstream_document(namespace: str, group: str) -> str:
    """Where LBC remembers its targets: its binding is called like the target group."""
    return f"configmaps/{namespace}/{LBC_TARGETS}{group}"


def read_upstream(data: Mapping[str, str], *, group_port: int) -> frozenset[str]:
    """The targets that LBC lists as `ID:PORT`, comma separated."""
    pairs = (entry.strip().rpartition(":") for entry in data.get(LBC_KEY, "").split(","))
    return frozenset(target_text(i, port=int(port), group_port=group_port) for i, _, port in pairs if port.isdigit())


def remembered_targets(options: Options, place: str) -> frozenset[str] | None:
    """What the Service says that we registered at this place; None while it says nothing at all."""
    if options.own_targets is None:
        return None
    start = f"{place}/"
    return frozenset(entry.removeprefix(start) for entry in options.own_targets if entry.startswith(start))


def share(
    there: frozenset[str], wanted: frozenset[str], ours: frozenset[str], *, place: str
) -> dict[str, frozenset[str]]:
    """The fields of a shared group: our wish beside what others registered, and the entries for the Service."""
    known = {_bare(target) for target in ours}
    leaving = {target for target in there - wanted if _bare(target) in known}
    return {
        "targets": wanted | (there - leaving),
        OWN: frozenset(f"{place}/{target}" for target in wanted),
        LEAVING: frozenset(f"{place}/{target}" for target in leaving),
    }


def _bare(target: str) -> str:
    """A target without its zone, which nobody remembers."""
    return target.partition("@")[0]


@dataclass(frozen=True, slots=True)
class _Memory:
    """What is written on the Service, what has to be before anything is registered, and what may stay in the end."""

    written: frozenset[str] | None
    first: frozenset[str]
    last: frozenset[str]


def remembering(actions: Iterable[Phased], desired: Desired, identity: Identity, options: Options) -> Iterator[Phased]:
    """The same actions, with what is registered written down before it is, and struck out once it is taken off."""
    pending = list(actions)
    memory = _memory(desired, identity, options)
    if memory is None:
        yield from pending
        if options.own_targets is not None and not options.multi_cluster_target_group:
            yield _note(Phase.LAST, "forget", identity, None)
        return
    moving = frozenset(one.action.id for one in pending if _moves_targets(one.action, identity))
    if memory.written is None or not memory.first <= memory.written:
        first = _note(Phase.FIRST, "remember", identity, memory.first | (memory.written or frozenset()))
        pending = [_after(one, first.action.id) if one.action.id in moving else one for one in pending]
        pending.append(first)
        moving |= {first.action.id}
    if not (memory.first | (memory.written or frozenset())) <= memory.last:
        pending.append(_note(Phase.LAST, "forget", identity, memory.last, after=moving))
    yield from pending


def _memory(desired: Desired, identity: Identity, options: Options) -> _Memory | None:
    """None while nothing is to be said: nothing is shared, or the targets are not known yet."""
    groups = [r for r in desired.resources.values() if r.key.kind == TARGETS and identity in r.owners]
    told = [resource.fields for resource in groups if OWN in resource.fields]
    if not options.multi_cluster_target_group or not told or len(told) < len(groups):
        return None
    written = None if options.own_targets is None else frozenset(options.own_targets)
    own = frozenset().union(*(_entries(fields[OWN]) for fields in told))
    leaving = frozenset().union(*(_entries(fields[LEAVING]) for fields in told))
    return _Memory(written, own | leaving, own)


def _entries(value: Hashable) -> frozenset[str]:
    return value if isinstance(value, frozenset) else frozenset()


def _moves_targets(action: Action, identity: Identity) -> bool:
    mine: Iterable[tuple[Key, str]] = (
        (s.key, c.field) for s in action.steps if identity in s.owners for c in s.changes
    )
    return any(key.kind == TARGETS and field == "targets" for key, field in mine)


def _after(one: Phased, before: str) -> Phased:
    return replace(one, action=replace(one.action, after=one.action.after | {before}))


def _note(
    phase: Phase, word: str, identity: Identity, entries: frozenset[str] | None, *, after: frozenset[str] = frozenset()
) -> Phased:
    text = None if entries is None else ",".join(sorted(entries))
    changes = {identity: {OWN_TARGETS: text}}
    return Phased(phase, Action(f"{word} targets of {identity}", ANNOTATE, (), after, annotations=changes))
