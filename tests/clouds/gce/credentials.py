"""Credentials that the fake hands tokens out for: the driver signs in as it would at Google.

Worlds use workload identity federation, whose file needs no key to be made; a service account's key is for the tests of
signing in.
"""

from __future__ import annotations

import functools
import json
from pathlib import Path

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

TOKEN = "token-of-the-controller"
TOKEN_REPLY = {
    "access_token": TOKEN,
    "issued_token_type": "urn:ietf:params:oauth:token-type:access_token",
    "expires_in": 3600,
    "token_type": "Bearer",
}
ACCOUNT = "lbctl@shop-project.iam.gserviceaccount.com"


@functools.cache
def private_key() -> str:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    form = serialization.PrivateFormat.PKCS8
    return key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption()).decode()


def write_account(path: Path, url: str) -> Path:
    """A service account's key file whose tokens come from the fake."""
    body = {
        "type": "service_account",
        "project_id": "shop-project",
        "private_key_id": "1",
        "private_key": private_key(),
        "client_email": ACCOUNT,
        "token_uri": f"{url}/token",
    }
    path.write_text(json.dumps(body))
    return path


def write_federation(path: Path, url: str) -> Path:
    """A file of workload identity federation: a token of the cluster's is exchanged for one of the fake's."""
    token = path.with_name("cluster-token")
    token.write_text("token-of-the-pod")
    body = {
        "type": "external_account",
        "audience": "//iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/p/providers/k",
        "subject_token_type": "urn:ietf:params:oauth:token-type:jwt",
        "token_url": f"{url}/token",
        "credential_source": {"file": str(token)},
    }
    path.write_text(json.dumps(body))
    return path
