"""Help is quick, short and shows how."""

from __future__ import annotations

import functools
import json
import os
import subprocess
import sys

import pytest

from lbctl.cli.main import COMMANDS
from lbctl.cli.manual import manual
from tests.cli.console import lbctl, process
from tests.reference.commands import commands_page

HEAVY = (
    "kubernetes",
    "rich",
    "aiohttp",
    "prometheus_client",
    "urllib3",
    "boto3",
    "azure",
    "google",
    "openstack",
    "envoy",
)
CPU_MILLISECONDS = 100
SCREEN_LINES, SCREEN_COLUMNS = 24, 80
TRIES = 5
MEASURE = """
import contextlib, io, json, resource, sys
from lbctl.cli.main import run
with contextlib.redirect_stdout(io.StringIO()) as out:
    code = run([*sys.argv[1:], "--help"])
used = resource.getrusage(resource.RUSAGE_SELF)
print(json.dumps({"code": code, "cpu": 1000 * (used.ru_utime + used.ru_stime), "text": out.getvalue(),
                  "modules": sorted({name.partition(".")[0] for name in sys.modules})}))
"""
EVERY = [[], *([name] for name in COMMANDS), ["config", "show"]]


@functools.cache
def help_of(*arguments: str) -> dict:
    return measure(arguments)


def measure(arguments: tuple[str, ...]) -> dict:
    command = [sys.executable, "-c", MEASURE, *arguments]
    given = {**os.environ, "COLUMNS": str(SCREEN_COLUMNS)}
    return json.loads(subprocess.run(command, env=given, capture_output=True, text=True, check=True).stdout)


@pytest.mark.parametrize("arguments", EVERY, ids=" ".join)
def test_help_loads_no_client_library_and_costs_little(arguments):
    """Help imports neither kubernetes nor an SDK nor rich, and needs less than 100 ms of CPU."""
    tries = [help_of(*arguments)]
    while min(one["cpu"] for one in tries) >= CPU_MILLISECONDS and len(tries) < TRIES:
        tries.append(measure(tuple(arguments)))
    assert not {*HEAVY, "lbctl_local"}.intersection(tries[0]["modules"])
    assert min(one["cpu"] for one in tries) < CPU_MILLISECONDS


@pytest.mark.parametrize("arguments", EVERY, ids=" ".join)
def test_help_is_one_screen_with_two_examples(arguments):
    """Help fits on a screen of 24 lines and 80 columns, and ends with at least two examples."""
    found = help_of(*arguments)
    _, _, examples = found["text"].partition("Examples:")
    assert found["code"] == 0
    assert len(found["text"].splitlines()) <= SCREEN_LINES
    assert max(map(len, found["text"].splitlines())) <= SCREEN_COLUMNS
    assert examples.count("lbctl") + examples.count("kubectl lb") >= 2


def test_help_names_every_command_once():
    """The overview of the root leaves none out."""
    _, _, listed = help_of()["text"].partition("Commands:")
    names = [name for line in listed.splitlines() for name in line[:26].replace(",", " ").split()]
    assert [name for name in names if name != "Examples:"][: len(COMMANDS)] == list(COMMANDS)


def test_options_lists_what_each_help_leaves_out():
    """`lbctl options` has all of the options that set settings; a command names two of them, and takes every one."""
    said = lbctl("options")
    listed = {word for line in said.out.splitlines() for word in line[:26].replace(",", " ").split() if word[0] == "-"}
    shared = {*("--config", "--provider", "--set", "--kubeconfig", "--context", "--cluster-name", "--cluster-id")}
    assert said.code == 0
    assert listed == shared | {"--policy", "--hazard", "-v", "--verbosity", "--logging-format"}
    told = help_of("plan")["text"]
    assert "--provider, --config, …" in told
    assert "lbctl options" in told
    assert "--context" not in told
    assert lbctl("config", "show", "--context", "prod", "--hazard", "none", "-o", "json").code == 0


def test_a_command_says_of_its_own_options_that_they_are_its_own():
    """What is called like a shared option and is none is told in the help, and in page and manual of the commands."""
    for name, option in (("manifests", "--provider"), ("annotations", "--provider"), ("sandbox", "--kubeconfig")):
        assert option in help_of(name)["text"]
        assert "lbctl options" not in help_of(name)["text"]
        _, _, rest = commands_page().partition(f"## lbctl {name}\n")
        told = rest.partition("\n## ")[0]
        assert f"| `{option}" in told
        assert "Takes the" not in told
        _, _, rest = manual().partition(f'.SS "lbctl {name} ')
        told = rest.partition("\n.SS ")[0]
        assert rf"\fB\-\-{option.removeprefix('--')}" in told
        assert "common options" not in told


def test_a_misspelt_command_is_answered_with_the_nearest():
    """`lbctl staus` is invalid input and names `status`."""
    said = process("staus")
    assert said.code == 3
    assert "Did you mean 'status'?" in said.err
    assert said.out == ""


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_each_shell_gets_a_completion_script(shell):
    """`lbctl completion SHELL` prints a script that asks lbctl itself for the words."""
    said = lbctl("completion", shell)
    assert said.code == 0
    assert "_LBCTL_COMPLETE" in said.out


def test_completion_knows_the_commands():
    """What the script asks for is answered with the names of the commands."""
    given = {"_LBCTL_COMPLETE": "bash_complete", "COMP_WORDS": "lbctl st", "COMP_CWORD": "1"}
    command = [sys.executable, "-c", "from lbctl.cli.main import main; main()"]
    done = subprocess.run(command, env=given, capture_output=True, text=True, check=False)
    assert done.stdout.split() == ["plain,status"]
