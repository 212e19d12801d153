"""The settings of a process: taken from its environment at the start, and refused by name if they are wrong."""

import re
import unicodedata
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any, Literal

from rooms.database_login import is_postgres_url, with_password
from rooms.domain.naming import is_well_formed
from rooms.peers import (
    BadSetting as BadSetting,
    GrpcSecurity,
    NatsAccess,
    grpc_security,
    nats_access,
    nats_url,
    service_tokens,
    with_files,
)

PREFIX = "ROOMS_"
_INJECTED = re.compile(r".*_SERVICE_HOST|.*_SERVICE_PORT(_.*)?|.*_PORT_\d+_.*")
_SQLITE = re.compile(r"sqlite://(?!:memory:).+")


def _setting(name: str, parse: Callable[[str], Any], default: Any, about: str) -> Any:
    return field(default=default, metadata={"name": name, "parse": parse, "about": about, "secret": False})


def _secret(name: str, parse: Callable[[str], Any], default: Any, about: str) -> Any:
    """Taken from a file as well (NAME_FILE), and never shown."""
    return field(default=default, repr=False, metadata={"name": name, "parse": parse, "about": about, "secret": True})


def _text(raw: str) -> str:
    return raw


def _whole(smallest: int, largest: int) -> Callable[[str], int]:
    def parse(raw: str) -> int:
        if not re.fullmatch(r"[0-9]{1,10}", raw, re.ASCII) or not smallest <= int(raw) <= largest:
            raise ValueError(f"must be a whole number from {smallest} to {largest}")
        return int(raw)

    return parse


def _choice(*words: str) -> Callable[[str], str]:
    def parse(raw: str) -> str:
        if raw not in words:
            raise ValueError(f"must be one of {', '.join(words)}")
        return raw

    return parse


def _addresses(raw: str) -> tuple[str, ...]:
    found = tuple(part.strip() for part in raw.split(",") if part.strip())
    if not found or not all(re.fullmatch(r".+:[0-9]{1,5}", part, re.ASCII) for part in found):
        raise ValueError("must be host:port, several separated by commas")
    return found


def _database(raw: str) -> str:
    if not _SQLITE.fullmatch(raw) and not is_postgres_url(raw):
        raise ValueError(
            "must be sqlite://PATH or postgres://USER:PASSWORD@HOST:PORT/NAME, special characters in it as %XX"
        )
    return re.sub(r"^postgresql://", "postgres://", raw)


def _patterns(raw: str) -> tuple[str, ...]:
    found = tuple(unicodedata.normalize("NFC", part.strip()) for part in raw.split(",") if part.strip())
    if not all(is_well_formed(re.sub(r"\*+", "a", pattern)) for pattern in found):
        raise ValueError("must be slugs, with * for any characters, several separated by commas")
    return found


def _template(raw: str) -> str:
    if not re.fullmatch(r"https?://[^{}]+\{video_id\}[^{}]*", raw):
        raise ValueError("must be an http or https URL with {video_id} in it")
    return raw


@dataclass(frozen=True, slots=True)
class Config:
    """Every setting of the rooms service, with its default."""

    host: str = _setting("ROOMS_HOST", _text, "127.0.0.1", "address to listen on")
    port: int = _setting("ROOMS_PORT", _whole(0, 65535), 50051, "port of gRPC")
    metrics_port: int = _setting("ROOMS_METRICS_PORT", _whole(0, 65535), 0, "port of Prometheus metrics; 0: none")
    database_url: str = _secret(
        "ROOMS_DATABASE_URL", _database, "sqlite://.data/rooms.sqlite3", "SQLite for one replica, PostgreSQL for more"
    )
    database_password: str = _secret(
        "ROOMS_DATABASE_PASSWORD", _text, "", "password apart from the URL, with any characters"
    )
    nats_url: str = _setting(
        "NATS_URL", nats_url, "nats://127.0.0.1:4222", "the NATS servers, several separated by commas"
    )
    nats_user: str = _setting("NATS_USER", _text, "", "user of NATS; with NATS_PASSWORD")
    nats_password: str = _secret("NATS_PASSWORD", _text, "", "password of that user")
    nats_credentials_file: str = _setting(
        "NATS_CREDENTIALS_FILE", _text, "", "credentials file of NATS (JWT and seed) instead of user and password"
    )
    nats_tls_ca_file: str = _setting(
        "NATS_TLS_CA_FILE", _text, "", "certificate authorities of the NATS servers, in PEM; set, TLS is demanded"
    )
    service_token: tuple[str, ...] = _secret(
        "SALON_SERVICE_TOKEN",
        service_tokens,
        (),
        "what the services present to each other, at least 32 characters; `new,old` while it is changed",
    )
    grpc_tls_cert_file: str = _setting(
        "SALON_GRPC_TLS_CERT_FILE", _text, "", "certificate of this service, in PEM, for mutual TLS between services"
    )
    grpc_tls_key_file: str = _setting("SALON_GRPC_TLS_KEY_FILE", _text, "", "its key, in PEM")
    grpc_tls_ca_file: str = _setting(
        "SALON_GRPC_TLS_CA_FILE", _text, "", "certificate authorities of the other services, in PEM"
    )
    salon_env: Literal["development", "production"] = _setting(
        "SALON_ENV", _choice("development", "production"), "development", "production refuses to be open to everybody"
    )
    moderation_addresses: tuple[str, ...] = _setting(
        "ROOMS_MODERATION_ADDRESSES", _addresses, ("127.0.0.1:50052",), "gRPC of every moderation replica"
    )
    auto_create: Literal["any", "slugs", "never"] = _setting(
        "ROOMS_AUTO_CREATE", _choice("any", "slugs", "never"), "any", "for which unknown references a room is made"
    )
    create: Literal["signed_in", "admin"] = _setting(
        "ROOMS_CREATE", _choice("signed_in", "admin"), "signed_in", "who may call createChatRoom"
    )
    reserved_slugs: tuple[str, ...] = _setting(
        "ROOMS_RESERVED_SLUGS",
        _patterns,
        (),
        "slugs that createChatRoom refuses to all but admins, `*` for any characters, several separated by commas",
    )
    empty_grace_seconds: int = _setting(
        "ROOMS_EMPTY_GRACE_SECONDS", _whole(0, 86400), 0, "how long an empty room is kept"
    )
    presence_broadcast_limit: int = _setting(
        "ROOMS_PRESENCE_BROADCAST_LIMIT", _whole(0, 10**6), 500, "connections above which joins are only counted"
    )
    video_catalog_url: str = _setting(
        "ROOMS_VIDEO_CATALOG_URL", _template, "", "https://…/videos/{video_id}; empty: the service's own catalogue"
    )
    graphql_connections: int = _setting(
        "ROOMS_GRAPHQL_CONNECTIONS", _whole(1, 9), 3, "how many of the 10 connections to PostgreSQL GraphQL may take"
    )
    lease_seconds: int = _setting("ROOMS_LEASE_SECONDS", _whole(1, 3600), 10, "how long a silent edge is believed")
    connection_age_seconds: int = _setting(
        "ROOMS_CONNECTION_AGE_SECONDS",
        _whole(1, 86_400),
        300,
        "when a connection is closed, so that its edge finds replicas that came since",
    )

    @property
    def grpc_security(self) -> GrpcSecurity:
        """What gRPC presents and demands. Raises BadSetting."""
        return grpc_security(self.service_token, self.grpc_tls_cert_file, self.grpc_tls_key_file, self.grpc_tls_ca_file)

    @property
    def nats_access(self) -> NatsAccess:
        """Where NATS is, and the way in. Raises BadSetting."""
        return nats_access(
            self.nats_url, self.nats_user, self.nats_password, self.nats_credentials_file, self.nats_tls_ca_file
        )


def load(environ: Mapping[str, str]) -> Config:
    """Read every setting. Raises BadSetting."""
    known = {f.metadata["name"]: f for f in fields(Config)}
    environ = with_files(environ, (name for name, setting in known.items() if setting.metadata["secret"]))
    unknown = sorted(n for n in environ if n.startswith(PREFIX) and n not in known and not _is_injected(n, environ[n]))
    if unknown:
        raise BadSetting(f"{unknown[0]}: no such setting")
    values: dict[str, Any] = {}
    for name, setting in known.items():
        raw = environ.get(name, "")
        if raw == "" or _is_injected(name, raw):
            continue
        try:
            values[setting.name] = setting.metadata["parse"](raw)
        except ValueError as problem:
            raise BadSetting(f"{name}: {problem}") from None
    config = _with_password(Config(**values))
    _check(config)
    return config


def _with_password(config: Config) -> Config:
    if not config.database_password:
        return config
    names = {"of_url": "ROOMS_DATABASE_URL", "of_password": "ROOMS_DATABASE_PASSWORD"}
    try:
        return replace(config, database_url=with_password(config.database_url, config.database_password, **names))
    except ValueError as problem:
        raise BadSetting(str(problem)) from None


def _check(config: Config) -> None:
    security, nats = config.grpc_security, config.nats_access
    if config.salon_env == "production":
        nats.demand()
        security.demand((config.host, *(a.rpartition(":")[0] for a in config.moderation_addresses)))


def _is_injected(name: str, raw: str) -> bool:
    """What Kubernetes puts into the environment for its own services."""
    return _INJECTED.fullmatch(name) is not None or (name.endswith("_PORT") and raw.startswith("tcp://"))
