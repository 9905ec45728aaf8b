"""Calls that each operation takes, counted before the real services without polls: the rows that the bench prints.

Every write makes the amphora provider work for a second. So many Services are measured on a provider that does nothing:
Octavia's API, its rules and its database are the same, only nobody works behind them; and it has no ports for floating
IPs, so those rows are of internal Services.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from tests.clouds.openstack import environment
from tests.clouds.openstack.cloud import Cloud, running
from tests.clouds.openstack.proxy import Call
from tests.openstack.scene import CloudTime, Scene, cloud_node
from tests.world import change, service

MODES = {"external": {}, "internal": {"service.beta.kubernetes.io/openstack-internal-load-balancer": "true"}}
FEW = 20
LONG = 60.0


class NoTime(CloudTime):
    """The clock of a cloud in which whatever was asked for is done by the next look."""

    def wait(self, seconds: float, event: threading.Event | None = None) -> bool:
        self.cloud.finish()
        return super().wait(seconds, event)


def measure(numbers: Iterable[int]) -> list[dict[str, Any]]:
    """The measured rows for those numbers of Services, of every mode where they are few."""
    try:
        environment.make()
    except environment.CannotInstall as error:
        print(f"{environment.MISSING}: {error}", file=sys.stderr)  # noqa: T201 - beside the rows
        return []
    asked = [(number, mode) for number in numbers for mode in MODES if number <= FEW or mode == "internal"]
    with TemporaryDirectory() as folder, running(Path(folder)) as cloud:
        return [row for number, mode in asked for row in rows(cloud, Path(folder), mode, number)]


def rows(cloud: Cloud, folder: Path, mode: str, services: int) -> Iterator[dict[str, Any]]:
    """One row an operation, with Services of two ports."""
    if services <= FEW:
        scene = Scene(cloud, folder)
    else:
        conf = f"lb-provider = noop_driver\nsubnet-id = {cloud.ids['nodes4']}"
        scene = Scene(cloud, folder, conf=conf, clock=NoTime(cloud))
    scene.settle()
    for operation, act in operations(scene, MODES[mode], services).items():
        with cloud.octavia.counted() as octavia, cloud.neutron.counted() as neutron:
            act()
            scene.settle(LONG)
        counted = [call for call in (*octavia, *neutron) if not is_poll(call)]
        writes = sum(call.is_write for call in counted)
        counts = {"reads": len(counted) - writes, "writes": writes}
        yield {"driver": "openstack", "mode": mode, "operation": operation, "services": services, **counts}
    scene.driver.close()


def is_poll(call: Call) -> bool:
    """True for the list that tells how operations go on."""
    return call.method == "GET" and "fields=provisioning_status" in call.path


def operations(scene: Scene, annotations: dict[str, str], services: int) -> dict[str, Callable[[], None]]:
    """What is done, in this order, to the same Services."""
    return {
        "create": partial(create, scene, annotations, services),
        "unchanged": partial(resync, scene),
        "port-added": partial(edit, scene, ports=service(ports=(80, 443, 8443)).spec.ports),
        "node-joins": partial(scene.see_node, cloud_node(scene.cloud, 2)),
        "node-leaves": partial(scene.see_node, None, "node2"),
        "source-ranges": partial(edit, scene, load_balancer_source_ranges=("10.0.0.0/8",)),
        "restart": scene.crash,
        "delete": partial(delete, scene),
    }


def create(scene: Scene, annotations: dict[str, str], services: int) -> None:
    """Make all Services."""
    for number in range(services):
        scene.kube.put(service(f"s{number}", ports=(80, 443), annotations=annotations))


def resync(scene: Scene) -> None:
    """Let every scope be gone through again."""
    for scope in scene.account.all_scopes():
        scene.controller.resync(scene.account, scope)


def edit(scene: Scene, **spec: Any) -> None:
    """Change every Service's spec."""
    for live in list(scene.kube.services.values()):
        scene.kube.put(change(live, spec=change(live.spec, **spec)))


def delete(scene: Scene) -> None:
    """Delete every Service."""
    for key in list(scene.kube.services):
        scene.kube.delete(key)
