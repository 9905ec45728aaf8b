"""`Sandbox`: an API server, simulated nodes and, if wanted, a controller with the `local` driver, in this process.

The commands `sandbox` and `demo` and the tests of commands use it as a context manager. Everything that it makes lies
in one directory of its own, and nothing of it is left afterwards: no file, no process, no socket.
"""

from __future__ import annotations

import contextlib
import logging
import shutil
import tempfile
import threading
from pathlib import Path
from typing import Self

import yaml

from lbctl.clock import SystemClock
from lbctl.engine.process import Process
from lbctl.errors import LbctlError
from lbctl.registry import find_provider
from lbctl.sandbox.api import ApiServer
from lbctl.sandbox.block import hold_block
from lbctl.sandbox.nodes.fleet import Fleet
from lbctl.sandbox.nodes.machines import Options
from lbctl.settings import Settings, decode, load

log = logging.getLogger(__name__)

ACCOUNT = "local"
END_SECONDS = 30.0


class Sandbox:
    """A little cluster with real traffic; `start_controller` is apart, so that others can bring their own.

    `api_port` 0 takes a free one. Raises OSError when the port is taken.
    """

    def __init__(self, *, nodes: int = 3, api_port: int = 0) -> None:
        self._nodes = nodes
        self._api_port = api_port
        self._ending = contextlib.ExitStack()
        self._thread: threading.Thread | None = None
        self._failure: BaseException | None = None
        self.clock = SystemClock()

    def __enter__(self) -> Self:
        with contextlib.ExitStack() as ending:
            block = ending.enter_context(hold_block())
            # Short, because a Unix socket's path has to fit into 104 bytes.
            self.home = Path(tempfile.mkdtemp(prefix="lbctl-"))
            ending.callback(shutil.rmtree, self.home, ignore_errors=True)
            self.api = ending.enter_context(ApiServer(port=self._api_port))
            self.kubeconfig = self._write_kubeconfig()
            options = Options(node_cidr=block.nodes, pod_cidr=block.pods)
            fleet = Fleet(self.api.url, token=self.api.token, ca=self.api.ca, nodes=self._nodes, options=options)
            self.fleet = ending.enter_context(fleet)
            self.settings, self.config = self._write_settings(block.balancers)
            ending.callback(self._tear_down)
            self._ending = ending.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._ending.close()

    def start_controller(self, process: Process) -> None:
        """Let a controller run; it ends with the sandbox."""
        self._thread = threading.Thread(target=self._run, args=(process,), name="controller", daemon=True)
        self._ending.callback(self._stop_controller, process)
        self._thread.start()

    def check_controller(self) -> None:
        """Raise what made the controller end, if it ended."""
        if self._failure is not None:
            raise self._failure

    def _run(self, process: Process) -> None:
        try:
            process.run()
        except BaseException as error:
            log.exception("the controller ended")
            self._failure = error

    def _stop_controller(self, process: Process) -> None:
        process.stop()
        if self._thread is not None:
            self._thread.join(END_SECONDS)

    def _tear_down(self) -> None:
        info = find_provider(self.settings.accounts[ACCOUNT].provider)
        try:
            info.tear_down(decode(self.settings.accounts[ACCOUNT].settings, info.settings, where=ACCOUNT))
        except LbctlError:
            log.exception("could not clean up")

    def _write_kubeconfig(self) -> Path:
        path = self.home / "kubeconfig"
        path.touch(mode=0o600)
        path.write_text(self.api.kubeconfig(), encoding="utf-8")
        return path

    def _write_settings(self, balancers: str) -> tuple[Settings, Path]:
        """The settings of every lbctl that serves this sandbox, and the file that holds them."""
        driver = {"state_dir": str(self.home / "state"), "addresses": [balancers], "drain_seconds": 1}
        document = {
            "kube": {"kubeconfig": str(self.kubeconfig)},
            "obs": {"address": ""},
            "accounts": {ACCOUNT: {"provider": "local", "settings": driver}},
        }
        path = self.home / "settings.yaml"
        path.write_text(yaml.safe_dump(document, sort_keys=False), encoding="utf-8")
        return load(file=path, environ={}, flags={}).settings, path
