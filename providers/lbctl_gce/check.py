"""Findings for `lbctl doctor`: can the project be reached, and may everything be read. Reads only."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from lbctl.driver import Finding, Level
from lbctl.errors import NotAuthenticated
from lbctl_gce.client import Client
from lbctl_gce.errors import ApiError, translated
from lbctl_gce.methods import METHODS
from lbctl_gce.observe import LISTS
from lbctl_gce.place import Place


@dataclass(frozen=True, slots=True)
class Checks:
    """Everything that is looked at."""

    client: Client
    place: Place

    def run(self) -> Iterator[Finding]:
        """One finding for each read that the driver needs, and for each key of gce.conf that is unknown."""
        for key in self.place.config.unknown_keys:
            yield Finding(Level.FAILED, "gce.conf", key, "correct it or take it out")
        for method in sorted({*LISTS.values(), "subnetworks.list", "instances.aggregatedList"}):
            finding = self._read(method)
            yield finding
            if finding.level is Level.FAILED and "credentials" in finding.subject:
                return

    def _read(self, method: str) -> Finding:
        try:
            next(iter(self.client.items(method)), None)
        except NotAuthenticated as error:
            return Finding(Level.FAILED, "credentials", error.message, error.hint)
        except ApiError as error:
            failure = translated(error, method)
            return Finding(Level.FAILED, method, failure.message, f"grant {METHODS[method].permission}")
        return Finding(Level.OK, method, "can be read")
