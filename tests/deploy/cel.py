"""The admission policies as an API server evaluates them.

The standard language by a library, Kubernetes' own functions from their published description (CEL in Kubernetes: the
libraries of strings, IP addresses and CIDRs).
"""

from __future__ import annotations

import functools
import ipaddress
import re
from typing import Any

import celpy
from celpy import celtypes


def _address(text: str) -> Any:
    """As Go's netip has it, without zones and without IPv4 in the form of IPv6."""
    if "%" in text:
        return None
    try:
        found = ipaddress.ip_address(text)
    except ValueError:
        return None
    return None if getattr(found, "ipv4_mapped", None) else found


def _is_cidr(text: str) -> bool:
    address, found, length = text.partition("/")
    known = _address(address)
    if not found or known is None or not re.fullmatch("0|[1-9][0-9]*", length, re.ASCII):
        return False
    return int(length) <= known.max_prefixlen


FUNCTIONS = {
    "trim": lambda text: celtypes.StringType(text.strip()),
    "lowerAscii": lambda text: celtypes.StringType("".join(c.lower() if c.isascii() else c for c in text)),
    "replace": lambda text, old, new: celtypes.StringType(text.replace(old, new)),
    "split": lambda text, by: celtypes.ListType([celtypes.StringType(part) for part in text.split(by)]),
    "isIP": lambda text: celtypes.BoolType(_address(text) is not None),
    "isCIDR": lambda text: celtypes.BoolType(_is_cidr(text)),
    "ip": celtypes.StringType,
    "join": lambda texts, by: celtypes.StringType(by.join(texts)),
    "family": lambda text: celtypes.IntType(_address(text).version),
}
ENVIRONMENT = celpy.Environment()


@functools.cache
def compiled(expression: str) -> Any:
    return ENVIRONMENT.program(ENVIRONMENT.compile(expression), functions=FUNCTIONS)


def value_of(expression: str, **names: Any) -> Any:
    """The expression's value; an error of CEL is an error here."""
    return compiled(expression).evaluate({name: celpy.json_to_cel(value) for name, value in names.items()})


def evaluate(expression: str, **names: Any) -> bool:
    """The value of a condition."""
    found = value_of(expression, **names)
    assert isinstance(found, celtypes.BoolType | bool), (expression, found)
    return bool(found)


def refusals(policy: dict[str, Any], service: dict[str, Any], old: dict[str, Any] | None = None) -> list[str]:
    """What the policy says against a Service that is made, or changed from `old`; empty when it does not apply."""
    names = {"object": service, "oldObject": old}
    if not all(evaluate(one["expression"], **names) for one in policy["matchConditions"]):
        return []
    variables: dict[str, Any] = {}
    for one in policy["variables"]:
        variables[one["name"]] = value_of(one["expression"], **names, variables=variables)
    names["variables"] = variables
    return [_said(one, names) for one in policy["validations"] if not evaluate(one["expression"], **names)]


def _said(validation: dict[str, Any], names: dict[str, Any]) -> str:
    if "messageExpression" not in validation:
        return str(validation["message"])
    return str(value_of(validation["messageExpression"], **names))
