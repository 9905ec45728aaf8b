"""A ValidatingAdmissionPolicy from a driver's table of annotations: mistakes are refused when they are written. Pure.

The API server evaluates it, so no webhook runs. It says what `lbctl check -f` says, as far as CEL can tell: it never
refuses what that accepts, and what needs more than CEL (a JSON document) is left to the controller. A second policy
warns of keys that the driver does not know; which known key is the nearest is beyond CEL. A fault of a policy itself
lets Services through, and what was valid when it was written is never looked at again.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator

from lbctl.annotations import UNKNOWN, Annotation
from lbctl.deploy.rights import LABELS, Object
from lbctl.driver import DriverInfo
from lbctl.model.capabilities import Capabilities

GROUP = "admissionregistration.k8s.io"
ANNOTATIONS = "variables.annotations"
MATCH_ANNOTATIONS = "has({of}.metadata.annotations) ? {of}.metadata.annotations : {{}}"
GIVEN = MATCH_ANNOTATIONS.format(of="object")
NO_UNKNOWN = {
    "expression": "variables.unknown.size() == 0",
    "message": f"an annotation {UNKNOWN}",
    "messageExpression": f"variables.unknown.map(key, key + ' {UNKNOWN}').join('; ')",
}


def admission_policies(info: DriverInfo) -> list[Object]:
    """The policy that refuses and the one that warns, each with what binds it, for the Services of this driver."""
    name = f"lbctl-{info.name}"
    return [
        *_bound(name, info, {"annotations": GIVEN}, list(validations(info)), "Deny"),
        *_bound(f"{name}-unknown", info, {"annotations": GIVEN, "unknown": unknown(info)}, [NO_UNKNOWN], "Warn"),
    ]


def _bound(name: str, info: DriverInfo, variables: dict[str, str], rules: list[Object], action: str) -> list[Object]:
    """A policy and its binding."""
    metadata = {"name": name, "labels": LABELS}
    rule = {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE", "UPDATE"], "resources": ["services"]}
    policy = {
        "failurePolicy": "Ignore",
        "matchConstraints": {"resourceRules": [rule]},
        "matchConditions": [
            {"name": condition, "expression": expression} for condition, expression in match_conditions(info).items()
        ],
        "variables": [{"name": variable, "expression": expression} for variable, expression in variables.items()],
        "validations": rules,
    }
    binding = {"policyName": name, "validationActions": [action]}
    return [
        {"apiVersion": f"{GROUP}/v1", "kind": "ValidatingAdmissionPolicy", "metadata": metadata, "spec": policy},
        {
            "apiVersion": f"{GROUP}/v1",
            "kind": "ValidatingAdmissionPolicyBinding",
            "metadata": metadata,
            "spec": binding,
        },
    ]


def match_conditions(info: DriverInfo) -> dict[str, str]:
    """Which Services are looked at: balancers of this driver, when their author changes something."""
    classes = literal(info.served_classes)
    old, new = (MATCH_ANNOTATIONS.format(of=of) for of in ("oldObject", "object"))
    return {
        "balancer": "has(object.spec.type) && object.spec.type == 'LoadBalancer'",
        "class": f"!has(object.spec.loadBalancerClass) || object.spec.loadBalancerClass in {classes}",
        "changed": f"oldObject == null || object.spec != oldObject.spec || ({new}) != ({old})",
        "staying": "!has(object.metadata.deletionTimestamp)",
    }


def validations(info: DriverInfo) -> Iterator[Object]:
    """One for each annotation and each rule of the core, with the words of `lbctl check`."""
    for expression, message in _rules_of_the_core(info.capabilities):
        yield {"expression": expression, "message": message, "reason": "Invalid"}
    every = tuple(info.annotations)
    exact = [annotation.key for annotation in every if not annotation.is_pattern]
    earlier: list[Annotation] = []
    for annotation in every:
        expression = _pattern(annotation, exact, earlier) if annotation.is_pattern else _exact(annotation)
        if annotation.is_pattern:
            earlier.append(annotation)
        if expression:
            message = f"metadata.annotations[{annotation.key}] is not {annotation.kind.grammar}"
            yield {"expression": expression, "message": message, "reason": "Invalid"}


def unknown(info: DriverInfo) -> str:
    """The keys that look like ours or the driver's, and are neither in its table nor another program's."""
    table = info.annotations
    ours = " || ".join(f"key.startsWith({literal(prefix)})" for prefix in table.own_prefixes)
    exact = [*(one.key for one in table if not one.is_pattern), *sorted(table.ignored)]
    known = [f"key in {literal(exact)}"]
    known += [f"key.matches({literal(expression_of(one.key))})" for one in table if one.is_pattern]
    return f"{ANNOTATIONS}.filter(key, ({ours}) && !({' || '.join(known)}))"


def literal(value: str | Iterable[str]) -> str:
    """A text, or a list of texts, in CEL."""
    return json.dumps(value if isinstance(value, str) else list(value))


def _exact(annotation: Annotation) -> str:
    key = literal(annotation.key)
    valid = annotation.kind.cel(f"{ANNOTATIONS}[{key}]")
    return f"!({key} in {ANNOTATIONS}) || ({valid})" if valid else ""


def _pattern(annotation: Annotation, exact: list[str], earlier: list[Annotation]) -> str:
    """Every key that the pattern matches, and nothing that comes before it in the table does."""
    valid = annotation.kind.cel(f"{ANNOTATIONS}[key]")
    if not valid:
        return ""
    others = [key for key in exact if annotation.match(key) is not None]
    skipped = [f"!key.matches({literal(expression_of(annotation.key))})"]
    skipped += [f"key in {literal(others)}"] if others else []
    skipped += [f"key.matches({literal(expression_of(one.key))})" for one in earlier]
    return f"{ANNOTATIONS}.all(key, {' || '.join(skipped)} || ({valid}))"


def expression_of(key: str) -> str:
    """The regular expression of a key with a variable part, in RE2."""
    before, _, rest = key.partition("{")
    after = rest.partition("}")[2]
    return f"^{_escaped(before)}.+{_escaped(after)}$"


def _escaped(text: str) -> str:
    return text.replace(".", r"\.")


def _rules_of_the_core(able: Capabilities) -> Iterator[tuple[str, str]]:
    protocols = sorted(able.protocols)
    ports = "!has(object.spec.ports) || object.spec.ports.all(p, {rule})"
    yield (
        ports.format(rule=f"!has(p.protocol) || p.protocol in {literal(protocols)}"),
        f"spec.ports: only {', '.join(protocols)} is supported here",
    )
    if not able.mixed_protocols:
        same = "!has(p.protocol) || p.protocol == object.spec.ports[0].protocol"
        yield ports.format(rule=same), "spec.ports: several protocols in one Service are not supported here"
    if able.needs_node_ports:
        allocates = "!has(object.spec.allocateLoadBalancerNodePorts) || object.spec.allocateLoadBalancerNodePorts"
        has_port = "has(p.nodePort) && p.nodePort != 0"
        yield f"{allocates} || {ports.format(rule=has_port)}", "spec.ports: every port needs a node port"
    yield from _family_rules(able)


def _family_rules(able: Capabilities) -> Iterator[tuple[str, str]]:
    families = literal(able.families)
    missing = "!has(object.spec.ipFamilies) || object.spec.ipFamilies.size() == 0"
    yield (
        f"{missing} || object.spec.ipFamilies.exists(f, f in {families})",
        f"spec.ipFamilies: only {', '.join(able.families)} is supported here",
    )
    both = f"object.spec.ipFamilies.all(f, f in {families})" if able.dual_stack else "false"
    relaxed = "!has(object.spec.ipFamilyPolicy) || object.spec.ipFamilyPolicy != 'RequireDualStack'"
    yield (
        f"{relaxed} || {missing} || object.spec.ipFamilies.size() < 2 || {both}",
        "spec.ipFamilyPolicy: both address families cannot be served here",
    )
