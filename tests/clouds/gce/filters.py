"""List filters: the comparisons that the API's `filter` parameter describes, as far as anybody here uses them."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from tests.clouds.gce.errors import invalid

OLD = re.compile(r"^(\w+) (eq|ne) (.+)$")
NEW = re.compile(r'^\(?\s*(\w+)\s*(=|!=)\s*"?([^"()]*)"?\s*\)?$')

Check = Callable[[dict[str, Any]], bool]


def parse_filter(text: str) -> Check:
    """A test for objects; the old form is a whole-field regular expression, the new one compares and joins with OR."""
    if not text:
        return lambda _body: True
    old = OLD.match(text)
    if old:
        field, operator, expression = old.groups()
        pattern = re.compile(expression.strip("'\""))
        return lambda body: bool(pattern.fullmatch(str(body.get(field, "")))) is (operator == "eq")
    parts = [NEW.match(part.strip()) for part in text.split(" OR ")]
    if not all(parts):
        raise invalid(f"Invalid value for field 'filter': '{text}'. Invalid list filter expression.")
    checks = [part.groups() for part in parts if part]
    return lambda body: any((str(body.get(field, "")) == value) is (sign == "=") for field, sign, value in checks)
