"""The settings by which services know each other and NATS: the same in all three, and refused by name where they are
bad, half set, or open to everybody in production."""

import importlib
import re
from pathlib import Path
from typing import Any

import pytest
from certificates import Authority

from chassis.errors import BadSetting

ROOT = Path(__file__).resolve().parents[2]
SERVICES = ("ws_edge", "rooms", "moderation")
TOKEN = "t" * 32
PRODUCTION = {"SALON_ENV": "production", "JWT_SECRET": "j" * 40}


@pytest.fixture(params=SERVICES)
def service(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("files")
    authority, other = Authority(folder / "ca"), Authority(folder / "other")
    mine, foreign = authority.issue("localhost"), other.issue("localhost")
    (folder / "text").write_text("nothing of use\n")
    (folder / "empty").write_text("\n")
    return {
        "cert": str(mine.certificate),
        "key": str(mine.key),
        "ca": str(authority.certificate),
        "foreign_key": str(foreign.key),
        "text": str(folder / "text"),
        "empty": str(folder / "empty"),
        "missing": str(folder / "missing"),
        "folder": str(folder),
    }


def load(service: str, environ: dict[str, str]) -> Any:
    return importlib.import_module(f"{service}.config").load(environ)


def refusal(service: str, environ: dict[str, str]) -> str:
    with pytest.raises(BadSetting) as refused:
        load(service, environ)
    assert "\n" not in str(refused.value)
    return str(refused.value)


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ({"NATS_USER": "salon"}, "NATS_PASSWORD"),
        ({"NATS_PASSWORD": "p"}, "NATS_USER"),
        ({"NATS_USER": "u", "NATS_PASSWORD": "p", "NATS_CREDENTIALS_FILE": "text"}, "NATS_CREDENTIALS_FILE"),
        ({"NATS_URL": "nats://u:p@a:1", "NATS_USER": "u", "NATS_PASSWORD": "p"}, "NATS_URL"),
        ({"NATS_URL": "nats://u:p@a:1,nats://v:p@b:1"}, "NATS_URL"),
        ({"NATS_URL": "nats://u:kX/9@a:1"}, "NATS_URL"),
        ({"NATS_URL": "nats://u:12/9@a:1"}, "NATS_URL"),
        ({"NATS_URL": "nats://a:1,"}, "NATS_URL"),
        ({"NATS_URL": "nats://salon:@a:1"}, "NATS_URL"),
        ({"NATS_URL": "nats://:p@a:1"}, "NATS_URL"),
        ({"NATS_URL": "nats://@a:1"}, "NATS_URL"),
        ({"NATS_URL": "http://a:1"}, "NATS_URL"),
        ({"NATS_CREDENTIALS_FILE": "missing"}, "NATS_CREDENTIALS_FILE"),
        ({"NATS_CREDENTIALS_FILE": "text"}, "NATS_CREDENTIALS_FILE"),
        ({"NATS_TLS_CA_FILE": "missing"}, "NATS_TLS_CA_FILE"),
        ({"NATS_TLS_CA_FILE": "text"}, "NATS_TLS_CA_FILE"),
        ({"NATS_TLS_CA_FILE": "folder"}, "NATS_TLS_CA_FILE"),
        ({"SALON_SERVICE_TOKEN": "too-short"}, "SALON_SERVICE_TOKEN"),
        ({"SALON_SERVICE_TOKEN": TOKEN + ",short"}, "SALON_SERVICE_TOKEN"),
        ({"SALON_ENV": "staging"}, "SALON_ENV"),
        ({"SALON_GRPC_TLS_CERT_FILE": "cert"}, "SALON_GRPC_TLS_KEY_FILE"),
        ({"SALON_GRPC_TLS_KEY_FILE": "key", "SALON_GRPC_TLS_CA_FILE": "ca"}, "SALON_GRPC_TLS_CERT_FILE"),
        ({"SALON_GRPC_TLS_CERT_FILE": "cert", "SALON_GRPC_TLS_KEY_FILE": "key"}, "SALON_GRPC_TLS_CA_FILE"),
        (
            {
                "SALON_GRPC_TLS_CERT_FILE": "cert",
                "SALON_GRPC_TLS_KEY_FILE": "foreign_key",
                "SALON_GRPC_TLS_CA_FILE": "ca",
            },
            "SALON_GRPC_TLS_KEY_FILE",
        ),
        (
            {"SALON_GRPC_TLS_CERT_FILE": "cert", "SALON_GRPC_TLS_KEY_FILE": "key", "SALON_GRPC_TLS_CA_FILE": "text"},
            "SALON_GRPC_TLS_CA_FILE",
        ),
        ({"SALON_SERVICE_TOKEN_FILE": "missing"}, "SALON_SERVICE_TOKEN_FILE"),
        ({"SALON_SERVICE_TOKEN_FILE": "empty"}, "SALON_SERVICE_TOKEN_FILE"),
        ({"SALON_SERVICE_TOKEN_FILE": "text"}, "SALON_SERVICE_TOKEN"),
        ({"NATS_USER": "u", "NATS_PASSWORD_FILE": "folder"}, "NATS_PASSWORD_FILE"),
        ({"NATS_USER": "u", "NATS_PASSWORD": "p", "NATS_PASSWORD_FILE": "text"}, "NATS_PASSWORD_FILE"),
    ],
)
def test_a_bad_or_half_set_combination_is_refused_by_name(
    service: str, files: dict[str, str], given: dict[str, str], named: str
) -> None:
    environ = {name: files.get(value, value) if name.endswith("_FILE") else value for name, value in given.items()}
    text = refusal(service, environ)
    assert text.startswith(f"{named}: ")
    assert "kX" not in text


@pytest.mark.parametrize("url", ["nats://salon:p%2Fw%40d@a:4222,nats://b:4222", "nats://salon:p%2Fw%40d@a:4222,b:4222"])
def test_the_login_in_a_cluster_url_is_for_all_servers_and_never_shown(service: str, url: str) -> None:
    access = load(service, {"NATS_URL": url}).nats.access
    assert access.options == {"servers": ["nats://a:4222", "nats://b:4222"], "user": "salon", "password": "p/w@d"}
    assert "p/w@d" not in repr(access)


def test_a_token_of_nats_alone_in_the_url_is_passed_as_one(service: str) -> None:
    access = load(service, {"NATS_URL": "nats://secret@a:4222"}).nats.access
    assert access.options == {"servers": ["nats://a:4222"], "token": "secret"}


def test_every_secret_may_come_from_a_file_without_its_last_line_break(service: str, tmp_path: Path) -> None:
    (tmp_path / "token").write_text(f"{TOKEN}\n")
    (tmp_path / "password").write_text(" kX/9+q#t@1=\r\n")
    config = load(
        service,
        {
            "SALON_SERVICE_TOKEN_FILE": str(tmp_path / "token"),
            "NATS_USER": "salon",
            "NATS_PASSWORD_FILE": str(tmp_path / "password"),
        },
    )
    assert config.grpc.service_token == (TOKEN,)
    assert config.nats.password == " kX/9+q#t@1="
    assert TOKEN not in repr(config)
    assert "kX/9" not in repr(config)


@pytest.mark.parametrize(
    ("service", "name", "attribute"),
    [
        ("ws_edge", "JWT_SECRET", "jwt_secret"),
        ("ws_edge", "WS_EDGE_JWT_PUBLIC_KEY", "jwt_public_key"),
        ("ws_edge", "WS_EDGE_ANONYMOUS_KEY", "anonymous_key"),
        ("rooms", "ROOMS_DATABASE_URL", "database_url"),
        ("moderation", "MODERATION_DATABASE_URL", "database_url"),
    ],
)
def test_secrets_of_one_service_may_come_from_files(service: str, name: str, attribute: str, tmp_path: Path) -> None:
    value = "postgres://salon:secret@db/x" if "DATABASE" in name else "a secret\nof two lines"
    (tmp_path / "secret").write_text(value + "\n")
    config = load(service, {f"{name}_FILE": str(tmp_path / "secret")})
    assert getattr(config, attribute) == value
    assert "secret" not in repr(config)
    text = refusal(service, {f"{name}_FILE": str(tmp_path / "secret"), name: value})
    assert text == f"{name}_FILE: not together with {name}"


def test_a_file_is_only_for_what_is_secret(service: str) -> None:
    name = f"{service.upper()}_PORT_FILE"
    assert refusal(service, {name: "/etc/hostname"}) == f"{name}: no such setting"


@pytest.mark.parametrize(
    ("service", "open_settings"),
    [
        ("rooms", {"ROOMS_HOST": "0.0.0.0"}),
        ("rooms", {"ROOMS_HOST": "::"}),
        ("rooms", {"ROOMS_MODERATION_ADDRESSES": "127.0.0.1:1,moderation:50052"}),
        ("moderation", {"MODERATION_HOST": "10.0.0.1"}),
        ("ws_edge", {"WS_EDGE_ROOMS_ADDRESS": "rooms:50051"}),
        ("ws_edge", {"WS_EDGE_MODERATION_ADDRESSES": "127.0.0.1:1,10.0.0.1:50052"}),
    ],
)
def test_production_beyond_the_loopback_demands_a_token_or_certificates(
    service: str, files: dict[str, str], open_settings: dict[str, str]
) -> None:
    environ = PRODUCTION | open_settings
    assert re.fullmatch(r"SALON_SERVICE_TOKEN: must be set, .* when SALON_ENV=production", refusal(service, environ))
    load(service, environ | {"SALON_SERVICE_TOKEN": TOKEN})
    load(
        service,
        environ
        | {
            "SALON_GRPC_TLS_CERT_FILE": files["cert"],
            "SALON_GRPC_TLS_KEY_FILE": files["key"],
            "SALON_GRPC_TLS_CA_FILE": files["ca"],
        },
    )
    load(service, open_settings | {"SALON_ENV": "development"})


def test_production_demands_a_login_of_a_nats_beyond_the_loopback(service: str) -> None:
    environ = PRODUCTION | {"NATS_URL": "nats://127.0.0.1:4222,nats://nats:4222"}
    wanted = "NATS_USER: must be set, or NATS_CREDENTIALS_FILE, for nats when SALON_ENV=production"
    assert refusal(service, environ) == wanted
    load(service, environ | {"NATS_USER": "salon", "NATS_PASSWORD": "p"})
    for login in ("salon:p@", "token@"):
        load(service, environ | {"NATS_URL": f"nats://{login}nats:4222"})
    load(service, environ | {"SALON_ENV": "development"})


def test_production_on_the_loopback_demands_nothing_more(service: str) -> None:
    addresses = {"ROOMS_MODERATION_ADDRESSES": "localhost:1,[::1]:2"} if service == "rooms" else {}
    load(service, PRODUCTION | addresses)


@pytest.mark.parametrize("service", ["rooms", "moderation"])
@pytest.mark.parametrize(
    ("url", "password", "named"),
    [
        ("postgres://salon:kX/9+q#t@1=@db:5432/x", "", "URL"),
        ("postgres://salon:12/34@db:5432/x", "", "URL"),
        ("postgres://salon:12?34@db:5432/x", "", "URL"),
        ("postgres://salon:12#34@db:5432/x", "", "URL"),
        ("postgres://salon:a[b@db:5432/x", "", "URL"),
        ("mysql://salon@db/x", "", "URL"),
        ("postgres://db:5432/x", "kX", "URL"),
        ("postgres://salon:kX@db:5432/x", "kX", "PASSWORD"),
        ("postgres://salon@db:5432/x?password=kX", "kX", "PASSWORD"),
        ("sqlite://x.sqlite3", "kX", "PASSWORD"),
    ],
)
def test_a_database_url_that_is_none_or_does_not_go_with_the_password_is_refused_without_showing_it(
    service: str, url: str, password: str, named: str
) -> None:
    prefix = service.upper()
    text = refusal(service, {f"{prefix}_DATABASE_URL": url, f"{prefix}_DATABASE_PASSWORD": password})
    assert text.startswith(f"{prefix}_DATABASE_{named}: ")
    assert not re.search("kX|12|34|a\\[b", text)


@pytest.mark.parametrize("service", ["rooms", "moderation"])
@pytest.mark.parametrize(
    ("url", "whole"),
    [
        ("postgres://salon@db:5432/x?ssl=true", "postgres://salon:kX%2F9%2Bq%23t%401%3D@db:5432/x?ssl=true"),
        ("asyncpg://salon:@/x?host=/run/pg", "asyncpg://salon:kX%2F9%2Bq%23t%401%3D@/x?host=/run/pg"),
    ],
)
def test_a_password_apart_is_put_into_the_url_with_whatever_characters(service: str, url: str, whole: str) -> None:
    prefix = service.upper()
    config = load(service, {f"{prefix}_DATABASE_URL": url, f"{prefix}_DATABASE_PASSWORD": "kX/9+q#t@1="})
    assert config.database_url == whole
