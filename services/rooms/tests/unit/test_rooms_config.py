"""Settings are read once; an unknown or bad one stops the start with its name."""

import pytest

from chassis.errors import BadSetting
from rooms.config import Config, load


def test_every_setting_has_its_default() -> None:
    config = load({})
    assert config == Config()
    assert (config.host, config.port, config.database_url) == ("127.0.0.1", 50051, "sqlite://.data/rooms.sqlite3")
    assert (config.auto_create, config.empty_grace_seconds, config.presence_broadcast_limit) == ("any", 0, 500)


def test_settings_come_from_the_environment() -> None:
    config = load({
        "ROOMS_PORT": "1", "ROOMS_MODERATION_ADDRESSES": "a:1, b:2", "ROOMS_DATABASE_URL": "postgresql://u@h/d",
        "ROOMS_VIDEO_CATALOG_URL": "https://example.org/videos/{video_id}", "PATH": "/bin",
    })  # fmt: skip
    assert (config.port, config.moderation_addresses) == (1, ("a:1", "b:2"))
    assert config.database_url == "postgres://u@h/d"


def test_reserved_slugs_are_patterns() -> None:
    assert load({"ROOMS_RESERVED_SLUGS": "staff, official-*,*.bot,*"}).reserved_slugs == (
        "staff", "official-*", "*.bot", "*",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("name", "value"),
    [("ROOMS_PORT", "abc"), ("ROOMS_PORT", "65536"), ("ROOMS_PORT", "-1"), ("ROOMS_LEASE_SECONDS", "0"),
     ("ROOMS_CONNECTION_AGE_SECONDS", "0"),
     ("ROOMS_DATABASE_URL", "mysql://x/y"), ("ROOMS_DATABASE_URL", "sqlite://:memory:"), ("ROOMS_VIDEO_CATALOG_URL", "https://example.org/videos"),
     ("ROOMS_MODERATION_ADDRESSES", "nowhere"), ("ROOMS_AUTO_CREATE", "Any"), ("ROOMS_X", "1"),
     ("ROOMS_GRAPHQL_CONNECTIONS", "10"), ("ROOMS_GRAPHQL_CONNECTIONS", "0"),
     ("ROOMS_LOG_PARTITIONS", "0"), ("ROOMS_LOG_PARTITIONS", "257"),
     ("ROOMS_CREATE", "all"), ("ROOMS_RESERVED_SLUGS", "staff,a b")],
)  # fmt: skip
def test_a_bad_or_unknown_setting_is_named(name: str, value: str) -> None:
    with pytest.raises(BadSetting, match=rf"^{name}: "):
        load({name: value})


def test_names_that_kubernetes_injects_are_ignored() -> None:
    injected = {
        "ROOMS_SERVICE_HOST": "10.0.0.1", "ROOMS_SERVICE_PORT": "50051", "ROOMS_SERVICE_PORT_GRPC": "50051",
        "ROOMS_PORT": "tcp://10.0.0.1:50051", "ROOMS_PORT_50051_TCP_ADDR": "10.0.0.1",
    }  # fmt: skip
    assert load(injected) == Config()
