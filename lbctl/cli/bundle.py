"""The support bundle: everything about one Service that may be given away, in one file.

Settings go in without secrets, texts without what looks like a credential. Written with the rights of its owner only.
"""

from __future__ import annotations

import json
import platform
from pathlib import Path
from typing import Any

import msgspec

from lbctl import __version__
from lbctl.cli.desk import Desk
from lbctl.cli.documents import Explanation, Plan
from lbctl.engine.explain import Facts
from lbctl.errors import InvalidSettings
from lbctl.obs.log import without_secrets
from lbctl.settings import Loaded

LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"


def write_bundle(file: Path, at: Desk, loaded: Loaded, facts: Facts, explanation: Explanation) -> None:
    """Write the bundle; `InvalidSettings` when the file cannot be written."""
    text = without_secrets(json.dumps(_content(at, loaded, facts, explanation), indent=2, default=str))
    try:
        file.touch(mode=0o600)
        file.write_text(text + "\n", encoding="utf-8")
    except OSError as error:
        hint = "name a file that may be written"
        raise InvalidSettings(f"cannot write the bundle {file}: {error.strerror}", hint=hint) from None


def _content(at: Desk, loaded: Loaded, facts: Facts, explanation: Explanation) -> dict[str, Any]:
    service = msgspec.to_builtins(facts.service)
    service["metadata"].get("annotations", {}).pop(LAST_APPLIED, None)
    nodes = (account.nodes.current for account in at.assembly.accounts.values())
    return {
        "version": 1,
        "lbctl": __version__,
        "python": platform.python_version(),
        "kubernetes": at.assembly.reads.get_version(),
        "explanation": msgspec.to_builtins(explanation),
        "service": service,
        "leader": facts.leader,
        "plans": [msgspec.to_builtins(Plan.of(result)) for result in facts.plans],
        "warnings": [f"{told.reason}: {told.message} ({told.count}x)" for told in facts.warnings],
        "targets": sorted({node.metadata.name for known in nodes for node in known}),
        "settings": {origin.path: {"value": origin.value, "from": origin.source} for origin in loaded.describe()},
    }
