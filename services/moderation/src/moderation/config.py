"""The settings of a process: taken from its environment at the start, and refused by name if they are wrong."""

import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any

PREFIX = "MODERATION_"
_INJECTED = re.compile(r".*_SERVICE_HOST|.*_SERVICE_PORT(_.*)?|.*_PORT_\d+_.*")
_DATABASE = re.compile(r"sqlite://.+|(postgres|postgresql|asyncpg)://.+")
_NATS = re.compile(r"(nats|tls)://[^,\s]+(,\s*(nats|tls)://[^,\s]+)*")


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


def _form(pattern: re.Pattern[str], about: str) -> Callable[[str], str]:
    """The text is not shown in the refusal: it may hold a password."""

    def parse(raw: str) -> str:
        if not pattern.fullmatch(raw):
            raise ValueError(f"must be {about}")
        return raw

    return parse


@dataclass(frozen=True, slots=True)
class Config:
    """Every setting of moderation, with its default."""

    host: str = _setting("MODERATION_HOST", _text, "127.0.0.1", "address to listen on")
    port: int = _setting("MODERATION_PORT", _whole(0, 65535), 50052, "port of gRPC; 0: one that is free")
    metrics_port: int = _setting("MODERATION_METRICS_PORT", _whole(0, 65535), 0, "port of /metrics; 0: off")
    database_url: str = _setting(
        "MODERATION_DATABASE_URL",
        _form(_DATABASE, "sqlite://PATH or postgresql://…"),
        "sqlite://.data/moderation.sqlite3",
        "SQLite for one replica, PostgreSQL for more",
    )
    nats_url: str = _setting(
        "NATS_URL", _form(_NATS, "nats://host:port, several separated by commas"), "nats://127.0.0.1:4222", "NATS"
    )
    messages_per_window: int = _setting(
        "MODERATION_MESSAGES_PER_WINDOW", _whole(1, 10**9), 10, "messages of one user in a window"
    )
    window_seconds: int = _setting("MODERATION_WINDOW_SECONDS", _whole(1, 3600), 10, "length of the sliding window")
    messages_per_address: int = _setting(
        "MODERATION_MESSAGES_PER_ADDRESS", _whole(1, 10**9), 100, "messages of all anonymous users of one address"
    )


def load_process() -> Config:
    """Read every setting of this process. Raises BadSetting."""
    return load(os.environ)


def load(environ: Mapping[str, str]) -> Config:
    """Read every setting. Raises BadSetting."""
    known = {f.metadata["name"]: f for f in fields(Config)}
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
    return Config(**values)
