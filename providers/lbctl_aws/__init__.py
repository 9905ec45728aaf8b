"""AWS: classic and network balancers, with the names and tags of both upstream controllers.

Importing this package loads no SDK; `DRIVER.connect` does.
"""

from __future__ import annotations

from functools import partial

from lbctl.driver import Driver, DriverInfo, Setup
from lbctl.errors import InvalidSettings
from lbctl.model.objects import Node
from lbctl_aws.annotations import TABLE
from lbctl_aws.parse import CAPABILITIES, parse
from lbctl_aws.permissions import needed_policy
from lbctl_aws.place import BACKEND, BALANCER, CLASSIC, NETWORK, NODE_RULES
from lbctl_aws.settings import LBC_CLASS, AwsSettings, file_faults, with_cloud_config
from lbctl_aws.targets import instance_id, is_target

__all__ = ["DRIVER"]


def _connect(setup: Setup) -> Driver:
    try:
        from lbctl_aws.driver import AwsDriver  # noqa: PLC0415 - loads the SDK, which start-up must not pay for
    except ModuleNotFoundError as error:
        raise InvalidSettings("provider aws needs boto3", hint="pip install 'lbctl[aws]'") from error
    return AwsDriver(DRIVER, setup)


def _identity(node: Node) -> object:
    """The instance, whether it may be a target, and the labels that Services choose nodes by."""
    return instance_id(node), is_target(node), tuple(sorted(node.metadata.labels.items()))


DRIVER = DriverInfo(
    name="aws",
    summary="AWS classic and network load balancers",
    capabilities=CAPABILITIES,
    annotations=TABLE,
    scope_kinds=(BACKEND, BALANCER, NODE_RULES),
    node_kinds=frozenset({BALANCER, NODE_RULES}),
    connect=_connect,
    settings=AwsSettings,
    extra="aws",
    classes=(LBC_CLASS,),
    watches=frozenset({"endpointslices", "pods"}),
    ready_node=lambda node: instance_id(node) is not None,
    node_identity=_identity,
    event_reasons=(
        "AnnotationChanged",
        "AnnotationIgnored",
        "BalancerFailed",
        "DeletionProtected",
        "PlanHeld",
        "SecurityGroupUnclear",
        "UnsupportedFeature",
    ),
    permissions=needed_policy,
    parser=lambda settings: partial(parse, settings=with_cloud_config(settings)),
    config_faults=file_faults,
    # The defaults of `--leader-elect-resource-name` (cloud-provider) and `--leader-election-id` (LBC), in the namespace
    # that both are installed into by their own manifests.
    controller_leases=("kube-system/cloud-controller-manager", "kube-system/aws-load-balancer-controller-leader"),
    billed={
        CLASSIC: "by the hour and the gigabyte, also without targets",
        NETWORK: "by the hour and the capacity used, also without targets, and its public addresses by the hour",
    },
)
