"""What the tests of the embedded server share."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.kube_servers import Kube, embedded_kube

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def server() -> Iterator[Kube]:
    """A fresh embedded server with quick bookmarks."""
    with embedded_kube(bookmark_seconds=0.1) as kube:
        yield kube
