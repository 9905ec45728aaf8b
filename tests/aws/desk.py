"""`lbctl` at the desk of one cluster on the honest AWS, in this process, which is quick."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import yaml

from lbctl.cli.main import run
from lbctl.clock import SystemClock
from lbctl.kube.access import Access
from lbctl.kube.rest import Rest
from lbctl.kube.throttle import Rate
from lbctl.model.objects import Service
from lbctl.sandbox.api import ApiServer
from lbctl.sandbox.hands import Hands
from moto_fixtures.world import AwsWorld, Scene
from tests.aws.cluster import ready_pods
from tests.cli.console import Said, command_of

ENDPOINTS = ("ec2", "elb", "elbv2", "iam", "sts")
CLOUD_SPEED = 60
AT_ONCE = ("--set", "kube.qps=1000", "--set", "kube.burst=1000")


@dataclass
class Desk:
    """One cluster and its account; `said` hands back what was printed since it was last asked."""

    aws: AwsWorld
    scene: Scene
    api: ApiServer
    hands: Hands
    config: Path
    said: Callable[[], tuple[str, str]]

    @classmethod
    def open(cls, aws: AwsWorld, topology: Any, api: ApiServer, folder: Path, said: Any, **settings: Any) -> Desk:
        """A desk on a topology, with its Nodes and no Service; `settings` are further ones of the account."""
        scene = aws.seed(topology)
        # Health checks and interfaces that linger take minutes; here a minute of the cloud is a second.
        aws.follow(lambda: SystemClock().monotonic() * CLOUD_SPEED)
        endpoints = dict.fromkeys(ENDPOINTS, aws.endpoint)
        account = {"region": aws.region, "vpc_id": scene["main"], "endpoints": endpoints, **settings}
        chosen = {
            "cluster": {"name": "demo", "id": "demo"},
            "accounts": {"aws": {"provider": "aws", "settings": account}},
        }
        (folder / "kubeconfig").write_text(api.kubeconfig())
        (folder / "settings.yaml").write_text(yaml.safe_dump(chosen))
        rest = Rest(Access(kubeconfig=str(folder / "kubeconfig")), SystemClock(), rate=Rate(1000, 1000))
        api.store.seed({"apiVersion": "v1", "kind": "Node", **node} for node in scene.nodes)
        return cls(aws, scene, api, Hands(rest), folder / "settings.yaml", said)

    def lbctl(self, *arguments: str) -> Said:
        """What `lbctl` answers with this desk's settings."""
        self.said()
        code = run((*arguments, "--config", str(self.config), *AT_ONCE))
        out, err = self.said()
        return Said(code, out, err, command_of(arguments))

    def put(self, *services: Service) -> None:
        """Have these Services, each with an EndpointSlice of two ready pods."""
        self.api.store.seed(_documents(services))

    def serve(self, *services: Service) -> None:
        """Have these Services, served by one round of a controller."""
        self.put(*services)
        done = self.lbctl("once")
        assert done.code == 0, done

    def lose(self, key: str) -> None:
        """Delete a Service with its finalizers taken off: nobody cleans up after it."""
        self.hands.patch(key, {"metadata": {"finalizers": None}})
        self.hands.delete(key)


def _documents(services: Iterable[Service]) -> Iterator[dict[str, Any]]:
    for one in services:
        yield {"apiVersion": "v1", "kind": "Service", **msgspec.to_builtins(one)}
        slices = msgspec.to_builtins(ready_pods(one))
        yield {"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", **slices}
