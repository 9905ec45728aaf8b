"""The reference says what the code says."""

from __future__ import annotations

import pytest

from tests.reference.__main__ import FOLDER, PAGES
from tests.reference.events import CORE, DRIVERS, driver_reasons


@pytest.mark.parametrize("name", PAGES)
def test_a_reference_page_is_what_the_code_makes_now(name):
    """A changed flag, setting, annotation, metric, Event, error or right shows in its page."""
    assert (FOLDER / name).read_text(encoding="utf-8") == PAGES[name](), "run: make reference"


def test_every_explained_event_exists():
    """A reason that no driver tells any more is not explained."""
    assert not set(DRIVERS) - set(driver_reasons())
    assert not set(DRIVERS) & set(CORE)
