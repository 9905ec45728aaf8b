"""`lbctl` at the desk of a cluster on the Azure endpoint: a real API server, the SDK's own credentials over TLS."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lbctl.sandbox.api import ApiServer
from tests.azure.cluster import AZURE_JSON
from tests.cli.console import Said, lbctl
from tests.cli.office import Office
from tests.clouds.azure.directory import Application
from tests.clouds.azure.server import ArmServer
from tests.clouds.azure.world import Node
from tests.clouds.azure.world import World as Azure

APP = "app-of-lbctl"


@dataclass
class Desk:
    """A person's commands for one cluster; `azure` is the cloud's side, `server` the endpoint with its journal.

    `machines` are the Nodes that it began with besides two that are in no cloud; `bystanders` have to stay as they are.
    """

    office: Office
    server: ArmServer
    azure: Azure
    machines: list[Node] = field(default_factory=list)
    bystanders: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def open(cls, api: ApiServer, server: ArmServer, folder: Path, **config: Any) -> Desk:
        """A desk at which azure.json names a service principal that may do everything."""
        server.access.principals.clear()
        server.arm.directory.add(Application(APP, secret="secret-of-the-app"))
        office = Office.open(api, None, folder)
        manager = {"cloud": server.arm.directory.cloud, "resourceManagerEndpoint": server.url}
        signed = {"aadClientId": APP, "aadClientSecret": "secret-of-the-app"}
        azure_json = folder / "azure.json"
        azure_json.write_text(json.dumps({**AZURE_JSON, **manager, **signed, **config}))
        account = {"provider": "azure", "settings": {"cloud_config": str(azure_json), "cloud_config_secret": ""}}
        settings = {"accounts": {"azure": account}, "kube": {"qps": 1000, "burst": 1000}}
        office.config.write_text(json.dumps(settings))
        return cls(office, server, Azure(server.cloud))

    def __call__(self, *arguments: str) -> Said:
        """What `lbctl` answers."""
        return self.office.run(*arguments, "--config", str(self.office.config))

    def without_cluster(self, *arguments: str) -> Said:
        """What `lbctl` answers where there is no API server to ask any more."""
        return lbctl(*arguments, "--config", str(self.office.config))

    def seed(self, kind: str, bodies: Iterable[dict[str, Any]]) -> None:
        """Put objects of the core group into the API server as they are."""
        self.office.api.store.seed([{"apiVersion": "v1", "kind": kind, **body} for body in bodies])

    def add_machines(self, machines: Iterable[Node]) -> None:
        """Let machines of the cloud be the cluster's Nodes."""
        self.seed("Node", [_node(machine) for machine in machines])

    def writes(self) -> list[str]:
        """Actions of the writes since the journal was cleared."""
        return [call.action for call in self.server.journal.calls if call.counted.value in ("write", "delete")]


def _node(machine: Node) -> dict[str, Any]:
    addresses = [{"type": "InternalIP", "address": address} for address in machine.addresses]
    ready = [{"type": "Ready", "status": "True"}]
    return {
        "metadata": {"name": machine.name},
        "spec": {"providerID": machine.provider_id},
        "status": {"addresses": addresses, "conditions": ready},
    }
