"""Tokens of the server that gce.conf names by `token-url`: how and how often they are asked for, what is said of it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.clouds.gce.tokens import BODY, OWN_TOKEN, TokenGranter
from tests.clouds.gce.world import Google
from tests.gce.conftest import Build
from tests.world import change, service


@pytest.fixture
def granter(world: Google, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[TokenGranter]:
    """The world's lbctl has no credentials but those that the server grants."""
    with TokenGranter(world.server.tokens) as server:
        monkeypatch.setenv("GCE_METADATA_HOST", server.address)
        file = tmp_path / "gce.conf"
        body = BODY.replace('"', '\\"')
        file.write_text(f'[global]\ntoken-url = "{server.url}?key=hidden"\ntoken-body = "{body}"\n')
        world.settings = change(world.settings, credentials_file="", config_file=str(file))
        world.crash()
        world.server.tokens.clear()
        yield server


def test_a_token_is_asked_for_once_and_serves_until_shortly_before_its_end(
    world: Google, granter: TokenGranter
) -> None:
    """What gce.conf says is posted with the instance's own token; the doctor says whose token it is."""
    world.settle()
    world.apply(service())
    assert world.condition().status == "True"
    assert granter.asked == 1
    assert next(world.driver.check()).message.startswith(f"signed in as the account that {granter.url} knows, with a")


def test_a_token_is_renewed_before_its_end_and_not_too_often(world: Google, granter: TokenGranter) -> None:
    """Tokens that end in minutes are renewed all the time: three at once, then one in twenty seconds."""
    granter.lives = 200.0
    started = world.clock.monotonic()
    world.settle()
    world.apply(service())
    assert world.condition().status == "True"
    assert 2 <= granter.asked <= 3 + (world.clock.monotonic() - started) / 20


def test_while_renewing_fails_the_present_token_is_used_on(world: Google, granter: TokenGranter) -> None:
    """It is good for some minutes yet, and nobody notices."""
    granter.lives = 200.0
    world.settle()
    granter.refusal = (503, {"error": {"code": 503, "message": "The service is currently unavailable."}})
    world.apply(service())
    assert world.condition().status == "True"


def test_a_server_that_fails_is_asked_again_and_soon_left_alone_for_a_while(
    world: Google, granter: TokenGranter
) -> None:
    """Not even without any token is it asked more often; once it is well again everything is served."""
    granter.refusal = (500, {"error": {"code": 500, "message": "Internal error encountered."}})
    started = world.clock.monotonic()
    world.kube.put(service())
    world.settle(60)
    assert 3 <= granter.asked <= 4 + (world.clock.monotonic() - started) / 20
    granter.refusal = None
    world.settle(600)
    assert world.condition().status == "True"


@pytest.mark.parametrize(
    ("refusal", "garbled", "told"),
    [
        ((403, {"error": {"code": 403, "message": "The cluster is not known."}}), {}, "with 403: The cluster is not"),
        ((404, {"token-of-others": "x"}), {}, "with 404: it does not say why"),
        (None, {"accessToken": ""}, "without an accessToken"),
        (None, {"expireTime": "tomorrow"}, "whose expireTime is no time"),
    ],
)
def test_what_goes_wrong_is_told_without_any_secret(
    world: Google, granter: TokenGranter, refusal: tuple | None, garbled: dict, told: str
) -> None:
    """What was asked and what came back; neither a token, nor what was sent, nor the query."""
    granter.refusal, granter.garbled = refusal, garbled
    (finding,) = world.driver.check()
    assert (finding.level, finding.subject) == ("failed", "credentials")
    assert f"POST {granter.url} was answered" in finding.message
    assert told in finding.message
    for secret in (OWN_TOKEN, "granted-", "secret-of-the-cluster", "hidden", "token-of-others"):
        assert secret not in finding.message


def test_without_an_instance_of_its_own_it_says_so(
    world: Google, granter: TokenGranter, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server refuses who does not prove who it is."""
    monkeypatch.setenv("NO_GCE_CHECK", "true")
    world.crash()
    (finding,) = world.driver.check()
    assert "was answered with 401, asked without a token of an instance: Request had invalid" in finding.message


def test_a_server_that_does_not_answer_is_named(world: Google, granter: TokenGranter) -> None:
    """By its address, without the query."""
    granter.__exit__()
    (finding,) = world.driver.check()
    assert f"POST {granter.url} has no answer" in finding.message
    assert "hidden" not in finding.message


def test_credentials_in_the_settings_win(build: Build, tmp_path: Path) -> None:
    """The doctor says that the server is not asked."""
    file = tmp_path / "gce.conf"
    file.write_text("[global]\ntoken-url = http://127.0.0.1:1/\n")
    world = build(config_file=str(file))
    (finding,) = [found for found in world.driver.check() if found.level != "ok"]
    assert (finding.level, finding.subject) == ("warning", "gce.conf")
    assert "token-url is not asked: credentials_file in the settings wins" in finding.message
