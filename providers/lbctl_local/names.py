"""Names in Envoy's configuration, and the ownership marks that its entries carry.

An entry names its Service in the metadata under `lbctl.io`, so that everything is found again from the discovery files
alone. Pure; used by model, rendering and reads.
"""

from __future__ import annotations

from lbctl.model.intent import Port
from lbctl.model.resource import Identity, Key, Scope
from lbctl.naming import default_balancer_name

MARK = "lbctl.io"
BALANCER = "balancer"
PROCESS = Scope("envoy", "envoy")
PROCESS_KEY = Key("process", "envoy")


def balancer_scope(identity: Identity) -> Scope:
    """The scope of one Service."""
    return Scope(BALANCER, default_balancer_name(identity.uid))


def pool_key(port: Port) -> Key:
    """Key of a port's targets."""
    return Key("pool", f"{port.port}/{port.protocol}")


def address_key(address: str) -> Key:
    """Key of a reserved address."""
    return Key("address", address)


def listener_key(address: str, port: Port) -> Key:
    """Key of one port on one address."""
    return Key("listener", f"{address}/{port.port}/{port.protocol}")


def entry_name(balancer: str, key: Key) -> str:
    """Name of a pool's or listener's entry in Envoy's configuration."""
    return f"{balancer}/{key.id}"
