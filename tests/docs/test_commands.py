"""A reader can follow README and tutorials by copy and paste, and sees what they say."""

from __future__ import annotations

import shutil

import pytest

from tests.docs.pages import DOCS, README, Block, blocks
from tests.docs.terminal import Terminal, missing

SESSION = (README, *sorted((DOCS / "tutorials").glob("*.md"), key=lambda page: page.name != "first-service.md"))
SHELLS = ("sh", "bash", "console")


@pytest.mark.skipif(shutil.which("kubectl") is None, reason="no kubectl on this machine's PATH")
@pytest.mark.skipif(shutil.which("curl") is None, reason="no curl on this machine's PATH")
@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_reader_gets_from_the_readme_to_served_services_by_copy_and_paste(tmp_path):
    """Every command of README and tutorials works in one sandbox, in order, and prints what the page shows."""
    with Terminal(tmp_path) as terminal:
        for page in SESSION:
            follow(terminal, [block for block in blocks(page) if block.mark])


def follow(terminal: Terminal, chosen: list[Block]) -> None:
    for block, after in zip(chosen, [*chosen[1:], None], strict=True):
        shown = after.text if after is not None and after.mark == "shows" else ""
        if block.mark == "run and leave running":
            terminal.leave_running(block.text, shows=shown)
        elif block.mark == "run":
            printed = terminal.paste(block.text)
            lost = missing(shown, printed)
            assert not lost, f"{block.where}: {lost} not in\n{printed}"


@pytest.mark.parametrize("page", SESSION, ids=lambda page: page.stem)
def test_no_command_escapes_the_test(page):
    """Each block of commands in README and tutorials is marked as run, or says why it is not; so is each output."""
    unmarked = [block.where for block in blocks(page) if not block.mark and (block.language in (*SHELLS, "text", ""))]
    assert not unmarked


def test_a_line_that_was_not_printed_is_found():
    """Volatile parts do not count, everything else does, and so does the order."""
    printed = "web  ready  127.0.68.67   5s\nNothing to do.\n"
    assert not missing("web ready 127.0.1.2 17s\n[...]\nNothing…\n", printed)
    assert missing("web held 127.0.1.2 17s\n", printed)
    assert missing("Nothing to do.\nweb ready 127.0.1.2 17s\n", printed)
