"""What the owner of a cluster decides about an installation: the image, and the settings file. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from lbctl.deploy.variants import Variant, variant_of
from lbctl.driver import DriverInfo
from lbctl.errors import InvalidSettings
from lbctl.kube.rights import document
from lbctl.settings import LeaseSettings, Loaded, decode


def installation(
    info: DriverInfo, *, image: str, loaded: Loaded | None, given: Mapping[str, Any] | None = None
) -> Variant:
    """The installation for this driver with this image (empty: the one that is built here) and settings.

    `given` is the content of the settings file that `loaded` was read from. Where it is silent, what the cloud's
    installation needs is added. `InvalidSettings` tells all at once what does not fit the rest of the installation.
    """
    variant = replace(variant_of(info), image_given=image)
    if loaded is None or given is None:
        return variant
    problems = list(_problems(info, loaded))
    if problems:
        raise InvalidSettings(f"this settings file cannot be installed: {'; '.join(problems)}")
    settings = _completed(variant, given)
    accounts = settings["accounts"].items()
    decoded = [
        decode(one.get("settings", {}), info.settings, where=f"accounts.{name}.settings") for name, one in accounts
    ]
    named = dict.fromkeys(right for one in decoded for right in map(document, info.documents(one)))
    return replace(variant, settings_given=settings, documents=tuple(named))


def _problems(info: DriverInfo, loaded: Loaded) -> Iterator[str]:
    others = {name: one.provider for name, one in loaded.settings.accounts.items() if one.provider != info.name}
    for name, provider in sorted(others.items()):
        yield f"the account {name} is one of {provider}, and the image has the driver {info.name} alone"
    lease, ours = loaded.settings.lease, LeaseSettings()
    if (lease.name, lease.namespace) != (ours.name, ours.namespace):
        yield f"the rights are for the lease {ours.namespace}/{ours.name}; leave lease.name and lease.namespace out"
    if loaded.secrets():
        yield "it holds a secret, which a ConfigMap would show; put it into the cloud's own file, in its Secret"


def _completed(variant: Variant, given: Mapping[str, Any]) -> dict[str, Any]:
    """The file with what the installation's own settings say of lease and accounts."""
    own = variant.settings
    accounts: Mapping[str, Any] = given.get("accounts") or own["accounts"]
    placed = dict(variant.place.settings)
    return {
        **given,
        "lease": own["lease"] | given.get("lease", {}),
        "accounts": {
            name: account | ({"settings": placed | account.get("settings", {})} if placed else {})
            for name, account in accounts.items()
        },
    }
