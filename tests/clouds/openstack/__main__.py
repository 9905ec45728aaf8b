"""`python -m tests.clouds.openstack FOLDER [stop]`: services that outlive a test session, for work on the driver."""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path

from tests.clouds.openstack.cloud import FOLDER_VARIABLE, NOTE, Cloud

folder = Path(sys.argv[1]).absolute()
if sys.argv[2:] == ["stop"]:
    for pid in json.loads((folder / NOTE).read_text())["processes"].values():
        os.killpg(pid, signal.SIGKILL)
else:
    cloud = Cloud(folder, outlives=True)
    try:
        cloud.start()
    except BaseException:
        cloud.stop()
        raise
    cloud.leave()
    print(f"export {FOLDER_VARIABLE}={folder}")  # noqa: T201 - this is the command's answer
