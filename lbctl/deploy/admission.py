"""A ValidatingAdmissionPolicy from a driver's table of annotations: mistakes are refused when they are written. Pure.

The API server evaluates it, so no webhook runs. It says what `lbctl check -f` says, as far as CEL can tell: it never
refuses what that accepts, and what needs more than CEL (a JSON document) is left to the controller. A fault of the
policy itself lets Services through, and what was valid when it was written is never looked at again.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator

from lbctl.annotations import Annotation
from lbctl.deploy.rights import LABELS, Object
from lbctl.driver import DriverInfo
from lbctl.model.capabilities import Capabilities

GROUP = "admissionregistration.k8s.io"
ANNOTATIONS = "variables.annotations"
MATCH_ANNOTATIONS = "has({of}.metadata.annotations) ? {of}.metadata.annotations : {{}}"


def admission_policy(info: DriverInfo) -> list[Object]:
    """The policy and what binds it, for the Services that this driver serves."""
    name = f"lbctl-{info.name}"
    metadata = {"name": name, "labels": LABELS}
    rule = {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE", "UPDATE"], "resources": ["services"]}
    policy = {
        "failurePolicy": "Ignore",
        "matchConstraints": {"resourceRules": [rule]},
        "matchConditions": [
            {"name": condition, "expression": expression} for condition, expression in match_conditions(info).items()
        ],
        "variables": [{"name": "annotations", "expression": MATCH_ANNOTATIONS.format(of="object")}],
        "validations": list(validations(info)),
    }
    binding = {"policyName": name, "validationActions": ["Deny"]}
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
