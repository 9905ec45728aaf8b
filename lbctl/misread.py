"""What is wrong with a text that is to be YAML, in words of its author."""

from __future__ import annotations

import yaml

FORMS = {dict: "mapping", list: "list", str: "text", bool: "truth value", int: "number", float: "number"}


def misread(error: yaml.YAMLError) -> str:
    """Line, column and reason in one line, without the picture of the place that the error holds."""
    if not isinstance(error, yaml.MarkedYAMLError) or error.problem_mark is None:
        return " ".join(str(error).split())
    mark = error.problem_mark
    reason = ", ".join(part for part in (error.context, error.problem) if part)
    return f"line {mark.line + 1}, column {mark.column + 1}: {reason}"


def form_of(value: object) -> str:
    """What a value that YAML gave is called."""
    return FORMS.get(type(value), type(value).__name__)
