"""Names that upstream controllers gave to balancers, byte for byte, because adoption depends on them.

Only what several clouds share lives here; a cloud's own names are in its driver's `names.py`.
"""

from __future__ import annotations

DEFAULT_NAME_LENGTH = 32


def default_balancer_name(uid: str) -> str:
    """`a` and the Service's uid without dashes, cut to 32: the last hex digit of a usual uid is lost.

    kubernetes/cloud-provider, cloud.go: DefaultLoadBalancerName.
    """
    return ("a" + uid.replace("-", ""))[:DEFAULT_NAME_LENGTH]
