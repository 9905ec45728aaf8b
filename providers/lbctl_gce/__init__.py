"""The `gce` driver: passthrough load balancers of Google Cloud, as the two upstream controllers make them.

Importing this package loads no SDK.
"""

from __future__ import annotations

from functools import partial

from lbctl.driver import Driver, DriverInfo, Setup
from lbctl.model.intent import Intent
from lbctl.model.objects import Node
from lbctl_gce import flowlogs, fronts
from lbctl_gce.annotations import ANNOTATIONS
from lbctl_gce.kinds import ADDRESS, BALANCER, CLUSTER, RULE
from lbctl_gce.machines import is_machine, machine_of
from lbctl_gce.modes import CLASSES, FINALIZERS
from lbctl_gce.names import INGRESS_UID
from lbctl_gce.parse import CAPABILITIES, mode_of, parse_service
from lbctl_gce.permissions import build_roles
from lbctl_gce.results import RESULT_ANNOTATIONS
from lbctl_gce.settings import GceSettings, config_faults, default_modes


def connect(setup: Setup) -> Driver:
    """The driver of one project and region; loads the SDK, asks the metadata server only for what is not named."""
    from lbctl_gce.driver import GceDriver  # noqa: PLC0415 - the SDK costs a second and 140 MB

    return GceDriver(DRIVER, setup)


def finalizers(intent: Intent) -> tuple[str, ...]:
    """Upstream's own finalizer of the mode, from which it reads the mode again; endpoint groups alone have none."""
    mode = mode_of(intent)
    return (FINALIZERS[mode],) if mode in FINALIZERS else ()


def identity(node: Node) -> object:
    """All of a node that makes a difference here."""
    return machine_of(node)


def documents(settings: GceSettings) -> tuple[str, ...]:
    """Where upstream keeps the id in legacy names, unless the settings name it."""
    return () if settings.ingress_uid is not None else (INGRESS_UID,)


DRIVER = DriverInfo(
    name="gce",
    summary="Google Cloud passthrough load balancers",
    capabilities=CAPABILITIES,
    annotations=ANNOTATIONS,
    scope_kinds=(CLUSTER.kind, BALANCER),
    node_kinds=frozenset({CLUSTER.kind, BALANCER}),
    connect=connect,
    settings=GceSettings,
    extra="gce",
    classes=tuple(CLASSES),
    ready_node=is_machine,
    node_identity=identity,
    finalizers=finalizers,
    own_finalizers=frozenset(FINALIZERS.values()),
    event_reasons=(
        "ConflictingConfiguration",
        "L4LBConfigInvalidMode",
        "L4LBConfigNotFound",
        "CanNotMigrateTargetPoolToRBS",
        "ForwardingRuleUnusable",
        "LimitedByDriver",
        "NoForwardingRuleRef",
        "NodesWithoutTag",
        "UnsupportedConfiguration",
        "XPN",
        "ZoneWithoutGroup",
    ),
    permissions=build_roles,
    parser=lambda settings: partial(parse_service, defaults=default_modes(settings)),
    controller_leases=(
        "kube-system/cloud-controller-manager",
        "kube-system/l4-lb-controller-gce-lock",
        "kube-system/ingress-gce-lock",
        "kube-system/ingress-gce-neg-lock",
    ),
    billed={
        RULE: "by the hour, the first five of a project together as one",
        ADDRESS: "by the hour while nothing uses it, more than one in use",
    },
    result_annotations=RESULT_ANNOTATIONS,
    result_conditions=frozenset({flowlogs.CONDITION, fronts.CONDITION}),
    refers_to=(flowlogs.CONFIGS,),
    references=flowlogs.references,
    documents=documents,
    config_faults=config_faults,
)
