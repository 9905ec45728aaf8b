"""What nobody names is asked of the metadata server, and nothing else is."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from lbctl.errors import InvalidSettings
from lbctl_gce.metadata import InstanceMetadata
from lbctl_gce.settings import GceSettings, read_config

ANSWERS = {
    "/computeMetadata/v1/project/project-id": "shop",
    "/computeMetadata/v1/instance/zone": "projects/42/zones/europe-west1-b",
    "/computeMetadata/v1/instance/network-interfaces/0/network": "projects/42/networks/prod",
}


class Place:
    """A metadata server: it answers who says `Metadata-Flavor: Google`, and says so itself unless it is `strange`."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.strange = False
        place = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                place.asked.append(self.path)
                is_known = self.path in ANSWERS and self.headers.get("Metadata-Flavor") == "Google"
                self.send_response(200 if is_known else 403)
                if not place.strange:
                    self.send_header("Metadata-Flavor", "Google")
                self.end_headers()
                if is_known:
                    self.wfile.write(ANSWERS[self.path].encode())

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)

    @property
    def environment(self) -> dict[str, str]:
        return {"GCE_METADATA_HOST": f"127.0.0.1:{self.server.server_address[1]}"}


@pytest.fixture
def place() -> Iterator[Place]:
    found = Place()
    thread = threading.Thread(target=found.server.serve_forever, daemon=True)
    thread.start()
    yield found
    found.server.shutdown()
    found.server.server_close()
    thread.join()


def test_an_instance_needs_no_settings_at_all(place):
    """Project, region and network are those of the instance."""
    config = read_config(GceSettings(), InstanceMetadata(place.environment))
    assert (config.project, config.network_project, config.region) == ("shop", "shop", "europe-west1")
    assert config.network == "global/networks/prod"


def test_what_is_named_is_not_asked(place):
    """Settings win one by one; with project and region named the server is not asked, not even for the network."""
    half = read_config(GceSettings(project="other", network="mine"), InstanceMetadata(place.environment))
    assert (half.project, half.region, half.network) == ("other", "europe-west1", "global/networks/mine")
    assert place.asked == ["/computeMetadata/v1/instance/zone"]
    place.asked.clear()
    full = read_config(GceSettings(project="other", region="us-east1"), InstanceMetadata(place.environment))
    assert full.network == "global/networks/default"
    assert place.asked == []


@pytest.mark.parametrize("way", ["silent", "strange", "off"])
def test_nobody_is_believed_but_google(place, way):
    """Where nobody answers, somebody else does, or it is switched off, the error says what is to be named."""
    environment = place.environment
    if way == "silent":
        place.server.server_close()
    place.strange = way == "strange"
    if way == "off":
        environment["NO_GCE_CHECK"] = "true"
    with pytest.raises(InvalidSettings, match="project and region not known") as raised:
        read_config(GceSettings(), InstanceMetadata(environment))
    assert "project-id" in raised.value.hint
