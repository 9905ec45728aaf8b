"""What sets one cloud's installation apart: settings, credentials, rights and ports, as data.

What the driver itself knows (which resources it watches, which Leases it looks at or takes) comes from its
`DriverInfo`; a driver that is not in the table is installed with its defaults. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from lbctl import __version__
from lbctl.driver import DriverInfo
from lbctl.kube.rights import Right, custom_kinds, document, other_leases
from lbctl.settings import LeaseSettings, decode

NAMESPACE = "kube-system"
CLOUD_FOLDER = "/etc/lbctl/cloud"
SCRATCH_FOLDER = "/tmp"  # noqa: S108 - a volume of the Pod's own

HTTPS_PORT, API_SERVER_PORT, DNS_PORT, METADATA_PORTS = 443, 6443, 53, (80, 988)
METADATA_RANGE = "169.254.0.0/16"


@dataclass(frozen=True, slots=True)
class Place:
    """What a cloud's installation needs beside its driver.

    `files_from` is the Secret whose keys are files in `/etc/lbctl/cloud`, under the name that the cloud's official
    controller gives it. `ports` are TCP ports of the cloud's API other than 443; `metadata` lets the Pod ask the
    instance metadata for credentials. `on_host` runs one Pod in the host's network.
    """

    settings: Mapping[str, Any] = field(default_factory=dict)
    files_from: str = "lbctl-cloud"
    ports: tuple[int, ...] = ()
    metadata: bool = False
    on_host: bool = False


PLACES: Mapping[str, Place] = {
    "aws": Place(metadata=True),
    "azure": Place(
        settings={"cloud_config": f"{CLOUD_FOLDER}/cloud-config"}, files_from="azure-cloud-provider", metadata=True
    ),
    "gce": Place(settings={"config_file": f"{CLOUD_FOLDER}/gce.conf"}, files_from="gce-conf", metadata=True),
    "openstack": Place(
        settings={"cloud_config": f"{CLOUD_FOLDER}/cloud.conf"}, files_from="cloud-config", ports=(5000, 9696, 9876)
    ),
    "cloudstack": Place(
        settings={"cloud_config": f"{CLOUD_FOLDER}/cloud-config"}, files_from="cloudstack-secret", ports=(8080,)
    ),
    "local": Place(settings={"state_dir": f"{SCRATCH_FOLDER}/lbctl-local"}, on_host=True),
}


@dataclass(frozen=True, slots=True)
class Variant:
    """One cloud's installation. Two replicas, of which one leads, except where the data plane is the Pod's own.

    `watches` are those of the driver, `custom_kinds` what Services may refer to, `leases` and `documents` what it may
    do with single objects of others. `image_given` and `settings_given` are what an owner has instead of ours.
    """

    provider: str
    place: Place
    watches: tuple[str, ...] = ()
    custom_kinds: tuple[Right, ...] = ()
    leases: tuple[Right, ...] = ()
    documents: tuple[Right, ...] = ()
    image_given: str = ""
    settings_given: Mapping[str, Any] | None = None

    @property
    def replicas(self) -> int:
        """How many Pods run."""
        return 1 if self.place.on_host else 2

    @property
    def tag(self) -> str:
        """The tag of the image that has this cloud's SDK."""
        return f"{__version__}-{self.provider}"

    @property
    def image(self) -> str:
        """The image with this cloud's SDK."""
        return self.image_given or f"lbctl:{self.tag}"

    @property
    def settings(self) -> dict[str, Any]:
        """The content of the settings file."""
        if self.settings_given is not None:
            return dict(self.settings_given)
        lease = LeaseSettings()
        account: dict[str, Any] = {"provider": self.provider}
        if self.place.settings:
            account["settings"] = dict(self.place.settings)
        return {"lease": {"name": lease.name, "namespace": lease.namespace}, "accounts": {self.provider: account}}

    @property
    def egress(self) -> list[dict[str, Any]]:
        """What the Pod may reach: names, the API server, the cloud."""
        web = (HTTPS_PORT, API_SERVER_PORT, *self.place.ports)
        rules: list[dict[str, Any]] = [
            {"ports": [{"protocol": protocol, "port": DNS_PORT} for protocol in ("UDP", "TCP")]},
            {"ports": [_tcp(port) for port in web]},
        ]
        if self.place.metadata:
            peers = [{"ipBlock": {"cidr": METADATA_RANGE}}]
            rules.append({"to": peers, "ports": [_tcp(port) for port in METADATA_PORTS]})
        return rules


# A Role in a namespace that is not there stops the whole installation; without the right, a look ends in a warning.
EVERYWHERE = (NAMESPACE,)


def variant_of(info: DriverInfo) -> Variant:
    """The installation for this driver."""
    leases = tuple(right for right in other_leases(info) if right.target.namespace in EVERYWHERE)
    place = PLACES.get(info.name, Place())
    settings = decode(place.settings, info.settings, where=f"settings of {info.name}")
    documents = tuple(map(document, info.documents(settings)))
    return Variant(info.name, place, tuple(sorted(info.watches)), custom_kinds(info), leases, documents)


def _tcp(port: int) -> dict[str, Any]:
    return {"protocol": "TCP", "port": port}
