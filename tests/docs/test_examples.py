"""Settings files and Services in the pages are valid as they are written."""

from __future__ import annotations

import os
import re

import pytest

from lbctl.cli.main import run
from tests.cli.console import lbctl
from tests.docs.pages import Block, blocks, every_page

FILE_OF_CLOUD = re.compile(r"/etc/lbctl/cloud/(\S+)")
EVERY = [block for page in every_page() for block in blocks(page)]
SETTINGS = [block for block in EVERY if block.mark == "settings"]
SERVICES = [block for block in EVERY if block.mark.startswith("services of ")]


@pytest.fixture(autouse=True)
def _nothing_is_set(monkeypatch):
    """No setting comes from this machine's variables."""
    for name in [name for name in os.environ if name.startswith("LBCTL_")]:
        monkeypatch.delenv(name)


@pytest.mark.parametrize("block", SETTINGS, ids=lambda block: block.where)
def test_settings_in_the_pages_are_accepted(block: Block, tmp_path, capsys):
    """`lbctl config show` knows every key of a settings file, and of the upstream's file beside it on the page."""
    for other in blocks(block.page):
        if other.mark == "cloud's file":
            (tmp_path / FILE_OF_CLOUD.search(block.text).group(1)).write_text(other.text)
    file = tmp_path / "settings.yaml"
    file.write_text(block.text.replace("/etc/lbctl/cloud", str(tmp_path)))
    assert run(["config", "show", "--config", str(file)]) == 0, capsys.readouterr().err


@pytest.mark.parametrize("block", SERVICES, ids=lambda block: block.where)
def test_services_in_the_pages_are_served_as_they_are(block: Block, tmp_path):
    """`lbctl check` finds every Service in the documentation valid and has nothing to remark."""
    file = tmp_path / "services.yaml"
    file.write_text(block.text)
    said = lbctl("check", "-f", str(file), "--provider", block.mark.split()[-1], "-o", "json")
    assert said.code == 0, said
    assert not [note for one in said.document["services"] for note in one["notes"]]


def test_every_yaml_block_is_checked():
    """A YAML block in a guide or a tutorial is a settings file, a Service, or says why it is neither."""
    unmarked = [block.where for block in EVERY if block.language == "yaml" and not block.mark]
    assert not unmarked
