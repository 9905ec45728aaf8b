"""Services end with the tests that started them."""

from __future__ import annotations

import os
import subprocess
import sys

from tests.clouds.openstack.database import GUARD

SERVICE = "import os, time; print(os.getpid(), flush=True); time.sleep(600)"
SESSION = """
import subprocess, sys
guarded = subprocess.Popen([sys.executable, *sys.argv[1:]], stdin=subprocess.PIPE, start_new_session=True)
guarded.wait()
"""


def test_a_killed_session_leaves_no_service():
    """A session that is killed at once has no chance to stop anything, and what it has started ends all the same."""
    command = [sys.executable, "-c", SESSION, str(GUARD), sys.executable, "-c", SERVICE]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as session:
        assert session.stdout is not None
        service = int(session.stdout.readline())
        os.kill(service, 0)
        session.kill()
        # The service has the pipe's other end: it is gone when the pipe is closed.
        assert session.stdout.read() == ""
