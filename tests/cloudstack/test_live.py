"""One life of a Service on a real CloudStack, for people who have one.

`LBCTL_LIVE_CLOUDSTACK` is the path of a cloud-config whose account may be written to, `LBCTL_LIVE_CLOUDSTACK_NODES` the
names of machines in one network that can balance, separated by commas. Without them the test is skipped and says so.
"""

from __future__ import annotations

import os

import pytest

from lbctl.clock import SystemClock
from lbctl_cloudstack import DRIVER
from lbctl_cloudstack.settings import CloudStackSettings
from tests.world import World, service

CONFIG = os.environ.get("LBCTL_LIVE_CLOUDSTACK", "")
NODES = tuple(filter(None, os.environ.get("LBCTL_LIVE_CLOUDSTACK_NODES", "").split(",")))


class RealTime(World):
    """The same loop on the machine's clock."""

    def start(self) -> None:
        self.clock = SystemClock()  # type: ignore[assignment]  # waits for real where the manual one advances
        self.clock.advance = self.clock.wait  # type: ignore[attr-defined]  # as above
        super().start()


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.skipif(not (CONFIG and NODES), reason="LBCTL_LIVE_CLOUDSTACK and LBCTL_LIVE_CLOUDSTACK_NODES are not set")
def test_a_service_lives_on_a_real_cloudstack():
    """Created, widened, toggled and deleted: served each time, with an empty plan, and gone in the end."""
    world = RealTime(DRIVER, settings=CloudStackSettings(cloud_config=CONFIG), nodes=NODES)
    world.settle(60)
    world.apply(service(ports=(80, 443)))
    try:
        world.settle(120)
        assert world.condition().reason == "Ready"
        assert world.addresses()
        world.edit("web", session_affinity="ClientIP")
        world.settle(60)
        assert world.plans() == []
    finally:
        world.delete("web")
        world.settle(120)
    assert not world.exists()
    assert world.plans() == []
