"""A token for every client, each a user of its own."""

import time
from pathlib import Path

import jwt

SECRET = "the-secret-of-the-benchmark-and-of-nobody-else"
FIRST_USER = 1_000_000
DAY_S = 86_400


def write(path: Path, count: int) -> None:
    """One token a line."""
    expires = int(time.time()) + DAY_S
    claims = ({"user_id": FIRST_USER + i, "username": f"load_{i}", "exp": expires} for i in range(count))
    path.write_text("".join(jwt.encode(each, SECRET, algorithm="HS256") + "\n" for each in claims))
