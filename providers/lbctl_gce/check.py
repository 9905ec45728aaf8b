"""Findings for `lbctl doctor`: who we are, what we may do and read, what is left of quotas, where balancers go.

Reads only: two calls a project for permissions and quotas, and one for each list that a snapshot reads.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from lbctl.driver import Finding, Level
from lbctl.errors import NotAuthenticated
from lbctl_gce.client import Client
from lbctl_gce.errors import ApiError, translated
from lbctl_gce.facts import read_groups
from lbctl_gce.methods import METHODS
from lbctl_gce.observe import LISTS
from lbctl_gce.permissions import ALL, names
from lbctl_gce.place import Place
from lbctl_gce.settings import SKIP_GROUPS
from lbctl_gce.shapes import Json, tail

REGION_QUOTAS = frozenset(
    {
        "FORWARDING_RULES",
        "EXTERNAL_NETWORK_LB_FORWARDING_RULES",
        "STATIC_ADDRESSES",
        "IN_USE_ADDRESSES",
        "BACKEND_SERVICES",
        "REGIONAL_EXTERNAL_NETWORK_LB_BACKEND_SERVICES",
        "REGIONAL_INTERNAL_LB_BACKEND_SERVICES",
        "INSTANCE_GROUPS",
        "NETWORK_ENDPOINT_GROUPS",
    }
)
PROJECT_QUOTAS = frozenset({"FIREWALLS", "HEALTH_CHECKS", "TARGET_POOLS", "BACKEND_SERVICES", "FORWARDING_RULES"})
NEARLY_FULL = 0.8
MOST_NAMED = 5


@dataclass(frozen=True, slots=True)
class Checks:
    """Everything that is looked at.

    `strays` are nodes whose instance cannot be told from their provider id, `zones` are those of all others.
    """

    client: Client
    place: Place
    strays: Iterable[str] = ()
    zones: Iterable[str] = ()

    def run(self) -> Iterator[Finding]:
        """Findings in the order in which they build on each other; without credentials none after the first."""
        for key in self.place.config.unknown_keys:
            yield Finding(Level.FAILED, "gce.conf", key, "correct it or take it out")
        for key in self.place.config.idle_keys:
            yield Finding(Level.WARNING, "gce.conf", key, "take it out, or do without")
        identity = self._identity()
        yield identity
        if identity.level is Level.FAILED:
            return
        yield from self._permissions()
        yield from (self._read(method) for method in sorted({*LISTS.values(), "instances.aggregatedList"}))
        yield from self._quotas()
        yield from self._subnet()
        yield from self._groups()
        yield from self._nodes()

    def _identity(self) -> Finding:
        try:
            identity = self.client.identity()
        except NotAuthenticated as error:
            return Finding(Level.FAILED, "credentials", error.message, error.hint)
        except ApiError as error:
            failure = translated(error, "signing in")
            return Finding(Level.FAILED, "credentials", failure.message, failure.hint)
        until = f", with a token that is valid until {identity.until}" if identity.until else ""
        return Finding(Level.OK, "credentials", f"signed in as {identity.name}{until}")

    # -- permissions ------------------------------------------------------------------------------------------------

    def _permissions(self) -> Iterator[Finding]:
        config = self.place.config
        mine, networks = names(ALL, network=False, fills_groups=config.fills_groups), names(ALL, network=True)
        if not config.is_shared_network:
            yield from self._granted(config.project, [*mine, *networks])
            return
        yield from self._granted(config.project, mine)
        yield from self._granted(config.network_project, networks)

    def _granted(self, project: str, wanted: list[str]) -> Iterator[Finding]:
        subject = f"permissions in {project}"
        try:
            granted = self.client.granted(project, sorted(set(wanted)))
        except ApiError as error:
            text = f"cannot be asked for ({error.message}): only what is read below has been tried"
            yield Finding(Level.WARNING, subject, text, "enable the Cloud Resource Manager API to have them tested")
            return
        missing = sorted(set(wanted) - granted)
        if not missing:
            yield Finding(Level.OK, subject, f"all {len(set(wanted))} are granted")
        yield from (self._missing(project, permission) for permission in missing)

    def _missing(self, project: str, permission: str) -> Finding:
        config = self.place.config
        hint = f"grant {permission} in {project}; `lbctl permissions` makes the role"
        if config.is_shared_network and project == config.network_project and ".firewalls." in permission:
            text = "is not granted: whoever may has to write firewall rules, the commands are told as Events"
            return Finding(Level.WARNING, permission, text, hint)
        return Finding(Level.FAILED, permission, f"is not granted in {project}", hint)

    def _read(self, method: str) -> Finding:
        try:
            next(iter(self.client.items(method)), None)
        except ApiError as error:
            failure = translated(error, method)
            return Finding(Level.FAILED, method, failure.message, f"grant {METHODS[method].permission}")
        return Finding(Level.OK, method, "can be read")

    # -- quotas -----------------------------------------------------------------------------------------------------

    def _quotas(self) -> Iterator[Finding]:
        config = self.place.config
        yield from self._quotas_of("regions.get", config.project, REGION_QUOTAS, config.region)
        yield from self._quotas_of("projects.get", config.project, PROJECT_QUOTAS, config.project)
        if config.is_shared_network:
            yield from self._quotas_of("projects.get", config.network_project, {"FIREWALLS"}, config.network_project)

    def _quotas_of(self, method: str, project: str, metrics: Iterable[str], where: str) -> Iterator[Finding]:
        try:
            body = self.client.call(method, {"project": project})
        except ApiError as error:
            failure = translated(error, method)
            yield Finding(Level.WARNING, f"quotas of {where}", failure.message, f"grant {METHODS[method].permission}")
            return
        for quota in sorted(body.get("quotas", ()), key=lambda quota: str(quota["metric"])):
            if quota["metric"] in metrics:
                yield _quota(quota, where)

    # -- network and nodes ------------------------------------------------------------------------------------------

    def _subnet(self) -> Iterator[Finding]:
        config = self.place.config
        subject = f"subnet {config.subnetwork.rpartition('/')[2]}"
        try:
            subnets = {tail(body["selfLink"]): body for body in self.client.items("subnetworks.list")}
        except ApiError as error:
            yield Finding(Level.FAILED, subject, translated(error, "subnetworks.list").message, "grant it")
            return
        found = subnets.get(config.subnetwork)
        if found is None:
            hint = f"set subnetwork to one of {', '.join(sorted(path.rpartition('/')[2] for path in subnets))}"
            yield Finding(Level.FAILED, subject, f"is not in {config.region} of {config.network_project}", hint)
        elif tail(found.get("network", "")) != config.network:
            text = f"is one of {tail(found.get('network', ''))} and not of {config.network}"
            yield Finding(Level.FAILED, subject, text, "set network and subnetwork to the cluster's")
        else:
            shared = f", shared by {config.network_project}" if config.is_shared_network else ""
            yield Finding(Level.OK, subject, f"{found.get('ipCidrRange', 'exists')}{shared}")

    def _groups(self) -> Iterator[Finding]:
        """Instance groups that somebody else fills, zone by zone."""
        if self.place.config.fills_groups:
            return
        name = self.place.legacy.group
        try:
            found = read_groups(self.client.items("instanceGroups.aggregatedList"), self.place.legacy.is_group)
        except ApiError:
            return  # told above already
        for zone in sorted(self.zones):
            groups = ", ".join(sorted(path.rpartition("/")[2] for path in found.get(zone, ())))
            if groups:
                yield Finding(Level.OK, f"instance groups in {zone}", f"{groups}, filled by somebody else")
            else:
                hint = f"fill one, or take {SKIP_GROUPS} out of gce.conf"
                text = f"none has a name that begins with {name}, so the nodes there get no traffic"
                yield Finding(Level.FAILED, f"instance groups in {zone}", text, hint)

    def _nodes(self) -> Iterator[Finding]:
        strays = sorted(self.strays)
        if strays:
            shown = ", ".join(strays[:MOST_NAMED]) + (" and others" if len(strays) > MOST_NAMED else "")
            text = f"{shown}: no instance is known, so they neither join balancers nor leave them"
            hint = "spec.providerID must be gce://PROJECT/ZONE/NAME; the cloud controller manager sets it"
            yield Finding(Level.WARNING, "nodes", text, hint)


def _quota(quota: Json, where: str) -> Finding:
    used, limit = float(quota.get("usage", 0)), float(quota.get("limit", 0))
    text = f"{used:.0f} of {limit:.0f} used in {where}"
    if used >= limit:
        return Finding(Level.FAILED, f"quota {quota['metric']}", text, "raise it, or remove what is not needed")
    if used >= NEARLY_FULL * limit:
        return Finding(Level.WARNING, f"quota {quota['metric']}", text, "raise it in time")
    return Finding(Level.OK, f"quota {quota['metric']}", text)
