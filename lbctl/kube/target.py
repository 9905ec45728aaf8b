"""What a request is about: a resource, one object of it, or a part of one object.

A `Target` gives both the URL path of a request and the words with which its failure is reported, so the two cannot
disagree. It knows neither HTTP nor credentials.
"""

from __future__ import annotations

import dataclasses
from urllib.parse import quote


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """A resource, narrowed to a namespace, to one object and to a subresource as far as these are set.

    `absolute` is the path of something that is no resource, such as `/version`.
    """

    resource: str
    group: str = ""
    version: str = "v1"
    namespace: str = ""
    name: str = ""
    subresource: str = ""
    absolute: str = ""

    @property
    def path(self) -> str:
        """URL path below the server's address; names are escaped."""
        if self.absolute:
            return self.absolute
        root = f"/apis/{self.group}/{self.version}" if self.group else f"/api/{self.version}"
        scope = f"/namespaces/{quote(self.namespace, safe='')}" if self.namespace else ""
        tail = "".join(f"/{quote(part, safe='')}" for part in (self.resource, self.name, self.subresource) if part)
        return root + scope + tail

    @property
    def group_version(self) -> str:
        """Group and version as an object's `apiVersion` has them."""
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def right(self) -> str:
        """The resource as a role names it, such as `services/status`, with its group unless that is the core group."""
        part = f"{self.resource}/{self.subresource}" if self.subresource else self.resource
        return f"{part}.{self.group}" if self.group else part

    def one(self, name: str, *, namespace: str = "", subresource: str = "") -> Target:
        """The same resource narrowed to one object."""
        return dataclasses.replace(self, name=name, namespace=namespace, subresource=subresource)

    def within(self, namespace: str) -> Target:
        """The same resource narrowed to a namespace."""
        return dataclasses.replace(self, namespace=namespace, name="", subresource="")

    def __str__(self) -> str:
        where = "/".join(part for part in (self.namespace, self.name) if part)
        return f"{self.right} {where}" if where else self.right


def target_of(resource: str) -> Target:
    """The resource in kubectl's full form, `RESOURCE.VERSION.GROUP`; one of the core group is named alone."""
    plural, _, rest = resource.partition(".")
    version, _, group = rest.partition(".")
    return Target(resource=plural, group=group, version=version or "v1")


SERVICES = Target(resource="services")
NODES = Target(resource="nodes")
NAMESPACES = Target(resource="namespaces")
EVENTS = Target(resource="events")
PODS = Target(resource="pods")
ENDPOINT_SLICES = Target(resource="endpointslices", group="discovery.k8s.io")
LEASES = Target(resource="leases", group="coordination.k8s.io")
ACCESS_REVIEWS = Target(resource="selfsubjectaccessreviews", group="authorization.k8s.io")
VERSION = Target(resource="version", absolute="/version")
