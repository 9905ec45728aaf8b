"""Requests must match the API model that botocore ships: the service's own published description.

moto reads the parameters it knows and skips the rest, whatever they hold. Here each request is walked along its input
shape: unknown and missing parameters, enums, ranges, lengths and patterns; all problems in one answer, worded as AWS
words them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

from moto_fixtures.strict.cloud import Cloud
from moto_fixtures.strict.switch import EVERY_OPERATION, Switch
from moto_fixtures.wire import Call, Json, RefusedError, operation_model, wire_form

# botocore's shapes carry no types.
Shape = Any
Value = Any
_Problems = Iterator[str]
# Fields that every query request carries beside its parameters.
_ENVELOPE = {"Action", "Version"}
# Java's Unicode classes, which only occur inside brackets in these models.
_JAVA_CLASSES = {r"\p{L}": r"\w", r"\p{Z}": r"\s", r"\p{N}": r"\d", r"\p{ASCII}": r"\x00-\x7f"}

request_model = Switch(
    "request-model",
    moto="accepts values outside the API model's ranges, enums and patterns, and ignores unknown parameters",
    aws="ValidationError (EC2: InvalidParameterValue, UnknownParameter, MissingParameter), nothing is done",
)


def check_request(call: Call, _cloud: Cloud) -> None:
    """Refuse a call that its API model does not allow."""
    model = operation_model(call.service, call.operation)
    unknown = sorted(set(call.form) - set(wire_form(call.service, call.operation, call.params)) - _ENVELOPE)
    if call.form and unknown:
        code = "UnknownParameter" if call.service == "ec2" else "ValidationError"
        raise RefusedError(code, f"The parameter {unknown[0]} is not recognized")
    if model.input_shape is None:
        return
    problems = list(_problems(model.input_shape, call.params, ""))
    if problems:
        code = "InvalidParameterValue" if call.service == "ec2" else "ValidationError"
        plural = "s" if len(problems) > 1 else ""
        raise RefusedError(code, f"{len(problems)} validation error{plural} detected: {'; '.join(problems)}")


def _problems(shape: Shape, value: Value, path: str) -> _Problems:
    check = _CHECKS.get(shape.type_name)
    if check is not None:
        yield from check(shape, value, path)


def _structure(shape: Shape, value: Json, path: str) -> _Problems:
    for name in shape.required_members:
        if name not in value:
            where = _join(path, name)
            yield f"Value null at '{where}' failed to satisfy constraint: Member must not be null"
    for name, member in value.items():
        yield from _problems(shape.members[name], member, _join(path, name))


def _list(shape: Shape, value: list[Any], path: str) -> _Problems:
    yield from _bounds(shape, len(value), path, "Member must have length {relation} {bound}")
    for index, member in enumerate(value, start=1):
        yield from _problems(shape.member, member, f"{path}.{index}.member")


def _string(shape: Shape, value: str, path: str) -> _Problems:
    yield from _bounds(shape, len(value), path, "Member must have length {relation} {bound}", shown=value)
    if shape.enum and value not in shape.enum:
        allowed = ", ".join(shape.enum)
        yield _failure(value, path, f"Member must satisfy enum value set: [{allowed}]")
    pattern = shape.metadata.get("pattern")
    if pattern and not _pattern(pattern).fullmatch(value):
        yield _failure(value, path, f"Member must satisfy regular expression pattern: {pattern}")


def _integer(shape: Shape, value: int, path: str) -> _Problems:
    yield from _bounds(shape, value, path, "Member must have value {relation} {bound}")


def _bounds(shape: Shape, size: int, path: str, text: str, *, shown: str | None = None) -> _Problems:
    least, most = shape.metadata.get("min"), shape.metadata.get("max")
    shown = str(size) if shown is None else shown
    if least is not None and size < least:
        yield _failure(shown, path, text.format(relation="greater than or equal to", bound=least))
    if most is not None and size > most:
        yield _failure(shown, path, text.format(relation="less than or equal to", bound=most))


def _failure(value: str, path: str, constraint: str) -> str:
    return f"Value '{value}' at '{path}' failed to satisfy constraint: {constraint}"


def _join(path: str, name: str) -> str:
    field = name[:1].lower() + name[1:]
    return f"{path}.{field}" if path else field


@cache
def _pattern(java: str) -> re.Pattern[str]:
    for theirs, ours in _JAVA_CLASSES.items():
        java = java.replace(theirs, ours)
    return re.compile(java)


_CHECKS: dict[str, Callable[[Shape, Value, str], _Problems]] = {
    "structure": _structure,
    "list": _list,
    "string": _string,
    "integer": _integer,
    "long": _integer,
}

for _service in ("ec2", "elb", "elbv2"):
    request_model.before(_service, EVERY_OPERATION)(check_request)
