"""Annotations declared once as data: parser, validation, reference page and admission policy come from here.

A driver declares a table of `Annotation`s. `AnnotationTable.read` parses a Service's annotations against it and returns
every problem at once, with the nearest known key for what looks like a typing error. The value kinds below are the
whole grammar; each describes itself for people (`grammar`) and for the API server (`cel`). Nothing here knows a cloud.
"""

from __future__ import annotations

import difflib
import ipaddress
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from lbctl.model.problem import Problem
from lbctl.model.ranges import normalise_cidr
from lbctl.model.status import Notice, Severity

APPROVE = "lbctl.io/approve"
DELETION_POLICY = "lbctl.io/deletion-policy"
OUR_PREFIX = "lbctl.io/"
UNKNOWN = "is unknown and has no effect on the balancer"
"""What is said of a key, here and by the API server."""


class Kind(Protocol):
    """The grammar of one annotation's value."""

    @property
    def grammar(self) -> str:
        """For people: what may be written."""

    def parse(self, text: str) -> Any:  # noqa: ANN401 - each kind has its own value type
        """Value of the text; ValueError with a sentence when it is none."""

    def cel(self, value: str) -> str:
        """CEL expression over the variable `value` that is true for valid text; empty when CEL cannot tell."""


@dataclass(frozen=True, slots=True)
class Text:
    """Any text, or text that matches a pattern and not `never`; blanks around it do not count.

    Patterns are of the kind that RE2 takes too, which the API server uses: nothing looks ahead or behind.
    """

    pattern: str = ""
    what: str = "text"
    never: str = ""

    @property
    def grammar(self) -> str:
        return self.what

    def parse(self, text: str) -> str:
        trimmed = text.strip()
        if self.pattern and not re.fullmatch(self.pattern, trimmed, re.ASCII):
            raise ValueError(f"is not {self.what}")
        if self.never and re.fullmatch(self.never, trimmed, re.ASCII):
            raise ValueError(f"is not {self.what}")
        return trimmed

    def cel(self, value: str) -> str:
        wanted = f"{value}.trim().matches({_whole(self.pattern)})" if self.pattern else ""
        unwanted = f"!{value}.trim().matches({_whole(self.never)})" if self.never else ""
        return " && ".join(part for part in (wanted, unwanted) if part)


# As Go's strconv.Atoi has it, which upstream uses; longer ones are no bounds of anything and overflow elsewhere.
WHOLE_NUMBER = re.compile(r"[+-]?0*[0-9]{1,18}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Integer:
    """A whole number within bounds."""

    low: int
    high: int

    @property
    def grammar(self) -> str:
        return f"a whole number from {self.low} to {self.high}"

    def parse(self, text: str) -> int:
        trimmed = text.strip()
        if not WHOLE_NUMBER.fullmatch(trimmed) or not self.low <= int(trimmed) <= self.high:
            raise ValueError(f"is not {self.grammar}")
        return int(trimmed)

    def cel(self, value: str) -> str:
        number = f"int({value}.trim())"
        written = f"{value}.trim().matches({_whole(WHOLE_NUMBER.pattern)})"
        return f"{written} && {number} >= {self.low} && {number} <= {self.high}"


GO_TRUE = frozenset({"1", "t", "T", "TRUE", "true", "True"})
GO_FALSE = frozenset({"0", "f", "F", "FALSE", "false", "False"})


@dataclass(frozen=True, slots=True)
class Boolean:
    """True or false, in the spellings that Go's strconv.ParseBool takes."""

    @property
    def grammar(self) -> str:
        return "true or false"

    def parse(self, text: str) -> bool:
        word = text.strip()
        if word in GO_TRUE or word in GO_FALSE:
            return word in GO_TRUE
        raise ValueError("is neither true nor false")

    def cel(self, value: str) -> str:
        return f"{value}.trim() in {json.dumps(sorted(GO_TRUE | GO_FALSE))}"


@dataclass(frozen=True, slots=True)
class Choice:
    """One of a few words; with `any_case`, in any mixture of letters' cases."""

    words: tuple[str, ...]
    any_case: bool = False

    @property
    def grammar(self) -> str:
        return "one of " + ", ".join(self.words)

    def parse(self, text: str) -> str:
        trimmed = text.strip()
        for word in self.words:
            if word == trimmed or (self.any_case and word.lower() == trimmed.lower()):
                return word
        raise ValueError(f"is not {self.grammar}")

    def cel(self, value: str) -> str:
        if self.any_case:
            return f"{value}.trim().lowerAscii() in {json.dumps([word.lower() for word in self.words])}"
        return f"{value}.trim() in {json.dumps(self.words)}"


@dataclass(frozen=True, slots=True)
class Address:
    """An IP address, of one family if given (4 or 6); the value is its canonical text.

    As the API server has it: no zone, and no IPv4 address in the form of an IPv6 one.
    """

    family: int = 0

    @property
    def grammar(self) -> str:
        return f"an IPv{self.family} address" if self.family else "an IP address"

    def parse(self, text: str) -> str:
        try:
            address = ipaddress.ip_address(text.strip())
        except ValueError:
            raise ValueError(f"is not {self.grammar}") from None
        if (self.family and address.version != self.family) or _is_odd(address):
            raise ValueError(f"is not {self.grammar}")
        return str(address)

    def cel(self, value: str) -> str:
        is_ip = f"isIP({value}.trim())"
        return f"{is_ip} && ip({value}.trim()).family() == {self.family}" if self.family else is_ip


def _is_odd(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    return isinstance(address, ipaddress.IPv6Address) and bool(address.scope_id or address.ipv4_mapped)


OCTET = "0*(25[0-5]|2[0-4][0-9]|1?[0-9]?[0-9])"
LOOSE_CIDR = rf"{OCTET}(\.{OCTET}){{3}}/0*(3[0-2]|[12]?[0-9])"
"""An IPv4 range with leading zeros, which the API server's own function refuses."""


@dataclass(frozen=True, slots=True)
class Cidr:
    """An address range; host bits and leading zeros are dropped."""

    @property
    def grammar(self) -> str:
        return "a CIDR such as 10.0.0.0/8"

    def parse(self, text: str) -> str:
        try:
            return normalise_cidr(text)
        except ValueError:
            raise ValueError(f"is not {self.grammar}") from None

    def cel(self, value: str) -> str:
        return f"isCIDR({value}.trim()) || {value}.trim().matches({_whole(LOOSE_CIDR)})"


BLANKS_TO_SPACES = "".join(f".replace({json.dumps(blank)}, ' ')" for blank in "\t\n\r")


@dataclass(frozen=True, slots=True)
class ListOf:
    """Items of another kind, separated by `separator`; blanks around items and empty items are dropped."""

    item: Kind
    separator: str = ","

    @property
    def grammar(self) -> str:
        between = {",": "commas", " ": "blanks"}.get(self.separator, self.separator)
        return f"a list, separated by {between}, of: {self.item.grammar}"

    def parse(self, text: str) -> tuple[Any, ...]:
        parts = [part.strip() for part in text.split(None if self.separator == " " else self.separator)]
        return tuple(self._item(part) for part in parts if part)

    def _item(self, part: str) -> Any:  # noqa: ANN401 - the item's own type
        try:
            return self.item.parse(part)
        except ValueError as error:
            raise ValueError(f"has the item {part!r}, which {error}") from None

    def cel(self, value: str) -> str:
        inner = self.item.cel("item")
        text = value + BLANKS_TO_SPACES if self.separator == " " else value
        return f"{text}.split({json.dumps(self.separator)}).all(item, item.trim() == '' || ({inner}))" if inner else ""


ESCAPED_COMMA = json.dumps("\\,")


@dataclass(frozen=True, slots=True)
class Pairs:
    r"""`key=value` pairs, separated by commas; a comma inside a value is written `\,`.

    A piece without `=` belongs to the value before it (aws-load-balancer-controller v3, annotations parser); with
    `bare_keys`, it is a key with an empty value (cloud-provider-aws).
    """

    bare_keys: bool = False

    @property
    def grammar(self) -> str:
        return "key=value pairs, separated by commas"

    def parse(self, text: str) -> Mapping[str, str]:
        pairs: dict[str, str] = {}
        last = ""
        for piece in re.split(r"(?<!\\),", text):
            plain = piece.replace("\\,", ",").strip()
            key, found, value = plain.partition("=")
            if found and key.strip():
                last = key.strip()
                pairs[last] = value.strip()
            elif plain:
                self._without_value(pairs, last, plain)
        return pairs

    def _without_value(self, pairs: dict[str, str], last: str, plain: str) -> None:
        if self.bare_keys and not plain.startswith("="):
            pairs[plain] = ""
        elif last and not plain.startswith("="):
            pairs[last] += "," + plain
        else:
            raise ValueError(f"has the piece {plain!r}, which is not key=value")

    def cel(self, value: str) -> str:
        pieces = f"{value}.replace({ESCAPED_COMMA}, '_').split(',').map(p, p.trim()).filter(p, p != '')"
        keyed = f"{pieces}.all(p, !p.startsWith('='))"
        return keyed if self.bare_keys else f"{keyed} && ({pieces}.size() == 0 || {pieces}[0].contains('='))"


@dataclass(frozen=True, slots=True)
class Document:
    """A JSON document; `decode` turns the parsed data into the driver's value or raises ValueError."""

    decode: Callable[[Any], Any]
    what: str = "a JSON document"

    @property
    def grammar(self) -> str:
        return self.what

    def parse(self, text: str) -> Any:  # noqa: ANN401 - the driver's own type
        try:
            data = json.loads(text)
        except json.JSONDecodeError as error:
            raise ValueError(f"is not {self.what}: {error}") from None
        return self.decode(data)

    def cel(self, value: str) -> str:  # noqa: ARG002 - CEL cannot parse JSON
        return ""


@dataclass(frozen=True, slots=True)
class Annotation:
    """One annotation that a driver honours.

    `key` is the full name; a `{port}` or `{suffix}` in it matches any text there, and the value is then a mapping from
    that text. `name` is what the driver calls the value. `on_change` says in a word what a change does (`in place`,
    `moves the address`, …); `modes` restricts it to some of the driver's modes, empty means all. `source` names the
    upstream that honours it.
    """

    key: str
    name: str
    kind: Kind
    doc: str
    default: Any = None
    on_change: str = "in place"
    modes: tuple[str, ...] = ()
    source: str = ""
    deprecated: str = ""

    @property
    def is_pattern(self) -> bool:
        """True when the key has a variable part."""
        return "{" in self.key

    def match(self, key: str) -> str | None:
        """The variable part of `key`, empty for an exact match, None when it does not match."""
        if not self.is_pattern:
            return "" if key == self.key else None
        found = _pattern(self.key).fullmatch(key)
        return found.group(1) if found else None


@dataclass(frozen=True, slots=True)
class Values:
    """What `AnnotationTable.read` found: every declared name has a value, its default if the Service says nothing."""

    by_name: Mapping[str, Any]
    given: frozenset[str] = frozenset()
    problems: tuple[Problem, ...] = ()
    notices: tuple[Notice, ...] = ()


COMMON = (
    Annotation(
        key=DELETION_POLICY,
        name="deletion_policy",
        kind=Choice(("delete", "retain")),
        default="delete",
        doc="`retain` keeps the balancer when the Service is deleted: our marks and finalizer are taken off.",
        source="lbctl",
    ),
    Annotation(
        key=APPROVE,
        name="approve",
        kind=Text(pattern=r"[0-9a-f]{12}", what="the digest of a held plan"),
        doc="Lets the held plan with this digest run; without effect once the plan has changed.",
        source="lbctl",
    ),
)


@dataclass(frozen=True)
class AnnotationTable:
    """All annotations of one driver.

    `prefixes` are those, beside `lbctl.io/`, under which an unknown key is worth a notice. `ignored` are keys
    under these prefixes that other programs own.
    """

    annotations: tuple[Annotation, ...]
    prefixes: tuple[str, ...] = ()
    ignored: frozenset[str] = frozenset()
    _exact: Mapping[str, Annotation] = field(init=False, repr=False)
    _patterns: tuple[Annotation, ...] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        """Index the table; two annotations of one key or name are a bug."""
        every = (*COMMON, *self.annotations)
        exact = {annotation.key: annotation for annotation in every if not annotation.is_pattern}
        object.__setattr__(self, "_exact", exact)
        object.__setattr__(self, "_patterns", tuple(a for a in every if a.is_pattern))
        if len({annotation.name for annotation in every}) != len(every):
            raise AssertionError("two annotations share a name")

    def __iter__(self) -> Any:  # noqa: ANN401 - an iterator of Annotation
        return iter((*COMMON, *self.annotations))

    def find(self, key: str) -> tuple[Annotation, str] | None:
        """The declaration of a key and the key's variable part."""
        if key in self._exact:
            return self._exact[key], ""
        for annotation in self._patterns:
            part = annotation.match(key)
            if part is not None:
                return annotation, part
        return None

    def declared(self, annotations: Mapping[str, str]) -> dict[str, str]:
        """Only those annotations that decide something here."""
        return {key: value for key, value in annotations.items() if self.find(key) is not None}

    def read(self, annotations: Mapping[str, str]) -> Values:
        """Parse the annotations of one Service; cost grows with their number, not with the table's size."""
        values: dict[str, Any] = {a.name: {} if a.is_pattern else a.default for a in self}
        given: set[str] = set()
        problems: list[Problem] = []
        notices: list[Notice] = []
        for key, text in sorted(annotations.items()):
            found = self.find(key)
            if found is None:
                notices.extend(self._stranger(key))
                continue
            annotation, part = found
            try:
                parsed = annotation.kind.parse(text)
            except ValueError as error:
                problems.append(Problem(f"metadata.annotations[{key}]", f"{text!r} {error}"))
                continue
            given.add(annotation.name)
            if annotation.is_pattern:
                values[annotation.name][part] = parsed
            else:
                values[annotation.name] = parsed
        return Values(values, frozenset(given), tuple(problems), tuple(notices))

    def nearest(self, key: str) -> str:
        """The known key that looks most like this one, or empty."""
        known = [annotation.key for annotation in self]
        return next(iter(difflib.get_close_matches(key, known, n=1, cutoff=0.8)), "")

    @property
    def own_prefixes(self) -> tuple[str, ...]:
        """What the keys begin with of which an unknown one is told."""
        return (OUR_PREFIX, *self.prefixes)

    def _stranger(self, key: str) -> list[Notice]:
        if key in self.ignored or not key.startswith(self.own_prefixes):
            return []
        nearest = self.nearest(key)
        hint = f"; did you mean {nearest}?" if nearest else ""
        return [Notice(Severity.WARNING, "AnnotationIgnored", f"{key} {UNKNOWN}{hint}")]


def _whole(pattern: str) -> str:
    """A CEL text with a pattern that has to match from beginning to end."""
    return json.dumps(f"^({pattern})$")


_compiled: dict[str, re.Pattern[str]] = {}


def _pattern(key: str) -> re.Pattern[str]:
    if key not in _compiled:
        before, _, rest = key.partition("{")
        _, _, after = rest.partition("}")
        _compiled[key] = re.compile(f"{re.escape(before)}(.+){re.escape(after)}")
    return _compiled[key]
