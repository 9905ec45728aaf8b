"""The page of Events and conditions: the core's from its tables, the drivers' from every `Notice` in their code.

What a reason of a driver means is written here once; a reason without a sentence fails, and so does a sentence without
a reason.
"""

from __future__ import annotations

import ast
import functools
from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path

from lbctl.engine.announcing import BEGINNINGS, ENDINGS, FAILURE_VERBS, NO_NODES
from lbctl.engine.publish import MIXED_PROTOCOLS_REASON, PORTS_CONDITION, READY_CONDITION
from lbctl.errors import Blame
from lbctl.registry import find_provider, known_providers
from tests.reference.errors import reasons
from tests.reference.markdown import code, page, prose, table

ROOT = Path(__file__).parents[2]
CORE = {
    "PlanHeld": "An action does more to traffic than the policy lets through; the message has the digest to approve.",
    "StatusConflict": "Somebody keeps overwriting the published address; names the writer, and stops writing.",
}
DRIVERS = {
    "AnnotationChanged": "An annotation is read in another way than upstream does; the message has both.",
    "AnnotationIgnored": "An annotation has no effect here, or its key looks like a typing error.",
    "BalancerFailed": "The cloud says that the balancer is broken.",
    "BalancerStuck": "The cloud has been busy with the balancer for more than ten minutes.",
    "CanNotMigrateTargetPoolToRBS": "A balancer with a target pool stays one.",
    "ConflictingConfiguration": "Class and annotation ask for different things; the class wins.",
    "ConflictingSources": "Service tags and `loadBalancerSourceRanges` together let less in than one may think.",
    "DeletionProtected": "The balancer is protected against deletion; only a person lifts that.",
    "InvalidSourceRanges": "Unreadable ranges: everybody outside the readable ones is denied.",
    "LimitedByDriver": "The cloud cannot do a part of what the Service asks for; the rest is served.",
    "LoadBalancerAvailabilityZonesIgnored": "The Octavia provider has no availability zones.",
    "LoadBalancerFloatingIPSkipped": "An IPv6 VIP gets no floating IP.",
    "LoadBalancerForcedInternal": "There is no external network to take a floating IP from.",
    "LoadBalancerLbMethodUnknown": "The Octavia provider does not have the method that is asked for.",
    "LoadBalancerRename": "A balancer with a name of an old upstream version gets the name of today.",
    "LoadBalancerSourceRangesIgnored": "Source ranges without effect: of another family, or not known to the provider.",
    "NodeInOtherBalancer": "Nodes serve another load balancer already and are left alone.",
    "NodeSkipped": "A node is no target; the message says why.",
    "ForwardingRuleUnusable": "A forwarding rule that a Service names does not lead to its endpoint groups.",
    "L4LBConfigInvalidMode": "The L4LBConfig object that a Service names cannot be followed; logging stays as it is.",
    "L4LBConfigNotFound": "There is no such L4LBConfig object as a Service names; logging stays as it is.",
    "NoForwardingRuleRef": "A Service with endpoint groups alone names no forwarding rule, so it gets no address.",
    "NodesWithoutTag": "No network tag reaches some instances, so no firewall rule does.",
    "SecurityGroupUnclear": "A node's security group cannot be told from its tags.",
    "UnsupportedConfiguration": "An annotation has no effect together with the rest of the Service.",
    "UnsupportedFeature": "A field has no effect in this mode; the message names what to use.",
    "XPN": "The network is another project's: the message is the command that its administrator has to run.",
    "ZoneWithoutGroup": "Somebody else fills instance groups, and has made none in a zone that has nodes.",
}
CONDITION = (
    ("True", "Ready", "The balancer serves and the address is published."),
    ("False", "Provisioning", "It is being made; the message says what is waited for."),
    ("False", "Updating", "It serves, and a change is under way."),
    ("False", "NoEligibleNodes", "It is there, and no node can be a target."),
    ("False", "PlanHeld", "An action waits for approval; the message says what it does and how to approve."),
    ("False", "Deleting", "The Service goes away and something of it is left in the cloud."),
    ("False", "(an [error](errors.md)'s reason)", "The last try failed; the message says what to do."),
)


def events_page() -> str:
    """The condition, the core's Events, those of failures, and those of the drivers."""
    return page(
        "Events and conditions",
        "Events carry upstream's reasons, so that alerts go on. An Event marks a turn, not a try: a pass that changes "
        "nothing tells nothing. A failure that only the author can mend is told once.",
        "## The condition",
        f"Every Service that lbctl serves has the condition `{READY_CONDITION}`:",
        table(("status", "reason", "meaning"), ((status, code_or_text(why), what) for status, why, what in CONDITION)),
        f"A mix of protocols that the cloud cannot serve also sets the API's own condition `{PORTS_CONDITION}`, with "
        f"the reason `{MIXED_PROTOCOLS_REASON}`.",
        *_upstreams(),
        "## Events of every Service",
        table(("type", "reason", "when"), _core()),
        "## Events of failures",
        "When the operator has to act, the Event of the first column comes together with the error's own reason; when "
        "the author has to, the error's own reason comes alone.",
        table(("reason", "when"), _failures()),
        "## Events of drivers",
        table(("reason", "drivers", "meaning"), _drivers()),
    )


def _upstreams() -> Iterator[str]:
    """Conditions of upstream's that drivers tell beside ours."""
    found = {name: find_provider(name).result_conditions for name in sorted(known_providers())}
    told = [f"`{kind}` ({name})" for name, kinds in found.items() for kind in sorted(kinds)]
    if told:
        yield f"Upstream's own conditions of parts of a balancer are told beside it: {', '.join(told)}."


def code_or_text(text: str) -> str:
    """A reason as code; what is said in words stays."""
    return text if text.startswith("(") else code(text)


def _core() -> Iterator[tuple[str, str, str]]:
    for notice in BEGINNINGS.values():
        yield notice.severity.value, code(notice.reason), "The first action of a change is about to be made."
    for cause, notice in ENDINGS.items():
        yield notice.severity.value, code(notice.reason), f"All is done: {cause.value}."
    yield NO_NODES.severity.value, code(NO_NODES.reason), f"{NO_NODES.message}."
    for reason, meaning in CORE.items():
        yield "Warning", code(reason), meaning


def _failures() -> Iterator[tuple[str, str]]:
    yield code("SyncLoadBalancerFailed"), "A change that the Service asked for failed; the message says why."
    for cause, verb in FAILURE_VERBS.items():
        yield code(f"{verb}LoadBalancerFailed"), f"The same, because {cause.value}."
    for reason, kind in sorted(reasons().items()):
        if kind.blame in (Blame.AUTHOR, Blame.OPERATOR):
            yield code(reason), prose(kind.__doc__)


def _drivers() -> Iterator[tuple[str, str, str]]:
    found = driver_reasons()
    for reason in sorted(found):
        if reason not in CORE:
            yield code(reason), ", ".join(sorted(found[reason])), DRIVERS[reason]


@functools.cache
def driver_reasons() -> dict[str, set[str]]:
    """Which drivers tell which reason."""
    found: dict[str, set[str]] = defaultdict(set)
    for name in known_providers():
        nodes = _nodes(ROOT / "providers" / f"lbctl_{name}")
        for reason in {*find_provider(name).event_reasons, *_literal_reasons(nodes)}:
            found[reason].add(name)
    return found


def untold_reasons(provider: str) -> set[str]:
    """The reasons that a driver declares and no code of it names."""
    texts = {node.value for node in _nodes(ROOT / "providers" / f"lbctl_{provider}") if isinstance(node, ast.Constant)}
    return set(find_provider(provider).event_reasons) - texts


def _literal_reasons(nodes: Iterable[ast.AST]) -> Iterator[str]:
    for node in nodes:
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "Notice":
            reason = node.args[1] if len(node.args) > 1 else None
            if isinstance(reason, ast.Constant):
                yield str(reason.value)


def _nodes(folder: Path) -> Iterator[ast.AST]:
    for file in sorted(folder.glob("*.py")):
        if file.name != "__init__.py":
            yield from ast.walk(ast.parse(file.read_text(encoding="utf-8")))
