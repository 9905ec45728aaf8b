"""Verification of signatures as the server does it, written from the description of the protocol alone.

The server sorts the raw names, encodes values as Java's URLEncoder does with `+` as `%20`, lower-cases the whole text
and compares the HMAC-SHA1. Java escapes `~` and leaves `*` alone, which clients get wrong.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import string
from datetime import datetime, timedelta

from tests.clouds.cloudstack.refusals import Refusal

PLAIN = frozenset(string.ascii_letters + string.digits + ".-*_")
REFUSED = "unable to verify user credentials and/or request signature"
LONGEST_VALIDITY = timedelta(minutes=15)


def java_encoded(text: str) -> str:
    """The text as `URLEncoder.encode(text, "UTF-8").replace("+", "%20")` gives it."""
    return "".join(char if char in PLAIN else "".join(f"%{byte:02X}" for byte in char.encode()) for char in text)


def signature_of(parameters: dict[str, str], secret: str) -> str:
    """The signature that the parameters should carry."""
    pairs = (f"{name}={java_encoded(value)}" for name, value in sorted(parameters.items()))
    text = "&".join(pairs).lower()
    return base64.b64encode(hmac.new(secret.encode(), text.encode(), hashlib.sha1).digest()).decode()


def verify(parameters: dict[str, str], secrets: dict[str, str], *, now: datetime) -> str:
    """The API key that signed; refuses with 401."""
    unsigned = {name: value for name, value in parameters.items() if name.lower() != "signature"}
    by_lower = {name.lower(): value for name, value in parameters.items()}
    key = by_lower.get("apikey", "")
    given = by_lower.get("signature", "")
    if key not in secrets or not hmac.compare_digest(signature_of(unsigned, secrets[key]), given):
        raise Refusal(401, REFUSED)
    if by_lower.get("signatureversion") != "3":
        raise Refusal(401, REFUSED)
    expires = datetime.fromisoformat(by_lower.get("expires", "1970-01-01T00:00:00+00:00"))
    if not now <= expires <= now + LONGEST_VALIDITY + timedelta(minutes=1):
        raise Refusal(401, REFUSED)
    return key
