"""The settings of a process: taken from its environment at the start, and refused by name if they are wrong."""

import ipaddress
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Literal
from urllib.parse import urlsplit

from chassis.errors import BadSetting
from chassis.grpc_security import GrpcSettings
from chassis.nats_connection import NatsSettings
from chassis.settings import (
    address,
    addresses,
    choice,
    flag,
    group,
    host_of,
    is_loopback,
    load as load_settings,
    secret,
    setting,
    text,
    whole,
)
from ws_edge.protocol.address import Network, is_safe_url

PREFIX = "WS_EDGE_"
SHORTEST_SECRET_BYTES = 32
"""Of HS256: RFC 7518 section 3.2."""
DEVELOPMENT_SECRET = "salon-development-secret-not-for-production"  # noqa: S105 - refused outside of loopback
MIN_STREAM_BYTES = 1024 * 1024


def _jwt_secret(raw: str) -> str:
    try:
        raw.encode()
    except UnicodeEncodeError:
        raise ValueError("must be UTF-8") from None
    return raw


def _moment(raw: str) -> str:
    try:
        has_offset = datetime.fromisoformat(raw).tzinfo is not None
    except ValueError:
        has_offset = False
    if not has_offset:
        raise ValueError("must be a date and time with its offset, as 2026-12-31T00:00:00Z")
    return raw


def _origins(raw: str) -> tuple[str, ...]:
    found = tuple(part.strip().lower() for part in raw.split(",") if part.strip())
    if not all(re.fullmatch(r"[a-z][a-z0-9+.-]*://[^/\s?#@]+", origin) for origin in found):
        raise ValueError("must be origins such as https://example.org, without a path, several separated by commas")
    return found


def _stream_bytes(raw: str) -> int:
    if not re.fullmatch(r"[0-9]{1,15}", raw, re.ASCII) or 0 < int(raw) < MIN_STREAM_BYTES:
        raise ValueError(f"must be 0 or a whole number from {MIN_STREAM_BYTES}")
    return int(raw)


def _flush_ms(raw: str) -> int:
    if not re.fullmatch(r"[0-9]{1,3}", raw, re.ASCII) or (raw != "0" and not 25 <= int(raw) <= 250):
        raise ValueError("must be 0 or a whole number from 25 to 250")
    return int(raw)


def _http_url(raw: str) -> str:
    try:
        is_usable = bool(urlsplit(raw).hostname) and re.fullmatch(r"https?://\S+", raw, re.IGNORECASE)
    except ValueError:
        is_usable = False
    if not is_usable:
        raise ValueError("must begin with https:// or http://, followed by a host")
    return raw


def _networks(raw: str) -> tuple[Network, ...]:
    try:
        return tuple(ipaddress.ip_network(part.strip()) for part in raw.split(",") if part.strip())
    except ValueError:
        raise ValueError("must be networks such as 10.0.0.0/8, separated by commas") from None


@dataclass(frozen=True, slots=True)
class Config:
    """Every setting of the edge, with its default."""

    host: str = setting("WS_EDGE_HOST", text, "127.0.0.1", "address to listen on")
    port: int = setting("WS_EDGE_PORT", whole(0, 65535), 8000, "port to listen on; 0: one that is free")
    workers: int = setting("WS_EDGE_WORKERS", whole(1, 64), 1, "processes that share the port")
    rooms_address: str = setting("WS_EDGE_ROOMS_ADDRESS", address, "127.0.0.1:50051", "gRPC of the rooms service")
    moderation_addresses: tuple[str, ...] = setting(
        "WS_EDGE_MODERATION_ADDRESSES",
        addresses,
        ("127.0.0.1:50052",),
        "gRPC of every moderation replica, the same text on every edge",
    )
    nats: NatsSettings = group(NatsSettings)
    stream_max_bytes: int = setting(
        "WS_EDGE_STREAM_MAX_BYTES",
        _stream_bytes,
        0,
        "bytes that each partition's stream reserves, the oldest go first; 0: what it has, else 512 MiB",
    )
    stream_replicas: int = setting(
        "WS_EDGE_STREAM_REPLICAS",
        whole(0, 5),
        0,
        "NATS servers with a copy of the stored messages, 3 of a cluster; 0: as many as the stream has, else 1",
    )
    grpc: GrpcSettings = group(GrpcSettings)
    jwt_secret: str = secret("JWT_SECRET", _jwt_secret, DEVELOPMENT_SECRET, "HS256 secret of tokens")
    jwt_previous_secret: str = secret(
        "JWT_PREVIOUS_SECRET", _jwt_secret, "", "another secret that tokens may be signed with, while it is changed"
    )
    jwt_previous_until: str = setting("JWT_PREVIOUS_SECRET_UNTIL", _moment, "", "until when, as 2026-12-31T00:00:00Z")
    jwt_public_key: str = secret("WS_EDGE_JWT_PUBLIC_KEY", text, "", "PEM public key instead of the secret")
    jwt_jwks_url: str = setting("WS_EDGE_JWT_JWKS_URL", _http_url, "", "URL of a key set instead of the secret")
    jwt_issuer: str = setting("WS_EDGE_JWT_ISSUER", text, "", "required `iss`; empty: not checked")
    jwt_audience: str = setting("WS_EDGE_JWT_AUDIENCE", text, "", "required `aud`; empty: not checked")
    jwt_require_exp: bool = setting("WS_EDGE_JWT_REQUIRE_EXP", flag, True, "refuse tokens without `exp`")
    salon_env: Literal["development", "production"] = setting(
        "SALON_ENV", choice("development", "production"), "development", "production refuses development defaults"
    )
    dev_roles: bool = setting("SALON_DEV_ROLES", flag, False, "`POST /dev/token` gives any role")
    metrics_port: int = setting(
        "WS_EDGE_METRICS_PORT", whole(0, 65535), 0, "port of `/metrics` alone; 0: `/metrics` is on the main port"
    )
    trusted_proxies: tuple[Network, ...] = setting(
        "WS_EDGE_TRUSTED_PROXIES", _networks, (), "networks whose X-Forwarded-For is believed"
    )
    allowed_origins: tuple[str, ...] = setting(
        "WS_EDGE_ALLOWED_ORIGINS",
        _origins,
        (),
        "origins of pages that may open a WebSocket, and read GraphQL and statistics, several separated by commas; "
        "empty: any page may open a WebSocket, no other site's may read",
    )
    has_live: bool = setting("WS_EDGE_LIVE", flag, True, "0: no `/live/ws`")
    has_compression: bool = setting(
        "WS_EDGE_COMPRESSION", flag, False, "1: permessage-deflate with clients that offer it"
    )
    anonymous_names: Literal["plain", "hash"] = setting(
        "WS_EDGE_ANONYMOUS_NAMES", choice("plain", "hash"), "plain", "`hash` hides addresses in anonymous names"
    )
    anonymous_key: str = secret(
        "WS_EDGE_ANONYMOUS_KEY", text, "", "key of the hash, the same on every edge; JWT_SECRET by default"
    )
    resume_secret: str = secret(
        "WS_EDGE_RESUME_SECRET",
        text,
        "",
        "signs what anonymous participants come back with, the same on every edge; derived from JWT_SECRET by default, "
        "without both nobody does",
    )
    connections: int = setting("WS_EDGE_CONNECTIONS", whole(0, 10**6), 0, "open connections of a worker; 0: no limit")
    connections_per_address: int = setting(
        "WS_EDGE_CONNECTIONS_PER_ADDRESS", whole(0, 10**6), 0, "open connections of one address a worker; 0: no limit"
    )
    handshakes_per_address: int = setting(
        "WS_EDGE_HANDSHAKES_PER_ADDRESS", whole(0, 10**6), 0, "handshakes a second of one address; 0: no limit"
    )
    graphql_per_address: int = setting(
        "WS_EDGE_GRAPHQL_PER_ADDRESS", whole(0, 10**6), 100, "GraphQL requests a second of one address; 0: no limit"
    )
    frames_per_window: int = setting(
        "WS_EDGE_FRAMES_PER_WINDOW", whole(0, 10**6), 500, "frames of one connection in 10 s; 0: no limit"
    )
    crowded_flush_ms: int = setting(
        "WS_EDGE_CROWDED_FLUSH_MS",
        _flush_ms,
        150,
        "for how many milliseconds, 25 to 250, writes to the 10,000 members of a room are gathered, in smaller crowded "
        "rooms in proportion, at least 25; 0: not at all",
    )
    drain_seconds: int = setting(
        "WS_EDGE_DRAIN_SECONDS", whole(0, 3600), 5, "over how long SIGTERM spreads the closing of clients"
    )
    moderation_outage: Literal["local", "reject"] = setting(
        "WS_EDGE_MODERATION_OUTAGE", choice("local", "reject"), "local", "messages while moderation is away"
    )

    @property
    def has_development_secret(self) -> bool:
        """Tokens are signed with the secret that everybody knows."""
        return not self.has_asymmetric_key and self.jwt_secret.strip() == DEVELOPMENT_SECRET

    @property
    def has_asymmetric_key(self) -> bool:
        """Tokens are verified by a public key or a key set; no secret is known here."""
        return bool(self.jwt_public_key or self.jwt_jwks_url)

    @property
    def is_loopback(self) -> bool:
        """Only this machine can connect."""
        return is_loopback(self.host)

    @property
    def is_exposed(self) -> bool:
        """Others than the developer may connect: defaults for development are refused."""
        return self.salon_env == "production" or not self.is_loopback


def load(environ: Mapping[str, str]) -> Config:
    """Read every setting. Raises BadSetting."""
    config = load_settings(Config, environ, prefix=PREFIX)
    _demand_consistency(config)
    return config


def _demand_consistency(config: Config) -> None:
    if config.has_development_secret and config.salon_env == "production":
        raise BadSetting("JWT_SECRET: must be set when SALON_ENV=production")
    if config.has_development_secret and not config.is_loopback:
        raise BadSetting(f"JWT_SECRET: must be set to listen on {config.host}")
    is_short = len(config.jwt_secret.strip().encode()) < SHORTEST_SECRET_BYTES
    if config.is_exposed and not config.has_asymmetric_key and is_short:
        raise BadSetting(
            f"JWT_SECRET: must have at least {SHORTEST_SECRET_BYTES} bytes, white space around them apart, in "
            "production and to listen on anything but the loopback"
        )
    if config.is_exposed and config.jwt_jwks_url and not is_safe_url(config.jwt_jwks_url):
        raise BadSetting(
            "WS_EDGE_JWT_JWKS_URL: must begin with https://, or name the loopback, in production and to listen on "
            "anything but the loopback"
        )
    if config.is_exposed and 0 < len(config.resume_secret.strip().encode()) < SHORTEST_SECRET_BYTES:
        raise BadSetting(
            f"WS_EDGE_RESUME_SECRET: must have at least {SHORTEST_SECRET_BYTES} bytes, white space around them apart, "
            "in production and to listen on anything but the loopback"
        )
    _demand_whole_rotation(config)
    if config.jwt_public_key and config.jwt_jwks_url:
        raise BadSetting("WS_EDGE_JWT_JWKS_URL: not together with WS_EDGE_JWT_PUBLIC_KEY")
    if config.anonymous_names == "hash" and not config.anonymous_key and config.has_asymmetric_key:
        raise BadSetting("WS_EDGE_ANONYMOUS_KEY: must be set for WS_EDGE_ANONYMOUS_NAMES=hash without JWT_SECRET")
    _demand_secured_peers(config)


def _demand_whole_rotation(config: Config) -> None:
    if bool(config.jwt_previous_secret) != bool(config.jwt_previous_until):
        raise BadSetting("JWT_PREVIOUS_SECRET_UNTIL: must be set together with JWT_PREVIOUS_SECRET")
    if not config.jwt_previous_secret:
        return
    if config.has_asymmetric_key:
        raise BadSetting("JWT_PREVIOUS_SECRET: not together with WS_EDGE_JWT_PUBLIC_KEY or WS_EDGE_JWT_JWKS_URL")
    if config.is_exposed and len(config.jwt_previous_secret.strip().encode()) < SHORTEST_SECRET_BYTES:
        raise BadSetting(
            f"JWT_PREVIOUS_SECRET: must have at least {SHORTEST_SECRET_BYTES} bytes, white space around them apart, in "
            "production and to listen on anything but the loopback"
        )
    if config.is_exposed and config.jwt_previous_secret.strip() == DEVELOPMENT_SECRET:
        raise BadSetting("JWT_PREVIOUS_SECRET: must not be the development secret")


def _demand_secured_peers(config: Config) -> None:
    security, nats = config.grpc.security, config.nats.access
    if config.salon_env == "production":
        nats.demand()
        security.demand(host_of(each) for each in (config.rooms_address, *config.moderation_addresses))
