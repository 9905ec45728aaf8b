"""What an annotation's value may be: the whole grammar, as kinds of values that a driver's table refers to.

Each kind parses text, and describes itself for people (`grammar`) and for the API server (`cel`), so that the reference
page and the admission policy say what the parser does. Nothing here knows a key.
"""

from __future__ import annotations

import ipaddress
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from lbctl.model.ranges import normalise_cidr


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
        except (json.JSONDecodeError, RecursionError) as error:
            raise ValueError(f"is not {self.what}: {error}") from None
        return self.decode(data)

    def cel(self, value: str) -> str:  # noqa: ARG002 - CEL cannot parse JSON
        return ""


def _whole(pattern: str) -> str:
    """A CEL text with a pattern that has to match from beginning to end."""
    return json.dumps(f"^({pattern})$")
