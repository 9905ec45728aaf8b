"""The `cloudstack` driver: load balancer rules on public addresses of Apache CloudStack.

Importing this package loads no SDK.
"""

from __future__ import annotations

from functools import partial

from lbctl.driver import Driver, DriverInfo, Setup
from lbctl_cloudstack.annotations import ANNOTATIONS
from lbctl_cloudstack.names import SCOPE_KIND
from lbctl_cloudstack.parse import CAPABILITIES, parse_service
from lbctl_cloudstack.permissions import build_role
from lbctl_cloudstack.settings import CloudStackSettings, config_faults, with_cloud_config


def connect(setup: Setup) -> Driver:
    """The driver of one account; makes no call."""
    from lbctl_cloudstack.driver import CloudStackDriver  # noqa: PLC0415 - the package's import loads no SDK

    return CloudStackDriver(DRIVER, setup)


DRIVER = DriverInfo(
    name="cloudstack",
    summary="Apache CloudStack: load balancer rules on public addresses",
    capabilities=CAPABILITIES,
    annotations=ANNOTATIONS,
    scope_kinds=(SCOPE_KIND,),
    node_kinds=frozenset({SCOPE_KIND}),
    connect=connect,
    watches=frozenset({"endpointslices"}),
    settings=CloudStackSettings,
    extra="cloudstack",
    event_reasons=("AnnotationIgnored", "LimitedByDriver", "NodeSkipped"),
    permissions=build_role,
    parser=lambda settings: partial(parse_service, settings=with_cloud_config(settings)),
    config_faults=config_faults,
    # The default of k8s.io/cloud-provider, which upstream's manifests and CloudStack's own clusters leave as it is.
    controller_leases=("kube-system/cloud-controller-manager",),
    billed={
        "address": "by the hour as IP_ADDRESS, of the limit",
        "rule": "by the hour as LOAD_BALANCER_POLICY",
    },
)
