"""Readiness gates of pods: which target group each stands for, and when a pod that waits is a target. Pure.

LBC names a gate after the TargetGroupBinding that it makes, and that after the target group (pkg/targetgroupbinding/
utils.go, pkg/service/model_build_target_group.go), so the group's name alone tells whose a gate is.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from lbctl.model.objects import CONTAINERS_READY, Pod
from lbctl_aws.names import with_generation

PREFIX = "target-health.elbv2.k8s.aws/"
GENERATION = re.compile(r".*-([0-9]{1,2})")


def gates_of(group: str, conditions: Iterable[str]) -> frozenset[str]:
    """Those of the conditions that are gates of the target group, or of one whose name and targets it took over."""
    asked, own = frozenset(conditions), PREFIX + group
    later = GENERATION.fullmatch(group)
    if later is None:
        return asked & {own}
    number = int(later.group(1))
    return frozenset(one for one in asked if one == own or with_generation(one.removeprefix(PREFIX), number) == group)


def waits_only_for_us(pod: Pod, group: str) -> bool:
    """True when the pod would be ready if AWS found it healthy in this group, or in other target groups besides.

    LBC looks at the containers alone; a pod that somebody else still holds back gets no traffic here.
    """
    ours = [name for name in pod.gates if name.startswith(PREFIX)]
    others = (name for name in pod.gates if not name.startswith(PREFIX))
    return bool(gates_of(group, ours)) and pod.is_true(CONTAINERS_READY) and all(pod.is_true(name) for name in others)
