"""The settings of a process: taken from its environment at the start, and refused by name if they are wrong."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Literal

PREFIX = "ROOMS_"
_INJECTED = re.compile(r".*_SERVICE_HOST|.*_SERVICE_PORT(_.*)?|.*_PORT_\d+_.*")
_DATABASE = re.compile(r"(sqlite://(?!:memory:)|postgres://|postgresql://|asyncpg://).+")


class BadSetting(Exception):
    """A setting that cannot be used; the text begins with its name."""


def _setting(name: str, parse: Callable[[str], Any], default: Any, about: str) -> Any:
    return field(default=default, metadata={"name": name, "parse": parse, "about": about})


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
    if not _DATABASE.fullmatch(raw):
        raise ValueError("must be sqlite://PATH or postgres://USER:PASSWORD@HOST:PORT/NAME")
    return re.sub(r"^postgresql://", "postgres://", raw)


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
    database_url: str = _setting(
        "ROOMS_DATABASE_URL", _database, "sqlite://.data/rooms.sqlite3", "SQLite for one replica, PostgreSQL for more"
    )
    nats_url: str = _setting("NATS_URL", _text, "nats://127.0.0.1:4222", "the NATS server or servers")
    moderation_addresses: tuple[str, ...] = _setting(
        "ROOMS_MODERATION_ADDRESSES", _addresses, ("127.0.0.1:50052",), "gRPC of every moderation replica"
    )
    auto_create: Literal["any", "slugs", "never"] = _setting(
        "ROOMS_AUTO_CREATE", _choice("any", "slugs", "never"), "any", "for which unknown references a room is made"
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
    lease_seconds: int = _setting("ROOMS_LEASE_SECONDS", _whole(1, 3600), 10, "how long a silent edge is believed")


def load(environ: Mapping[str, str]) -> Config:
    """Read every setting. Raises BadSetting."""
    known = {f.metadata["name"]: f for f in fields(Config)}
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
    return Config(**values)


def _is_injected(name: str, raw: str) -> bool:
    """What Kubernetes puts into the environment for its own services."""
    return _INJECTED.fullmatch(name) is not None or (name.endswith("_PORT") and raw.startswith("tcp://"))
