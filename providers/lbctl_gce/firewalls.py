"""Firewall rules in a network that belongs to another project, where we may not write them. Pure.

A refused write is then no failure of the Service: what has to be done is told once, with the very command, and told
again only when its content changes (legacy event `LoadBalancerManualChange`, L4 event `XPN`).
"""

from __future__ import annotations

from dataclasses import dataclass, field

from lbctl.model.resource import Key, Outputs, Resource, Seen
from lbctl.model.status import Notice, Severity
from lbctl.plan.actions import Action, Verb
from lbctl_gce.requests import Request

COMMAND = "command"
VERBS = {Verb.CREATE: "create", Verb.UPDATE: "update", Verb.DELETE: "delete"}


@dataclass
class ManualRules:
    """Rules that somebody else has to write; `applies` only in a shared network."""

    project: str
    applies: bool
    rules: dict[Key, Seen] = field(default_factory=dict)

    def note(self, action: Action, request: Request) -> Outputs:
        """Treat the refused write as done by somebody else, and remember the command."""
        step = action.steps[0]
        if step.verb is Verb.DELETE or step.desired is None:
            self.rules.pop(step.key, None)
            return Outputs(gone=(step.key,))
        resource = Resource(step.key, step.desired.name, request.fields, step.desired.owners)
        seen = Seen(resource, {"path": "", COMMAND: gcloud(step.verb, resource, self.project)})
        self.rules[step.key] = seen
        return Outputs(seen=(seen,))


def gcloud(verb: Verb, resource: Resource, project: str) -> str:
    """The command that writes the rule."""
    fields = resource.fields
    if verb is Verb.DELETE:
        return f"gcloud compute firewall-rules delete {resource.name} --project {project}"
    words = [f"gcloud compute firewall-rules {VERBS[verb]} {resource.name}"]
    if verb is Verb.CREATE:
        words.append(f"--network {str(fields['network']).rpartition('/')[2]}")
    words.append(f"--description {fields['description']!r}")
    words.append(f"--allow {','.join(sorted(_list(fields['allowed']), key=str)).replace(' ', ':')}")
    for option, name in (("source-ranges", "sources"), ("destination-ranges", "destinations"), ("target-tags", "tags")):
        if _list(fields[name]):
            words.append(f"--{option} {','.join(sorted(_list(fields[name])))}")
    return " ".join([*words, f"--project {project}"])


def manual_notice(seen: Seen) -> Notice | None:
    """What to tell about a rule that waits for somebody else."""
    command = seen.outputs.get(COMMAND)
    if not command:
        return None
    return Notice(Severity.NORMAL, "XPN", f"Firewall change required by security admin: `{command}`")


def _list(value: object) -> list[str]:
    return [str(item) for item in value] if isinstance(value, frozenset) else []
