"""usecases/rules.py and rule_effects.py on both databases: rules are compiled before they are needed, and what they hit
and ask for is carried out behind the messages."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any, TypeAlias

import pytest
import structlog
from classifiers_at_hand import ClassifiersAtHand
from structlog.testing import capture_logs

from chassis.database import Database
from chassis.errors import DatabaseUnavailable
from chassis.logs import LogSummary
from chassis.nats_connection import NatsAccess, NatsConnection
from moderation.adapters.log import NatsLog
from moderation.adapters.store.outbox import TortoiseOutbox
from moderation.adapters.store.rules import values_of
from moderation.adapters.store.sanctions import TortoiseStore
from moderation.adapters.store.tables import RuleRow
from moderation.domain import rule_book
from moderation.domain.admission import Admission, ArrivalCheck, Limits, MessageCheck, Now
from moderation.domain.classifiers import Outcome
from moderation.domain.commands import Receipt
from moderation.domain.feed import FeedHead
from moderation.domain.holds import Hold
from moderation.domain.kept_rules import EVERYWHERE, DeleteRule, KeptRule, RuleOrder, SaveRule
from moderation.domain.last_seen import LastSeen, LastSeenBuffer
from moderation.domain.people import Moderator, Rank, Speaker
from moderation.domain.policy_cache import PolicyCache
from moderation.domain.revocations import Revocation
from moderation.domain.roles import RoomRoles
from moderation.domain.rule_book import RuleBook
from moderation.domain.rules import OnFailure, Rule, RuleAction, RuleKind, RuleMode
from moderation.domain.sanction_cache import SanctionCache
from moderation.domain.sanctions import SanctionEvent
from moderation.domain.verdicts import ADMITTED, HELD, Decision, Verdict
from moderation.domain.warnings import RoomWarning
from moderation.domain.windows import CarryMatcher
from moderation.errors import NotPermitted, RuleNotFound, RuleRefused
from moderation.ports import TRIES_AT_ONCE, Ports, Turns, Urgency
from moderation.usecases import classify, rule_effects, rules as rules_module
from moderation.usecases.admit import Batch, admit
from moderation.usecases.classify import repeated, verdict_later
from moderation.usecases.execute import execute
from moderation.usecases.rule_effects import keep_muting, keep_writing_hits, write_hits
from moderation.usecases.rules import (
    Patience,
    keep_reading_rules,
    list_hits,
    list_rules,
    prepare,
    prepare_lately_used,
    read_rules,
    settle,
    try_text,
)

pytestmark = pytest.mark.integration
Eventually: TypeAlias = Callable[..., Awaitable[None]]
BOSS, HELPER = Moderator(9, Rank.ADMIN), Moderator(8, Rank.MODERATOR)
ANA = Speaker(5, "ana", "10.0.0.5", Rank.USER, "e:1")
GUEST = Speaker(0, "Anonymous_10.0.0.6", "10.0.0.6", Rank.ANONYMOUS, "e:2")
WORDS = Rule("words", RuleKind.TERMS, RuleAction.REFUSE, patterns=("blarg",))
MUTE = Rule("mute", RuleKind.TERMS, RuleAction.MUTE, patterns=("blarg",), mute_minutes=5)

SECRET = "whsec_" + "a" * 32
ASKS = Rule("asks", RuleKind.CLASSIFIER, RuleAction.REFUSE, url="https://c.example.com/")


class Published:
    is_connected = True

    def __init__(self) -> None:
        self.events: list[SanctionEvent] = []
        self.heads: list[FeedHead] = []
        self.holds: list[Hold] = []

    async def publish(self, event: SanctionEvent) -> None:
        self.events.append(event)

    async def publish_revocation(self, revocation: Revocation) -> None:
        raise AssertionError("nothing is revoked here")

    async def publish_holds(self, changed: Sequence[Hold]) -> None:
        self.holds += changed

    async def publish_warnings(self, changed: Sequence[RoomWarning]) -> None:
        raise AssertionError("nobody is warned here")

    async def publish_roles(self, roles: RoomRoles) -> None:
        raise AssertionError("nobody is given a role here")

    async def publish_feed(self, heads: Sequence[FeedHead]) -> None:
        self.heads += heads


class Store:
    """A real one whose questions fail, or wait, by name."""

    def __init__(self, database: Database) -> None:
        self._store = TortoiseStore(database)
        self.is_away: set[str] = set()
        self.gate = asyncio.Event()
        self.gate.set()

    def __getattr__(self, name: str) -> Callable[..., Awaitable[Any]]:
        async def ask(*args: Any, **kwargs: Any) -> Any:
            if name in self.is_away:
                raise DatabaseUnavailable("away")
            if name == "rules_of":
                await self.gate.wait()
            return await getattr(self._store, name)(*args, **kwargs)

        return ask


class Replica:
    """The use cases of one replica."""

    def __init__(self, database: Database) -> None:
        self.store, self.published, self.now = Store(database), Published(), Now(0, 1_000)
        self.classifiers = ClassifiersAtHand()
        self.patience = Patience(0)
        cache, last_seen, policies, self.book = SanctionCache(), LastSeenBuffer(), PolicyCache(), RuleBook()
        self.admission = Admission(Limits(100, 10, 100), cache, last_seen, policies, rules=self.book)
        store: Any = self.store
        self.ports = Ports(
            store,
            self.published,
            lambda: self.now,
            cache,
            last_seen,
            self.admission,
            TortoiseOutbox(database),
            NatsLog(NatsConnection(NatsAccess(()), "away")),
            policies,
            self.classifiers,
            rules=self.book,
        )

    async def save(self, rule: Rule = WORDS, slug: str = "live", rule_id: int = 0) -> KeptRule:
        secret = SECRET if rule.kind is RuleKind.CLASSIFIER else ""
        receipt = await execute(self.ports, RuleOrder(SaveRule(BOSS, slug, rule, rule_id, secret=secret)))
        assert receipt.rule is not None
        return receipt.rule

    async def delete(self, rule_id: int) -> Receipt:
        return await execute(self.ports, RuleOrder(DeleteRule(BOSS, "whatever", rule_id)))

    async def say(self, text: str, who: Speaker = ANA, slug: str = "live") -> Verdict:
        """As a stream of an edge asks."""
        batch = Batch([], [], [], [], [MessageCheck(who, slug, 1, "", text=text)])
        await prepare(self.ports, batch, self.patience)
        (verdict,) = admit(self.ports, batch, CarryMatcher())
        return verdict

    async def settled(self) -> None:
        """Whatever is being compiled is."""
        while self.ports.compiling:
            await settle(self.ports)

    @asynccontextmanager
    async def running(self, *duties: Callable[[Ports], Awaitable[None]]) -> AsyncIterator[None]:
        tasks = [asyncio.ensure_future(duty(self.ports)) for duty in duties]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


@pytest.fixture
def replica(database: Database) -> Replica:
    return Replica(database)


@pytest.fixture
def other(database: Database) -> Replica:
    """Another one on the same database."""
    return Replica(database)


async def test_a_rule_judges_on_the_replica_that_saved_it_and_on_the_others_once_they_have_read_it(
    replica: Replica, other: Replica
) -> None:
    kept = await replica.save()
    assert await replica.say("blarg") == Verdict(Decision.BLOCKED)
    assert await other.say("blarg") == ADMITTED
    await read_rules(other.ports)
    assert await other.say("blarg") == Verdict(Decision.BLOCKED)
    await replica.save(Rule("words", RuleKind.TERMS, RuleAction.REFUSE, patterns=("zonk",)), rule_id=kept.id)
    await replica.settled()
    await read_rules(other.ports)
    await other.settled()
    for each in (replica, other):
        assert (await each.say("blarg"), (await each.say("zonk")).decision) == (ADMITTED, Decision.BLOCKED)
    await replica.delete(kept.id)
    await read_rules(other.ports)
    assert [(await each.say("zonk"), len(each.book), each.book.compiled) for each in (replica, other)] == [
        (ADMITTED, 0, 0),
        (ADMITTED, 0, 0),
    ]


async def test_changes_are_read_until_there_are_no_more_and_for_as_long_as_the_replica_runs(
    replica: Replica, other: Replica, monkeypatch: pytest.MonkeyPatch, eventually: Eventually
) -> None:
    monkeypatch.setattr(rules_module, "READ_AT_ONCE", 2)
    monkeypatch.setattr(rules_module, "READ_CHANGES_EVERY_S", 0.001)

    async def has_read() -> bool:
        return len(other.book) == 5 and not other.book.missing(())

    async with other.running(keep_reading_rules):
        for slug in ("a", "b", "c", "d", EVERYWHERE):
            await replica.save(slug=slug)
        await eventually(has_read)  # those for everywhere are compiled before anybody asks


async def test_who_comes_begins_the_compiling_and_is_not_kept_waiting(replica: Replica, other: Replica) -> None:
    await replica.save()
    await read_rules(other.ports)
    other.store.gate.clear()
    await prepare(
        other.ports, Batch([], [], [], [ArrivalCheck(ANA, "live", True), ArrivalCheck(ANA, "x", True)], []), Patience(0)
    )
    assert list(other.ports.compiling) == ["live"]
    other.store.gate.set()
    await other.settled()
    assert other.book.missing(["live"]) == []
    await prepare(other.ports, Batch([], [], [(ANA, "live")], [], []), Patience(0))


async def test_messages_wait_a_moment_for_their_rules_and_go_on_without(
    replica: Replica, other: Replica, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rules_module, "WAITED_FOR_S", 0.01)
    await replica.save()
    await read_rules(other.ports)
    other.store.gate.clear()
    assert await other.say("blarg") == ADMITTED
    other.now = Now(10**9, 2_000)
    monkeypatch.setattr(rules_module, "WAITED_FOR_S", 1.0)
    assert await asyncio.wait_for(other.say("blarg"), 0.5) == ADMITTED  # they were waited for already
    assert other.book.unjudged == 2
    other.store.gate.set()
    await other.settled()
    assert await other.say("blarg") == Verdict(Decision.BLOCKED)


async def test_a_stream_waits_half_a_second_in_all_and_a_tenth_of_the_time_after_that(
    replica: Replica, other: Replica
) -> None:
    patience = Patience(0)
    assert patience.left_s(10**9) == 0.5
    patience.spend(0.4)
    assert patience.left_s(2 * 10**9) == pytest.approx(0.2)
    patience.spend(0.3)
    assert patience.left_s(2 * 10**9) == 0.0
    await replica.save()
    await read_rules(other.ports)
    other.store.gate.clear()
    other.patience.spend(1)
    assert await asyncio.wait_for(other.say("blarg"), 0.4) == ADMITTED
    other.store.gate.set()
    await other.settled()


async def test_rules_that_could_not_be_read_are_asked_for_again(
    replica: Replica, other: Replica, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("moderation.usecases.refresh.RETRY_FIRST_S", 0.001)
    monkeypatch.setattr(rules_module, "WAITED_FOR_S", 0.01)
    await replica.save()
    await read_rules(other.ports)
    other.store.is_away = {"rules_of"}
    assert await other.say("blarg") == ADMITTED
    other.store.is_away = set()
    await other.settled()
    assert await other.say("blarg") == Verdict(Decision.BLOCKED)


async def test_a_database_that_was_put_back_is_right_and_asked_once(replica: Replica, other: Replica) -> None:
    await replica.save()
    (state,) = await replica.store.rules_after(0, first=9)
    other.book.apply(state._replace(version=state.version + 1))
    assert await other.say("blarg") == Verdict(Decision.BLOCKED)
    assert not other.book.needs("live")


async def test_what_was_deleted_or_switched_off_acts_nowhere_any_more_however_long_the_rest_is_compiled(
    replica: Replica, other: Replica, eventually: Eventually
) -> None:
    gone, off = await replica.save(MUTE), await replica.save(replace(MUTE, patterns=("zonk",)))
    await replica.save(Rule("other", RuleKind.TERMS, RuleAction.REFUSE, patterns=("quux",)))
    await read_rules(other.ports)
    for each in (replica, other):
        await each.settled()
        assert (await each.say("blarg")).decision is Decision.BLOCKED
    async with (
        replica.ports.compiling_turns.turn(lambda: Urgency.COMMANDS),
        other.ports.compiling_turns.turn(lambda: Urgency.COMMANDS),
    ):
        await replica.delete(gone.id)
        assert await replica.say("blarg") == ADMITTED
        await read_rules(other.ports)
        assert [(await other.say(text)).decision for text in ("blarg", "zonk", "quux")] == [
            Decision.ADMITTED,
            Decision.BLOCKED,
            Decision.BLOCKED,
        ]
    for each in (replica, other):
        assert each.admission.rules.mutes

        async def is_empty(each: Replica = each) -> bool:
            return not each.admission.rules.mutes

        await replica.save(replace(off.rule, mode=RuleMode.OFF), rule_id=off.id)
        async with each.running(keep_muting):
            await eventually(is_empty)
        assert each.published.events == []  # neither rule asks for it any more


async def test_rules_hold_on_where_the_database_does_not_say_how_they_were_changed(replica: Replica) -> None:
    kept = await replica.save()
    await replica.save(Rule("other", RuleKind.TERMS, RuleAction.REFUSE, patterns=("zonk",)))
    await replica.say("hello")
    replica.store.is_away = {"rules_of"}
    await replica.delete(kept.id)
    assert await replica.say("blarg") == Verdict(Decision.BLOCKED)
    replica.store.is_away = set()
    await read_rules(replica.ports)
    assert await replica.say("blarg") == ADMITTED


async def test_a_rule_that_cannot_be_compiled_is_left_out_alone_and_is_in_the_log(replica: Replica) -> None:
    kept = await replica.save(Rule("odd", RuleKind.REGEX, RuleAction.REFUSE, patterns=("zonk",)))
    await replica.save()
    await RuleRow.filter(id=kept.id).update(rule=values_of(replace(kept.rule, patterns=("(",))))
    with capture_logs() as logs:
        assert await replica.say("blarg (") == Verdict(Decision.BLOCKED)
    assert [(line["event"], line["rule_id"]) for line in logs if line["event"] == "rule_left_out"] == [
        ("rule_left_out", kept.id)
    ]


async def test_what_gave_way_just_now_is_not_compiled_again_for_messages_and_nothing_gives_way_for_who_comes(
    replica: Replica, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rule_book, "MOST_COMPILED", 1)
    summary = LogSummary(structlog.get_logger(), "rules_dropped_for_others")
    monkeypatch.setattr(rules_module, "_no_room", summary)  # another loop's waits for its next line
    for slug in ("a", "b"):
        await replica.save(slug=slug)

    async def come(slug: str) -> None:
        await prepare(replica.ports, Batch([], [], [], [ArrivalCheck(ANA, slug, True)], []), replica.patience)
        await replica.settled()

    await come("a")
    assert replica.book.missing(["a", "b"]) == ["b"]
    await come("b")
    assert (replica.book.missing(["a", "b"]), replica.ports.compiling) == (["b"], {})
    assert (await replica.say("blarg", slug="b")).decision is Decision.BLOCKED
    with capture_logs() as logs:
        assert await replica.say("blarg", slug="a") == ADMITTED
    assert [(line["event"], line["slug"]) for line in logs] == [("rules_dropped_for_others", "a")]
    assert (replica.book.dropped, replica.book.unjudged) == (1, 1)
    replica.now = Now(61 * 10**9, 62_000)
    assert (await replica.say("blarg", slug="a")).decision is Decision.BLOCKED
    monkeypatch.setattr(rule_book, "MOST_COMPILED", 2)
    assert (await replica.say("blarg", slug="b")).decision is Decision.BLOCKED  # there is room again


async def test_who_comes_where_rules_do_not_fit_has_them_read_once_a_minute(
    replica: Replica, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rule_book, "MOST_COMPILED_BYTES", 1)
    await replica.save()
    arrival = Batch([], [], [], [ArrivalCheck(ANA, "live", True)], [])
    await prepare(replica.ports, arrival, replica.patience)
    assert list(replica.ports.compiling) == ["live"]
    await replica.settled()
    await prepare(replica.ports, arrival, replica.patience)
    assert (replica.ports.compiling, replica.book.compiled) == ({}, 0)
    assert (await replica.say("blarg")).decision is Decision.BLOCKED


async def test_the_rules_of_rooms_that_were_used_lately_are_compiled_before_anybody_comes(
    replica: Replica, other: Replica
) -> None:
    await prepare_lately_used(other.ports)
    for slug in ("live", "old", "never"):
        await replica.save(slug=slug)
    await replica.store.write_last_seen({LastSeen.of(ANA, "live"): 4_000_000, LastSeen.of(ANA, "old"): 1})
    await read_rules(other.ports)
    other.now = Now(0, 4_000_000)
    await prepare_lately_used(other.ports)
    assert sorted(other.book.missing(["live", "old", "never"])) == ["never", "old"]


async def test_a_text_is_tried_in_turn_and_what_was_compiled_for_it_stays_where_there_is_room(
    replica: Replica, other: Replica
) -> None:
    await replica.save()
    await read_rules(other.ports)
    async with other.ports.compiling_turns.turn(lambda: Urgency.COMMANDS):
        tries = [asyncio.create_task(try_text(other.ports, BOSS, "live", "blarg")) for _ in range(2)]
        done, _ = await asyncio.wait(tries, timeout=0.05)
        assert not done
    assert [len(matches) for matches, _ in await asyncio.gather(*tries)] == [1, 1]
    assert other.book.missing(["live"]) == []


async def test_turns_go_to_the_most_urgent_then_to_who_came_first_and_none_is_lost() -> None:
    turns, order = Turns(), list[str]()

    async def take(name: str, urgency: Urgency) -> None:
        async with turns.turn(lambda: urgency):
            order.append(name)

    async with turns.turn(lambda: Urgency.ARRIVALS):
        waiting = [
            asyncio.create_task(take(name, urgency))
            for name, urgency in (
                ("came", Urgency.ARRIVALS),
                ("said", Urgency.MESSAGES),
                ("gave up", Urgency.COMMANDS),
                ("said later", Urgency.MESSAGES),
                ("saved", Urgency.COMMANDS),
            )
        ]
        await asyncio.sleep(0)
        waiting[2].cancel()
        await asyncio.sleep(0)
    waiting[4].cancel()  # whose turn it has just become
    await asyncio.gather(*waiting, return_exceptions=True)
    assert order == ["said", "said later", "came"]
    await take("at once", Urgency.ARRIVALS)
    assert order[-1] == "at once"


async def test_a_text_that_judging_fails_at_is_in_the_log_once(
    replica: Replica, monkeypatch: pytest.MonkeyPatch
) -> None:
    await replica.save()
    assert await replica.say("hello") == ADMITTED
    monkeypatch.setattr("moderation.domain.rules.RuleSet.judge", lambda *_, **__: 1 // 0)
    assert await replica.say("blarg") == ADMITTED
    with capture_logs() as logs:
        await read_rules(replica.ports)
        await read_rules(replica.ports)
    assert [line["event"] for line in logs] == ["rules_failed_at_a_text"]


@pytest.mark.parametrize("who", [ANA, GUEST])
async def test_a_mute_by_rule_is_imposed_behind_the_message_told_and_binds_its_author(
    replica: Replica, eventually: Eventually, who: Speaker
) -> None:
    await replica.save(MUTE)

    async def has_muted() -> bool:
        return len(replica.published.events) == 1 and not replica.admission.rules.mutes

    async with replica.running(keep_muting):
        assert await replica.say("blarg", who) == Verdict(Decision.BLOCKED)
        await replica.say("blarg again, before it is imposed", who)
        await eventually(has_muted)
        assert (await replica.say("hello", who)).decision is Decision.SANCTIONED
        assert await replica.say("hello", who, "other") == ADMITTED
    (event,) = replica.published.events
    assert (event.moderator_user_id, event.duration_minutes, event.slug) == (0, 5, "live")
    (sanction,) = event.imposed
    assert (sanction.reason, sanction.moderator_rank, sanction.expires_at_ms) == ("Rule: mute", Rank.MODERATOR, 301_000)
    assert sanction.addresses == (frozenset() if who is ANA else {"10.0.0.6"})


async def test_a_mute_that_could_not_be_stored_is_tried_again_for_a_minute(
    replica: Replica, eventually: Eventually, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rule_effects, "MUTE_AGAIN_AFTER_S", 0.001)
    await replica.save(MUTE)
    replica.store.is_away = {"change"}
    mutes = replica.admission.rules.mutes

    async def has_muted() -> bool:
        return len(replica.published.events) == 1

    async def is_given_up() -> bool:
        return not mutes

    with capture_logs() as logs:
        async with replica.running(keep_muting):
            await replica.say("blarg")
            async with asyncio.timeout(60):
                while not logs:  # noqa: ASYNC110 - nothing tells of a line in the log
                    await asyncio.sleep(0.001)
            replica.store.is_away = set()
            await eventually(has_muted)
            replica.store.is_away = {"change"}
            await replica.say("blarg", GUEST)
            replica.now = Now(0, 62_000)
            await eventually(is_given_up)
    assert {line["event"] for line in logs} == {"mute_by_rule_postponed", "mute_by_rule_given_up"}


async def test_a_mute_that_fails_for_another_reason_does_not_keep_the_next_one_waiting(
    replica: Replica, eventually: Eventually, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def failing(*_: object) -> None:
        raise ValueError

    await replica.save(MUTE)
    monkeypatch.setattr(rule_effects, "mute_by_rule", failing)

    async def is_done() -> bool:
        return not replica.admission.rules.mutes

    with capture_logs() as logs:
        async with replica.running(keep_muting):
            await replica.say("blarg")
            await replica.say("blarg", GUEST)
            await eventually(is_done)
    assert [line["event"] for line in logs] == ["mute_by_rule_failed"] * 2


async def test_hits_are_written_behind_the_messages_and_none_is_lost_while_the_database_is_away(
    replica: Replica, eventually: Eventually
) -> None:
    kept = await replica.save()
    await replica.say("blarg 1")
    replica.store.is_away = {"write_hits"}
    with pytest.raises(DatabaseUnavailable):
        await write_hits(replica.ports)
    await replica.say("blarg 2")
    replica.store.is_away = set()

    async def is_written() -> bool:
        return len(await list_hits(replica.ports, BOSS, kept.id, first=9, before_id=None)) == 2

    async with replica.running(keep_writing_hits):
        await eventually(is_written)
    newest, oldest = await list_hits(replica.ports, BOSS, kept.id, first=9, before_id=None)
    assert (newest.hit.text, oldest.hit.text) == ("blarg 2", "blarg 1")
    assert await list_hits(replica.ports, BOSS, kept.id, first=9, before_id=newest.id) == [oldest]
    assert await list_hits(replica.ports, BOSS, kept.id, first=-1, before_id=None) == []
    (stored,) = await list_rules(replica.ports, BOSS, "live")
    assert (stored.hits, stored.acted) == (2, 2)


async def test_hits_that_cannot_be_written_do_not_keep_those_of_other_rules_waiting(replica: Replica) -> None:
    await replica.save()
    other = await replica.save(replace(WORDS, patterns=("other",)))
    await replica.say("blarg \ud83d")
    await replica.say("other")
    with pytest.raises(Exception, match="surrogates not allowed"):
        await write_hits(replica.ports)
    await write_hits(replica.ports)
    (hit,) = await list_hits(replica.ports, BOSS, other.id, first=9, before_id=None)
    assert hit.hit.text == "other"


async def test_a_text_is_tried_by_the_rules_as_they_are_stored(replica: Replica, other: Replica) -> None:
    dry = await replica.save(
        Rule("dry", RuleKind.TERMS, RuleAction.MUTE, RuleMode.DRY_RUN, ("blarg",), mute_minutes=5), EVERYWHERE
    )
    kept = await replica.save()
    for each in (other, replica):  # one knows nothing of them yet, one has them compiled
        await each.settled()
        matches, deciding = await try_text(each.ports, BOSS, "live", "B L A R G")
        assert [match.kept.id for match in matches] == [dry.id, kept.id]
        assert deciding is not None
        assert deciding.kept.id == kept.id
    assert await try_text(other.ports, BOSS, EVERYWHERE, "hello") == ([], None)
    assert other.admission.rules.hits.take(9) is None


async def test_who_may_not_is_refused_before_anything_else(replica: Replica) -> None:
    kept = await replica.save()
    with pytest.raises(NotPermitted):
        await execute(replica.ports, RuleOrder(SaveRule(HELPER, "live", Rule("", RuleKind.CAPS, RuleAction.FLAG))))
    for rule_id in (kept.id, 10**9):
        with pytest.raises(NotPermitted):
            await execute(replica.ports, RuleOrder(DeleteRule(HELPER, "", rule_id)))
        with pytest.raises(NotPermitted):
            await list_hits(replica.ports, HELPER, rule_id, first=9, before_id=None)
    with pytest.raises(NotPermitted):
        await list_rules(replica.ports, HELPER, "live")
    with pytest.raises(NotPermitted):
        await try_text(replica.ports, HELPER, "live", "x")


async def test_what_is_not_there_or_cannot_be_used(replica: Replica) -> None:
    with pytest.raises(RuleNotFound):
        await replica.delete(10**9)
    with pytest.raises(RuleNotFound):
        await list_hits(replica.ports, BOSS, 10**9, first=9, before_id=None)
    with pytest.raises(RuleRefused, match=r"a\*b: \* stands at an end alone"):
        await replica.save(Rule("words", RuleKind.TERMS, RuleAction.FLAG, patterns=("fine", "a*b")))
    assert await list_rules(replica.ports, BOSS, "live") == []


async def test_a_message_waits_for_its_classifier_and_is_held_to_what_that_says(replica: Replica) -> None:
    kept = await replica.save(ASKS)
    replica.classifiers.answers[ASKS.url] = b'{"verdict":"refuse","reason":"spam"}'
    waiting = await replica.say("hello")
    assert waiting.decision is Decision.WAITING
    assert await verdict_later(replica.ports, waiting) == Verdict(Decision.BLOCKED)
    call = replica.classifiers.asked.get_nowait()
    assert json.loads(call.body)["data"]["author"]["username"] == "ana"
    assert (replica.ports.classifying, replica.admission.waiting) == ({}, {})
    await write_hits(replica.ports)
    (hit,) = await list_hits(replica.ports, BOSS, kept.id, first=9, before_id=None)
    assert (hit.hit.pattern, hit.hit.acted) == ("spam", True)
    replica.classifiers.answers[ASKS.url] = b'{"verdict":"allow"}'
    assert await verdict_later(replica.ports, await replica.say("hello")) == ADMITTED


async def test_a_reason_that_ends_in_the_middle_of_a_character_is_kept_as_any(replica: Replica) -> None:
    kept = await replica.save(ASKS)
    replica.classifiers.answers[ASKS.url] = rb'{"verdict":"refuse","reason":"hello \ud83d"}'
    await verdict_later(replica.ports, await replica.say("hello"))
    await write_hits(replica.ports)
    (hit,) = await list_hits(replica.ports, BOSS, kept.id, first=9, before_id=None)
    assert hit.hit.pattern == "hello ?"


async def test_a_classifier_that_mutes_has_its_mute_imposed(replica: Replica) -> None:
    await replica.save(replace(ASKS, action=RuleAction.MUTE, mute_minutes=5))
    replica.classifiers.answers[ASKS.url] = b'{"verdict":"refuse"}'
    await verdict_later(replica.ports, await replica.say("hello"))
    assert replica.ports.mutes_wanted.is_set()


async def test_what_is_repeated_while_it_waits_comes_to_the_same() -> None:
    open_admitted = Verdict(Decision.ADMITTED, text_open=True)
    assert repeated(open_admitted) == Verdict(Decision.REPEATED, text_open=True)
    assert repeated(Verdict(Decision.HELD, rule_id=7)) == HELD
    assert repeated(Verdict(Decision.BLOCKED, told="No")) == Verdict(Decision.BLOCKED, told="No")


@pytest.mark.parametrize(
    ("answer", "outcome"),
    [(None, Outcome.FAILED), (b"yes", Outcome.FAILED), (object(), Outcome.FAILED), ("late", Outcome.LATE)],
)
async def test_without_an_answer_a_message_goes_by_on_failure(
    replica: Replica, answer: Any, outcome: Outcome, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = await replica.save(ASKS)
    if answer == "late":
        monkeypatch.setattr(classify, "ASKED_FOR_S", 0.01)
        replica.classifiers.gates[ASKS.url] = asyncio.Event()
    elif answer is not None:
        replica.classifiers.answers[ASKS.url] = answer
    with capture_logs() as logged:
        assert await verdict_later(replica.ports, await replica.say("hello")) == ADMITTED
        await replica.save(replace(ASKS, on_failure=OnFailure.HOLD), rule_id=kept.id)
        await replica.settled()
        held = await verdict_later(replica.ports, await replica.say("hello"))
    assert (held.decision, held.rule_id) == (Decision.HELD, kept.id)
    assert replica.ports.classifier_lines.outcomes == {outcome: 2}
    is_defect = isinstance(answer, object) and type(answer) is object
    assert ("classifier_not_asked" in {line["event"] for line in logged}) == is_defect


async def test_a_rule_that_nothing_can_be_signed_with_keeps_no_message_from_its_verdict(replica: Replica) -> None:
    kept = await replica.save(ASKS)
    await RuleRow.filter(id=kept.id).update(secret=None)
    (unsigned,) = await list_rules(replica.ports, BOSS, "live")
    replica.book.put("live", rule_book.CompiledRules(kept.version, [unsigned]))
    replica.classifiers.answers[ASKS.url] = b'{"verdict":"refuse"}'
    with capture_logs() as logged:
        assert await verdict_later(replica.ports, await replica.say("hello")) == ADMITTED
    assert "classifier_not_asked" in {line["event"] for line in logged}
    assert replica.classifiers.asked.empty()


async def test_what_is_broken_off_says_nothing_of_the_classifier(replica: Replica) -> None:
    await replica.save(ASKS)
    replica.classifiers.gates[ASKS.url] = asyncio.Event()
    later = verdict_later(replica.ports, await replica.say("hello"))
    await replica.classifiers.asked.get()
    later.cancel()
    await asyncio.wait([later])
    lines = replica.ports.classifier_lines
    assert (lines.calls, lines.outcomes) == (0, {})


async def test_a_classifier_that_is_not_asked_any_more_leaves_messages_to_on_failure(replica: Replica) -> None:
    await replica.save(ASKS)
    for _ in range(6):
        assert await verdict_later(replica.ports, await replica.say("hello")) == ADMITTED
    assert replica.ports.classifier_lines.outcomes == {Outcome.FAILED: 5, Outcome.OPEN: 1}


async def test_classifiers_that_flag_or_run_dry_delay_nothing_and_are_asked_behind(replica: Replica) -> None:
    flag = await replica.save(replace(ASKS, action=RuleAction.FLAG))
    dry = await replica.save(replace(ASKS, mode=RuleMode.DRY_RUN))
    replica.classifiers.answers[ASKS.url] = b'{"verdict":"hold"}'
    assert await replica.say("hello") == ADMITTED
    await asyncio.wait(replica.ports.classifying_behind)
    await write_hits(replica.ports)
    acted = {
        kept.id: [hit.hit.acted for hit in await list_hits(replica.ports, BOSS, kept.id, first=9, before_id=None)]
        for kept in (flag, dry)
    }
    assert acted == {flag.id: [True], dry.id: [False]}


async def test_a_text_is_tried_by_classifiers_as_well_who_are_told_that_it_is_a_test(replica: Replica) -> None:
    kept = await replica.save(ASKS)
    replica.classifiers.answers[ASKS.url] = b'{"verdict":"hold","reason":"spam"}'
    (match,), deciding = await try_text(replica.ports, BOSS, "live", "hello")
    assert (match.kept.id, match.hit.pattern, match.hit.rule.action) == (kept.id, "spam", RuleAction.HOLD)
    assert deciding is match
    data = json.loads(replica.classifiers.asked.get_nowait().body)["data"]
    assert (data["test"], data["author"]) == (True, None)


async def test_of_many_texts_that_are_tried_at_once_a_few_are_asked_about_and_the_others_wait(
    replica: Replica, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(classify, "ASKED_FOR_S", 60)
    await replica.save(ASKS)
    replica.classifiers.answers[ASKS.url] = b'{"verdict":"hold"}'
    gate = replica.classifiers.gates[ASKS.url] = asyncio.Event()
    tries = [asyncio.ensure_future(try_text(replica.ports, BOSS, "live", "hello")) for _ in range(TRIES_AT_ONCE + 1)]
    for _ in range(TRIES_AT_ONCE):
        await replica.classifiers.asked.get()
    assert replica.ports.trying.locked()
    assert replica.ports.classifier_lines.calls == TRIES_AT_ONCE
    gate.set()
    for matches, _ in await asyncio.gather(*tries):
        assert len(matches) == 1


async def test_classifiers_are_for_admins_and_who_is_none_is_not_told_where_they_are(replica: Replica) -> None:
    owner = Moderator(8, Rank.OWNER)
    with pytest.raises(NotPermitted):
        await execute(replica.ports, RuleOrder(SaveRule(owner, "live", ASKS, secret=SECRET)))
    kept = await replica.save(ASKS)
    assert await list_rules(replica.ports, BOSS, "live") == [kept]
    (told,) = await list_rules(replica.ports, owner, "live")
    assert (told.rule.url, told.rule.name) == ("", "asks")
    replica.classifiers.problems[ASKS.url] = "The classifier is at no public address"
    with pytest.raises(RuleRefused, match="at no public address"):
        await replica.save(ASKS)
