"""Firewall rules in a network that belongs to another project, where we may not write them. Pure.

A refused write is then no failure of the Service: what has to be done is told once, with the very command, and told
again only when its content changes (legacy event `LoadBalancerManualChange`, L4 event `XPN`).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from lbctl.model.ranges import ALLOW_ALL
from lbctl.model.resource import Key, Outputs, Resource, Seen
from lbctl.model.status import Notice, Severity
from lbctl.plan.actions import Action, Verb
from lbctl_gce.checks import first
from lbctl_gce.requests import Request
from lbctl_gce.shapes import Fields, Json, read_firewall

COMMAND = "command"
VERBS = {Verb.CREATE: "create", Verb.UPDATE: "update", Verb.DELETE: "delete"}


@dataclass
class ManualRules:
    """Rules that somebody else has to write; `applies` only in a shared network."""

    project: str
    applies: bool
    rules: dict[Key, Seen] = field(default_factory=dict)
    present: tuple[Fields, ...] = ()

    def look(self, bodies: Iterable[Json]) -> None:
        """Take note of all rules of the network, whoever made them."""
        self.present = tuple(read_firewall(body) for body in bodies) if self.applies else ()

    def note(self, action: Action, request: Request) -> Outputs:
        """Treat the refused write as done by somebody else, and remember the command."""
        step = action.steps[0]
        if step.verb is Verb.DELETE or step.desired is None:
            self.rules.pop(step.key, None)
            return Outputs(gone=(step.key,))
        resource = Resource(step.key, step.desired.name, request.fields, step.desired.owners)
        covered = any(covers(rule, request.fields) for rule in self.present)
        command = "" if covered else gcloud(step.verb, resource, self.project)
        seen = Seen(resource, {"path": "", COMMAND: command} | first(step.key.kind, request.fields))
        self.rules[step.key] = seen
        return Outputs(seen=(seen,))


def covers(rule: Fields, wanted: Fields) -> bool:
    """True when a rule lets through all that is wanted, to all instances that are meant; never for one that denies."""
    if wanted["denied"]:
        return False
    open_to_all = any(cidr in _list(rule["sources"]) for cidr in ALLOW_ALL.values())
    sources = open_to_all or set(_list(wanted["sources"])) <= set(_list(rule["sources"]))
    reaches = all(
        not _list(rule[name]) or (_list(wanted[name]) and set(_list(wanted[name])) <= set(_list(rule[name])))
        for name in ("destinations", "tags")
    )
    return sources and reaches and rule["network"] == wanted["network"] and _passes(rule, wanted)


def _passes(rule: Fields, wanted: Fields) -> bool:
    allowed = set(_list(rule["allowed"]))
    return all(
        entry in allowed or entry.partition(" ")[0] in allowed or "all" in allowed for entry in _list(wanted["allowed"])
    )


def gcloud(verb: Verb, resource: Resource, project: str) -> str:
    """The command that writes the rule."""
    fields = resource.fields
    if verb is Verb.DELETE:
        return f"gcloud compute firewall-rules delete {resource.name} --project {project}"
    words = [f"gcloud compute firewall-rules {VERBS[verb]} {resource.name}"]
    if verb is Verb.CREATE:
        words.append(f"--network {str(fields['network']).rpartition('/')[2]}")
    words.append(f"--description {fields['description']!r}")
    words.append(f"--allow {_entries(fields['allowed'])}" if fields["allowed"] else "--action DENY --rules all")
    words.append(f"--priority {fields['priority']}")
    for option, name in (("source-ranges", "sources"), ("destination-ranges", "destinations"), ("target-tags", "tags")):
        if _list(fields[name]):
            words.append(f"--{option} {','.join(sorted(_list(fields[name])))}")
    return " ".join([*words, f"--project {project}"])


def _entries(allowed: object) -> str:
    return ",".join(sorted(_list(allowed))).replace(" ", ":")


def manual_notice(seen: Seen) -> Notice | None:
    """What to tell about a rule that waits for somebody else."""
    command = seen.outputs.get(COMMAND)
    if not command:
        return None
    return Notice(Severity.NORMAL, "XPN", f"Firewall change required by security admin: `{command}`")


def _list(value: object) -> list[str]:
    return [str(item) for item in value] if isinstance(value, frozenset) else []
