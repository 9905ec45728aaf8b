"""The published description of request bodies, and the check of a body against it.

The description is read from the models that the SDK publishes (names, types, enumerations, required and read-only
members), less what is newer than the pinned api-version, plus the members that the service itself adds. No rule
between two values is known here. Callers hand in a decoded body and get back what of it the service takes in.
"""

from __future__ import annotations

import datetime as dt
import inspect
import types
import typing
from collections.abc import Callable, Mapping, MutableMapping
from dataclasses import dataclass
from enum import Enum
from functools import cache
from typing import Any, Final

from azure.mgmt.compute import models as compute_models
from azure.mgmt.network import models as network_models

from tests.clouds.azure.errors import ArmError, invalid_format

Body = dict[str, Any]
Check = Callable[[object, str], object]

# Members of the SDK's models (2026-03-01) that the OpenAPI of 2025-05-01 does not have.
NEWER_MEMBERS: Final[Mapping[str, frozenset[str]]] = {
    "LoadBalancerPropertiesFormat": frozenset({"mode"}),
    "FrontendIPConfigurationPropertiesFormat": frozenset({"enableConnectionTracking"}),
    "PublicIPAddressPropertiesFormat": frozenset({"upgradedToV2"}),
    "PublicIPPrefixPropertiesFormat": frozenset({"upgradedToV2"}),
    "IpTag": frozenset({"firstPartyServiceTagId"}),
}
NEWER_VALUES: Final[Mapping[str, frozenset[str]]] = {
    "TransportProtocol": frozenset({"Quic"}),
    "LoadBalancerSkuName": frozenset({"Service"}),
}
# The service answers with these and takes them back, though no published description names them.
UNDESCRIBED_MEMBERS: Final[Mapping[str, frozenset[str]]] = {
    "LoadBalancingRulePropertiesFormat": frozenset({"allowBackendPortConflict", "enableDestinationServiceEndpoint"}),
    "InboundNatRulePropertiesFormat": frozenset({"allowBackendPortConflict", "enableDestinationServiceEndpoint"}),
}
# Whole resources in the description, where the service wants an id only and keeps an id only.
_REFERENCES: Final = frozenset(
    {
        "subnet",
        "publicIPAddress",
        "networkSecurityGroup",
        "routeTable",
        "sourceApplicationSecurityGroups",
        "destinationApplicationSecurityGroups",
        "loadBalancerBackendAddressPools",
        "loadBalancerInboundNatRules",
        "loadBalancerFrontendIpConfigurations",
        "applicationSecurityGroups",
    }
)


@dataclass(frozen=True, slots=True)
class Member:
    """One member of an object: whether a request may set it and what it must look like."""

    read_only: bool
    check: Check


class ObjectShape:
    """The members of one described object; compiled on first use, since descriptions refer to each other."""

    def __init__(self, model: type) -> None:
        self.name: Final = model.__name__
        self._model = model

    @property
    def members(self) -> Mapping[str, Member]:
        """The members by their name in a request."""
        return _members(self._model)[0]

    def check(self, value: object, path: str) -> Body:
        """The settable part of the value; raises ArmError on the first member that does not fit."""
        if not isinstance(value, dict):
            raise _unreadable(f"Error converting value {value!r} to type '{self.name}'.", path)
        members, required = _members(self._model)
        taken: Body = {}
        for name, given in value.items():
            member = members.get(name)
            if member is None:
                raise _unreadable(f"Could not find member '{name}' on object of type '{self.name}'.", _join(path, name))
            if given is not None and not member.read_only:
                taken[name] = member.check(given, _join(path, name))
        for name in required:
            if name not in taken:
                raise _unreadable(f"Required property '{name}' not found in JSON.", path)
        return taken


def check_body(body: object, model: str) -> Body:
    """The settable part of a request's body; raises ArmError (400) on the first unknown, mistyped or missing member.

    A wrong member of the resource's envelope is refused by ARM itself (InvalidRequestContent), anything deeper by the
    resource provider (InvalidRequestFormat).
    """
    shape = _shape_named(model)
    if isinstance(body, dict):
        for name in body:
            if name not in shape.members:
                raise ArmError(
                    400,
                    "InvalidRequestContent",
                    f"The request content was invalid and could not be deserialized: 'Could not find member '{name}' "
                    f"on object of type '{model}'. Path '{name}', line 1, position 1.'.",
                )
    return shape.check(body, "")


@cache
def describes(model: str, name: str, *, among_properties: bool = False) -> bool:
    """Whether the description of a resource has a member of that name, in its envelope or among its properties."""
    published = getattr(network_models, model, None) or getattr(compute_models, model)
    if among_properties:
        hint = typing.get_type_hints(published, localns={"_models": inspect.getmodule(published)})["properties"]
        published = next(argument for argument in typing.get_args(hint) if argument is not type(None))
    return name in _members(published)[0]


@cache
def _shape_named(model: str) -> ObjectShape:
    for published in (network_models, compute_models):
        found = getattr(published, model, None)
        if found is not None:
            return ObjectShape(found)
    raise LookupError(f"no published model is called {model}")


@cache
def _members(model: Any) -> tuple[Mapping[str, Member], tuple[str, ...]]:
    model({})  # the SDK fills the table of members when the first object is made
    published = compute_models if ".compute." in model.__module__ else network_models
    hints = typing.get_type_hints(model, localns={"_models": published})
    members: dict[str, Member] = {}
    required = []
    for attribute, published_field in model._attr_to_rest_field.items():
        name = published_field._rest_name
        if name in NEWER_MEMBERS.get(model.__name__, ()):
            continue
        read_only = published_field._visibility == ["read"]
        members[name] = Member(read_only, _reference(hints[attribute], name))
        if not read_only and type(None) not in typing.get_args(hints[attribute]):
            required.append(name)
    for name in UNDESCRIBED_MEMBERS.get(model.__name__, ()):
        members[name] = Member(read_only=False, check=_boolean)
    return members, tuple(required)


def _reference(hint: Any, name: str) -> Check:
    """The check of a member; where only an id is kept, everything beside the id is left out."""
    check = _check_for(hint)
    if name not in _REFERENCES:
        return check

    def check_reference(value: object, path: str) -> object:
        checked = check(value, path)
        return [_only_id(item) for item in checked] if isinstance(checked, list) else _only_id(checked)

    return check_reference


def _only_id(value: Any) -> Body:
    return {"id": value["id"]} if "id" in value else value


def _check_for(hint: Any) -> Check:
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        given = [argument for argument in arguments if argument is not type(None)]
        enumerations = [argument for argument in given if isinstance(argument, type) and issubclass(argument, Enum)]
        return _enumeration(enumerations[0]) if enumerations else _check_for(given[0])
    if origin is list:
        return _list_of(_check_for(arguments[0]))
    if origin is dict:
        return _map_of(_check_for(arguments[1]))
    if isinstance(hint, type) and issubclass(hint, MutableMapping):
        return ObjectShape(hint).check
    return _SCALARS.get(hint, _anything)


def _list_of(check: Check) -> Check:
    def check_list(value: object, path: str) -> object:
        if not isinstance(value, list):
            raise _unreadable(f"Error converting value {value!r} to a list.", path)
        return [check(item, f"{path}[{index}]") for index, item in enumerate(value) if item is not None]

    return check_list


def _map_of(check: Check) -> Check:
    def check_map(value: object, path: str) -> object:
        if not isinstance(value, dict):
            raise _unreadable(f"Error converting value {value!r} to a map.", path)
        return {name: check(item, _join(path, name)) for name, item in value.items()}

    return check_map


def _enumeration(values: Any) -> Check:
    spelling = {
        member.value.lower(): member.value
        for member in values
        if member.value not in NEWER_VALUES.get(values.__name__, ())
    }

    def check_enumeration(value: object, path: str) -> object:
        known = spelling.get(value.lower()) if isinstance(value, str) else None
        if known is None:
            raise _unreadable(f"Error converting value {value!r} to type '{values.__name__}'.", path)
        return known

    return check_enumeration


def _scalar(kind: type, name: str) -> Check:
    def check_scalar(value: object, path: str) -> object:
        if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
            raise _unreadable(f"Could not convert {value!r} to {name}.", path)
        return value

    return check_scalar


def _anything(value: object, _path: str) -> object:
    return value


_boolean: Final = _scalar(bool, "boolean")
_SCALARS: Final[Mapping[Any, Check]] = {
    str: _scalar(str, "string"),
    int: _scalar(int, "integer"),
    bool: _boolean,
    float: _scalar((int, float), "number"),  # type: ignore[arg-type]  # isinstance takes a tuple as well
    dt.datetime: _scalar(str, "date"),
}


def _unreadable(message: str, path: str) -> ArmError:
    return invalid_format("InvalidJson", f"{message} Path '{path}', line 1, position 1.")


def _join(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name
