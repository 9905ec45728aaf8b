"""What the Services of one account refer to: the objects as they are now, and who has to hear of their changes.

Called under the controller's lock, but for `of`, which only looks up.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

from lbctl.driver import Referred
from lbctl.model.objects import Service
from lbctl.model.reference import SERVICES, Reference
from lbctl.model.resource import Identity


class References:
    """Objects by what refers to them; everything that is seen of a resource is kept, since a reference may follow."""

    def __init__(self, resources: Iterable[str]) -> None:
        self._resources = frozenset(resources)
        self._objects: dict[Reference, Referred] = {}
        self._named: dict[Identity, frozenset[Reference]] = {}
        self._referrers: dict[Reference, set[Identity]] = defaultdict(set)

    def note(self, identity: Identity, references: frozenset[Reference]) -> None:
        """Remember what a Service refers to, instead of what it did before."""
        before = self._named.pop(identity, frozenset())
        for reference in before - references:
            self._referrers[reference].discard(identity)
            if not self._referrers[reference]:
                del self._referrers[reference]
        for reference in references - before:
            self._referrers[reference].add(identity)
        if references:
            self._named[identity] = references

    def see(self, resource: str, old: Referred | None, new: Referred | None) -> frozenset[Identity]:
        """Take note of an object that came, changed or went; returns the Services that refer to it.

        Services come by two watches, one of which lets go of a Service that the other has got: news of an older state
        than the known one changes nothing.
        """
        view = new or old
        if view is None or resource not in self._resources:
            return frozenset()
        reference = Reference(resource, view.metadata.namespace, view.metadata.name)
        known = self._objects.get(reference)
        if known is not None and view.metadata.is_older_than(known.metadata):
            return frozenset()
        if new is not None:
            self._objects[reference] = new
        else:
            self._objects.pop(reference, None)
        return self.referrers(reference)

    def referrers(self, reference: Reference) -> frozenset[Identity]:
        """The Services that refer to this object."""
        return frozenset(self._referrers.get(reference, ()))

    def of(self, identities: Iterable[Identity]) -> dict[Reference, Referred]:
        """Those objects that these Services refer to and that are there."""
        named = (reference for identity in identities for reference in self._named.get(identity, ()))
        found = ((reference, self._objects.get(reference)) for reference in named)
        return {reference: view for reference, view in found if view is not None}

    def services_of(self, identities: Iterable[Identity]) -> list[Service]:
        """The Services among those objects."""
        return [view for view in self.of(identities).values() if isinstance(view, Service)]


def service_reference(key: str) -> Reference:
    """The reference to the Service `namespace/name`."""
    namespace, _, name = key.partition("/")
    return Reference(SERVICES, namespace, name)
