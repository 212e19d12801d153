"""Frames of clients as values."""

from typing import get_args

import msgspec
import pytest

from ws_edge.protocol.commands import (
    ChangePolicy,
    ChangeSanction,
    ClearRoom,
    Command,
    DeleteMessage,
    PinMessage,
    PurgeMessages,
    SetShield,
    Target,
    UndoAction,
    UnpinMessage,
)
from ws_edge.protocol.frames import TYPES, ChatMessage, ClientFrame, MessageData, ModerationAction, ModerationData, Ping
from ws_edge.protocol.identity import MessageId, UserId
from ws_edge.protocol.policies import Links, ReadOnly
from ws_edge.protocol.sanctions import Action, Scope


def test_the_known_types_are_the_tags_of_the_frames() -> None:
    assert {frame.__struct_config__.tag for frame in get_args(ClientFrame)} == TYPES


def test_a_message_has_no_nonce_unless_it_is_given_one() -> None:
    assert ChatMessage(MessageData("hi")).data.nonce == ""
    assert Ping().data == Ping().data


def _sanction(data: dict[str, object]) -> ChangeSanction:
    command = _moderation(data).command
    assert isinstance(command, ChangeSanction)
    return command


@pytest.mark.parametrize(
    ("word", "action"),
    [("ban", Action.BAN), ("mute", Action.MUTE), ("unban", Action.UNBAN), ("unmute", Action.UNMUTE)],
)
def test_moderation_action_knows_four_words_for_sanctions(word: str, action: Action) -> None:
    assert _sanction({"action": word, "target_user_id": 7}) == ChangeSanction(action, Target(UserId(7), None))


def test_moderation_action_lasts_for_good_and_in_the_room_by_default() -> None:
    frame = _moderation({"action": "ban", "target_user_id": 123})
    assert frame.command == ChangeSanction(Action.BAN, Target(UserId(123), None), Scope.ROOM, 0, purge=False)
    assert (frame.data.reason, frame.data.nonce) == ("", "")


def test_moderation_action_reads_every_field() -> None:
    frame = _moderation(
        {
            "action": "mute",
            "target_username": "Anonymous_192.0.2.7",
            "duration_minutes": 525_600,
            "purge": True,
            "reason": "spam",
            "scope": "everywhere",
            "nonce": "n",
        }
    )
    target = Target(None, "Anonymous_192.0.2.7")
    assert frame.command == ChangeSanction(Action.MUTE, target, Scope.EVERYWHERE, 525_600, purge=True)
    assert (frame.data.reason, frame.data.nonce) == ("spam", "n")


def test_a_target_id_stands_before_a_target_name() -> None:
    command = _sanction({"action": "ban", "target_user_id": 7, "target_username": "ana"})
    assert command.target == Target(UserId(7), None)


def test_an_anonymous_target_may_have_its_null_id_beside_it() -> None:
    command = _sanction({"action": "ban", "target_user_id": None, "target_username": "Anonymous_192.0.2.7"})
    assert command.target == Target(None, "Anonymous_192.0.2.7")


def test_what_ends_a_sanction_takes_no_messages_back() -> None:
    assert not _sanction({"action": "unban", "target_user_id": 7, "purge": True}).purge


@pytest.mark.parametrize(
    ("data", "command"),
    [
        ({"action": "delete", "message_id": 42}, DeleteMessage(MessageId(42))),
        ({"action": "pin", "message_id": 42}, PinMessage(MessageId(42))),
        ({"action": "unpin", "message_id": 42, "target_user_id": 7}, UnpinMessage(MessageId(42))),
        ({"action": "purge", "target_user_id": 7}, PurgeMessages(Target(UserId(7), None))),
        ({"action": "purge", "target_username": "Anonymous_a"}, PurgeMessages(Target(None, "Anonymous_a"))),
        ({"action": "clear"}, ClearRoom()),
        ({"action": "policy", "changes": {"slow_mode_seconds": 0}}, ChangePolicy(0, None)),
        ({"action": "policy", "changes": {"slow_mode_seconds": 600, "of_later": 1}}, ChangePolicy(600, None)),
        (
            {
                "action": "policy",
                "changes": {
                    "members_only": True,
                    "emote_only": False,
                    "max_length": 1,
                },
            },
            ChangePolicy(members_only=True, emote_only=False, max_length=1),
        ),
        (
            {"action": "policy", "changes": {"unique": True, "links": "refuse"}},
            ChangePolicy(unique=True, links=Links.REFUSE),
        ),
        ({"action": "policy", "changes": {"max_shown_per_second": 0}}, ChangePolicy(max_shown_per_second=0)),
        ({"action": "policy", "changes": {"delay_seconds": 6}}, ChangePolicy(delay_seconds=6)),
        ({"action": "policy", "changes": {"max_shown_per_second": 200}}, ChangePolicy(max_shown_per_second=200)),
        (
            {"action": "policy", "changes": {"min_account_minutes": 129600, "min_follow_minutes": 0}},
            ChangePolicy(min_account_minutes=129_600, min_follow_minutes=0),
        ),
        ({"action": "policy", "changes": {"read_only": "anonymous"}}, ChangePolicy(None, ReadOnly.ANONYMOUS)),
        ({"action": "undo", "action_id": 812}, UndoAction(812)),
        ({"action": "shield", "on": True}, SetShield(15)),
        ({"action": "shield", "on": True, "minutes": 1440}, SetShield(1440)),
        ({"action": "shield", "on": False, "minutes": 5}, SetShield(0)),
    ],
)
def test_moderation_action_knows_words_that_change_the_room(data: dict[str, object], command: Command) -> None:
    assert _moderation(data).command == command


@pytest.mark.parametrize(
    "data",
    [
        {"action": "ban"},
        {"action": "purge"},
        {"action": "delete"},
        {"action": "pin"},
        {"action": "unpin", "target_user_id": 7},
        {"action": "delete", "target_user_id": 7},
        {"action": "delete", "message_id": 0},
        {"action": "shield"},
        {"action": "shield", "on": "yes"},
        {"action": "shield", "on": True, "minutes": 0},
        {"action": "shield", "on": True, "minutes": 1441},
        {"action": "policy"},
        {"action": "policy", "changes": None},
        {"action": "undo"},
        {"action": "undo", "action_id": None},
        {"action": "undo", "action_id": 0},
        {"action": "undo", "action_id": "812"},
        {"action": "policy", "changes": {}},
        {"action": "policy", "changes": {"slow_mode_seconds": -1}},
        {"action": "policy", "changes": {"max_length": 0}},
        {"action": "policy", "changes": {"max_length": 1001}},
        {"action": "policy", "changes": {"delay_seconds": 3}},
        {"action": "policy", "changes": {"delay_seconds": 8}},
        {"action": "policy", "changes": {"members_only": 1}},
        {"action": "policy", "changes": {"min_follow_minutes": 129601}},
        {"action": "policy", "changes": {"slow_mode_seconds": 1.5}},
        {"action": "policy", "changes": {"read_only": "EVERYONE"}},
        {"action": "delete", "message_id": "42"},
        {"action": "ban", "target_user_id": 7, "purge": 1},
        {"action": "ban", "target_user_id": None},
        {"action": "ban", "target_username": ""},
        {"action": "ban", "target_username": "a" * 129},
        {"action": "ban", "target_username": "a\x00"},
        {"action": "kick", "target_user_id": 7},
        {"action": "BAN", "target_user_id": 7},
        {"target_user_id": 7},
        {"action": "ban", "target_user_id": 0},
        {"action": "ban", "target_user_id": -1},
        {"action": "ban", "target_user_id": 2**53},
        {"action": "ban", "target_user_id": 1.5},
        {"action": "ban", "target_user_id": "7"},
        {"action": "ban", "target_user_id": True},
        {"action": "ban", "target_user_id": 7, "duration_minutes": -1},
        {"action": "ban", "target_user_id": 7, "duration_minutes": 525_601},
        {"action": "ban", "target_user_id": 7, "duration_minutes": False},
        {"action": "ban", "target_user_id": 7, "duration_minutes": 0.5},
        {"action": "ban", "target_user_id": 7, "duration_minutes": None},
        {"action": "ban", "target_user_id": 7, "duration_minutes": "60"},
        {"action": "ban", "target_user_id": 7, "reason": "r" * 501},
        {"action": "ban", "target_user_id": 7, "reason": "r\x00"},
        {"action": "ban", "target_user_id": 7, "reason": None},
        {"action": "ban", "target_user_id": 7, "scope": "galaxy"},
        {"action": "ban", "target_user_id": 7, "nonce": "n" * 65},
    ],
)
def test_moderation_action_with_a_wrong_value_is_refused(data: dict[str, object]) -> None:
    with pytest.raises(msgspec.ValidationError):
        _moderation(data)


@pytest.mark.parametrize("target", [1, 2**53 - 1])
def test_target_ids_reach_from_1_to_the_largest_safe_integer(target: int) -> None:
    assert _sanction({"action": "ban", "target_user_id": target}).target.user_id == target


def test_a_reason_may_have_500_characters_and_several_lines() -> None:
    reason = "é\n" * 250
    assert _moderation({"action": "ban", "target_user_id": 7, "reason": reason}).data.reason == reason


def _moderation(data: dict[str, object]) -> ModerationAction:
    return ModerationAction(msgspec.json.decode(msgspec.json.encode(data), type=ModerationData))
