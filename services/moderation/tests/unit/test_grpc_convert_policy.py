"""api/grpc/convert.py: policies, and what they refuse, as they travel."""

import pytest

from moderation.adapters.log_entries import encode_change
from moderation.api.grpc.convert import batch_from_proto, order_from_proto, policy_to_proto, verdicts_to_proto
from moderation.domain.admission import CarriedAdmission, MessageCheck, ReleasedAdmission
from moderation.domain.erasures import LogRef, Origin
from moderation.domain.people import Claims, Moderator, Rank, Speaker
from moderation.domain.policy import (
    SHIELD_PRESET,
    Links,
    Policy,
    PolicyChange,
    PolicyCommand,
    PolicyOrder,
    ReadOnly,
    RoomPolicy,
    Shield,
    ShieldCommand,
    ShieldOrder,
)
from moderation.domain.verdicts import ADMITTED_WITH_PLACE, Decision, Verdict
from moderation.errors import MalformedRequest
from salon.events.v1 import events_pb2
from salon.moderation.v1 import moderation_pb2 as pb, policy_pb2

ANA = pb.Speaker(user_id=5, username="ana", address="10.0.0.5", rank=pb.RANK_USER, connection="e:1")
SPEAKER = Speaker(5, "ana", "10.0.0.5", Rank.USER, "e:1")


def execute(**changes: object) -> pb.ExecuteRequest:
    return pb.ExecuteRequest(
        actor=pb.Speaker(user_id=9, rank=pb.RANK_ADMIN),
        slug="live",
        nonce="n",
        edge="e",
        token=7,
        reason="raid",
        change_policy=policy_pb2.PolicyChanges(**changes),  # type: ignore[arg-type]
    )


def test_a_change_of_the_policy_is_read_with_the_fields_that_it_names() -> None:
    command = PolicyCommand(Moderator(9, Rank.ADMIN), "live", {"slow_mode_seconds": 0}, "raid")
    assert order_from_proto(execute(slow_mode_seconds=0)) == PolicyOrder(command, None, Origin("e", 7, "n"))
    order = order_from_proto(execute(slow_mode_seconds=600, read_only=policy_pb2.READ_ONLY_ANONYMOUS))
    assert isinstance(order, PolicyOrder)
    assert order.command.changes == {"slow_mode_seconds": 600, "read_only": ReadOnly.ANONYMOUS}
    others = {
        "members_only": False,
        "min_account_minutes": 129_600,
        "min_follow_minutes": 0,
        "emote_only": True,
        "max_length": 1,
    }
    order = order_from_proto(execute(**others))
    assert isinstance(order, PolicyOrder)
    assert order.command.changes == others
    for shown in (0, 5, 200):
        order = order_from_proto(execute(max_shown_per_second=shown))
        assert isinstance(order, PolicyOrder)
        assert order.command.changes == {"max_shown_per_second": shown}
    order = order_from_proto(execute(unique=True, links=policy_pb2.LINKS_REFUSE))
    assert isinstance(order, PolicyOrder)
    assert order.command.changes == {"unique": True, "links": Links.REFUSE}


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"slow_mode_seconds": -1},
        {"slow_mode_seconds": 601},
        {"read_only": 0},
        {"read_only": 9},
        {"max_length": 0},
        {"max_length": 1001},
        {"min_account_minutes": 129_601},
        {"min_follow_minutes": -1},
        {"links": policy_pb2.LINKS_UNSPECIFIED},
        {"links": 9},
        {"max_shown_per_second": -1},
        {"max_shown_per_second": 1},
        {"max_shown_per_second": 4},
        {"max_shown_per_second": 201},
        {"delay_seconds": -2},
        {"delay_seconds": 3},
        {"delay_seconds": 8},
    ],
)
def test_a_change_that_breaks_the_contract_is_refused(changes: dict[str, object]) -> None:
    with pytest.raises(MalformedRequest):
        order_from_proto(execute(**changes))


def test_a_change_needs_a_slug() -> None:
    request = execute(slow_mode_seconds=1)
    request.slug = ""
    with pytest.raises(MalformedRequest, match="slug"):
        order_from_proto(request)


def shield(**fields: object) -> pb.ExecuteRequest:
    actor = pb.Speaker(user_id=9, rank=pb.RANK_MODERATOR)
    told = pb.SetShield(**fields)  # type: ignore[arg-type]
    return pb.ExecuteRequest(actor=actor, slug="live", nonce="n", edge="e", token=7, reason="raid", shield=told)


def test_a_command_about_the_shield_is_read() -> None:
    command = ShieldCommand(Moderator(9, Rank.MODERATOR), "live", 1440, "raid")
    assert order_from_proto(shield(on=True, minutes=1440)) == ShieldOrder(command, None, Origin("e", 7, "n"))
    off = order_from_proto(shield(on=False))
    assert isinstance(off, ShieldOrder)
    assert off.command.minutes == 0


@pytest.mark.parametrize(
    "fields", [{"on": True}, {"on": True, "minutes": 1441}, {"on": True, "minutes": -1}, {"minutes": 5}]
)
def test_a_command_about_the_shield_that_breaks_the_contract_is_refused(fields: dict[str, object]) -> None:
    with pytest.raises(MalformedRequest, match="minutes"):
        order_from_proto(shield(**fields))


def test_a_command_about_the_shield_needs_a_slug() -> None:
    request = shield(on=True, minutes=5)
    request.slug = ""
    with pytest.raises(MalformedRequest, match="slug"):
        order_from_proto(request)


def test_a_shield_is_told_with_what_it_asks_for_beside_what_it_lies_over() -> None:
    policy = Policy(5, shield=Shield(1_700_000_000_000, SHIELD_PRESET))
    told = policy_pb2.Policy(
        slow_mode_seconds=5,
        read_only=policy_pb2.READ_ONLY_NOBODY,
        max_length=1000,
        links=policy_pb2.LINKS_ALLOW,
        shield=policy_pb2.Shield(
            until_ms=1_700_000_000_000,
            preset=policy_pb2.Policy(
                slow_mode_seconds=30,
                read_only=policy_pb2.READ_ONLY_ANONYMOUS,
                min_account_minutes=1440,
                max_length=1000,
                links=policy_pb2.LINKS_REFUSE,
            ),
        ),
    )
    assert policy_to_proto(RoomPolicy("live", 3, policy)).policy == told
    entry = events_pb2.LogEntry.FromString(
        encode_change(5, PolicyChange(LogRef(3, 7, 21), 9, Origin("e", 7, "n"), 3, policy))
    )
    assert entry.policy_changed.policy == told


def test_what_the_policy_refuses_is_told_in_words_that_older_edges_refuse_by_as_well() -> None:
    request = pb.AdmitRequest(messages=[pb.MessageCheck(id=number) for number in range(1, 7)])
    verdicts = [Verdict(Decision.SLOW_MODE, 1_500), Verdict(Decision.READ_ONLY), ADMITTED_WITH_PLACE]
    verdicts += [Verdict(Decision.DUPLICATE, 5), Verdict(Decision.LINKS), Verdict(Decision.ADMITTED, text_open=True)]
    assert list(verdicts_to_proto(verdicts, request).verdicts) == [
        pb.Verdict(
            id=1, decision=pb.Verdict.DECISION_RATE_LIMITED, retry_after_ms=1_500, refusal=pb.Verdict.REFUSAL_SLOW_MODE
        ),
        pb.Verdict(id=2, decision=pb.Verdict.DECISION_SANCTIONED, refusal=pb.Verdict.REFUSAL_READ_ONLY),
        pb.Verdict(id=3, decision=pb.Verdict.DECISION_ADMITTED, holds_place=True),
        pb.Verdict(
            id=4, decision=pb.Verdict.DECISION_SANCTIONED, retry_after_ms=5, refusal=pb.Verdict.REFUSAL_DUPLICATE
        ),
        pb.Verdict(id=5, decision=pb.Verdict.DECISION_SANCTIONED, refusal=pb.Verdict.REFUSAL_LINKS),
        pb.Verdict(id=6, decision=pb.Verdict.DECISION_ADMITTED, text_open=True),
    ]


def test_a_batch_is_read_with_places_that_are_carried_and_released() -> None:
    batch = batch_from_proto(
        pb.AdmitRequest(
            carried=[pb.CarriedAdmission(speaker=ANA, age_ms=300_000, life=3, slug="live", id=8)],
            released=[pb.ReleasedAdmission(speaker=ANA, slug="live", life=3, nonce="n", id=8)],
            messages=[
                pb.MessageCheck(id=9, speaker=ANA, slug="live", life=3, nonce="n", without_policy=True),
                pb.MessageCheck(id=10, speaker=ANA, text="hi", claims=pb.Claims(member=True, following_since_s=7)),
                pb.MessageCheck(id=11, speaker=ANA, text="hi", text_elsewhere=True),
                pb.MessageCheck(id=12, speaker=ANA, text="hi", text_alone=True),
            ],
        )
    )
    assert batch.carried == [CarriedAdmission(SPEAKER, 3, "", 300_000, counts=False, slug="live", number=8)]
    assert batch.released == [ReleasedAdmission(SPEAKER, "live", 3, "n", 8)]
    assert batch.messages == [
        MessageCheck(SPEAKER, "live", 3, "n", 9, without_policy=True),
        MessageCheck(SPEAKER, "", 0, "", 10, text="hi", claims=Claims(True, 0, 7)),
        MessageCheck(SPEAKER, "", 0, "", 11, text="hi", text_elsewhere=True),
        MessageCheck(SPEAKER, "", 0, "", 12, text="hi", text_alone=True),
    ]


def test_a_policy_travels_whole_to_edges_and_into_the_log() -> None:
    policy = Policy(30, ReadOnly.EVERYONE, unique=True, links=Links.REFUSE, max_shown_per_second=50)
    told = policy_pb2.Policy(
        slow_mode_seconds=30,
        read_only=policy_pb2.READ_ONLY_EVERYONE,
        max_length=1000,
        unique=True,
        links=policy_pb2.LINKS_REFUSE,
        max_shown_per_second=50,
    )
    assert policy_to_proto(RoomPolicy("live", 5, policy)) == policy_pb2.RoomPolicy(slug="live", version=5, policy=told)
    change = PolicyChange(LogRef(3, 7, 21), 9, Origin("e", 7, "n"), 5, policy)
    assert events_pb2.LogEntry.FromString(encode_change(4, change)) == events_pb2.LogEntry(
        policy_changed=events_pb2.PolicyChanged(version=5, policy=told, moderator_user_id=9),
        origin=events_pb2.CommandOrigin(edge="e", token=7, nonce="n", action_id=4),
    )
