"""The settings of a process: taken from its environment at the start, and refused by name if they are wrong."""

import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

from chassis.database_url import database_url, with_password
from chassis.grpc_security import GrpcSettings
from chassis.nats_connection import NatsSettings
from chassis.settings import (
    addresses,
    choice,
    flag,
    group,
    host_of,
    load as load_settings,
    secret,
    setting,
    text,
    whole,
)
from rooms.domain.log_position import PARTITIONS
from rooms.domain.naming import is_well_formed

PREFIX = "ROOMS_"


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

    host: str = setting("ROOMS_HOST", text, "127.0.0.1", "address to listen on")
    port: int = setting("ROOMS_PORT", whole(0, 65535), 50051, "port of gRPC")
    metrics_port: int = setting("ROOMS_METRICS_PORT", whole(0, 65535), 0, "port of Prometheus metrics; 0: none")
    database_url: str = secret(
        "ROOMS_DATABASE_URL",
        database_url,
        "sqlite://.data/rooms.sqlite3",
        "SQLite for one replica, PostgreSQL for more",
    )
    database_password: str = secret(
        "ROOMS_DATABASE_PASSWORD", text, "", "password apart from the URL, with any characters"
    )
    nats: NatsSettings = group(NatsSettings)
    grpc: GrpcSettings = group(GrpcSettings)
    salon_env: Literal["development", "production"] = setting(
        "SALON_ENV", choice("development", "production"), "development", "production refuses to be open to everybody"
    )
    moderation_addresses: tuple[str, ...] = setting(
        "ROOMS_MODERATION_ADDRESSES", addresses, ("127.0.0.1:50052",), "gRPC of every moderation replica"
    )
    auto_create: Literal["any", "slugs", "never"] = setting(
        "ROOMS_AUTO_CREATE", choice("any", "slugs", "never"), "any", "for which unknown references a room is made"
    )
    create: Literal["signed_in", "admin"] = setting(
        "ROOMS_CREATE", choice("signed_in", "admin"), "signed_in", "who may call createChatRoom"
    )
    has_owner_rights: bool = setting(
        "ROOMS_OWNER_RIGHTS",
        flag,
        True,
        "who made a room by createChatRoom may ban, change the policy and give roles in it; 0: what moderators may",
    )
    reserved_slugs: tuple[str, ...] = setting(
        "ROOMS_RESERVED_SLUGS",
        _patterns,
        (),
        "slugs that createChatRoom refuses to all but admins, `*` for any characters, several separated by commas",
    )
    empty_grace_seconds: int = setting(
        "ROOMS_EMPTY_GRACE_SECONDS", whole(0, 86400), 0, "how long an empty room is kept"
    )
    presence_broadcast_limit: int = setting(
        "ROOMS_PRESENCE_BROADCAST_LIMIT", whole(0, 10**6), 500, "connections above which joins are only counted"
    )
    log_partitions: int = setting(
        "ROOMS_LOG_PARTITIONS",
        whole(1, PARTITIONS),
        1,
        "partitions of the log for new lives, each a stream that reserves its bytes; lives keep theirs",
    )
    video_catalog_url: str = setting(
        "ROOMS_VIDEO_CATALOG_URL", _template, "", "https://…/videos/{video_id}; empty: the service's own catalogue"
    )
    graphql_connections: int = setting(
        "ROOMS_GRAPHQL_CONNECTIONS", whole(1, 9), 3, "how many of the 10 connections to PostgreSQL GraphQL may take"
    )
    lease_seconds: int = setting("ROOMS_LEASE_SECONDS", whole(1, 3600), 10, "how long a silent edge is believed")
    connection_age_seconds: int = setting(
        "ROOMS_CONNECTION_AGE_SECONDS",
        whole(1, 86_400),
        300,
        "when a connection is closed, so that its edge finds replicas that came since",
    )


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
        security.demand((config.host, *map(host_of, config.moderation_addresses)))
