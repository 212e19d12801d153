"""domain/holds.py, and what admission, rights, the outbox and gRPC make of held messages."""

from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given, strategies as st

from moderation.adapters.log_entries import Stored, encode_change, takes_back
from moderation.api.grpc.convert import (
    encode_holds,
    hold_to_proto,
    order_from_proto,
    receipt_to_proto,
    refusal_to_proto,
    verdicts_to_proto,
)
from moderation.domain.admission import Admission, Limits, MessageCheck, Now, ReleasedAdmission
from moderation.domain.audit import AuditRecord
from moderation.domain.commands import Receipt, is_repeated
from moderation.domain.erasures import LogRef, Origin
from moderation.domain.holds import (
    MOST_OF_AUTHOR,
    MOST_OF_ROOM,
    STEPS,
    WAITS_MS,
    DecideHeldCommand,
    DecideHeldOrder,
    HeldMessage,
    Hold,
    HoldAction,
    HoldOrder,
    HoldState,
    HoldStep,
    Publication,
    decide_hold,
    demand_place,
    may_read_held,
)
from moderation.domain.kept_rules import KeptRule, state_of
from moderation.domain.last_seen import LastSeenBuffer
from moderation.domain.people import Claims, Moderator, Rank, Speaker, Target
from moderation.domain.policy import Links, Policy, RoomPolicy
from moderation.domain.policy_cache import PolicyCache
from moderation.domain.rights import may_decide
from moderation.domain.rule_book import CompiledRules, RuleBook
from moderation.domain.rules import Rule, RuleAction, RuleKind, RuleMode
from moderation.domain.sanction_cache import SanctionCache
from moderation.domain.verdicts import ADMITTED, HELD, Decision, Verdict
from moderation.errors import HoldDecided, HoldFull, HoldNotFound, MalformedRequest, NotPermitted, RoomGone
from salon.events.v1 import events_pb2
from salon.moderation.v1 import moderation_pb2 as pb

LOG, LATER = LogRef(3, 7, 21), LogRef(3, 7, 22)
ANA = Speaker(5, "ana", "10.0.0.5", Rank.USER, "e:1")
GUEST = Speaker(0, "Anonymous_10.0.0.6", "10.0.0.6", Rank.ANONYMOUS, "e:2")
CHAIR, USER = Moderator(9, Rank.MODERATOR), Moderator(6, Rank.USER)
LINK = "see evil.com"


def hold(number: int = 1, *, author: Speaker = ANA, slug: str = "live", text: str = LINK) -> Hold:
    return Hold(number, slug, LOG, HeldMessage(author, text, "n1", 17, "user", 515), 1_000, 3, "words")


def order(
    action: HoldAction = HoldAction.ALLOW, *, by: Moderator = CHAIR, slug: str = "live", log: LogRef | None = LOG
) -> DecideHeldOrder:
    return DecideHeldOrder(DecideHeldCommand(action, by, slug, 1, "fine"), log)


# --- states ---------------------------------------------------------------------------------------------------------


def test_every_state_is_reached_and_only_what_waits_has_steps() -> None:
    assert set(STEPS) == set(HoldState)
    assert set(STEPS[HoldState.WAITING]) == set(HoldStep)
    assert {HoldState.WAITING, *STEPS[HoldState.WAITING].values()} == set(HoldState)
    assert not any(STEPS[state] for state in HoldState if state is not HoldState.WAITING)
    assert {state for state in HoldState if state.is_rejected} == {HoldState.DENIED, HoldState.EXPIRED}


@given(st.lists(st.tuples(st.sampled_from(HoldStep), st.integers(1, 9)), min_size=1, max_size=8))
def test_the_first_step_counts_and_none_after_it_changes_anything(steps: Sequence[tuple[HoldStep, int]]) -> None:
    known = hold()
    for at_ms, (step, by) in enumerate(steps, start=2_000):
        known = known.after(step, by, at_ms)
    first, by = steps[0]
    assert known == replace(hold(), state=STEPS[HoldState.WAITING][first], decided_by=by, decided_at_ms=2_000)


@given(st.integers(0, 2 * WAITS_MS), st.sampled_from([HoldAction.ALLOW, HoldAction.DENY]))
def test_nobody_decides_about_what_has_waited_for_five_minutes(waited_ms: int, action: HoldAction) -> None:
    now_ms = hold().held_at_ms + waited_ms
    if waited_ms < WAITS_MS:
        decided = decide_hold(order(action), hold(), now_ms=now_ms)
        assert (decided.decided_by, decided.decided_at_ms) == (9, now_ms)
        assert decided.state is (HoldState.ALLOWED if action is HoldAction.ALLOW else HoldState.DENIED)
    else:
        with pytest.raises(HoldDecided) as refused:
            decide_hold(order(action), hold(), now_ms=now_ms)
        expired = refused.value.hold
        assert (expired.state, expired.decided_by, expired.decided_at_ms) == (HoldState.EXPIRED, 0, 1_000 + WAITS_MS)


# --- decisions ------------------------------------------------------------------------------------------------------


def test_a_second_decision_is_told_who_has_decided() -> None:
    allowed = decide_hold(order(), hold(), now_ms=2_000)
    for action in (HoldAction.ALLOW, HoldAction.DENY):
        with pytest.raises(HoldDecided) as refused:
            decide_hold(order(action, by=Moderator(8, Rank.ADMIN)), allowed, now_ms=3_000)
        assert refused.value.hold == allowed


def test_what_is_of_another_slug_or_not_there_is_not_found_and_ones_own_is_nobodys_to_decide() -> None:
    for known in (None, hold(slug="other")):
        with pytest.raises(HoldNotFound):
            decide_hold(order(), known, now_ms=2_000)
    with pytest.raises(NotPermitted):
        decide_hold(order(by=Moderator(5, Rank.ADMIN)), hold(), now_ms=2_000)


@pytest.mark.parametrize("log", [None, LATER])
def test_in_another_life_it_may_be_denied_and_not_allowed(log: LogRef | None) -> None:
    with pytest.raises(RoomGone):
        decide_hold(order(log=log), hold(), now_ms=2_000)
    assert decide_hold(order(HoldAction.DENY, log=log), hold(), now_ms=2_000).state is HoldState.DENIED


def test_moderators_and_above_decide_and_read() -> None:
    signed_in = {rank: Moderator(7, rank) for rank in Rank}
    may = {Rank.MODERATOR, Rank.OWNER, Rank.ADMIN, Rank.SUPERUSER}
    for action in (HoldAction.ALLOW, HoldAction.DENY):
        assert {rank for rank, one in signed_in.items() if may_decide(order(action, by=one).command)} == may
        assert not may_decide(order(action, by=Moderator(0, Rank.ADMIN)).command)
    assert {rank for rank, one in signed_in.items() if may_read_held(one)} == may
    assert not may_read_held(Moderator(0, Rank.ADMIN))


@pytest.mark.parametrize(
    ("of_author", "of_room", "may_wait"),
    [(0, 0, True), (MOST_OF_AUTHOR - 1, MOST_OF_ROOM - 1, True), (3, 3, False), (0, 500, False)],
)
def test_three_of_an_author_and_five_hundred_of_a_room_wait(of_author: int, of_room: int, *, may_wait: bool) -> None:
    if may_wait:
        demand_place(of_author, of_room)
        return
    with pytest.raises(HoldFull):
        demand_place(of_author, of_room)


def test_whose_message_it_is() -> None:
    assert (hold().message.target, hold(author=GUEST).message.target) == (Target(5, ""), Target(0, GUEST.username))


# --- admission ------------------------------------------------------------------------------------------------------


class Desk:
    """Admission with one room, whose policy and rules hold what they are told."""

    def __init__(self, policy: Policy, *rules: Rule, messages: int = 10) -> None:
        policies, book = PolicyCache(), RuleBook()
        policies.apply(RoomPolicy("live", 1, policy))
        kept = [KeptRule(number, "live", 1, rule, 9, 0) for number, rule in enumerate(rules, start=1)]
        if kept:
            book.apply(state_of("live", 1, rules))
            book.put("live", CompiledRules(1, kept))
        limits = Limits(messages, 10, 100)
        self.admission = Admission(limits, SanctionCache(), LastSeenBuffer(), policies, rules=book)
        self._number = 0

    def judge(
        self, text: str, *, at_s: float = 0.0, nonce: str = "", speaker: Speaker = ANA, elsewhere: bool = False
    ) -> Verdict:
        self._number += 1
        asked = MessageCheck(speaker, "live", 21, nonce, self._number, False, text, Claims(), elsewhere)
        return self.admission.judge_message(asked, Now(int(at_s * 1e9) + 1, 1_000))

    def release(self, number: int, *, nonce: str = "") -> None:
        self.admission.release(ReleasedAdmission(ANA, "live", 21, nonce, number))


HOLDS_LINKS = Policy(links=Links.HOLD)


def words(action: RuleAction, mode: RuleMode = RuleMode.ON, pattern: str = "blarg") -> Rule:
    minutes = 5 if action is RuleAction.MUTE else 0
    return Rule(action.name, RuleKind.TERMS, action, mode, patterns=(pattern,), mute_minutes=minutes)


def test_links_wait_where_the_policy_says_so_and_others_go_on() -> None:
    desk = Desk(HOLDS_LINKS)
    assert desk.judge(LINK) == HELD
    assert desk.judge("hello") == ADMITTED
    assert desk.judge(LINK, speaker=ANA._replace(rank=Rank.MODERATOR, user_id=6)) == ADMITTED


def test_a_rule_that_holds_says_which_one_it_is() -> None:
    desk = Desk(Policy(), words(RuleAction.FLAG), words(RuleAction.HOLD))
    assert desk.judge("blarg") == Verdict(Decision.HELD, rule_id=2, rule_name="HOLD")
    (flagged, held) = desk.admission.rules.hits.take(9).sample  # type: ignore[union-attr] # there are some
    assert (flagged.acted, held.acted, held.action) == (False, True, RuleAction.HOLD)


@pytest.mark.parametrize("stricter", [RuleAction.REFUSE, RuleAction.MUTE])
def test_the_strictest_counts_of_what_rules_and_the_policy_say(stricter: RuleAction) -> None:
    desk = Desk(HOLDS_LINKS, words(RuleAction.HOLD), words(stricter))
    assert desk.judge(f"blarg {LINK}").decision is Decision.BLOCKED
    assert Desk(Policy(links=Links.REFUSE), words(RuleAction.HOLD)).judge(f"blarg {LINK}").decision is Decision.LINKS
    assert Desk(HOLDS_LINKS, words(RuleAction.FLAG)).judge(f"blarg {LINK}") == HELD


def test_a_dry_run_holds_nothing_and_says_that_it_would_have() -> None:
    desk = Desk(Policy(), words(RuleAction.HOLD, RuleMode.DRY_RUN))
    assert desk.judge("blarg") == ADMITTED
    (hit,) = desk.admission.rules.hits.take(9).sample  # type: ignore[union-attr] # there is one
    assert (hit.action, hit.acted) == (RuleAction.HOLD, False)


def test_what_waits_counts_as_said_for_the_limit() -> None:
    desk = Desk(HOLDS_LINKS, messages=2)
    assert [desk.judge(LINK).decision for _ in range(2)] == [Decision.HELD] * 2
    assert desk.judge("hello").decision is Decision.RATE_LIMITED


def test_what_may_not_wait_and_is_released_still_bounds_how_often_that_is_asked() -> None:
    desk = Desk(HOLDS_LINKS, messages=2)
    for number in (1, 2):
        assert desk.judge(LINK) == HELD
        desk.release(number)
    assert desk.judge(LINK).decision is Decision.RATE_LIMITED
    assert desk.judge("hello") == ADMITTED


def test_it_holds_the_place_in_slow_mode_until_it_is_released() -> None:
    desk = Desk(Policy(links=Links.HOLD, slow_mode_seconds=30))
    assert desk.judge(LINK) == Verdict(Decision.HELD, holds_place=True)
    assert desk.judge("hello", at_s=1).decision is Decision.SLOW_MODE
    desk.release(1)
    assert desk.judge("hello", at_s=1).decision is Decision.ADMITTED


def test_where_texts_are_unique_it_has_been_said_or_its_room_is_asked() -> None:
    desk = Desk(Policy(links=Links.HOLD, unique=True))
    assert desk.judge(LINK) == HELD
    assert desk.judge(LINK, speaker=ANA._replace(user_id=6, connection="e:6")).decision is Decision.DUPLICATE
    assert desk.judge("see other.com", elsewhere=True) == Verdict(Decision.HELD, text_open=True)


def test_sent_again_it_is_held_as_before_whatever_holds_since_until_it_is_released() -> None:
    desk = Desk(Policy(links=Links.HOLD, slow_mode_seconds=30))
    assert desk.judge(LINK, nonce="n1").decision is Decision.HELD
    desk.admission._policies.apply(RoomPolicy("live", 2, Policy()))
    assert desk.judge(LINK, nonce="n1", at_s=1) == HELD
    assert desk.judge(LINK, nonce="n2", at_s=1) == ADMITTED
    desk.release(1, nonce="n1")
    assert desk.judge(LINK, nonce="n1", at_s=1) == ADMITTED
    assert desk.judge(LINK, nonce="n1", at_s=1).decision is Decision.REPEATED


def test_a_repeated_text_is_open_where_its_room_is_asked() -> None:
    desk = Desk(Policy(unique=True))
    assert desk.judge("hello", nonce="n1", elsewhere=True).text_open
    assert desk.judge("hello", nonce="n1", elsewhere=True) == Verdict(Decision.REPEATED, text_open=True)


# --- the log --------------------------------------------------------------------------------------------------------


def test_the_entry_is_a_message_with_its_hold_and_the_command_that_allowed_it() -> None:
    told = Publication(LOG, Origin("e" * 32, 7, "a1"), 12, hold().message)
    assert told.last_id == 0
    entry = events_pb2.LogEntry.FromString(encode_change(99, told))
    assert entry == events_pb2.LogEntry(
        message=events_pb2.ChatMessage(
            text=LINK, user_id=5, username="ana", nonce="n1", reply_to=515, role="user", hold_id=12
        ),
        origin=events_pb2.CommandOrigin(edge="e" * 32, token=7, nonce="a1", action_id=99),
    )
    of_guest = replace(told, message=hold(author=GUEST).message)
    message = events_pb2.LogEntry.FromString(encode_change(99, of_guest)).message
    assert (message.user_id, message.username, message.connection) == (0, GUEST.username, "e:2")
    assert told.without_text.message.text == ""


@pytest.mark.parametrize(
    ("entry", "is_taken_back", "is_before"),
    [
        ({"message_deleted": {"message_id": 1, "message_key": "99.1000"}}, True, True),
        ({"message_deleted": {"message_id": 1, "message_key": "98.1000"}}, False, False),
        ({"messages_purged": {"user_id": 5, "username": "ana"}}, True, False),
        ({"messages_purged": {"user_id": 5, "message_keys": ["98.1000", "99.1000"]}}, True, True),
        ({"messages_purged": {"user_id": 0, "username": "ana"}}, False, False),
        ({"room_cleared": {}}, True, False),
        ({"room_cleared": {"message_keys": ["99.1000"]}}, True, True),
        ({"message": {"text": "x", "user_id": 5}}, False, False),
        ({}, False, False),
    ],
)
def test_what_was_taken_back_is_not_published_again_and_what_was_cleared_before_the_decision_takes_nothing_back(
    entry: dict[str, dict[str, object]], *, is_taken_back: bool, is_before: bool
) -> None:
    stored = Stored(1_027, 2_000, "k", events_pb2.LogEntry(**entry).SerializeToString())  # type: ignore[arg-type]
    assert takes_back(stored, "99.1000", Target(5, ""), since_ms=2_000) is is_taken_back
    assert takes_back(stored, "99.1000", Target(5, ""), since_ms=2_001) is is_before


def test_a_decision_that_is_sent_again_is_known_by_the_message_that_it_is_about() -> None:
    row = AuditRecord(9, HoldAction.ALLOW, 5, "", 9, 3, 0, 1, "live", "", 1, details={"hold_id": 1})
    assert is_repeated(order(), row)
    assert not is_repeated(order(), replace(row, details={"hold_id": 2}))
    assert not is_repeated(order(HoldAction.DENY), row)


def test_what_is_no_entry_takes_nothing_back() -> None:
    assert not takes_back(Stored(1_027, 2_000, "k", b"\xff"), "99.1000", Target(5, ""), since_ms=0)


# --- gRPC -----------------------------------------------------------------------------------------------------------


def request(**more: object) -> pb.ExecuteRequest:
    asked = pb.HoldMessage(
        text=LINK, nonce="n1", number=17, role="user", reply_to=515, reason=pb.HoldReason(rule_id=3, rule_name="words")
    )
    message = pb.ExecuteRequest(
        actor=pb.Speaker(user_id=5, username="ana", address="10.0.0.5", rank=pb.RANK_USER, connection="e:1"),
        slug="live",
        log=pb.LogRef(partition=3, room_id=7, life=21),
        hold_message=asked,
    )
    for name, value in more.items():
        setattr(message.hold_message, name, value)
    return message


def test_a_message_that_is_to_wait_is_read_with_its_author_and_reason() -> None:
    assert order_from_proto(request()) == HoldOrder("live", LOG, hold().message, 3, "words")


@pytest.mark.parametrize(
    "wrong",
    [
        {"text": ""},
        {"text": "x" * 1_001},
        {"nonce": "x" * 65},
        {"role": "x" * 33},
        {"number": 2**53},
        {"reply_to": -1},
    ],
)
def test_one_that_breaks_the_contract_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(MalformedRequest):
        order_from_proto(request(**wrong))


@pytest.mark.parametrize("missing", ["log", "slug"])
def test_so_is_one_without_a_room(missing: str) -> None:
    message = request()
    message.ClearField(missing)  # type: ignore[arg-type]
    with pytest.raises(MalformedRequest):
        order_from_proto(message)


def decision(command: str, hold_id: int = 1, *, slug: str = "live") -> pb.ExecuteRequest:
    message = pb.ExecuteRequest(actor=pb.Speaker(user_id=9, rank=pb.RANK_MODERATOR), nonce="a1", reason="fine")
    message.slug = slug
    getattr(message, command).hold_id = hold_id
    return message


@pytest.mark.parametrize(("command", "action"), [("allow_held", HoldAction.ALLOW), ("deny_held", HoldAction.DENY)])
def test_a_decision_is_read(command: str, action: HoldAction) -> None:
    expected = DecideHeldOrder(DecideHeldCommand(action, CHAIR, "live", 1, "fine"), None, Origin("", 0, "a1"))
    assert order_from_proto(decision(command)) == expected
    for wrong in (decision(command, 0), decision(command, 2**53), decision(command, slug="")):
        with pytest.raises(MalformedRequest):
            order_from_proto(wrong)


def test_what_waits_is_told_without_its_text_but_to_moderators() -> None:
    told = hold_to_proto(hold())
    assert told == pb.Hold(
        id=1,
        slug="live",
        life=21,
        user_id=5,
        username="ana",
        connection="e:1",
        nonce="n1",
        number=17,
        state=pb.HOLD_STATE_WAITING,
        held_at_ms=1_000,
        expires_at_ms=301_000,
        reason=pb.HoldReason(rule_id=3, rule_name="words"),
        reply_to=515,
    )
    assert hold_to_proto(hold(), with_text=True).text == LINK
    denied = hold().after(HoldStep.DENY, 9, 2_000)
    (event,) = pb.HoldEvent.FromString(encode_holds([denied])).holds
    assert (event.state, event.decided_by, event.decided_at_ms) == (pb.HOLD_STATE_DENIED, 9, 2_000)
    assert receipt_to_proto(Receipt(4, hold=denied), order()).hold == event


@pytest.mark.parametrize(
    ("refusal", "outcome"),
    [
        (HoldNotFound(), pb.ExecuteResponse.OUTCOME_NOT_FOUND),
        (HoldFull(), pb.ExecuteResponse.OUTCOME_HOLD_FULL),
        (RoomGone(), pb.ExecuteResponse.OUTCOME_ROOM_GONE),
    ],
)
def test_refusals_are_answers(
    refusal: HoldNotFound | HoldFull | RoomGone, outcome: pb.ExecuteResponse.Outcome.ValueType
) -> None:
    assert refusal_to_proto(refusal) == pb.ExecuteResponse(outcome=outcome)


def test_already_decided_says_by_whom() -> None:
    answer = refusal_to_proto(HoldDecided(hold().after(HoldStep.ALLOW, 9, 2_000)))
    assert answer.outcome == pb.ExecuteResponse.OUTCOME_HOLD_DECIDED
    assert (answer.hold.decided_by, answer.hold.state) == (9, pb.HOLD_STATE_ALLOWED)


def test_edges_of_before_refuse_what_is_to_wait() -> None:
    asked = pb.AdmitRequest(messages=[pb.MessageCheck(id=8)])
    held = Verdict(Decision.HELD, holds_place=True, text_open=True, rule_id=3, rule_name="words")
    (told,) = verdicts_to_proto([held], asked).verdicts
    assert told == pb.Verdict(
        id=8,
        decision=pb.Verdict.DECISION_SANCTIONED,
        refusal=pb.Verdict.REFUSAL_HELD,
        holds_place=True,
        text_open=True,
        held=pb.HoldReason(rule_id=3, rule_name="words"),
    )
