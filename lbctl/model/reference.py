"""Objects of the cluster that a Service names, and by which it is served: Services, or objects of a custom kind."""

from __future__ import annotations

from dataclasses import dataclass

SERVICES = "services"
"""The resource of a `Reference` to another Service; every other one is of a custom kind."""


@dataclass(frozen=True, slots=True, order=True)
class Reference:
    """One object that is named: `resource` is `services`, or kubectl's full form `RESOURCE.VERSION.GROUP`."""

    resource: str
    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.resource} {self.namespace}/{self.name}"
