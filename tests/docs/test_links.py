"""Links between pages lead somewhere."""

from __future__ import annotations

import pytest

from tests.docs.pages import ROOT, anchors, every_page, links

OUTSIDE = ("https://", "mailto:")


@pytest.mark.parametrize("page", every_page(), ids=lambda page: str(page.relative_to(ROOT)))
def test_every_internal_link_leads_to_a_page_and_a_heading(page):
    """A file that is not there, or a heading that nobody wrote, is a broken link."""
    broken = [link for link in links(page) if not link.startswith(OUTSIDE) and not leads_somewhere(page, link)]
    assert not broken


def leads_somewhere(page, link) -> bool:
    name, _, anchor = link.partition("#")
    target = (page.parent / name).resolve() if name else page
    if not target.exists() or not target.is_relative_to(ROOT):
        return False
    return not anchor or anchor in anchors(target)
