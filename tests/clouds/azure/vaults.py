"""Key vaults: what the resource manager tells of one, and its own endpoint that gives out secrets.

The two are separate services with tokens of separate audiences, and a vault has access rights of its own. The paths of
the vaults' endpoint stand below `/vaults` of this server; in Azure each vault is a host.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tests.clouds.azure.access import check_audience
from tests.clouds.azure.directory import VAULTS
from tests.clouds.azure.errors import ArmError
from tests.clouds.azure.requests import Reply

if TYPE_CHECKING:
    from tests.clouds.azure.access import Principal
    from tests.clouds.azure.requests import Request


@dataclass(slots=True)
class Vault:
    """Secrets by name, and the principals that may read them."""

    secrets: dict[str, str] = field(default_factory=dict)
    readers: set[str] = field(default_factory=set)


@dataclass(slots=True)
class Vaults:
    """The vaults of the cloud by name; `read` counts how often a secret was given out."""

    vaults: dict[str, Vault] = field(default_factory=dict)
    read: int = 0

    def show(self, request: Request) -> Reply:
        """What the resource manager tells: above all, where the vault is."""
        name = request.route.name
        if name not in self.vaults:
            text = f"The Resource 'Microsoft.KeyVault/vaults/{name}' under resource group was not found."
            raise ArmError(404, "ResourceNotFound", text)
        properties = {"vaultUri": f"{request.base}/vaults/{name}/", "enableRbacAuthorization": True}
        return Reply(200, {"id": request.path, "name": name, "properties": properties})

    def tell(self, request: Request, principal: Principal) -> Reply:
        """The newest version of a secret."""
        check_audience(principal, VAULTS)
        if request.query.get("api-version") != "7.4":
            raise ArmError(400, "BadParameter", "The api-version is not supported.")
        vault, name = self.vaults.get(request.route.name), request.route.kind
        if vault is None or principal.name not in vault.readers:
            text = (
                "Caller is not authorized to perform action on resource.\r\n"
                f"Action: 'Microsoft.KeyVault/vaults/secrets/getSecret/action'\r\nResource: '{request.path}'"
            )
            raise ArmError(403, "Forbidden", text)
        if name not in vault.secrets:
            text = f"A secret with (name/id) {name} was not found in this key vault."
            raise ArmError(404, "SecretNotFound", text)
        self.read += 1
        identity = f"{request.base}{request.path}/0123456789abcdef"
        return Reply(200, {"value": vault.secrets[name], "id": identity, "attributes": {"enabled": True}})
