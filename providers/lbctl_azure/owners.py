"""Whose a cloud object is, told by names and tags alone. Pure.

`observe` asks here for every object it reads. An owner that no Service is known for becomes an identity of what is
known of it: namespace and name where a public address has them in its tags, else the `uid-name` found in the cloud as
uid. The core leaves such orphans to `lbctl gc`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from lbctl.driver import World
from lbctl.model.resource import Identity, nothing
from lbctl.naming import default_balancer_name
from lbctl_azure.names import local_pool_name, uid_name_in
from lbctl_azure.tags import Tags, is_of_cluster, service_list

NOBODY: frozenset[Identity] = frozenset()


@dataclass(frozen=True, slots=True)
class Owners:
    """All known Services, by their name in Azure and by `namespace/name`."""

    by_uid_name: Mapping[str, Identity] = field(default_factory=nothing, hash=False)
    by_key: Mapping[str, Identity] = field(default_factory=nothing, hash=False)
    by_pool: Mapping[str, Identity] = field(default_factory=nothing, hash=False)

    @classmethod
    def of(cls, world: World) -> Owners:
        """Every Service of the world, also those that are going away."""
        return cls.among({*world.services, *world.intents})

    @classmethod
    def among(cls, identities: Iterable[Identity]) -> Owners:
        """An index of these Services."""
        every = sorted(identities)
        pools = {local_pool_name(i.namespace, i.name, family): i for i in every for family in ("IPv4", "IPv6")}
        by_uid_name = {default_balancer_name(i.uid).lower(): i for i in every if i.uid}
        return cls(by_uid_name, {i.key: i for i in every}, pools)

    def with_strangers(self, addresses: Iterable[tuple[str, Tags]], cluster: str) -> Owners:
        """Also Services that are gone, as far as an address tells both: its name the `uid-name`, its tags the rest."""
        found: dict[str, Identity] = {}
        for name, tags in addresses:
            uid_name, listed = uid_name_in(name[len(cluster) + 1 :]), service_list(tags)
            if uid_name and len(listed) == 1 and is_of_cluster(tags, cluster) and listed[0] not in self.by_key:
                found[uid_name] = _stranger(listed[0])
        return replace(self, by_uid_name={**found, **self.by_uid_name}) if found else self

    def of_name(self, name: str) -> Identity | None:
        """Owner of an object whose name starts with a `uid-name`; None when it does not."""
        uid_name = uid_name_in(name)
        if not uid_name:
            return self._of_short_name(name)
        return self.by_uid_name.get(uid_name) or Identity("", "", uid_name)

    def _of_short_name(self, name: str) -> Identity | None:
        """Uids that are no UUIDs give shorter names; they end at a dash or with the name."""
        return self.by_uid_name.get(name.lower()) or self.by_uid_name.get(name.lower().partition("-")[0])

    def of_tags(self, tags: Tags) -> frozenset[Identity]:
        """The Services that an address's tags name; unknown ones keep their name."""
        return frozenset(self.by_key.get(key) or _stranger(key) for key in service_list(tags))


def _stranger(key: str) -> Identity:
    namespace, _, name = key.partition("/")
    return Identity(namespace, name, "")
