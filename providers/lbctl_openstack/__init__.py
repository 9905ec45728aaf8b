"""The `openstack` driver: balancers of Octavia, floating IPs and security groups of Neutron.

A drop-in for cloud-provider-openstack: the same names, tags, annotations and cloud.conf. Importing this package loads
no SDK.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from lbctl.driver import Driver, DriverInfo, Setup
from lbctl.model.intent import Intent
from lbctl.model.objects import Node, Service
from lbctl_openstack.addresses import node_addresses
from lbctl_openstack.annotations import ANNOTATIONS
from lbctl_openstack.capabilities import CAPABILITIES
from lbctl_openstack.names import BALANCER, FLOATING
from lbctl_openstack.parse import parse_service
from lbctl_openstack.permissions import needed_credential
from lbctl_openstack.settings import OpenStackSettings, config_faults, load


def connect(setup: Setup) -> Driver:
    """The driver of one region; logs in with its first call."""
    from lbctl_openstack.driver import OpenStackDriver  # noqa: PLC0415 - the package's import loads no SDK

    return OpenStackDriver(DRIVER, setup)


def has_address(node: Node) -> bool:
    """True when balancers can reach the node."""
    return any(node_addresses(node))


def node_identity(node: Node) -> tuple[object, ...]:
    """All of a node that makes a difference here: its instance, its addresses, and labels that select it."""
    return node.spec.provider_id, tuple(node_addresses(node)), tuple(sorted(node.metadata.labels.items()))


def _parser(settings: OpenStackSettings) -> Callable[[Service], Intent]:
    return partial(parse_service, conf=load(settings), monitor_for_local=settings.monitor_for_local)


DRIVER = DriverInfo(
    name="openstack",
    summary="Octavia balancers with Neutron floating IPs",
    capabilities=CAPABILITIES,
    annotations=ANNOTATIONS,
    scope_kinds=(BALANCER,),
    node_kinds=frozenset({BALANCER}),
    connect=connect,
    settings=OpenStackSettings,
    extra="openstack",
    ready_node=has_address,
    node_identity=node_identity,
    event_reasons=(
        "LoadBalancerForcedInternal",
        "LoadBalancerSourceRangesIgnored",
        "LoadBalancerAvailabilityZonesIgnored",
        "LoadBalancerFloatingIPSkipped",
        "LoadBalancerRename",
        "LoadBalancerLbMethodUnknown",
        "BalancerFailed",
        "BalancerStuck",
        "LimitedByDriver",
    ),
    permissions=needed_credential,
    parser=_parser,
    config_faults=config_faults,
    # The default of `--leader-elect-resource-name` (cloud-provider) in the namespaces of upstream's and OpenShift's
    # manifests.
    controller_leases=(
        "kube-system/cloud-controller-manager",
        "openshift-cloud-controller-manager/cloud-controller-manager",
    ),
    billed={
        BALANCER: "by the hour and flavor in most clouds",
        FLOATING: "by the hour in most clouds, attached or not",
    },
)
