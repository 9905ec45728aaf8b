"""What the instance that we run on says of its place: region and VPC, by version 2 of the instance metadata service.

Asked only for what settings, environment and profile leave open, so that a controller outside AWS asks nothing. The
endpoint may be another one (`AWS_EC2_METADATA_SERVICE_ENDPOINT`, as for the SDKs); `AWS_EC2_METADATA_DISABLED=true`
switches it off. Not the SDK's own reader: that one gives no more than the region and the credentials.
"""

from __future__ import annotations

import os
import urllib.error
import urllib.request
from collections.abc import Mapping

USUAL = "http://169.254.169.254"
TOKEN, LIFETIME = "X-aws-ec2-metadata-token", "X-aws-ec2-metadata-token-ttl-seconds"
LIFETIME_SECONDS = "60"
ANSWER_SECONDS = 1.0
INTERFACES = "network/interfaces/macs/"


class InstanceMetadata:
    """Reads of one endpoint; each is two HTTP exchanges, and empty where nobody answers within a second."""

    def __init__(self, endpoint: str = "", *, environment: Mapping[str, str] | None = None) -> None:
        found = os.environ if environment is None else environment
        self._off = found.get("AWS_EC2_METADATA_DISABLED", "").lower() == "true"
        self._base = (endpoint or found.get("AWS_EC2_METADATA_SERVICE_ENDPOINT", "") or USUAL).rstrip("/")
        # The address is the instance's own: a proxy would answer for another one.
        self._opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))

    def region(self) -> str:
        """The region, or empty."""
        return self._get("placement/region")

    def vpc(self) -> str:
        """The VPC of the first network interface that names one, or empty (CCM: aws.go, findVPCID)."""
        addresses = self._get(INTERFACES).split()
        found = (self._get(f"{INTERFACES}{address.strip('/')}/vpc-id") for address in addresses)
        return next((vpc for vpc in found if vpc), "")

    def _get(self, path: str) -> str:
        if self._off:
            return ""
        try:
            token = self._ask("api/token", "PUT", {LIFETIME: LIFETIME_SECONDS})
            return self._ask(f"meta-data/{path}", "GET", {TOKEN: token})
        except (urllib.error.URLError, OSError):
            return ""

    def _ask(self, path: str, method: str, headers: Mapping[str, str]) -> str:
        request = urllib.request.Request(f"{self._base}/latest/{path}", method=method, headers=dict(headers))  # noqa: S310 - the operator's own endpoint
        with self._opener.open(request, timeout=ANSWER_SECONDS) as reply:
            text: str = reply.read().decode()
            return text.strip()
