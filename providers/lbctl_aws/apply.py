"""One action -> one cloud call: the table of all writes that this driver can make.

`lbctl permissions` and the tests of the least-privilege policy read the same table.
"""

from __future__ import annotations

from collections.abc import Mapping

from lbctl.driver import Refs
from lbctl.model.resource import Outputs
from lbctl.plan.actions import Action
from lbctl_aws import apply_classic, apply_groups, apply_network, apply_targets
from lbctl_aws.apply_groups import Write
from lbctl_aws.client import AwsClient
from lbctl_aws.release import NO_CALL, let_go

WRITES: Mapping[str, Write] = {
    **apply_groups.WRITES,
    **apply_targets.WRITES,
    **apply_network.WRITES,
    **apply_classic.WRITES,
    NO_CALL: let_go,
}


def apply(client: AwsClient, action: Action, refs: Refs) -> Outputs:
    """What the call's reply confirmed. Safe to repeat: creates find what was made, removals accept what is gone."""
    return WRITES[action.call](client, action, refs)
