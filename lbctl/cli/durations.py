"""Lengths of time on the command line, as in `90s`, `10m`, `1h30m`, `2d`."""

from __future__ import annotations

import re

import click

SECONDS = {"s": 1.0, "m": 60.0, "h": 3_600.0, "d": 86_400.0}
WHOLE = re.compile(r"(?:\d+[smhd])+")
PART = re.compile(r"(\d+)([smhd])")


class Duration(click.ParamType[float]):
    """A length of time; the command receives seconds."""

    name = "duration"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Seconds; fails with the grammar."""
        if isinstance(value, float):
            return value
        text = str(value)
        if not WHOLE.fullmatch(text):
            self.fail(f"{text!r} is no length of time; write it as in 90s, 10m, 1h30m or 2d", param, ctx)
        return sum(float(count) * SECONDS[unit] for count, unit in PART.findall(text))


DURATION = Duration()
