"""What the instance that we run on says of its place: project, zone and network, by the metadata server.

Asked only for what settings and gce.conf leave open (as upstream: cloud-provider-gcp, gce.go), so that a controller
outside Google Cloud asks nothing; and for the instance's own token where gce.conf names a server that grants others.
The host may be another one (`GCE_METADATA_HOST`, as for Google's libraries), and `NO_GCE_CHECK=true` switches it off.
"""

from __future__ import annotations

import json
import os
import urllib.error
import urllib.request
from collections.abc import Mapping

USUAL = "metadata.google.internal"
FLAVOR = {"Metadata-Flavor": "Google"}
ANSWER_SECONDS = 1.0
OWN_TOKEN = "instance/service-accounts/default/token"  # noqa: S105 - where it is asked for
FIRST_INTERFACE = "instance/network-interfaces/0/network"


class InstanceMetadata:
    """Reads of one host; each is one HTTP exchange, and empty where nobody answers within a second."""

    def __init__(self, environment: Mapping[str, str] | None = None) -> None:
        found = os.environ if environment is None else environment
        self._off = found.get("NO_GCE_CHECK", "").lower() == "true"
        self._base = f"http://{found.get('GCE_METADATA_HOST') or USUAL}/computeMetadata/v1"
        # The address is the instance's own: a proxy would answer for another one.
        self._opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))

    def project(self) -> str:
        """The project's id, or empty."""
        return self._get("project/project-id")

    def zone(self) -> str:
        """The zone, or empty; the server says `projects/NUMBER/zones/ZONE`."""
        return self._get("instance/zone").rpartition("/")[2]

    def network(self) -> str:
        """The name of the first interface's network, or empty; the server says `projects/NUMBER/networks/NAME`."""
        return self._get(FIRST_INTERFACE).rpartition("/")[2]

    def token(self) -> str:
        """A token of the instance's own account, or empty."""
        try:
            token: str = json.loads(self._get(OWN_TOKEN) or "{}").get("access_token", "")
        except ValueError:
            return ""
        return token

    def _get(self, path: str) -> str:
        if self._off:
            return ""
        request = urllib.request.Request(f"{self._base}/{path}", headers=FLAVOR)  # noqa: S310 - the operator's own host
        try:
            with self._opener.open(request, timeout=ANSWER_SECONDS) as reply:
                # Who does not say so is somebody else at this name.
                is_google = reply.headers.get("Metadata-Flavor") == FLAVOR["Metadata-Flavor"]
                text: str = reply.read().decode() if is_google else ""
        except (urllib.error.URLError, OSError):
            return ""
        return text.strip()
