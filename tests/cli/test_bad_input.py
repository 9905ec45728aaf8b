"""Whatever is wrong with what we are given: one clear error, what to do, the right exit code."""

from __future__ import annotations

import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from lbctl.sandbox.api import ApiServer
from tests.cli.console import COMMAND, lbctl, process

LOCAL = ("--provider", "local")
COMMANDS = (
    ("run", *LOCAL, "--set", "obs.address="),
    ("once", *LOCAL),
    ("plan", *LOCAL),
    ("status",),
    ("explain", "shop/web", *LOCAL),
    ("gc", *LOCAL),
    ("release", "shop/web", *LOCAL),
)
DOCTOR = ("doctor", *LOCAL)  # tells a missing right as a finding


@pytest.fixture(scope="module")
def there(tmp_path_factory) -> Iterator[str]:
    """The kubeconfig of an empty cluster."""
    kubeconfig = tmp_path_factory.mktemp("there") / "kubeconfig"
    with ApiServer() as api:
        kubeconfig.write_text(api.kubeconfig())
        yield str(kubeconfig)


@pytest.fixture(scope="module")
def away(tmp_path_factory) -> str:
    """The kubeconfig of an API server that has ended."""
    kubeconfig = tmp_path_factory.mktemp("away") / "kubeconfig"
    with ApiServer() as api:
        kubeconfig.write_text(api.kubeconfig())
    return str(kubeconfig)


@pytest.mark.parametrize("command", [*COMMANDS, DOCTOR], ids=lambda command: command[0])
def test_a_broken_kubeconfig_is_a_configuration_error(command, tmp_path):
    """A kubeconfig that is no YAML gives exit code 4, its name, and what to do; no traceback."""
    broken = tmp_path / "kubeconfig"
    broken.write_text("{apiVersion: [")
    said = lbctl(*command, given={"KUBECONFIG": str(broken)})
    assert said.code == 4
    assert str(broken) in said.err
    assert "--kubeconfig" in said.err
    assert "Traceback" not in said.err


def test_a_shell_sees_the_same(tmp_path):
    """As a process too an error is one line on standard error and an exit code, without a traceback."""
    said = process("plan", *LOCAL, "--kubeconfig", str(tmp_path / "nowhere"))
    assert (said.code, said.out) == (4, "")
    assert said.err.startswith("lbctl: ")
    assert len(said.err.strip().splitlines()) == 1


@pytest.mark.parametrize("command", [*COMMANDS, DOCTOR], ids=lambda command: command[0])
def test_a_missing_kubeconfig_is_a_configuration_error(command, tmp_path):
    """A kubeconfig that does not exist gives exit code 4 and names it."""
    said = lbctl(*command, "--kubeconfig", str(tmp_path / "nowhere"))
    assert said.code == 4
    assert "nowhere" in said.err
    assert len(said.err.strip().splitlines()) == 1


@pytest.mark.parametrize("command", [*COMMANDS, DOCTOR], ids=lambda command: command[0])
def test_an_api_server_that_is_away_is_one_error(command, away):
    """Nobody listens: exit code 1 and a sentence with request, address, context and what to check, once."""
    said = lbctl(*command, given={"KUBECONFIG": away})
    assert said.code == 1
    assert said.err.startswith("lbctl: cannot ")
    assert yaml.safe_load(Path(away).read_text())["clusters"][0]["cluster"]["server"] in said.err
    assert "context sandbox" in said.err
    assert said.err.count("Check the server's health and the network, and that it is the server you mean") == 1
    assert "repeated" not in said.err
    assert "Traceback" not in said.err


def test_an_unknown_authority_says_what_to_check(tmp_path):
    """A server whose certificate another authority signed: the context, and the kubeconfig's certificate-authority."""
    kubeconfig = tmp_path / "kubeconfig"
    with ApiServer() as api, ApiServer() as other:
        kubeconfig.write_text(api.kubeconfig().replace(api.url, other.url))
        said = lbctl("status", given={"KUBECONFIG": str(kubeconfig)})
    assert said.code == 1
    assert f"{other.url}, context sandbox" in said.err
    assert "Check certificate-authority of the kubeconfig" in said.err


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command[0])
def test_a_missing_right_is_named(command, tmp_path):
    """A user who may do nothing gets exit code 1 and the verb and resource to grant."""
    kubeconfig = tmp_path / "kubeconfig"
    with ApiServer() as api:
        kubeconfig.write_text(api.kubeconfig(api.users.add("nobody", roles=[])))
        said = lbctl(*command, given={"KUBECONFIG": str(kubeconfig)})
    assert said.code == 1
    assert "Grant the verb " in said.err
    assert "Traceback" not in said.err


@pytest.mark.parametrize(
    "command", [("once",), ("plan",), ("run",), ("check", "-f", "-")], ids=lambda command: command[0]
)
def test_without_an_account_it_is_said_how_to_name_one(command, there):
    """No provider is configured: exit code 4, and `--provider` is named."""
    service = "kind: Service\nmetadata: {name: a}\nspec: {type: LoadBalancer}\n"
    said = lbctl(*command, given={"KUBECONFIG": there}, text=service)
    assert said.code == 4
    assert "--provider" in said.err


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("--provider", "locale"), "did you mean local?"),
        (("--set", "queue.worker=3"), "did you mean workers?"),
        (("--set", "queue.workers=many"), "queue.workers"),
        (("--policy", "sink", *LOCAL), "sync, no-delete, create-only, observe"),
        (("--config", "/nowhere.yaml"), "/nowhere.yaml"),
        (("--set", "accounts.local.settings.adresses=x", *LOCAL), "did you mean addresses?"),
    ],
    ids=lambda value: value[1] if isinstance(value, tuple) else None,
)
def test_a_wrong_setting_names_the_right_one(arguments, expected, there):
    """Each wrong setting ends `plan` with exit code 4 and a sentence that helps."""
    said = lbctl("plan", *arguments, given={"KUBECONFIG": there})
    assert said.code == 4
    assert expected in said.err


def test_a_port_that_is_taken_is_one_error():
    """`sandbox --port` of somebody else's port: exit code 1, the port, and how to take another; no traceback."""
    with socket.create_server(("127.0.0.1", 0)) as theirs:
        said = process("sandbox", "--port", str(theirs.getsockname()[1]))
        port = theirs.getsockname()[1]
    assert (said.code, said.out) == (1, "")
    assert said.err == (
        f"lbctl: cannot listen on port {port}: Address already in use. Give another --port, or 0 for a free one\n"
    )


def test_a_kubeconfig_that_cannot_be_written_is_one_error(tmp_path):
    """`sandbox --kubeconfig` into a folder that does not exist: exit code 1 and the file."""
    said = process("sandbox", "--kubeconfig", str(tmp_path / "none" / "kubeconfig"))
    assert said.code == 1
    assert said.err.splitlines()[-1].startswith(
        f"lbctl: cannot write the kubeconfig {tmp_path}/none/kubeconfig: No such"
    )
    assert "Traceback" not in said.err


@pytest.mark.parametrize("given", [("--nodes", "0"), ("--nodes", "-1"), ("--port", "65536"), ("--port", "-1")])
def test_a_number_that_cannot_be_is_refused(given):
    """A sandbox without nodes and a port that does not exist are invalid input which names the range."""
    said = lbctl("sandbox", *given)
    assert said.code == 3
    assert given[0] in said.err
    assert "range" in said.err


@pytest.mark.parametrize("command", ["annotations", "version"])
def test_an_answer_that_cannot_be_written_is_one_error(command):
    """A full disk behind standard output: exit code 1 and one sentence, whether all or a little is left to write."""
    with Path("/dev/full").open("w", encoding="utf-8") as full:
        done = subprocess.run(
            [*COMMAND, command], stdout=full, stderr=subprocess.PIPE, text=True, check=False, timeout=60
        )
    assert done.returncode == 1
    assert done.stderr.startswith("lbctl: cannot write: No space left on device. Free space where the output goes")
    assert len(done.stderr.splitlines()) == 1


def test_a_reader_that_leaves_is_no_error():
    """The pipe is closed after the first line, as by `head -1`: nothing is said of it."""
    with subprocess.Popen(
        [*COMMAND, "annotations"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as running:
        assert running.stdout is not None
        assert running.stderr is not None
        running.stdout.close()
        said = running.stderr.read()
    assert said == ""
    assert running.returncode == 1
