"""docker-compose.yml and what it mounts, as far as that can be seen without a container engine (make compose-test)."""

import re
import stat
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from ws_edge.adapters.nats.stream import DEFAULT_MAX_BYTES

ROOT = Path(__file__).resolve().parents[2]
WRITTEN = {"jwt_secret", "postgres_password", "service_token", "nats_ws_edge", "nats_rooms", "nats_moderation"}


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
    return found


def write_secrets(folder: Path) -> str:
    """What the script says."""
    ended = subprocess.run(
        ["/bin/sh", ROOT / "deploy" / "secrets.sh", folder], capture_output=True, text=True, check=True
    )
    return ended.stderr


def contents(folder: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in folder.iterdir()}


def test_the_older_compose_reads_it_and_the_edge_is_called_app(compose: dict[str, Any]) -> None:
    assert "name" not in compose
    assert compose["services"]["app"]["image"] == "salon/ws_edge"


def test_no_secret_is_passed_in_the_environment(compose: dict[str, Any]) -> None:
    words = ("PASSWORD", "SECRET", "TOKEN", "KEY")
    for service in compose["services"].values():
        named = [name for name in service.get("environment", {}) if any(word in name for word in words)]
        assert [name for name in named if not name.endswith("_FILE")] == []
        files = {value for name, value in service.get("environment", {}).items() if name in named}
        assert files <= {f"/run/secrets/{secret}" for secret in service.get("secrets", [])}


def test_each_secret_of_the_compose_file_is_written_once_and_closed_to_others(
    compose: dict[str, Any], tmp_path: Path
) -> None:
    folder = tmp_path / "secrets"
    write_secrets(folder)
    first = contents(folder)
    assert set(compose["secrets"]) <= set(first)
    assert len({first[name] for name in WRITTEN}) == len(WRITTEN)
    assert all(len(first[name].strip()) == 64 for name in WRITTEN)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()} == {0o444}
    assert write_secrets(folder) == ""
    assert contents(folder) == first


def test_a_password_of_ones_own_stays_and_what_nats_reads_follows_it(tmp_path: Path) -> None:
    folder = tmp_path / "secrets"
    write_secrets(folder)
    (folder / "nats_rooms").chmod(0o644)
    (folder / "nats_rooms").write_text("chosen-by-hand\n")
    write_secrets(folder)
    assert (folder / "nats_rooms").read_text() == "chosen-by-hand\n"
    assert 'ROOMS_PASSWORD: "chosen-by-hand"' in (folder / "nats_passwords.conf").read_text().splitlines()


def test_an_empty_folder_that_the_engine_made_in_a_secrets_place_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "secrets" / "jwt_secret").mkdir(parents=True)
    write_secrets(tmp_path / "secrets")
    assert (tmp_path / "secrets" / "jwt_secret").is_file()


def test_the_stream_of_messages_fits_into_what_its_server_may_keep() -> None:
    """A server that is full refuses messages, a stream that is full lets its oldest go."""
    room = re.search(r"max_file: ([0-9]+)G", (ROOT / "deploy" / "nats" / "compose.conf").read_text())
    assert room is not None
    assert int(room[1]) * 10**9 > DEFAULT_MAX_BYTES


def test_services_may_do_at_nats_what_they_may_in_production() -> None:
    of_compose, of_production = (
        (ROOT / "deploy" / "nats" / name).read_text().partition("\nauthorization {")[2]
        for name in ("compose.conf", "production.conf")
    )
    assert of_production
    assert of_compose == of_production
