"""Every type of resource that the endpoint knows, by its name in lower case."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from tests.clouds.azure import balancers, compute, interfaces, networks, private_links, public_ips, security_groups

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.clouds.azure.cloud import Kind

KINDS: Final[Mapping[str, Kind]] = {
    kind.type.lower(): kind
    for module in (balancers, compute, interfaces, networks, private_links, public_ips, security_groups)
    for kind in module.KINDS
}
