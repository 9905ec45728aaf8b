"""Resource ids: what a path of ARM names, and when two of them name the same thing.

Kept here: parsing, printing and comparing ids. Everything else compares keys made here, because ARM compares names
without regard to case. Nothing here knows what a type of resource means.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_ID = re.compile(
    r"^/subscriptions/(?P<subscription>[^/]+)/resourceGroups/(?P<group>[^/]+)"
    r"/providers/(?P<namespace>[^/]+)/(?P<rest>[^/]+/[^/]+(?:/[^/]+/[^/]+)*)$",
    re.IGNORECASE,
)


class MalformedIdError(ValueError):
    """The text is no id of a resource."""


def key_of(text: str) -> str:
    """The form in which two ids of one resource are equal."""
    return text.lower()


@dataclass(frozen=True, slots=True)
class ResourceId:
    """The id of a resource or of a part of one, spelled as it was first written."""

    subscription: str
    group: str
    namespace: str
    types: tuple[str, ...]
    names: tuple[str, ...]

    @classmethod
    def parse(cls, text: str) -> ResourceId:
        """The id that the text spells; raises MalformedIdError."""
        match = _ID.match(text)
        if match is None:
            raise MalformedIdError(f"{text!r} is not the id of a resource")
        parts = match["rest"].split("/")
        return cls(match["subscription"], match["group"], match["namespace"], tuple(parts[::2]), tuple(parts[1::2]))

    def __str__(self) -> str:
        tail = "/".join(f"{kind}/{name}" for kind, name in zip(self.types, self.names, strict=True))
        return f"/subscriptions/{self.subscription}/resourceGroups/{self.group}/providers/{self.namespace}/{tail}"

    @property
    def key(self) -> str:
        """The form in which two ids of one resource are equal."""
        return key_of(str(self))

    @property
    def name(self) -> str:
        """The last name."""
        return self.names[-1]

    @property
    def type(self) -> str:
        """The whole type, such as `Microsoft.Network/loadBalancers/probes`."""
        return "/".join((self.namespace, *self.types))

    @property
    def parent(self) -> ResourceId:
        """The resource that this one is a part of; only for ids of two or more names."""
        return ResourceId(self.subscription, self.group, self.namespace, self.types[:-1], self.names[:-1])

    def child(self, kind: str, name: str) -> ResourceId:
        """The id of a part of this resource."""
        return ResourceId(self.subscription, self.group, self.namespace, (*self.types, kind), (*self.names, name))


def top_key(key: str) -> str:
    """The key of the resource that owns whatever the key names."""
    scope, separator, path = key.partition("/providers/")
    return f"{scope}{separator}{'/'.join(path.split('/')[:3])}"
