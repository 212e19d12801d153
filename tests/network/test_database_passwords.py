"""A real PostgreSQL that asks for a password with every kind of special character in it."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from network_processes import Starter, until
from real_postgres import postgres

from tools.ports import held_port

pytestmark = pytest.mark.slow

PASSWORD = "kX/9+q#t@1="


@pytest.fixture(scope="module")
def postgres_port() -> Iterator[int]:
    """A server on the loopback with a database for each service."""
    port = held_port()
    with postgres(user="salon", password=PASSWORD, port=port) as server:
        for name in ("rooms", "moderation"):
            server.execute(f"CREATE DATABASE {name}")
        yield port


@pytest.mark.parametrize("service", ["rooms", "moderation"])
def test_a_password_apart_opens_the_database_and_a_wrong_one_is_never_shown(
    starter: Starter, postgres_port: int, service: str, tmp_path: Path
) -> None:
    prefix = service.upper()
    url = f"postgres://salon@127.0.0.1:{postgres_port}/{service}"
    (tmp_path / "password").write_text(PASSWORD + "\n")
    for given in ({"PASSWORD": PASSWORD}, {"PASSWORD_FILE": str(tmp_path / "password")}):
        settings = {f"{prefix}_DATABASE_{name}": value for name, value in given.items()}
        serving = starter.service(service, **{f"{prefix}_DATABASE_URL": url}, **settings).until_serving()
        assert PASSWORD not in serving.process.text()
    wrong = {f"{prefix}_DATABASE_URL": url, f"{prefix}_DATABASE_PASSWORD": "wR/0+n#g@1="}
    refused = starter.service(service, **wrong)
    until(lambda: not refused.process.is_running, "it ends", [refused.process])
    text = refused.process.text()
    assert "password authentication failed" in text
    assert not [part for part in ("wR", "wR%2F", "0+n", "g@1", "Traceback") if part in text]


@pytest.mark.parametrize("service", ["rooms", "moderation"])
def test_a_password_that_breaks_its_url_stops_the_start_without_a_part_of_it(starter: Starter, service: str) -> None:
    url = f"postgres://salon:{PASSWORD}@127.0.0.1:5432/{service}"
    refused = starter.service(service, **{f"{service.upper()}_DATABASE_URL": url})
    until(lambda: not refused.process.is_running, "it ends", [refused.process])
    text = refused.process.text()
    assert f"{service.upper()}_DATABASE_URL: " in text
    assert not [part for part in ("kX", "9+q", "t@1", "Traceback") if part in text]
