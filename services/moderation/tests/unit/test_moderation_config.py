"""config.py: one frozen object; what is unknown or bad stops the start with its name."""

import dataclasses

import pytest

from chassis.errors import BadSetting
from moderation.config import Config, load, preset_of
from moderation.domain.policy import Links, Policy, ReadOnly


def test_the_defaults_are_those_of_the_documentation() -> None:
    config = load({"PATH": "/bin", "WS_EDGE_PORT": "1"})
    assert config == Config()
    assert (config.host, config.port, config.metrics_port) == ("127.0.0.1", 50052, 0)
    assert (config.messages_per_window, config.window_seconds, config.messages_per_address) == (10, 10, 100)
    assert (config.audit_days, config.evidence_days) == (90, 30)


def test_settings_are_read_by_their_names() -> None:
    config = load(
        {
            "MODERATION_PORT": "0",
            "MODERATION_MESSAGES_PER_WINDOW": "3",
            "MODERATION_DATABASE_URL": "postgresql://salon@db/moderation",
            "NATS_URL": "nats://a:4222,nats://b:4222",
        }
    )
    assert config.port == 0
    assert config.messages_per_window == 3


def test_a_shield_asks_for_what_the_preset_names_and_for_nothing_else() -> None:
    raw = '{"read_only": "everyone", "links": "refuse", "unique": true, "max_shown_per_second": 20}'
    assert preset_of(load({"MODERATION_SHIELD_PRESET": raw}).shield_preset) == Policy(
        read_only=ReadOnly.EVERYONE, links=Links.REFUSE, unique=True, max_shown_per_second=20
    )


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("MODERATION_PORT", "abc"),
        ("MODERATION_PORT", "65536"),
        ("MODERATION_PORT", "-1"),
        ("MODERATION_PORT", "٣"),
        ("MODERATION_WINDOW_SECONDS", "0"),
        ("MODERATION_MESSAGES_PER_WINDOW", "0"),
        ("MODERATION_MESSAGES_PER_ADDRESS", "1.5"),
        ("MODERATION_DATABASE_URL", "mysql://secret@db/x"),
        ("NATS_URL", "localhost"),
        ("MODERATION_SPEED", "1"),
        ("MODERATION_RULES_OUTAGE", "hold"),
        ("MODERATION_AUDIT_DAYS", "0"),
        ("MODERATION_EVIDENCE_DAYS", "forever"),
        ("MODERATION_SHIELD_PRESET", "strict"),
        ("MODERATION_SHIELD_PRESET", "{}"),
        ("MODERATION_SHIELD_PRESET", "[30]"),
        ("MODERATION_SHIELD_PRESET", '{"slow_mode_seconds": 601}'),
        ("MODERATION_SHIELD_PRESET", '{"slow_mode_seconds": true}'),
        ("MODERATION_SHIELD_PRESET", '{"max_shown_per_second": 4}'),
        ("MODERATION_SHIELD_PRESET", '{"unique": 1}'),
        ("MODERATION_SHIELD_PRESET", '{"links": "ask"}'),
        ("MODERATION_SHIELD_PRESET", '{"read_only": ["everyone"]}'),
        ("MODERATION_SHIELD_PRESET", '{"shield": null}'),
    ],
)
def test_an_unknown_or_bad_setting_is_refused_by_its_name(name: str, value: str) -> None:
    with pytest.raises(BadSetting, match=f"^{name}: ") as refusal:
        load({name: value})
    assert "secret" not in str(refusal.value)


def test_settings_cannot_be_changed() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        Config().port = 1  # type: ignore[misc]  # that is the point


def test_the_limits_may_be_lifted_up_to_a_thousand_million() -> None:
    config = load({"MODERATION_MESSAGES_PER_WINDOW": "1000000000", "MODERATION_MESSAGES_PER_ADDRESS": "1000000000"})
    assert (config.messages_per_window, config.messages_per_address) == (10**9, 10**9)
