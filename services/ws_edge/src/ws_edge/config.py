"""The settings of a process: taken from its environment at the start, and refused by name if they are wrong."""

import ipaddress
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Literal
from urllib.parse import urlsplit

from ws_edge.peers import (
    BadSetting as BadSetting,
    GrpcSecurity,
    NatsAccess,
    grpc_security,
    is_loopback,
    nats_access,
    nats_url,
    service_tokens,
    with_files,
)
from ws_edge.protocol.address import is_safe_url

PREFIX = "WS_EDGE_"
SHORTEST_SECRET_BYTES = 32
"""Of HS256: RFC 7518 section 3.2."""
DEVELOPMENT_SECRET = "salon-development-secret-not-for-production"  # noqa: S105 - refused outside of loopback
MIN_STREAM_BYTES = 1024 * 1024
_INJECTED = re.compile(r".*_SERVICE_HOST|.*_SERVICE_PORT(_.*)?|.*_PORT_\d+_.*")

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


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


def _jwt_secret(raw: str) -> str:
    try:
        raw.encode()
    except UnicodeEncodeError:
        raise ValueError("must be UTF-8") from None
    return raw


def _stream_bytes(raw: str) -> int:
    if not re.fullmatch(r"[0-9]{1,15}", raw, re.ASCII) or 0 < int(raw) < MIN_STREAM_BYTES:
        raise ValueError(f"must be 0 or a whole number from {MIN_STREAM_BYTES}")
    return int(raw)


def _choice(*words: str) -> Callable[[str], str]:
    def parse(raw: str) -> str:
        if raw not in words:
            raise ValueError(f"must be one of {', '.join(words)}")
        return raw

    return parse


def _flag(raw: str) -> bool:
    return _choice("0", "1")(raw) == "1"


def _addresses(raw: str) -> tuple[str, ...]:
    found = tuple(part.strip() for part in raw.split(",") if part.strip())
    if not found or not all(_is_address(part) for part in found):
        raise ValueError("must be host:port, several separated by commas")
    return found


def _is_address(text: str) -> bool:
    host, _, port = text.rpartition(":")
    return bool(
        re.fullmatch(r"[^\s/]+", host) and re.fullmatch(r"[0-9]{1,5}", port, re.ASCII) and 0 < int(port) < 65536
    )


def _http_url(raw: str) -> str:
    try:
        is_usable = bool(urlsplit(raw).hostname) and re.fullmatch(r"https?://\S+", raw, re.IGNORECASE)
    except ValueError:
        is_usable = False
    if not is_usable:
        raise ValueError("must begin with https:// or http://, followed by a host")
    return raw


def _address(raw: str) -> str:
    found = _addresses(raw)
    if len(found) != 1:
        raise ValueError("must be one host:port")
    return found[0]


def _networks(raw: str) -> tuple[Network, ...]:
    try:
        return tuple(ipaddress.ip_network(part.strip()) for part in raw.split(",") if part.strip())
    except ValueError:
        raise ValueError("must be networks such as 10.0.0.0/8, separated by commas") from None


@dataclass(frozen=True, slots=True)
class Config:
    """Every setting of the edge, with its default."""

    host: str = _setting("WS_EDGE_HOST", _text, "127.0.0.1", "address to listen on")
    port: int = _setting("WS_EDGE_PORT", _whole(0, 65535), 8000, "port to listen on; 0: one that is free")
    workers: int = _setting("WS_EDGE_WORKERS", _whole(1, 64), 1, "processes that share the port")
    rooms_address: str = _setting("WS_EDGE_ROOMS_ADDRESS", _address, "127.0.0.1:50051", "gRPC of the rooms service")
    moderation_addresses: tuple[str, ...] = _setting(
        "WS_EDGE_MODERATION_ADDRESSES",
        _addresses,
        ("127.0.0.1:50052",),
        "gRPC of every moderation replica, the same text on every edge",
    )
    nats_url: str = _setting(
        "NATS_URL", nats_url, "nats://127.0.0.1:4222", "the NATS servers, several separated by commas"
    )
    stream_max_bytes: int = _setting(
        "WS_EDGE_STREAM_MAX_BYTES",
        _stream_bytes,
        0,
        "bytes of stored messages, the oldest go first; 0: what the stream has, else 512 MiB",
    )
    stream_replicas: int = _setting(
        "WS_EDGE_STREAM_REPLICAS",
        _whole(0, 5),
        0,
        "NATS servers with a copy of the stored messages, 3 of a cluster; 0: as many as the stream has, else 1",
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
    jwt_secret: str = _secret("JWT_SECRET", _jwt_secret, DEVELOPMENT_SECRET, "HS256 secret of tokens")
    jwt_public_key: str = _secret("WS_EDGE_JWT_PUBLIC_KEY", _text, "", "PEM public key instead of the secret")
    jwt_jwks_url: str = _setting("WS_EDGE_JWT_JWKS_URL", _http_url, "", "URL of a key set instead of the secret")
    jwt_issuer: str = _setting("WS_EDGE_JWT_ISSUER", _text, "", "required `iss`; empty: not checked")
    jwt_audience: str = _setting("WS_EDGE_JWT_AUDIENCE", _text, "", "required `aud`; empty: not checked")
    jwt_require_exp: bool = _setting("WS_EDGE_JWT_REQUIRE_EXP", _flag, True, "refuse tokens without `exp`")
    salon_env: Literal["development", "production"] = _setting(
        "SALON_ENV", _choice("development", "production"), "development", "production refuses development defaults"
    )
    dev_roles: bool = _setting("SALON_DEV_ROLES", _flag, False, "`POST /dev/token` gives any role")
    metrics_port: int = _setting(
        "WS_EDGE_METRICS_PORT", _whole(0, 65535), 0, "port of `/metrics` alone; 0: `/metrics` is on the main port"
    )
    trusted_proxies: tuple[Network, ...] = _setting(
        "WS_EDGE_TRUSTED_PROXIES", _networks, (), "networks whose X-Forwarded-For is believed"
    )
    anonymous_names: Literal["plain", "hash"] = _setting(
        "WS_EDGE_ANONYMOUS_NAMES", _choice("plain", "hash"), "plain", "`hash` hides addresses in anonymous names"
    )
    anonymous_key: str = _secret(
        "WS_EDGE_ANONYMOUS_KEY", _text, "", "key of the hash, the same on every edge; JWT_SECRET by default"
    )
    connections_per_address: int = _setting(
        "WS_EDGE_CONNECTIONS_PER_ADDRESS", _whole(0, 10**6), 0, "open connections of one address a worker; 0: no limit"
    )
    handshakes_per_address: int = _setting(
        "WS_EDGE_HANDSHAKES_PER_ADDRESS", _whole(0, 10**6), 0, "handshakes a second of one address; 0: no limit"
    )
    graphql_per_address: int = _setting(
        "WS_EDGE_GRAPHQL_PER_ADDRESS", _whole(0, 10**6), 100, "GraphQL requests a second of one address; 0: no limit"
    )
    frames_per_window: int = _setting(
        "WS_EDGE_FRAMES_PER_WINDOW", _whole(0, 10**6), 500, "frames of one connection in 10 s; 0: no limit"
    )
    drain_seconds: int = _setting(
        "WS_EDGE_DRAIN_SECONDS", _whole(0, 3600), 5, "over how long SIGTERM spreads the closing of clients"
    )
    moderation_outage: Literal["local", "reject"] = _setting(
        "WS_EDGE_MODERATION_OUTAGE", _choice("local", "reject"), "local", "messages while moderation is away"
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
        """Others than the developer may connect, so that what is comfortable for development is refused."""
        return self.salon_env == "production" or not self.is_loopback

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
    config = Config(**values)
    _check(config)
    return config


def _check(config: Config) -> None:
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
    if config.jwt_public_key and config.jwt_jwks_url:
        raise BadSetting("WS_EDGE_JWT_JWKS_URL: not together with WS_EDGE_JWT_PUBLIC_KEY")
    if config.anonymous_names == "hash" and not config.anonymous_key and config.has_asymmetric_key:
        raise BadSetting("WS_EDGE_ANONYMOUS_KEY: must be set for WS_EDGE_ANONYMOUS_NAMES=hash without JWT_SECRET")
    _check_peers(config)


def _check_peers(config: Config) -> None:
    security, nats = config.grpc_security, config.nats_access
    if config.salon_env == "production":
        nats.demand()
        security.demand(a.rpartition(":")[0] for a in (config.rooms_address, *config.moderation_addresses))
