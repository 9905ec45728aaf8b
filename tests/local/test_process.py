"""The Envoy process: it outlives lbctl, comes back when it dies, and leaves nothing behind when it is stopped."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from lbctl_local.process import is_alive, read_running
from lbctl_local.state import StateDir
from tests.local.gateway import Gateway, ask, connection, echoes, talk
from tests.world import service

NODE_PORT = 30080


@pytest.fixture
def served(gateway: Gateway):
    """A gateway with one served Service."""
    with echoes(NODE_PORT, "n1", "n2"):
        gateway.apply(service(ports=(80,)))
        yield gateway


def pid(gateway: Gateway) -> int:
    """The running Envoy's."""
    running = read_running(StateDir(gateway.root))
    assert running is not None
    return running.pid


def test_a_restart_of_lbctl_keeps_connections_and_changes_nothing(served: Gateway):
    """A new lbctl process finds Envoy, keeps its connections open and writes nothing."""
    (address,) = served.addresses()
    with connection(address, 80) as opened:
        talk(opened)
        before = (pid(served), (served.root / "lds.json").stat().st_mtime_ns)
        served.crash()
        served.settle()
        assert served.plans() == []
        assert (pid(served), (served.root / "lds.json").stat().st_mtime_ns) == before
        assert talk(opened).endswith("hello")


def test_a_killed_envoy_is_back_within_seconds(served: Gateway):
    """Envoy that is killed serves again within 5 s, on the same address, without any action of a plan."""
    (address,) = served.addresses()
    old = pid(served)
    os.kill(old, signal.SIGKILL)
    served.until(lambda: not ask(address, 80) or pid(served) != old)
    served.until(lambda: ask(address, 80) != "", seconds=5)
    assert pid(served) != old
    assert served.addresses() == [address]


def test_an_envoy_that_died_while_lbctl_was_away_is_started_again(served: Gateway):
    """A new lbctl that finds the files but no Envoy starts one, which serves what the files say."""
    (address,) = served.addresses()
    served.driver.close()
    os.kill(pid(served), signal.SIGKILL)
    served.until(lambda: ask(address, 80) == "")
    served.start()
    served.settle()
    assert ask(address, 80)


def test_a_changed_setting_restarts_envoy_once(build):
    """Settings that Envoy takes only at its start lead to one restart, after which the Services serve again."""
    first = build(workers=1)
    with echoes(NODE_PORT, "n1", "n2"):
        first.apply(service(ports=(80,)))
        old = pid(first)
        first.driver.close()
        first.settings = type(first.settings)(state_dir=str(first.root), workers=2, drain_seconds=2)
        first.start()
        first.settle()
        assert pid(first) != old
        assert ask(first.addresses()[0], 80)
        assert first.plans() == []


def test_stopping_leaves_nothing_behind(served: Gateway):
    """After `stop_envoy` there is no process, no socket, no file."""
    old = pid(served)
    served.stop()
    assert not served.root.exists()
    assert not Path(f"/proc/{old}").exists()
    assert not is_alive(StateDir(served.root))


def test_two_starters_make_one_envoy(served: Gateway):
    """Starting where an Envoy lives changes nothing."""
    before = pid(served)
    assert served.driver._process.start() is False
    assert pid(served) == before
