"""Whose a cloud object is: the proof that decides whether it may be changed at all. Pure.

Proof is the cluster's tag of either upstream controller. Which Service it belongs to is told by tags, by the object's
name, or, for security groups of CCM, by the description. An object that carries another cluster's tag, or none,
matters only where its name is one that a Service of ours derives: then it stands in the way.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from lbctl.driver import World
from lbctl.model.resource import Identity
from lbctl_aws import names
from lbctl_aws.network import INTERNAL, PUBLIC
from lbctl_aws.options import options_of

CCM_NAME = re.compile(r"a[0-9a-f]{29,31}(-\d+)?|a[0-9a-f]{31}")


@dataclass(frozen=True, slots=True)
class Claim:
    """What is known of an object's owner; `hint` names a foreign one."""

    owner: Identity
    ours: bool
    hint: str = ""


@dataclass(frozen=True)
class Owners:
    """Finds owners for the Services that are known now."""

    cluster: str
    world: World
    adopt_untagged: bool = False
    _by_uid: dict[str, Identity] = field(default_factory=dict)
    _by_key: dict[str, Identity] = field(default_factory=dict)
    _by_name: dict[str, Identity] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Index the Services by uid, key and every name that they derive."""
        for identity in {*self.world.services, *self.world.intents}:
            self._by_uid[identity.uid] = identity
            self._by_key[identity.key] = identity
            for name in self._derived(identity):
                self._by_name[name] = identity

    def is_interesting(self, name: str, tags: Mapping[str, str]) -> bool:
        """True when the object is the cluster's, or stands in the way of one that a Service wants."""
        return self.cluster in names.clusters_of(tags) or name in self._by_name

    def find(self, name: str, tags: Mapping[str, str], *, described: str = "") -> Claim:
        """Whose the object is; `described` is `namespace/name` as a description tells it."""
        clusters = names.clusters_of(tags)
        if self.cluster in clusters:
            return Claim(self._service(name, tags, described), ours=True)
        owner = self._by_name.get(name, _stranger(name, names.uid_of(tags)))
        if clusters:
            return Claim(owner, ours=False, hint=f"cluster {', '.join(sorted(clusters))}")
        return Claim(owner, ours=self.adopt_untagged, hint="nobody that its tags name")

    def by_name(self, name: str) -> Identity | None:
        """The Service that derives this name."""
        return self._by_name.get(name)

    def _service(self, name: str, tags: Mapping[str, str], described: str) -> Identity:
        uid = names.uid_of(tags)
        if uid in self._by_uid:
            return self._by_uid[uid]
        if name in self._by_name:
            return self._by_name[name]
        key = names.service_of(tags) or described
        namespace, _, service = key.partition("/")
        if uid and service:
            return self._learn(Identity(namespace, service, uid))
        living = self._by_key.get(key)
        # A name made of a uid is no proof for the Service of the same key that came later.
        if living is not None and not CCM_NAME.fullmatch(name.removeprefix(names.CLASSIC_GROUP_PREFIX)):
            return living
        return Identity(namespace, service, "") if service else _stranger(name, uid)

    def _learn(self, gone: Identity) -> Identity:
        """Find the other objects of a Service that is gone by its names: classic balancers do not carry our tag."""
        self._by_uid[gone.uid] = gone
        for name in self._derived(gone):
            self._by_name.setdefault(name, gone)
        return gone

    def _derived(self, identity: Identity) -> set[str]:
        ccm = names.ccm_balancer(identity.uid)
        derived = {ccm, names.classic_group(ccm), names.frontend_group(self.cluster, identity)}
        derived.update(names.lbc_balancer(self.cluster, identity, scheme) for scheme in (INTERNAL, PUBLIC))
        intent = self.world.intents.get(identity)
        if intent is not None and options_of(intent).name:
            derived.add(options_of(intent).name or "")
        generations = {names.with_generation(name, g) for name in derived for g in range(2, 5)}
        return derived | generations


def _stranger(name: str, uid: str) -> Identity:
    """An owner that no Service is known for: only the object's name is left."""
    return Identity("", name, uid)
