"""A service account whose tokens the fake hands out: the driver signs in as it would at Google."""

from __future__ import annotations

import functools
import json
from pathlib import Path

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

TOKEN = "token-of-the-controller"


@functools.cache
def private_key() -> str:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    form = serialization.PrivateFormat.PKCS8
    return key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption()).decode()


def write_account(path: Path, url: str) -> Path:
    account = {
        "type": "service_account",
        "project_id": "shop-project",
        "private_key_id": "1",
        "private_key": private_key(),
        "client_email": "lbctl@shop-project.iam.gserviceaccount.com",
        "client_id": "1",
        "token_uri": f"{url}/token",
    }
    path.write_text(json.dumps(account))
    return path
