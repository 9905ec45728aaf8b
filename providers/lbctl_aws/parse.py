"""Service -> Intent: the first stage of the AWS driver, pure.

Every problem is told at once, and no call is made for a Service that has one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

from lbctl.annotations import Values
from lbctl.errors import InvalidService
from lbctl.model.capabilities import Affinity, Capabilities
from lbctl.model.intent import Intent, read_intent
from lbctl.model.objects import Service
from lbctl.model.problem import Problem
from lbctl.model.status import Notice, Severity
from lbctl_aws.annotations import CLB, IP, LEGACY, TABLE, key_of
from lbctl_aws.checks import find_problems
from lbctl_aws.options import TARGET_TYPE_KEY, TYPE_KEY, UNCLAIMED, Options, build_options, mode_of
from lbctl_aws.settings import AwsSettings

CAPABILITIES = Capabilities(
    protocols=frozenset({"TCP", "UDP"}),
    mixed_protocols=True,
    families=("IPv4", "IPv6"),
    dual_stack=True,
    source_ranges=True,
    affinity=Affinity.NONE,
    needs_node_ports=False,
    proxy_protocol=True,
)
INSTANCES = replace(CAPABILITIES, needs_node_ports=True)
BY_MODE: Mapping[str, Capabilities] = {
    CLB: replace(INSTANCES, protocols=frozenset({"TCP"}), families=("IPv4",), dual_stack=False),
    LEGACY: replace(INSTANCES, families=("IPv4",), dual_stack=False),
    IP: CAPABILITIES,
}
KNOWN_TYPES = frozenset({"", "nlb", "nlb-ip", "external"})


def parse(service: Service, settings: AwsSettings) -> Intent:
    """What the Service asks of AWS; `InvalidService` with every problem, each naming its field or annotation."""
    mode = mode_of(service, settings)
    if mode == UNCLAIMED:
        raise InvalidService([_unclaimed(service)])
    values = TABLE.read(service.metadata.annotations)
    intent, problems = read_intent(service, capabilities=BY_MODE.get(mode, INSTANCES), values=values)
    options = build_options(mode, values.by_name, values.given)
    intent = replace(intent, options={"aws": options}, notices=(*intent.notices, *_notices(intent, options, values)))
    if intent.ports:
        problems = [*problems, *find_problems(intent, settings)]
    if problems:
        raise InvalidService(problems)
    return intent


def _unclaimed(service: Service) -> Problem:
    return Problem(
        f"metadata.annotations[{TARGET_TYPE_KEY}]",
        f"UnclaimedService: {TYPE_KEY} is {service.metadata.annotations[TYPE_KEY]!r} and no target type is given, "
        "so no upstream controller serves this Service either",
        "set it to instance or ip",
    )


def _notices(intent: Intent, options: Options, values: Values) -> Iterator[Notice]:
    for annotation in TABLE:
        if annotation.name in values.given and annotation.modes and options.mode not in annotation.modes:
            yield _ignored(f"{annotation.key} has no effect in mode {options.mode}")
    kind = str(values.by_name["type"])
    if options.mode == CLB and kind not in KNOWN_TYPES:
        yield _ignored(f"{TYPE_KEY} is {kind!r}, which means a classic balancer; did you mean nlb or external?")
    if options.is_lbc and intent.affinity_seconds is not None:
        yield Notice(
            Severity.WARNING,
            "UnsupportedFeature",
            "sessionAffinity ClientIP has no effect here; use "
            f"{key_of('target_group_attributes')}: stickiness.enabled=true,stickiness.type=source_ip",
        )
    for part, forward in options.actions.items():
        if any(target.decrypt for target in forward.targets) and not part.startswith("TLS-"):
            yield _ignored(f"{key_of('actions').replace('{port}', part)}: decrypt has an effect on TLS listeners only")
    if options.is_ccm:
        yield from _ambiguous_maps(values)


def _ambiguous_maps(values: Values) -> Iterator[Notice]:
    for name in ("additional_resource_tags", "target_node_labels", "target_group_attributes"):
        for key, value in values.by_name[name].items():
            if "=" in value:
                yield Notice(
                    Severity.WARNING,
                    "AnnotationChanged",
                    f"{key_of(name)}: {key} is read as {value!r}; cloud-provider-aws keeps only what stands "
                    "between the first two equals signs",
                )


def _ignored(message: str) -> Notice:
    return Notice(Severity.WARNING, "AnnotationIgnored", message)
