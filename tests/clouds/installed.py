"""The memory cloud as an installed driver, for tests that run `lbctl` in this process: one cloud, made anew by each."""

from __future__ import annotations

from pathlib import Path

from tests.clouds.memory import MemoryCloud, info

CLOUD = MemoryCloud()
DRIVER = info(CLOUD)


def install(folder: Path) -> MemoryCloud:
    """Empty the cloud, and publish its driver from a folder that is to be put on the path."""
    CLOUD.__init__()  # type: ignore[misc]  # the driver's description keeps hold of this one
    package = folder / "lbctl_memory-1.0.dist-info"
    package.mkdir()
    (package / "METADATA").write_text("Metadata-Version: 2.1\nName: lbctl-memory\nVersion: 1.0\n")
    (package / "entry_points.txt").write_text("[lbctl.providers]\nmemory = tests.clouds.installed:DRIVER\n")
    return CLOUD
