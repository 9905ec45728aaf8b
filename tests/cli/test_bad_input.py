"""Whatever is wrong with what we are given: one clear error, what to do, the right exit code."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from lbctl.sandbox.api import ApiServer
from tests.cli.console import lbctl, process

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
    """Nobody listens: exit code 1 and a sentence that names the request and what to check."""
    said = lbctl(*command, given={"KUBECONFIG": away})
    assert said.code == 1
    assert said.err.startswith("lbctl: cannot ")
    assert "Check the server's health and the network" in said.err
    assert "Traceback" not in said.err


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
