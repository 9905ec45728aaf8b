"""The whole cloud as bytes: moto's backends, the ledger and the source of ids.

Taken once a topology is seeded and put back for each test, so that a world costs milliseconds instead of hundreds of
calls, and is the very state that HTTP left. Also what a stale read is answered from.
"""

from __future__ import annotations

import functools
import io
import pickle
from dataclasses import dataclass
from typing import Any

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.x509 import Certificate, load_pem_x509_certificate
from moto.backends import get_backend
from moto.core.base_backend import BackendDict
from moto.core.model_instances import reset_model_data
from moto.moto_api._internal import mock_random

from moto_fixtures.strict.gate import StrictGate
from moto_fixtures.strict.ledger import Ledger

_SERVICES = ("ec2", "elb", "elbv2", "acm", "iam")
_SEED = 42

_Backends = dict[str, dict[str, dict[str, Any]]]


@dataclass(frozen=True, slots=True)
class Snapshot:
    """One moment of the cloud; restoring it twice gives two independent copies."""

    content: bytes


@functools.cache
def _load_key(pem: bytes) -> object:
    return serialization.load_pem_private_key(pem, None)


@functools.cache
def _load_certificate(pem: bytes) -> object:
    return load_pem_x509_certificate(pem)


class _Pickler(pickle.Pickler):
    """Knows how to write the keys and certificates that moto's ACM holds; they never change, so copies share them."""

    def reducer_override(self, thing: object) -> Any:  # noqa: ANN401 - NotImplemented is among the answers that pickle asks for
        if isinstance(thing, RSAPrivateKey):
            plain = serialization.NoEncryption()
            pem = thing.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain)
            return _load_key, (pem,)
        if isinstance(thing, Certificate):
            return _load_certificate, (thing.public_bytes(serialization.Encoding.PEM),)
        return NotImplemented


def take(gate: StrictGate) -> Snapshot:
    """The cloud as it is now."""
    with gate.lock:
        content = io.BytesIO()
        _Pickler(content).dump((_backends(), gate.ledger, gate.quotas, mock_random.getstate()))
        return Snapshot(content.getvalue())


def restore(gate: StrictGate, snapshot: Snapshot) -> None:
    """Put the cloud back to `snapshot`; what is there now is gone."""
    with gate.lock:
        reset_model_data()
        backends, ledger, quotas, random_state = pickle.loads(snapshot.content)  # noqa: S301 - made by take(), in memory
        _put(gate, backends, ledger)
        gate.quotas = quotas
        mock_random.setstate(random_state)


def empty(gate: StrictGate) -> None:
    """A cloud with nothing but what AWS puts into a new account; ids repeat from run to run."""
    with gate.lock:
        BackendDict.reset()
        reset_model_data()
        mock_random.seed(_SEED)
        gate.forget()


@dataclass(frozen=True, slots=True)
class Moment:
    """The live objects of a cloud, so that another cloud can stand in for a while and this one come back unchanged."""

    backends: _Backends
    ledger: Ledger


def swap_in(gate: StrictGate, snapshot: Snapshot) -> Moment:
    """Let `snapshot` answer from now on; returns what must be given to swap_back."""
    present = Moment(_backends(), gate.ledger)
    backends, ledger, _quotas, _random_state = pickle.loads(snapshot.content)  # noqa: S301 - made by take(), in memory
    _put(gate, backends, ledger)
    return present


def swap_back(gate: StrictGate, present: Moment) -> None:
    """Let the present answer again."""
    _put(gate, present.backends, present.ledger)


def _backends() -> _Backends:
    held: _Backends = {}
    for service in _SERVICES:
        accounts = get_backend(service)
        held[service] = {account: dict(regions.items()) for account, regions in accounts.items()}
    return held


def _put(gate: StrictGate, backends: _Backends, ledger: Ledger) -> None:
    for service, accounts in backends.items():
        holder = get_backend(service)
        for account in list(holder):
            dict.clear(holder[account])
        for account, regions in accounts.items():
            for region, backend in regions.items():
                holder[account][region] = backend
    gate.ledger = ledger
