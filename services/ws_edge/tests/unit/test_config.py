"""Settings: every one with values that are taken and values that stop the start, by name and without the value."""

import ipaddress
import os
from operator import attrgetter

import pytest

from chassis.errors import BadSetting
from chassis.settings import declared
from ws_edge.config import DEVELOPMENT_SECRET, Config, load

SECRET = {"JWT_SECRET": "a-secret-of-this-very-test-0123456789"}
TOKEN, OLD_TOKEN = "n" * 32, "o" * 32
IN_COMPANY = {
    "NATS_USER",
    "NATS_PASSWORD",
    "NATS_CREDENTIALS_FILE",
    "NATS_TLS_CA_FILE",
    "SALON_GRPC_TLS_CERT_FILE",
    "SALON_GRPC_TLS_KEY_FILE",
    "SALON_GRPC_TLS_CA_FILE",
    "JWT_PREVIOUS_SECRET",
    "JWT_PREVIOUS_SECRET_UNTIL",
}
"""Of use together, or with files: below, and tests/network tries those of links in all three services."""

GOOD = [
    ("WS_EDGE_HOST", "::1", "host", "::1"),
    ("WS_EDGE_HOST", "localhost", "host", "localhost"),
    ("WS_EDGE_PORT", "0", "port", 0),
    ("WS_EDGE_PORT", "65535", "port", 65535),
    ("WS_EDGE_WORKERS", "4", "workers", 4),
    ("WS_EDGE_ROOMS_ADDRESS", "rooms:50051", "rooms_address", "rooms:50051"),
    ("WS_EDGE_MODERATION_ADDRESSES", "a:1, [::1]:2", "moderation_addresses", ("a:1", "[::1]:2")),
    ("NATS_URL", "nats://user:word@a:4222,b:4223", "nats.url", "nats://user:word@a:4222,b:4223"),
    ("WS_EDGE_STREAM_MAX_BYTES", "1048576", "stream_max_bytes", 1_048_576),
    ("WS_EDGE_STREAM_MAX_BYTES", "0", "stream_max_bytes", 0),
    ("WS_EDGE_STREAM_REPLICAS", "3", "stream_replicas", 3),
    ("SALON_SERVICE_TOKEN", f"{TOKEN}, {OLD_TOKEN}", "grpc.service_token", (TOKEN, OLD_TOKEN)),
    ("JWT_SECRET", SECRET["JWT_SECRET"], "jwt_secret", SECRET["JWT_SECRET"]),
    (
        "WS_EDGE_ALLOWED_ORIGINS",
        "https://a.example, HTTP://b:81",
        "allowed_origins",
        ("https://a.example", "http://b:81"),
    ),
    ("WS_EDGE_LIVE", "0", "has_live", False),
    ("WS_EDGE_COMPRESSION", "1", "has_compression", True),
    ("WS_EDGE_JWT_PUBLIC_KEY", "pem", "jwt_public_key", "pem"),
    ("WS_EDGE_JWT_JWKS_URL", "https://id.example/keys", "jwt_jwks_url", "https://id.example/keys"),
    ("WS_EDGE_JWT_ISSUER", "https://id.example", "jwt_issuer", "https://id.example"),
    ("WS_EDGE_JWT_AUDIENCE", "salon", "jwt_audience", "salon"),
    ("WS_EDGE_JWT_REQUIRE_EXP", "0", "jwt_require_exp", False),
    ("SALON_ENV", "development", "salon_env", "development"),
    ("SALON_DEV_ROLES", "1", "dev_roles", True),
    (
        "WS_EDGE_TRUSTED_PROXIES",
        "10.0.0.0/8, fd00::/8",
        "trusted_proxies",
        (ipaddress.ip_network("10.0.0.0/8"), ipaddress.ip_network("fd00::/8")),
    ),
    ("WS_EDGE_ANONYMOUS_NAMES", "hash", "anonymous_names", "hash"),
    ("WS_EDGE_ANONYMOUS_KEY", "key", "anonymous_key", "key"),
    ("WS_EDGE_RESUME_SECRET", "key", "resume_secret", "key"),
    ("WS_EDGE_CONNECTIONS", "5", "connections", 5),
    ("WS_EDGE_CONNECTIONS_PER_ADDRESS", "5", "connections_per_address", 5),
    ("WS_EDGE_HANDSHAKES_PER_ADDRESS", "5", "handshakes_per_address", 5),
    ("WS_EDGE_GRAPHQL_PER_ADDRESS", "5", "graphql_per_address", 5),
    ("WS_EDGE_FRAMES_PER_WINDOW", "0", "frames_per_window", 0),
    ("WS_EDGE_CROWDED_FLUSH_MS", "250", "crowded_flush_ms", 250),
    ("WS_EDGE_CROWDED_FLUSH_MS", "25", "crowded_flush_ms", 25),
    ("WS_EDGE_CROWDED_FLUSH_MS", "0", "crowded_flush_ms", 0),
    ("WS_EDGE_DRAIN_SECONDS", "0", "drain_seconds", 0),
    ("WS_EDGE_METRICS_PORT", "9100", "metrics_port", 9100),
    ("WS_EDGE_MODERATION_OUTAGE", "reject", "moderation_outage", "reject"),
]

BAD = [
    ("WS_EDGE_HOST", "0.0.0.0"),
    ("WS_EDGE_PORT", "abc"),
    ("WS_EDGE_PORT", "65536"),
    ("WS_EDGE_PORT", "-1"),
    ("WS_EDGE_PORT", "٣"),
    ("WS_EDGE_WORKERS", "0"),
    ("WS_EDGE_WORKERS", "65"),
    ("WS_EDGE_ROOMS_ADDRESS", "rooms"),
    ("WS_EDGE_ROOMS_ADDRESS", "rooms:99999"),
    ("WS_EDGE_ROOMS_ADDRESS", "a:1,b:2"),
    ("WS_EDGE_MODERATION_ADDRESSES", ","),
    ("WS_EDGE_MODERATION_ADDRESSES", "a:1,http://b:2"),
    ("NATS_URL", "nats://"),
    ("NATS_URL", "http://a:4222"),
    ("NATS_URL", "nats://a:port"),
    ("NATS_URL", "a b"),
    ("NATS_URL", "nats://[::1:4222"),
    ("WS_EDGE_STREAM_MAX_BYTES", "1048575"),
    ("WS_EDGE_STREAM_MAX_BYTES", "-1"),
    ("WS_EDGE_STREAM_MAX_BYTES", "512M"),
    ("WS_EDGE_STREAM_REPLICAS", "6"),
    ("NATS_URL", "nowhere"),
    ("NATS_URL", "nats://a:1,nats://b:2/x"),
    ("SALON_SERVICE_TOKEN", "short"),
    ("SALON_SERVICE_TOKEN", f"{TOKEN},"),
    ("SALON_SERVICE_TOKEN", "é" * 32),
    ("SALON_SERVICE_TOKEN", " ".join([TOKEN, OLD_TOKEN])),
    ("WS_EDGE_ALLOWED_ORIGINS", "a.example"),
    ("WS_EDGE_ALLOWED_ORIGINS", "https://a.example/"),
    ("WS_EDGE_ALLOWED_ORIGINS", "*"),
    ("WS_EDGE_LIVE", "no"),
    ("WS_EDGE_COMPRESSION", "deflate"),
    ("JWT_PREVIOUS_SECRET_UNTIL", "tomorrow"),
    ("JWT_PREVIOUS_SECRET_UNTIL", "2026-12-31T00:00:00"),
    ("WS_EDGE_JWT_JWKS_URL", "ftp://id.example"),
    ("WS_EDGE_JWT_JWKS_URL", "https://[::1"),
    ("WS_EDGE_JWT_JWKS_URL", "https://:443/keys"),
    ("WS_EDGE_JWT_REQUIRE_EXP", "yes"),
    ("SALON_ENV", "staging"),
    ("SALON_DEV_ROLES", "true"),
    ("WS_EDGE_TRUSTED_PROXIES", "10.0.0.1/8"),
    ("WS_EDGE_ANONYMOUS_NAMES", "secret"),
    ("WS_EDGE_CONNECTIONS", "-1"),
    ("WS_EDGE_CONNECTIONS_PER_ADDRESS", "many"),
    ("WS_EDGE_HANDSHAKES_PER_ADDRESS", "1.5"),
    ("WS_EDGE_GRAPHQL_PER_ADDRESS", "-1"),
    ("WS_EDGE_GRAPHQL_PER_ADDRESS", "10000000"),
    ("WS_EDGE_FRAMES_PER_WINDOW", "10000000"),
    ("WS_EDGE_CROWDED_FLUSH_MS", "24"),
    ("WS_EDGE_CROWDED_FLUSH_MS", "251"),
    ("WS_EDGE_CROWDED_FLUSH_MS", "00"),
    ("WS_EDGE_CROWDED_FLUSH_MS", "-1"),
    ("WS_EDGE_DRAIN_SECONDS", "3601"),
    ("WS_EDGE_METRICS_PORT", "65536"),
    ("WS_EDGE_MODERATION_OUTAGE", "open"),
]


@pytest.mark.parametrize(("name", "raw", "attribute", "value"), GOOD)
def test_a_good_value_is_taken(name: str, raw: str, attribute: str, value: object) -> None:
    assert attrgetter(attribute)(load({name: raw})) == value


@pytest.mark.parametrize(("name", "raw"), BAD)
def test_a_bad_value_stops_the_start_with_the_name_of_the_setting(name: str, raw: str) -> None:
    with pytest.raises(BadSetting) as refusal:
        load({name: raw})
    named = "JWT_SECRET" if name == "WS_EDGE_HOST" else name
    assert str(refusal.value).startswith(f"{named}: ")
    assert "\n" not in str(refusal.value)


def test_every_setting_has_a_good_value_here() -> None:
    assert {name for name, *_ in GOOD} == {field.metadata["name"] for field in declared(Config)} - IN_COMPANY


def test_what_is_empty_counts_as_not_set() -> None:
    assert load({field.metadata["name"]: "" for field in declared(Config)}) == load({}) == Config()


def test_a_password_in_a_bad_url_is_not_shown() -> None:
    with pytest.raises(BadSetting) as refusal:
        load({"NATS_URL": "nats://user:password@:port"})
    assert "password" not in str(refusal.value)


def test_an_unknown_name_with_the_prefix_stops_the_start_and_others_are_not_ours() -> None:
    with pytest.raises(BadSetting, match=r"^WS_EDGE_PROT: no such setting$"):
        load({"WS_EDGE_PROT": "8000"})
    assert load({"ROOMS_PROT": "8000", "PATH": "/bin"}) == Config()


def test_production_without_a_secret_is_refused() -> None:
    with pytest.raises(BadSetting, match=r"^JWT_SECRET: must be set when SALON_ENV=production$"):
        load({"SALON_ENV": "production"})
    assert load({"SALON_ENV": "production"} | SECRET).salon_env == "production"
    assert load({"SALON_ENV": "production", "WS_EDGE_JWT_PUBLIC_KEY": "pem"}).has_asymmetric_key


def test_the_development_secret_is_known_with_white_space_around_it_too() -> None:
    with pytest.raises(BadSetting, match=r"^JWT_SECRET: must be set when SALON_ENV=production$"):
        load({"SALON_ENV": "production", "JWT_SECRET": f" {DEVELOPMENT_SECRET}\n"})


def test_a_secret_that_is_no_text_is_refused_by_name() -> None:
    with pytest.raises(BadSetting, match=r"^JWT_SECRET: must be UTF-8$"):
        load({"JWT_SECRET": os.fsdecode(b"\xff" * 40)})


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "salon.example"])
def test_the_development_secret_is_refused_on_anything_but_loopback(host: str) -> None:
    with pytest.raises(BadSetting, match=r"^JWT_SECRET: must be set to listen on"):
        load({"WS_EDGE_HOST": host})
    assert load({"WS_EDGE_HOST": host} | SECRET).host == host


EXPOSED = [{"SALON_ENV": "production"}, {"WS_EDGE_HOST": "0.0.0.0"}, {"WS_EDGE_HOST": "salon.example"}]


@pytest.mark.parametrize("where", EXPOSED, ids=repr)
@pytest.mark.parametrize("secret", ["a", "x" * 31, "é" * 15, " " * 40, "x" * 31 + "\n"])
def test_a_secret_below_32_bytes_is_refused_in_production_and_on_anything_but_loopback(
    where: dict[str, str], secret: str
) -> None:
    with pytest.raises(BadSetting, match=r"^JWT_SECRET: must have at least 32 bytes"):
        load(where | {"JWT_SECRET": secret})
    assert load({"JWT_SECRET": secret}).jwt_secret == secret
    assert load(where | {"JWT_SECRET": "é" * 16}).jwt_secret == "é" * 16
    assert load(where | {"JWT_SECRET": secret, "WS_EDGE_JWT_PUBLIC_KEY": "pem"}).has_asymmetric_key


@pytest.mark.parametrize("where", EXPOSED, ids=repr)
@pytest.mark.parametrize(
    "url",
    ["http://id.example/keys", "http://localhost.example/keys", "http://127.0.0.1@id.example/", "HTTP://10.0.0.1"],
)
def test_a_key_set_that_anybody_on_the_way_may_change_is_refused_there_as_well(where: dict[str, str], url: str) -> None:
    with pytest.raises(BadSetting, match=r"^WS_EDGE_JWT_JWKS_URL: must begin with https://"):
        load(where | {"WS_EDGE_JWT_JWKS_URL": url})
    assert load({"WS_EDGE_JWT_JWKS_URL": url}).jwt_jwks_url == url


@pytest.mark.parametrize("where", EXPOSED, ids=repr)
@pytest.mark.parametrize(
    "url", ["https://id.example/k", "http://127.0.0.1:9/k", "http://[::1]/k", "http://localhost/k"]
)
def test_a_key_set_by_https_or_from_this_machine_is_taken_everywhere(where: dict[str, str], url: str) -> None:
    assert load(where | {"WS_EDGE_JWT_JWKS_URL": url}).jwt_jwks_url == url


def test_hashed_names_need_a_key_of_their_own_where_there_is_no_secret() -> None:
    settings = {"WS_EDGE_ANONYMOUS_NAMES": "hash", "WS_EDGE_JWT_PUBLIC_KEY": "pem"}
    with pytest.raises(BadSetting, match=r"^WS_EDGE_ANONYMOUS_KEY: "):
        load(settings)
    assert load(settings | {"WS_EDGE_ANONYMOUS_KEY": "key"}).anonymous_key == "key"


def test_a_key_and_a_key_set_do_not_go_together() -> None:
    with pytest.raises(BadSetting, match=r"^WS_EDGE_JWT_JWKS_URL: not together"):
        load({"WS_EDGE_JWT_PUBLIC_KEY": "pem", "WS_EDGE_JWT_JWKS_URL": "https://id.example"})


def test_a_previous_secret_is_taken_with_its_end() -> None:
    until = "2026-12-31T00:00:00Z"
    config = load({"JWT_PREVIOUS_SECRET": "p" * 32, "JWT_PREVIOUS_SECRET_UNTIL": until})
    assert (config.jwt_previous_secret, config.jwt_previous_until) == ("p" * 32, until)
    assert "p" * 32 not in repr(config)


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"JWT_PREVIOUS_SECRET": "p" * 32}, "JWT_PREVIOUS_SECRET_UNTIL"),
        ({"JWT_PREVIOUS_SECRET_UNTIL": "2026-12-31T00:00:00Z"}, "JWT_PREVIOUS_SECRET_UNTIL"),
        ({"JWT_PREVIOUS_SECRET": "p" * 31, "JWT_PREVIOUS_SECRET_UNTIL": "2026-12-31T00:00:00Z"}, "JWT_PREVIOUS_SECRET"),
        (
            {"JWT_PREVIOUS_SECRET": DEVELOPMENT_SECRET, "JWT_PREVIOUS_SECRET_UNTIL": "2026-12-31T00:00:00Z"},
            "JWT_PREVIOUS_SECRET",
        ),
        (
            {
                "JWT_PREVIOUS_SECRET": "p" * 32,
                "JWT_PREVIOUS_SECRET_UNTIL": "2026-12-31T00:00:00Z",
                "WS_EDGE_JWT_PUBLIC_KEY": "pem",
            },
            "JWT_PREVIOUS_SECRET",
        ),
    ],
)
def test_a_rotation_of_secrets_that_is_half_set_or_weak_is_refused(settings: dict[str, str], named: str) -> None:
    with pytest.raises(BadSetting, match=rf"^{named}: "):
        load(SECRET | {"WS_EDGE_HOST": "0.0.0.0"} | settings)


def test_a_short_resume_secret_is_refused_where_others_may_connect() -> None:
    production = SECRET | {"WS_EDGE_HOST": "0.0.0.0"}
    with pytest.raises(BadSetting, match=r"^WS_EDGE_RESUME_SECRET: must have at least 32 bytes"):
        load(production | {"WS_EDGE_RESUME_SECRET": "r" * 31 + " "})
    assert load(production | {"WS_EDGE_RESUME_SECRET": "r" * 32}).resume_secret == "r" * 32
