"""The Azure driver of lbctl: Services of a cluster on Azure Standard load balancers.

Importing this package loads no SDK; `DRIVER.connect` does. The files are those that `lbctl.driver` lists.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from lbctl.driver import Driver, DriverInfo, Setup
from lbctl.model.objects import Service
from lbctl_azure.account import BALANCER_SCOPE, MEMBERSHIP_SCOPE, PUBLIC_IP, SCOPE_KINDS
from lbctl_azure.annotations import ANNOTATIONS
from lbctl_azure.elements import RULE
from lbctl_azure.nodes import identity_of_node, is_usable
from lbctl_azure.parse import CAPABILITIES, parse_service
from lbctl_azure.permissions import build_role
from lbctl_azure.settings import CloudConfig, Settings
from lbctl_azure.sources import config_of_file, faults_of_file
from lbctl_azure.wish import Wish


def _connect(setup: Setup) -> Driver:
    from lbctl_azure.connect import connect  # noqa: PLC0415 - loads the SDK, which only this driver's users need

    return connect(DRIVER, setup)


def _parser(settings: Settings) -> Callable[[Service], Wish]:
    config = config_of_file(settings.cloud_config) or CloudConfig()
    return partial(parse_service, config=config, settings=settings)


DRIVER = DriverInfo(
    name="azure",
    summary="Azure Standard load balancers",
    capabilities=CAPABILITIES,
    annotations=ANNOTATIONS,
    scope_kinds=SCOPE_KINDS,
    node_kinds=frozenset({BALANCER_SCOPE, MEMBERSHIP_SCOPE, "nsg"}),
    connect=_connect,
    settings=Settings,
    extra="azure",
    watches=frozenset({"endpointslices"}),
    ready_node=is_usable,
    node_identity=identity_of_node,
    permissions=build_role,
    parser=_parser,
    controller_leases=("kube-system/cloud-controller-manager",),
    write_lease="kube-system/aks-managed-resource-locker",
    billed={
        PUBLIC_IP: "by the hour as long as it exists, whether anything uses it or not",
        RULE: "by the hour; the first five of a load balancer share one price",
    },
    documents=lambda settings: (f"secrets/{settings.cloud_config_secret}",) if settings.cloud_config_secret else (),
    config_faults=lambda settings: (f"{settings.cloud_config}: {fault}" for fault in faults_of_file(settings)),
)
