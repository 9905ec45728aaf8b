"""What the models share: the place a balancer is built in, its keys, and whose tags it carries. Pure.

A `Place` bundles cluster, settings and facts for one Service, so that the models of both kinds of balancer read alike.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from lbctl.driver import World
from lbctl.model.intent import Intent
from lbctl.model.ranges import served_ranges
from lbctl.model.resource import NOTHING, Identity, Key, Observed, Ref, Scope, Seen
from lbctl_aws import attributes, names
from lbctl_aws.network import Network
from lbctl_aws.options import Options, options_of
from lbctl_aws.settings import AwsSettings

BALANCER, NODE_RULES, BACKEND = "balancer", "node-rules", "backend-group"
NODE_SCOPE = Scope(NODE_RULES, "cluster")
BACKEND_SCOPE = Scope(BACKEND, "cluster")

CLASSIC, CLASSIC_LISTENER, CLASSIC_POLICY, CLASSIC_BACKEND = (
    "classic-balancer",
    "classic-listener",
    "classic-policy",
    "classic-backend",
)
NETWORK, LISTENER, TARGETS = "network-balancer", "listener", "target-group"
GROUP, RULE = "security-group", "rule"
BALANCERS = frozenset({CLASSIC, NETWORK})
SOLE = "sole"
"""Output of the shared group that we made, while no balancer but ours is known to carry it."""
USED = "used"
"""Output of a rule of LBC's kind from a group that balancers of others carry, too."""

Tags = frozenset[tuple[str, str | None]]


@dataclass(frozen=True, slots=True)
class BalancerFacts:
    """What modelling a balancer needs of AWS: the network, and security groups by Name tag where a Service uses one.

    `lbc_targets` is what LBC has written down of target groups that clusters share, by the group's name.
    """

    network: Network
    groups_by_name: Mapping[str, str] = NOTHING
    lbc_targets: Mapping[str, Mapping[str, str]] = NOTHING


@dataclass(frozen=True, slots=True)
class Place:
    """Everything that decides how one Service's balancer looks."""

    cluster: str
    settings: AwsSettings
    facts: BalancerFacts
    world: World
    intent: Intent
    observed: Observed

    @property
    def owner(self) -> Identity:
        """The Service."""
        return self.intent.identity

    @property
    def owners(self) -> frozenset[Identity]:
        """The Service as the owners of a resource."""
        return frozenset({self.intent.identity})

    @property
    def options(self) -> Options:
        """Its AWS options."""
        return options_of(self.intent)

    @property
    def source_ranges(self) -> frozenset[str]:
        """Who may reach the balancer, in the families that it serves; prefix lists replace the default of everybody."""
        if self.options.security_group_prefix_lists and not self.intent.source_ranges:
            return frozenset()
        families = ("IPv4", "IPv6") if self.options.is_dual else ("IPv4",)
        return served_ranges(self.intent.source_ranges, families)[0]

    def tags(self, own: Mapping[str, str], *, with_owner: bool = True) -> Tags:
        """Tags of one object: upstream's, ours, the operator's and the Service's.

        A key without value was set by us before and has to go. Classic balancers have room for ten tags only, so ours
        is left out there.
        """
        user = {**self.settings.default_tags, **self.options.additional_resource_tags}
        tags: dict[str, str | None] = dict.fromkeys(attributes.remembered(self.options, "tag"))
        tags.update(user)
        tags.update(own)
        if with_owner:
            tags[names.OWNER] = names.owner_tag(self.cluster, self.owner)
        return frozenset(tags.items())

    def owned(self, kind: str) -> Iterator[Seen]:
        """Observed objects of this kind that are this Service's."""
        return (seen for seen in self.observed.of_kind(kind) if seen.ours and self.owner in seen.resource.owners)


def balancer_scope(owner: Identity) -> Scope:
    """The scope of a Service's balancer, in every mode; the tags of both upstreams name `namespace/name`."""
    return Scope(BALANCER, owner.key)


def listener_key(balancer: str, port: int, *, classic: bool) -> Key:
    """Key of a listener: by balancer and port, since one port can have one listener only."""
    return Key(CLASSIC_LISTENER if classic else LISTENER, f"{balancer}:{port}")


def balancer_of(key: Key) -> str:
    """Name of the balancer that a listener, policy or backend belongs to."""
    return key.id.partition(":")[0]


def group_ref(name: str, *, scope: Scope | None = None) -> Ref:
    """The id of a managed security group."""
    return Ref(Key(GROUP, name), "id", scope)


def is_of_lbc(balancer: Seen) -> bool:
    """True for a balancer that carries LBC's tag of the cluster, whatever mode its Service asks for now."""
    tags = balancer.resource.fields.get("tags")
    return isinstance(tags, frozenset) and any(key == names.LBC_CLUSTER for key, _ in tags)


def has_our_tag(seen: Seen) -> bool:
    """True for what we have made or changed, rather than only found."""
    tags = seen.resource.fields.get("tags")
    return isinstance(tags, frozenset) and any(key == names.OWNER for key, _ in tags)


def is_backend_of(group: Seen, cluster: str) -> bool:
    """True for the shared group of the cluster, LBC's or ours."""
    tags = group.resource.fields.get("tags")
    return isinstance(tags, frozenset) and (names.LBC_CLUSTER, cluster) in tags


def covers_tags(old: object, new: object) -> bool:
    """True when the tags that are there need no change.

    Foreign tags stay. Our own tag may be missing on adopted objects, which get it with a change that is due anyway.
    """
    assert isinstance(old, frozenset)
    assert isinstance(new, frozenset)
    there = dict(old)
    wanted = {key: value for key, value in new if key != names.OWNER}
    return all(there.get(key) == value for key, value in wanted.items())
