"""The settings of a process: taken from its environment at the start, and refused by name if they are wrong."""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from chassis.database_url import database_url, with_password
from chassis.grpc_security import GrpcSettings
from chassis.nats_connection import NatsSettings
from chassis.settings import choice, flag, group, load as load_settings, secret, setting, text, whole
from moderation.domain.policy import RANGES, Links, Policy, ReadOnly, is_allowed

PREFIX = "MODERATION_"
_WORDS: Mapping[str, Mapping[str, Any]] = {
    "read_only": {value.name.lower(): value for value in ReadOnly},
    "links": {"allow": Links.ALLOW, "hold": Links.HOLD, "refuse": Links.REFUSE},
}
_YES_OR_NO = ("members_only", "emote_only", "unique")


def preset_of(raw: str) -> Policy:
    """A policy from some of its fields, as JSON in the words of frames; the others ask for nothing. Raises
    ValueError."""
    values = json.loads(raw)
    if not isinstance(values, dict) or not values:
        raise ValueError("no fields")
    return Policy(**{name: _field_of_preset(name, value) for name, value in values.items()})


def _field_of_preset(name: str, value: Any) -> Any:
    if name in _WORDS and isinstance(value, str) and value in _WORDS[name]:
        return _WORDS[name][value]
    if name in RANGES and type(value) is int and is_allowed(name, value):
        return value
    if name in _YES_OR_NO and isinstance(value, bool):
        return value
    raise ValueError(name)


def _preset(raw: str) -> str:
    try:
        preset_of(raw)
    except ValueError:
        raise ValueError('must be a JSON object of fields of the policy, such as {"slow_mode_seconds": 30}') from None
    return raw


@dataclass(frozen=True, slots=True)
class Config:
    """Every setting of moderation, with its default."""

    host: str = setting("MODERATION_HOST", text, "127.0.0.1", "address to listen on")
    port: int = setting("MODERATION_PORT", whole(0, 65535), 50052, "port of gRPC; 0: one that is free")
    metrics_port: int = setting("MODERATION_METRICS_PORT", whole(0, 65535), 0, "port of /metrics; 0: off")
    database_url: str = secret(
        "MODERATION_DATABASE_URL",
        database_url,
        "sqlite://.data/moderation.sqlite3",
        "SQLite for one replica, PostgreSQL for more",
    )
    database_password: str = secret(
        "MODERATION_DATABASE_PASSWORD", text, "", "password apart from the URL, with any characters"
    )
    nats: NatsSettings = group(NatsSettings)
    grpc: GrpcSettings = group(GrpcSettings)
    salon_env: Literal["development", "production"] = setting(
        "SALON_ENV", choice("development", "production"), "development", "production refuses to be open to everybody"
    )
    messages_per_window: int = setting(
        "MODERATION_MESSAGES_PER_WINDOW", whole(1, 10**9), 10, "messages of one user in a window"
    )
    window_seconds: int = setting("MODERATION_WINDOW_SECONDS", whole(1, 3600), 10, "length of the sliding window")
    messages_per_address: int = setting(
        "MODERATION_MESSAGES_PER_ADDRESS", whole(1, 10**9), 100, "messages of all anonymous users of one address"
    )
    rules_outage: Literal["allow", "refuse"] = setting(
        "MODERATION_RULES_OUTAGE",
        choice("allow", "refuse"),
        "allow",
        "what becomes of messages that a rule would have to see while none can; edges go by it as well",
    )
    classifier_private: bool = setting(
        "MODERATION_CLASSIFIER_PRIVATE",
        flag,
        False,
        "1: the classifiers of rules may be at any address, and without TLS; else at public ones alone",
    )
    shield_preset: str = setting(
        "MODERATION_SHIELD_PRESET",
        _preset,
        '{"read_only": "anonymous", "slow_mode_seconds": 30, "links": "refuse", "min_account_minutes": 1440}',
        "what a shield asks for: fields of the policy, as JSON",
    )
    audit_days: int = setting(
        "MODERATION_AUDIT_DAYS", whole(1, 36500), 90, "how long actions, and sanctions that ended, are kept"
    )
    evidence_days: int = setting(
        "MODERATION_EVIDENCE_DAYS",
        whole(1, 36500),
        30,
        "how long their addresses and anonymous names, and what rules hit, are kept, and pins last",
    )
    token_life_days: int = setting(
        "MODERATION_TOKEN_LIFE_DAYS",
        whole(1, 3650),
        365,
        "how long any token lives at most: a token stays revoked so long",
    )


def load_process() -> Config:
    """Read every setting of this process. Raises BadSetting."""
    return load(os.environ)


def load(environ: Mapping[str, str]) -> Config:
    """Read every setting. Raises BadSetting."""
    config = load_settings(Config, environ, prefix=PREFIX)
    if config.database_password:
        url = with_password(config.database_url, config.database_password, prefix=PREFIX)
        config = replace(config, database_url=url)
    _check(config)
    return config


def _check(config: Config) -> None:
    security, nats = config.grpc.security, config.nats.access
    if config.salon_env == "production":
        nats.demand()
        security.demand([config.host])
