"""IAM's simulation of the caller's policies, which moto lacks: what a test denies is denied, the rest is allowed.

Validates as the API reference of IAM says: the source is a user, group or role, never a session; at least one action.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from moto_fixtures import wire
from moto_fixtures.wire import Call, RefusedError, Reply

_SOURCE = re.compile(r"arn:aws[\w-]*:iam::\d{12}:(user|group|role)/.+")
_ACTION = re.compile(r"[\w-]+:[\w*]+")


def simulate(call: Call, is_denied: Callable[[str], bool]) -> Reply:
    """The answer to SimulatePrincipalPolicy."""
    source = call.form.get("PolicySourceArn", "")
    actions = [text for key, text in sorted(call.form.items()) if key.startswith("ActionNames.member.")]
    if not _SOURCE.fullmatch(source):
        return wire.write_refusal(call, RefusedError("InvalidInput", f"Invalid Entity Arn: {source}"))
    if not actions or not all(_ACTION.fullmatch(action) for action in actions):
        return wire.write_refusal(call, RefusedError("ValidationError", f"ActionNames are not valid: {actions}"))
    results = [
        {"EvalActionName": action, "EvalDecision": "implicitDeny" if is_denied(action) else "allowed"}
        for action in actions
    ]
    return wire.write_answer(call, {"EvaluationResults": results, "IsTruncated": False})
