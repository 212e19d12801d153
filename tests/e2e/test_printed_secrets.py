"""The check that every started process goes through at its end: what each printed holds no token and no secret."""

import base64
import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from chat_client import mint, person
from salon_processes import CHOSEN_SECRET, Group, Process, Salon, log_problems, stop_all

PRINT = "import sys; print('before', sys.argv[1], 'behind', file=getattr(sys, sys.argv[2]))"
Planted = Callable[..., Process]


@pytest.fixture
def planted(tmp_path: Path) -> Planted:
    """A process that printed this and ended."""

    def run(text: str, stream: str = "stdout", **environment: str) -> Process:
        command = [sys.executable, "-c", PRINT, text, stream]
        process = Process("planted", command, environment, tmp_path / "planted.log")
        process.start()
        assert process.wait() == 0
        return process

    return run


def _part(**content: str) -> str:
    return base64.urlsafe_b64encode(json.dumps(content).encode()).rstrip(b"=").decode()


@pytest.mark.parametrize("stream", ["stdout", "stderr"])
def test_a_printed_token_is_found_whoever_made_it_and_not_shown(planted: Planted, stream: str) -> None:
    header, claims = _part(alg="HS256", typ="JWT"), _part(user_id="7")
    for token in (person("ana").token, f"{header}.{claims}.c2lnbmF0dXJl", f"{header}.{claims}."):
        (problem,) = log_problems(planted(f"GET /chat/ws/room/1?token={token}&since=1", stream))
        assert "planted printed a token" in problem
        assert "behind" in problem
        assert claims not in problem


def test_the_signature_of_a_token_alone_is_found(planted: Planted) -> None:
    signature = mint({"user_id": 7}).rpartition(".")[2]
    assert log_problems(planted(signature)) == ["planted printed a token: before *** behind"]


@pytest.mark.parametrize("stream", ["stdout", "stderr"])
@pytest.mark.parametrize(
    "setting",
    ["JWT_SECRET", "JWT_PREVIOUS_SECRET", "WS_EDGE_ANONYMOUS_KEY", "NATS_PASSWORD", "ROOMS_DATABASE_PASSWORD"],
)
def test_a_secret_that_the_process_was_given_is_found(planted: Planted, setting: str, stream: str) -> None:
    (problem,) = log_problems(planted(f"it is {CHOSEN_SECRET}.", stream, **{setting: CHOSEN_SECRET}))
    assert f"planted printed what {setting} holds" in problem
    assert CHOSEN_SECRET not in problem


def test_each_of_several_and_what_stands_in_a_file_or_an_address_is_found(planted: Planted, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text(f"{CHOSEN_SECRET}\n")
    for text, environment in (
        ("the-token-of-before-0123456789", {"SALON_SERVICE_TOKEN": "a-token-of-now, the-token-of-before-0123456789"}),
        (CHOSEN_SECRET, {"JWT_SECRET_FILE": str(tmp_path / "secret")}),
        ("p@ss:word-of-ten", {"NATS_URL": "nats://ws_edge:p%40ss%3Aword-of-ten@127.0.0.1:4222"}),
        ("p%40ss%3Aword-of-ten", {"ROOMS_DATABASE_URL": "postgres://salon:p%40ss%3Aword-of-ten@db/salon"}),
    ):
        assert len(log_problems(planted(text, **environment))) == 1, environment


def test_what_is_no_secret_is_not_taken_for_one(planted: Planted) -> None:
    names = {"JWT_PREVIOUS_SECRET_UNTIL": "2026-12-31T00:00:00Z", "NATS_URL": "nats://127.0.0.1:4222", "A_KEY": "1"}
    text = "1 2026-12-31T00:00:00Z nats://127.0.0.1:4222 eyJhb.c token=*** a.b.c JWT_SECRET"
    assert log_problems(planted(text, JWT_SECRET=CHOSEN_SECRET, **names)) == []


def test_the_end_of_a_run_fails_where_anything_was_printed(planted: Planted, tmp_path: Path) -> None:
    salon = Salon(tmp_path)
    salon.nats = salon.rooms = salon.balancer = Group([])
    salon.moderation = Group([planted("nothing")])
    stop_all([salon])
    salon.moderation = Group([planted(person("ana").token, "stderr")])
    with pytest.raises(AssertionError, match="planted printed a token"):
        stop_all([salon])
