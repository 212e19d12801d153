"""Policies, and places in slow mode, between the contracts and the words of the edge."""

import pytest
from msgspec.structs import replace

from salon.events.v1 import events_pb2
from salon.moderation.v1 import moderation_pb2 as pb, policy_pb2
from ws_edge.adapters.grpc.carried_admissions import CarriedAdmissions, ReleasedAdmissions
from ws_edge.adapters.grpc.convert import (
    UNAVAILABLE,
    claims_to_proto,
    in_force_from_proto,
    policy_from_proto,
    request_to_proto,
    verdict_from_proto,
)
from ws_edge.adapters.nats.events import decode_entry
from ws_edge.ports import CommandRequest, Decision, InForce, Verdict
from ws_edge.protocol.commands import ChangePolicy, SetShield
from ws_edge.protocol.identity import Identity, Life, MessageId, Rank, RoomId, Slug, Speaker, UserId
from ws_edge.protocol.log import LogRef, PolicyChanged
from ws_edge.protocol.policies import Links, Policy, ReadOnly, Shield

SLUG, LIFE = Slug("live"), Life(3)
HEADERS = (
    b"NATS/1.0\r\nNats-Stream: SALON_LOG_1\r\nNats-Sequence: 42\r\n"
    b"Nats-Time-Stamp: 2026-11-23T21:46:36.25Z\r\nNats-Last-Sequence: 7\r\n\r\n"
)


def speaker(user_id: int = 5, connection: str = "e:1") -> Speaker:
    return Speaker(Identity(UserId(user_id), "ana", None, (), Rank.USER, None), "10.0.0.1", connection)


@pytest.mark.parametrize(
    ("told", "verdict"),
    [
        (
            pb.Verdict(
                decision=pb.Verdict.DECISION_RATE_LIMITED,
                retry_after_ms=1500,
                refusal=pb.Verdict.REFUSAL_SLOW_MODE,
            ),
            Verdict(Decision.SLOW_MODE, 1500),
        ),
        (
            pb.Verdict(decision=pb.Verdict.DECISION_SANCTIONED, refusal=pb.Verdict.REFUSAL_READ_ONLY),
            Verdict(Decision.READ_ONLY),
        ),
        (pb.Verdict(decision=pb.Verdict.DECISION_SANCTIONED, refusal=99), Verdict(Decision.SANCTIONED)),  # type: ignore[arg-type]
        (
            pb.Verdict(id=7, decision=pb.Verdict.DECISION_ADMITTED, holds_place=True),
            Verdict(Decision.ADMITTED, place=7, number=7),
        ),
        (pb.Verdict(id=7, decision=pb.Verdict.DECISION_ADMITTED), Verdict(Decision.ADMITTED, number=7)),
        (
            pb.Verdict(id=7, decision=pb.Verdict.DECISION_ADMITTED, text_open=True),
            Verdict(Decision.ADMITTED, number=7, text_open=True),
        ),
        (
            pb.Verdict(id=7, decision=pb.Verdict.DECISION_REPEATED, text_open=True),
            Verdict(Decision.REPEATED, number=7, text_open=True),
        ),
        (
            pb.Verdict(decision=pb.Verdict.DECISION_SANCTIONED, refusal=pb.Verdict.REFUSAL_DUPLICATE, retry_after_ms=9),
            Verdict(Decision.DUPLICATE, 9),
        ),
        (
            pb.Verdict(decision=pb.Verdict.DECISION_SANCTIONED, refusal=pb.Verdict.REFUSAL_LINKS),
            Verdict(Decision.LINKS),
        ),
        (pb.Verdict(), UNAVAILABLE),
    ],
)
def test_a_refusal_by_the_policy_is_read_and_one_of_a_later_version_is_what_its_decision_says(
    told: pb.Verdict, verdict: Verdict
) -> None:
    assert verdict_from_proto(told) == verdict


def test_a_word_of_a_later_version_is_taken_for_the_strictest_and_none_for_the_default() -> None:
    assert policy_from_proto(1, policy_pb2.Policy()) == Policy(1, 0, ReadOnly.NOBODY)
    assert policy_from_proto(1, policy_pb2.Policy(read_only=99)) == Policy(1, 0, ReadOnly.EVERYONE)  # type: ignore[arg-type]
    assert policy_from_proto(1, policy_pb2.Policy(links=99)) == Policy(1, links=Links.REFUSE)  # type: ignore[arg-type]


def test_policies_of_rooms_are_read_with_their_sanctions() -> None:
    told = policy_pb2.Policy(slow_mode_seconds=30, read_only=policy_pb2.READ_ONLY_ANONYMOUS)
    answer = pb.ListActiveResponse(policies=[policy_pb2.RoomPolicy(slug="live", version=5, policy=told)])
    assert in_force_from_proto(answer) == InForce([], {SLUG: Policy(5, 30, ReadOnly.ANONYMOUS)})


def test_where_rules_act_is_read_with_sanctions_and_policies() -> None:
    answer = pb.ListActiveResponse(ruled_slugs=["live"], ruled_everywhere=True)
    assert in_force_from_proto(answer) == InForce([], {}, ruled=frozenset({SLUG}), ruled_everywhere=True)


def test_what_a_rule_refuses_is_told_with_its_words_and_what_it_could_not_see_is_no_verdict() -> None:
    blocked = pb.Verdict(
        id=4, decision=pb.Verdict.DECISION_SANCTIONED, refusal=pb.Verdict.REFUSAL_BLOCKED, told="Mind your words"
    )
    assert verdict_from_proto(blocked) == Verdict(Decision.BLOCKED, told="Mind your words")
    assert verdict_from_proto(pb.Verdict(id=4)) == Verdict(Decision.UNAVAILABLE)


def test_a_change_names_the_fields_that_it_changes_alone() -> None:
    request = CommandRequest(
        speaker(), SLUG, LogRef(RoomId(1), LIFE, 2), ChangePolicy(0, None), None, None, "", "n", "e", 4
    )
    told = request_to_proto(request)
    assert told.WhichOneof("command") == "change_policy"
    assert told.change_policy == policy_pb2.PolicyChanges(slow_mode_seconds=0)
    assert told.change_policy.HasField("slow_mode_seconds")


def test_a_change_of_every_field_is_told() -> None:
    change = ChangePolicy(5, ReadOnly.EVERYONE, True, 10, 20, False, 100, True, Links.REFUSE, None, 5)
    request = CommandRequest(speaker(), SLUG, LogRef(RoomId(1), LIFE, 2), change, None, None, "", "n", "e", 4)
    assert request_to_proto(request).change_policy == policy_pb2.PolicyChanges(
        slow_mode_seconds=5,
        read_only=policy_pb2.READ_ONLY_EVERYONE,
        members_only=True,
        min_account_minutes=10,
        min_follow_minutes=20,
        emote_only=False,
        max_length=100,
        unique=True,
        links=policy_pb2.LINKS_REFUSE,
        max_shown_per_second=5,
    )


def test_a_policy_has_every_field_of_the_contract() -> None:
    told = policy_pb2.Policy(
        members_only=True,
        min_account_minutes=10,
        min_follow_minutes=20,
        emote_only=True,
        max_length=100,
        unique=True,
        links=policy_pb2.LINKS_HOLD,
        max_shown_per_second=5,
    )
    assert policy_from_proto(7, told) == Policy(
        7, 0, ReadOnly.NOBODY, True, 10, 20, True, 100, True, Links.HOLD, False, 5
    )


def test_a_policy_is_read_with_the_shield_that_lies_over_it_whose_unknown_words_are_the_strictest() -> None:
    preset = policy_pb2.Policy(slow_mode_seconds=30, read_only=99)  # type: ignore[arg-type]
    told = policy_pb2.Policy(max_length=100, shield=policy_pb2.Shield(until_ms=5_000, preset=preset))
    kept = Policy(7, max_length=100)
    assert policy_from_proto(7, told) == Policy(7, 30, ReadOnly.EVERYONE, max_length=100, shield=Shield(5_000, kept))


@pytest.mark.parametrize(
    ("minutes", "told"), [(15, pb.SetShield(on=True, minutes=15)), (0, pb.SetShield(on=False, minutes=0))]
)
def test_a_command_about_the_shield_is_told(minutes: int, told: pb.SetShield) -> None:
    log = LogRef(RoomId(1), LIFE, 2)
    request = request_to_proto(CommandRequest(speaker(), SLUG, log, SetShield(minutes), None, None, "", "n", "e", 4))
    assert request.WhichOneof("command") == "shield"
    assert request.shield == told


def test_claims_are_told_where_the_token_makes_any() -> None:
    check = pb.MessageCheck()
    claims_to_proto(speaker().identity, check)
    assert not check.HasField("claims")
    identity = replace(speaker().identity, member=True, account_created_at_s=1, following_since_s=2)
    claims_to_proto(identity, check)
    assert check.claims == pb.Claims(member=True, account_created_at_s=1, following_since_s=2)


def test_a_policy_is_read_from_the_log() -> None:
    entry = events_pb2.LogEntry(
        policy_changed=events_pb2.PolicyChanged(
            version=5,
            policy=policy_pb2.Policy(slow_mode_seconds=30, read_only=policy_pb2.READ_ONLY_EVERYONE),
            moderator_user_id=9,
        ),
        origin=events_pb2.CommandOrigin(edge="e", token=4, nonce="n"),
    )
    assert decode_entry(HEADERS, entry.SerializeToString(), 1) == PolicyChanged(
        MessageId(42 * 256 + 1),
        MessageId(7 * 256 + 1),
        "2026-11-23T21:46:36.250Z",
        Policy(5, 30, ReadOnly.EVERYONE),
        UserId(9),
        "e",
        4,
        "n",
    )


def owed(carried: CarriedAdmissions, stream: int, now_s: float) -> list[tuple[str, str, int, int, bool]]:
    """Slug, nonce, id, age and whether it counts."""
    found = carried.owed_to("u:5", stream, now_s=now_s, window_s=10.0)
    return [(c.slug, c.nonce, c.id, c.age_ms, c.counts) for c in found]


def admitted(carried: CarriedAdmissions, place: int, at_s: float, *, nonce: str = "", slug: Slug = SLUG) -> None:
    carried.note(speaker(), LIFE, nonce, place, stream=None, now_s=at_s, window_s=10.0)
    carried.note_place(speaker(), slug, LIFE, place, stream=None, now_s=at_s)


def test_the_last_place_in_each_room_is_carried_for_the_longest_slow_mode() -> None:
    carried = CarriedAdmissions()
    admitted(carried, 7, 100.0)
    admitted(carried, 8, 160.0, nonce="n")
    admitted(carried, 9, 161.0, slug=Slug("other"))
    assert owed(carried, 1, 162.0) == [
        ("", "n", 8, 2_000, True),
        ("live", "", 8, 2_000, False),
        ("", "", 9, 1_000, True),
        ("other", "", 9, 1_000, False),
    ]
    assert owed(carried, 1, 162.0) == []
    assert owed(carried, 2, 759.9999) == [("live", "", 8, 599_999, False), ("other", "", 9, 598_999, False)]
    assert owed(carried, 3, 760.0) == [("other", "", 9, 599_000, False)]


def test_an_age_is_never_told_higher_than_it_is_or_somebody_might_speak_too_early() -> None:
    carried = CarriedAdmissions()
    admitted(carried, 7, 100.0)
    assert [age_ms for *_, age_ms, _ in owed(carried, 1, 100.9999)] == [999, 999]


def test_nothing_of_a_message_that_could_not_be_stored_is_carried() -> None:
    carried = CarriedAdmissions()
    carried.release(speaker(), SLUG, LIFE, "n", 7)
    admitted(carried, 7, 100.0, nonce="n")
    admitted(carried, 8, 100.5, slug=Slug("other"))
    carried.release(speaker(), SLUG, LIFE, "n", 7)
    assert owed(carried, 1, 101.0) == [("", "", 8, 500, True), ("other", "", 8, 500, False)]
    assert owed(carried, 2, 120.0) == [("other", "", 8, 19_500, False)]


def test_what_was_released_is_told_to_replicas_that_come_back_for_as_long_as_a_place_counts() -> None:
    released = ReleasedAdmissions(limit=2)
    for number, at_s in ((6, 99.0), (7, 100.0), (8, 160.0)):
        released.note(pb.ReleasedAdmission(slug="live", nonce="n", id=number), now_s=at_s)
    assert [(one.id, one.slug, one.nonce) for one in released.lately(now_s=699.9)] == [(7, "live", ""), (8, "live", "")]
    assert [one.id for one in released.lately(now_s=700.0)] == [8]
    assert len(released) == 1


def test_releasing_an_earlier_message_leaves_the_place_of_a_later_one() -> None:
    carried = CarriedAdmissions()
    admitted(carried, 7, 100.0, nonce="n")
    admitted(carried, 8, 120.0)
    carried.release(speaker(), SLUG, LIFE, "n", 7)
    assert owed(carried, 1, 121.0) == [("", "", 8, 1_000, True), ("live", "", 8, 1_000, False)]


def test_of_too_many_places_the_oldest_are_forgotten() -> None:
    carried = CarriedAdmissions(limit=2)
    for number in range(3):
        admitted(carried, number + 1, 100.0, slug=Slug(f"s{number}"))
    assert [slug for slug, *_ in owed(carried, 1, 120.0)] == ["s1", "s2"]
