"""One lbctl with the CloudStack driver on a running server, on a clock that only tests move."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec

from lbctl.driver import Setup
from lbctl_cloudstack import DRIVER
from lbctl_cloudstack.settings import CloudStackSettings
from tests.clouds.cloudstack.catalog import published
from tests.clouds.cloudstack.cloud import Cloud
from tests.clouds.cloudstack.objects import Network
from tests.clouds.cloudstack.server import API_KEY, SECRET_KEY, CloudStackServer
from tests.clouds.cloudstack.topology import add_bystanders, add_machine, add_network, add_pool, served
from tests.world import World, node

Record = Callable[[str, str, float], None]
ROLE_FILE = Path(__file__).parents[2] / "manifests" / "policies" / "cloudstack-role.json"


def role_commands() -> set[str]:
    """What the shipped role allows."""
    rules = json.loads(ROLE_FILE.read_text())["rules"]
    return {rule["rule"] for rule in rules if rule["permission"] == "allow"}


def forbid_the_rest(cloud: Cloud) -> None:
    """Give the account the shipped role and no more."""
    cloud.catalog.forbidden |= set(published()) - role_commands()


class Stage(World):
    """A cluster with the nodes n1 and n2 whose machines are in one network; bystanders of each kind around them.

    The account has the shipped role and no more.
    """

    def __init__(
        self,
        server: CloudStackServer,
        network: Network | None = None,
        *,
        record: Record | None = None,
        nodes: tuple[str, ...] = ("n1", "n2"),
        options: dict[str, Any] | None = None,
        project_id: str | None = None,
        **world: Any,
    ) -> None:
        self.server, self.cloud = server, server.cloud
        forbid_the_rest(self.cloud)
        self.network = network or add_network(self.cloud)
        for name in nodes:
            add_machine(self.cloud, name, self.network)
        if not self.cloud.addresses:
            add_pool(self.cloud)
        add_bystanders(self.cloud, self.network)
        if project_id:
            move_to_project(self.cloud, project_id)
        fields = {"api_url": server.url, "api_key": API_KEY, "secret_key": SECRET_KEY, **(options or {})}
        self.record: Record = record or (lambda _command, _code, _seconds: None)
        info = replace(DRIVER, connect=self._connect)
        super().__init__(info, settings=msgspec.convert(fields, CloudStackSettings), nodes=nodes, **world)
        self.cloud.now = self.clock.monotonic
        self.settle()

    def _connect(self, setup: Setup) -> Any:
        return DRIVER.connect(replace(setup, record=self.record))

    def join(self, name: str, **machine: Any) -> None:
        """A Node joins, with its machine in the stage's network."""
        add_machine(self.cloud, name, self.network, **machine)
        self.see_node(node(name))
        self.settle()

    def served(self, name: str = "web") -> dict[int, dict[str, Any]]:
        """What clients reach at the Service's published address."""
        (ip,) = self.addresses(name)
        return served(self.cloud, ip)

    def machine_ids(self, *names: str) -> list[str]:
        """Ids of machines by name."""
        return sorted(m.id for m in self.cloud.machines.values() if m.name in names)


def move_to_project(cloud: Cloud, project_id: str) -> None:
    """Let a project own all machines and taken addresses, with what is on them."""
    for thing in (*cloud.machines.values(), *cloud.rules.values(), *cloud.addresses.values()):
        if getattr(thing, "state", "") != "Free":
            thing.project_id = project_id


def fresh_cloud(release: str = "4.22") -> Cloud:
    """An empty cloud."""
    return Cloud(release)
