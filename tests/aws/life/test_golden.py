"""The plans for recorded states are those in the files that people can read."""

import pytest

from tests.aws.golden import FOLDER, golden
from tests.aws.recorded import RECORDED


@pytest.mark.parametrize("topology", RECORDED)
def test_the_plan_for_a_recorded_state_is_the_golden_one(aws, topology):
    """Text, reads and writes are those of the file; a change is meant, and shown in review, or is a fault."""
    assert golden(aws, topology) == (FOLDER / f"{topology}.txt").read_text()


@pytest.mark.parametrize("topology", ["ccm-existing", "lbc-existing", "lbc-weighted"])
def test_what_upstream_left_whole_needs_nothing(topology):
    """The files of complete states say so: no action, no write."""
    text = (FOLDER / f"{topology}.txt").read_text()
    assert "nothing to do" in text
    assert text.splitlines()[-1] == "0 writes until it is so:"


def test_there_is_no_file_without_a_state():
    """Every golden file belongs to a recorded state."""
    assert {path.stem for path in FOLDER.glob("*.txt")} == set(RECORDED)
