"""The settings of a process: taken from its environment at the start, and refused by name if they are wrong."""

import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any, Literal

from moderation.database_login import is_postgres_url, with_password
from moderation.peers import (
    BadSetting as BadSetting,
    GrpcSecurity,
    NatsAccess,
    grpc_security,
    nats_access,
    nats_url,
    service_tokens,
    with_files,
)

PREFIX = "MODERATION_"
_INJECTED = re.compile(r".*_SERVICE_HOST|.*_SERVICE_PORT(_.*)?|.*_PORT_\d+_.*")
_SQLITE = re.compile(r"sqlite://.+")


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


def _database(raw: str) -> str:
    """The text is not shown in the refusal: it may hold a password."""
    if not _SQLITE.fullmatch(raw) and not is_postgres_url(raw):
        raise ValueError(
            "must be sqlite://PATH or postgresql://USER:PASSWORD@HOST:PORT/NAME, special characters in it as %XX"
        )
    return raw


@dataclass(frozen=True, slots=True)
class Config:
    """Every setting of moderation, with its default."""

    host: str = _setting("MODERATION_HOST", _text, "127.0.0.1", "address to listen on")
    port: int = _setting("MODERATION_PORT", _whole(0, 65535), 50052, "port of gRPC; 0: one that is free")
    metrics_port: int = _setting("MODERATION_METRICS_PORT", _whole(0, 65535), 0, "port of /metrics; 0: off")
    database_url: str = _secret(
        "MODERATION_DATABASE_URL",
        _database,
        "sqlite://.data/moderation.sqlite3",
        "SQLite for one replica, PostgreSQL for more",
    )
    database_password: str = _secret(
        "MODERATION_DATABASE_PASSWORD", _text, "", "password apart from the URL, with any characters"
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
    messages_per_window: int = _setting(
        "MODERATION_MESSAGES_PER_WINDOW", _whole(1, 10**9), 10, "messages of one user in a window"
    )
    window_seconds: int = _setting("MODERATION_WINDOW_SECONDS", _whole(1, 3600), 10, "length of the sliding window")
    messages_per_address: int = _setting(
        "MODERATION_MESSAGES_PER_ADDRESS", _whole(1, 10**9), 100, "messages of all anonymous users of one address"
    )
    audit_days: int = _setting(
        "MODERATION_AUDIT_DAYS", _whole(1, 36500), 90, "how long actions, and sanctions that ended, are kept"
    )
    evidence_days: int = _setting(
        "MODERATION_EVIDENCE_DAYS", _whole(1, 36500), 30, "how long their addresses and anonymous names are kept"
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


def load_process() -> Config:
    """Read every setting of this process. Raises BadSetting."""
    return load(os.environ)


def load(environ: Mapping[str, str]) -> Config:
    """Read every setting. Raises BadSetting."""
    known = {f.metadata["name"]: f for f in fields(Config)}
    environ = with_files(environ, (name for name, setting in known.items() if setting.metadata["secret"]))
    unknown = sorted(n for n in environ if n.startswith(PREFIX) and n not in known and not _INJECTED.fullmatch(n))
    if unknown:
        raise BadSetting(f"{unknown[0]}: no such setting")
    values: dict[str, Any] = {}
    for name, setting in known.items():
        raw = environ.get(name, "")
        if raw == "" or (name.endswith("_PORT") and raw.startswith("tcp://")):
            continue  # the second is what Kubernetes injects for a service of this name
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
    names = {"of_url": "MODERATION_DATABASE_URL", "of_password": "MODERATION_DATABASE_PASSWORD"}
    try:
        return replace(config, database_url=with_password(config.database_url, config.database_password, **names))
    except ValueError as problem:
        raise BadSetting(str(problem)) from None


def _check(config: Config) -> None:
    security, nats = config.grpc_security, config.nats_access
    if config.salon_env == "production":
        nats.demand()
        security.demand([config.host])
