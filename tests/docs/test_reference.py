"""The reference says what the code says."""

from __future__ import annotations

import pytest

from lbctl.registry import known_providers
from tests.reference.__main__ import FOLDER, PAGES
from tests.reference.events import CORE, DRIVERS, driver_reasons, untold_reasons


@pytest.mark.parametrize("name", PAGES)
def test_a_reference_page_is_what_the_code_makes_now(name):
    """A changed flag, setting, annotation, metric, Event, error or right shows in its page."""
    assert (FOLDER / name).read_text(encoding="utf-8") == PAGES[name](), "run: make reference"


@pytest.mark.parametrize("provider", known_providers())
def test_every_declared_event_is_told(provider):
    """A driver declares no reason that its code never gives."""
    assert not untold_reasons(provider)


def test_every_explained_event_exists():
    """A reason that no driver tells any more is not explained."""
    assert not set(DRIVERS) - set(driver_reasons())
    assert not set(DRIVERS) & set(CORE)
