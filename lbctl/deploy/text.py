"""The objects as text: YAML that a reviewer reads, with a head that says where it comes from. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import yaml

WIDTH = 120
HEAD = "# Rendered by `make manifests` from lbctl/deploy: change it there.\n"


class _Dumper(yaml.SafeDumper):
    """Repeats what occurs twice, because people do not read anchors; shows text of several lines as such."""

    def ignore_aliases(self, data: Any) -> bool:  # noqa: ANN401, ARG002 - the base class's signature
        return True


def _text(dumper: yaml.SafeDumper, value: str) -> yaml.Node:
    return dumper.represent_scalar("tag:yaml.org,2002:str", value, style="|" if "\n" in value else None)


_Dumper.add_representer(str, _text)


def to_yaml(value: Any) -> str:  # noqa: ANN401 - JSON
    """One document."""
    return yaml.dump(value, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=WIDTH)


def documents(objects: Iterable[Any]) -> str:
    """Several documents."""
    return "---\n".join(to_yaml(one) for one in objects)
