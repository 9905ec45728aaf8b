"""Settings: four sources, and a sentence for every mistake."""

from __future__ import annotations

import dataclasses

import msgspec
import pytest

from lbctl.errors import InvalidSettings
from lbctl.settings import decode, load


def test_later_sources_win_and_each_value_knows_its_source(tmp_path):
    """Default, file, variable, flag."""
    file = tmp_path / "settings.yaml"
    file.write_text("queue: {workers: 2, drift_seconds: 60}\nkube: {qps: 1}\n")
    environ = {"LBCTL_QUEUE_WORKERS": "3", "LBCTL_KUBE_QPS": "2"}
    loaded = load(file=file, environ=environ, flags={"kube.qps": 5, "kube.burst": None})
    assert (loaded.settings.queue.workers, loaded.settings.queue.drift_seconds) == (3, 60)
    assert loaded.settings.kube.qps == 5
    origins = {origin.path: origin.source for origin in loaded.describe()}
    assert origins["queue.drift_seconds"] == str(file)
    assert origins["queue.workers"] == "LBCTL_QUEUE_WORKERS"
    assert origins["kube.qps"] == "flag"
    assert origins["kube.burst"] == "default"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("queue: {worker: 2}", "did you mean workers"),
        ("queues: {}", "did you mean queue"),
        ("queue: {workers: many}", "queue.workers"),
        ("- a", "holds a list, not a mapping.*queue: {workers: 4}"),
        ("just words", "holds a text, not a mapping.*queue: {workers: 4}"),
        ("a:\n  - [", "not YAML: line 2, column 6: .*correct that line"),
        ("accounts: {x: {provider: aws, clases: []}}", "did you mean classes"),
    ],
)
def test_a_mistake_in_the_file_is_one_sentence_with_the_remedy(tmp_path, text, message):
    """It names the file or the key."""
    file = tmp_path / "settings.yaml"
    file.write_text(text)
    with pytest.raises(InvalidSettings, match=message):
        load(file=file, environ={}, flags={})


def test_an_unknown_variable_is_refused():
    """A typing error must not be silent."""
    with pytest.raises(InvalidSettings, match="LBCTL_QUEUE_WORKERS"):
        load(file=None, environ={"LBCTL_QUEUE_WORKER": "1"}, flags={})


def test_only_what_is_near_is_suggested():
    """A variable that is like no other gets a way to see the known ones, which works although it is set now."""
    with pytest.raises(InvalidSettings) as caught:
        load(file=None, environ={"LBCTL_FOO": "1"}, flags={})
    assert "did you mean" not in str(caught.value)
    assert "unset it" in caught.value.hint


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        (
            "queue.workers",
            "many",
            "queue.workers: Expected `int`, got `str`. give a whole number, such as queue.workers: 4",
        ),
        ("queue.workers", "0", "queue.workers: Expected `int` >= 1. give a whole number, such as queue.workers: 4"),
        ("kube.qps", "-1", "kube.qps: Expected `float` > 0.0. give a number, such as kube.qps: 20.0"),
        ("lease.enabled", "perhaps", "lease.enabled: .*give true or false, such as lease.enabled: true"),
        ("lease.name", [1], 'lease.name: Expected `str`, got `array`. give text, such as lease.name: "lbctl"'),
        ("kube.context", [1], "kube.context: Expected `str`, got `array`. give text$"),
        ("queue", 4, "queue: Expected `object`, got `int`. give a mapping$"),
        ("accounts", {"a": {"provider": "x", "classes": "b"}}, r"accounts\[...\].classes: .*give a list$"),
        ("accounts", {"a": {"provider": "x", "classes": [[]]}}, r"accounts\[...\].classes\[0\]: .*give text$"),
    ],
)
def test_a_value_of_the_wrong_form_says_the_right_one(path, value, said):
    """The error itself holds setting, form, bounds and an example: nobody is sent to a command that fails alike."""
    with pytest.raises(InvalidSettings, match=said) as caught:
        load(file=None, environ={}, flags={path: value})
    assert "config show" not in str(caught.value)


def test_a_drivers_value_of_the_wrong_form_says_the_right_one():
    """As for our own settings, with the account's place before the key."""

    @dataclasses.dataclass
    class Mine:
        size: int = 500

    with pytest.raises(InvalidSettings, match=r"^accounts.x.settings.size: .*give a whole number, such as .*size: 500"):
        decode({"size": "big"}, Mine, where="accounts.x.settings")


def test_a_missing_file_is_named(tmp_path):
    """With what to do."""
    with pytest.raises(InvalidSettings, match="--config"):
        load(file=tmp_path / "none.yaml", environ={}, flags={})


ACCOUNTS = """
claim: {unclassed: here}
accounts:
  here: {provider: local}
  prod: {provider: aws, classes: [example.com/fast], settings: {region: eu-west-1}}
"""


@pytest.mark.parametrize(
    ("provider", "name", "settings", "unclassed"),
    [("aws", "prod", {"region": "eu-west-1"}, "auto"), ("gce", "gce", {}, "auto"), ("local", "here", {}, "here")],
)
def test_a_provider_serves_alone(tmp_path, provider, name, settings, unclassed):
    """Its account of the file with all of its settings, or a new one; no other account is left, and none is named."""
    file = tmp_path / "settings.yaml"
    file.write_text(ACCOUNTS)
    found = load(file=file, environ={}, flags={}, provider=provider)
    (account,) = found.settings.accounts.items()
    assert (account[0], account[1].provider, account[1].settings) == (name, provider, settings)
    assert found.settings.claim.unclassed == unclassed
    origins = {origin.path: origin.source for origin in found.describe()}
    assert origins[f"accounts.{name}.provider"] == ("flag" if name == "gce" else str(file))
    assert origins["claim.unclassed"] == (str(file) if unclassed == "here" else "flag")


def test_what_flags_set_of_an_account_without_a_driver_is_the_providers(tmp_path):
    """`--provider aws --set accounts.prod.settings.region=eu` is one account, and another driver's account is gone."""
    file = tmp_path / "settings.yaml"
    file.write_text("accounts: {aws: {provider: openstack, settings: {region: r}}}")
    flags = {"accounts.prod.settings.region": "eu"}
    found = load(file=file, environ={}, flags=flags, provider="aws").settings.accounts
    assert {name: (one.provider, one.settings) for name, one in found.items()} == {"prod": ("aws", {"region": "eu"})}
    found = load(file=file, environ={}, flags={}, provider="aws").settings.accounts
    assert {name: (one.provider, one.settings) for name, one in found.items()} == {"aws": ("aws", {})}


@pytest.mark.parametrize("accounts", ["accounts: [a]", "accounts: {x: aws}"])
def test_a_provider_hides_no_mistake_in_the_accounts(tmp_path, accounts):
    """What is no table of accounts stays an error."""
    file = tmp_path / "settings.yaml"
    file.write_text(accounts)
    with pytest.raises(InvalidSettings, match="accounts"):
        load(file=file, environ={}, flags={}, provider="aws")


def test_secrets_are_never_shown():
    """Whatever looks like one is redacted."""
    flags = {"accounts.x.provider": "aws", "accounts.x.settings.secret_key": "hush", "accounts.x.settings.region": "eu"}
    shown = {o.path: o.value for o in load(file=None, environ={}, flags=flags).describe()}
    assert shown["accounts.x.settings.secret_key"] == "(secret)"
    assert shown["accounts.x.settings.region"] == "eu"


def test_a_drivers_section_is_checked_by_the_drivers_own_type():
    """Unknown keys get a suggestion there too."""

    class Mine(msgspec.Struct):
        region: str = ""

    assert decode({"region": "eu"}, Mine, where="accounts.x.settings").region == "eu"
    with pytest.raises(InvalidSettings, match="did you mean region"):
        decode({"regoin": "eu"}, Mine, where="accounts.x.settings")
