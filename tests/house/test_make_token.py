"""`make token` prints a token and nothing else, and refuses in one clear line."""

import os
import subprocess
import sys
import time
from pathlib import Path

import jwt
import pytest

ROOT = Path(__file__).resolve().parents[2]
SECRET = "a-secret-of-at-least-thirty-two-bytes"


def token(**settings: str) -> subprocess.CompletedProcess[str]:
    environ = {"PATH": os.environ["PATH"], "JWT_SECRET": SECRET, **settings}
    command = [sys.executable, "-m", "tools.mint_token"]
    return subprocess.run(command, cwd=ROOT, env=environ, capture_output=True, text=True, timeout=120)


def test_it_prints_one_line_that_is_a_token_with_the_claims_asked_for() -> None:
    done = token(USER_ID="123", USERNAME="ana", ROLES="admin,moderator", TTL="60")
    assert done.returncode == 0
    assert done.stderr == ""
    assert done.stdout.count("\n") == 1
    claims = jwt.decode(done.stdout.strip(), SECRET, algorithms=["HS256"])
    assert claims["user_id"] == 123
    assert claims["sub"] == "123"
    assert claims["username"] == "ana"
    assert claims["roles"] == ["admin", "moderator"]
    assert 0 < claims["exp"] - time.time() <= 61


def test_without_a_name_or_roles_it_is_a_plain_user() -> None:
    claims = jwt.decode(token(USER_ID="7").stdout.strip(), SECRET, algorithms=["HS256"])
    assert (claims["username"], claims["roles"]) == ("user_7", ["user"])


def test_a_short_secret_prints_nothing_but_the_token_either() -> None:
    done = token(USER_ID="7", JWT_SECRET="short")
    assert (done.returncode, done.stdout.count("\n"), done.stderr) == (0, 1, "")


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        ({}, "USER_ID must be"),
        ({"USER_ID": "0"}, "USER_ID must be"),
        ({"USER_ID": "abc"}, "USER_ID must be"),
        ({"USER_ID": "9007199254740992"}, "USER_ID must be"),
        ({"USER_ID": "1", "ROLES": "king"}, "ROLES may hold"),
        ({"USER_ID": "1", "TTL": "0"}, "TTL must be"),
        ({"USER_ID": "1", "USERNAME": "a\nb"}, "USERNAME must be"),
        ({"USER_ID": "1", "JWT_SECRET": "", "SALON_ENV": "production"}, "JWT_SECRET must be set"),
    ],
)
def test_what_cannot_be_put_into_a_token_is_refused_in_one_line(settings: dict[str, str], complaint: str) -> None:
    done = token(**settings)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.startswith(f"make token: {complaint}")
    assert done.stderr.count("\n") == 1
