"""usecases/ on a database that is slow, away or fails: what a caller gives up, and what happens meanwhile, is not lost;
what is asked again, how soon, and what is left alone."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any, TypeAlias

import pytest
from classifiers_at_hand import ClassifiersAtHand
from structlog.testing import capture_logs

from chassis.database import Database
from chassis.errors import DatabaseUnavailable
from chassis.nats_connection import NatsAccess, NatsConnection
from moderation.adapters.log import NatsLog
from moderation.adapters.store.outbox import TortoiseOutbox
from moderation.adapters.store.sanctions import TortoiseStore
from moderation.adapters.store.tables import AuditRow, SightingRow
from moderation.domain.admission import Admission, Limits, Now
from moderation.domain.commands import SanctionOrder
from moderation.domain.erasures import LogRef, Origin
from moderation.domain.feed import FeedHead
from moderation.domain.holds import (
    DENIED_AT_ONCE,
    DecideHeldCommand,
    DecideHeldOrder,
    HeldMessage,
    Hold,
    HoldAction,
    HoldOrder,
    HoldState,
)
from moderation.domain.last_seen import LastSeenBuffer
from moderation.domain.people import Moderator, Rank, Speaker, Target
from moderation.domain.policy import PolicyChanges, PolicyCommand, PolicyOrder
from moderation.domain.policy_cache import PolicyCache
from moderation.domain.raids import LEAST_SAME, RAID
from moderation.domain.revocations import Revocation
from moderation.domain.roles import RoleCommand, RoleOrder, RoomRole, RoomRoles
from moderation.domain.sanction_cache import MUTES_AND_BANS, SanctionCache
from moderation.domain.sanctions import Action, Command, Sanction, SanctionEvent, Scope
from moderation.domain.warnings import RoomWarning
from moderation.errors import HoldDecided, NotPermitted
from moderation.ports import Ports
from moderation.usecases import refresh as module
from moderation.usecases.execute import execute, finish, hold, lift
from moderation.usecases.queries import list_role_holders
from moderation.usecases.raids import look_for_raids
from moderation.usecases.refresh import (
    READ_ALL_AT_ONCE,
    drop_ended,
    keep_reading_policies,
    keep_reading_sanctions,
    keep_writing,
    read_sanctions,
    write,
)

pytestmark = pytest.mark.integration
Eventually: TypeAlias = Callable[..., Awaitable[None]]
NOW = Now(0, 1_000)
ADMIN, LOG = Moderator(1, Rank.ADMIN), LogRef(3, 7, 21)
MUTE = Command(Moderator(9, Rank.ADMIN), Action.MUTE, Target(5, ""), None, Scope.ROOM, "live", 0, "")
ANA = Speaker(5, "ana", "10.0.0.5", Rank.USER, "e:1")
READ_ALL, READ_CHANGES, WRITE = "in_force_after", "changed_after", "write_last_seen"
STOPPED = {"change", "follow", READ_ALL, WRITE}


class Published:
    is_connected = True

    def __init__(self) -> None:
        self.events: list[SanctionEvent] = []
        self.heads: list[FeedHead] = []
        self.warnings: list[RoomWarning] = []
        self.roles: list[RoomRoles] = []
        self.holds: list[Hold] = []

    async def publish(self, event: SanctionEvent) -> None:
        self.events.append(event)

    async def publish_revocation(self, revocation: Revocation) -> None:
        raise AssertionError("nothing is revoked here")

    async def publish_holds(self, changed: Sequence[Hold]) -> None:
        self.holds += changed

    async def publish_warnings(self, changed: Sequence[RoomWarning]) -> None:
        self.warnings += changed

    async def publish_roles(self, roles: RoomRoles) -> None:
        self.roles.append(roles)

    async def publish_feed(self, heads: Sequence[FeedHead]) -> None:
        self.heads += heads


class Interrupted:
    """A real store whose questions are counted, wait at `gate` where they change or read much, and fail by name."""

    def __init__(self, store: TortoiseStore) -> None:
        self._store = store
        self.gate = asyncio.Event()
        self.gate.set()
        self.reached = asyncio.Event()
        self.asked: Counter[str] = Counter()
        self.problems: dict[str, Exception] = {}

    def __getattr__(self, name: str) -> Callable[..., Awaitable[Any]]:
        async def ask(*args: Any, **kwargs: Any) -> Any:
            self.asked[name] += 1
            if name in STOPPED:
                self.reached.set()
                await self.gate.wait()
            if name in self.problems:
                raise self.problems[name]
            return await getattr(self._store, name)(*args, **kwargs)

        return ask


class Subject:
    """The use cases of one replica, whose clock stands still, and what they work with."""

    def __init__(self, database: Database) -> None:
        self.store, self.published = Interrupted(TortoiseStore(database)), Published()
        self.cache, self.last_seen, self.policies = SanctionCache(), LastSeenBuffer(), PolicyCache()
        self.admission = Admission(Limits(10, 10, 100), self.cache, self.last_seen, self.policies)
        store: Any = self.store
        in_memory = (self.cache, self.last_seen, self.admission)
        outbox, log = TortoiseOutbox(database), NatsLog(NatsConnection(NatsAccess(()), "away"))
        self.ports = Ports(
            store, self.published, lambda: NOW, *in_memory, outbox, log, self.policies, ClassifiersAtHand()
        )

    def is_muted(self, address: str) -> bool:
        anonymous = Speaker(0, f"Anonymous_{address}", address, Rank.ANONYMOUS, "e:2")
        return self.cache.remaining_ms(anonymous, "live", MUTES_AND_BANS, now_ms=1_000) is not None

    def see_ana(self) -> None:
        self.admission.report_seen(ANA, "live", NOW)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        tasks = [asyncio.create_task(duty(self.ports)) for duty in (keep_reading_sanctions, keep_writing)]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        assert all(task.cancelled() for task in tasks)

    async def asked(self, question: str, count: int) -> bool:
        return self.store.asked[question] >= count

    async def has_written(self) -> bool:
        return len(self.last_seen) == 0


@pytest.fixture
def subject(database: Database) -> Subject:
    return Subject(database)


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pauses of milliseconds."""
    monkeypatch.setattr(module, "READ_CHANGES_EVERY_S", 0.001)
    monkeypatch.setattr(module, "WRITE_EVERY_S", 0.001)
    monkeypatch.setattr(module, "RETRY_FIRST_S", 0.002)
    monkeypatch.setattr(module, "RETRY_LONGEST_S", 0.004)


async def test_an_action_whose_caller_goes_away_is_still_applied_and_published(subject: Subject) -> None:
    subject.store.gate.clear()
    call = asyncio.create_task(execute(subject.ports, SanctionOrder(MUTE)))
    await subject.store.reached.wait()
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    subject.store.gate.set()
    await finish(subject.ports)
    assert len(subject.cache) == 1
    assert [e.event_id for e in subject.published.events] == [1]


async def test_an_action_sees_who_was_seen_and_is_not_written_yet(subject: Subject) -> None:
    subject.see_ana()
    event = (await execute(subject.ports, SanctionOrder(MUTE))).event
    assert event is not None
    assert event.imposed[0].addresses == {"10.0.0.5"}


async def test_who_is_seen_while_the_action_is_stored_is_followed(subject: Subject) -> None:
    subject.store.gate.clear()
    call = asyncio.create_task(execute(subject.ports, SanctionOrder(MUTE)))
    await subject.store.reached.wait()
    subject.see_ana()
    subject.store.gate.set()
    await call
    assert subject.is_muted("10.0.0.5")
    await write(subject.ports)
    assert [e.silent for e in subject.published.events] == [False, True]


async def test_who_was_seen_just_before_the_action_and_is_being_written_is_followed(subject: Subject) -> None:
    subject.see_ana()
    subject.store.gate.clear()
    writing = asyncio.create_task(write(subject.ports))
    await subject.store.reached.wait()
    subject.cache.apply([_mute_at(1, user_id=5)], ())  # from another replica
    subject.store.gate.set()
    await writing
    assert subject.is_muted("10.0.0.5")


async def test_two_that_lift_the_same_sanction_at_once_lift_it_once(subject: Subject) -> None:
    event = (await execute(subject.ports, SanctionOrder(MUTE))).event
    assert event is not None
    (sanction,) = event.imposed
    subject.published.events.clear()
    answers = await asyncio.gather(*(lift(subject.ports, sanction.id, MUTE.moderator) for _ in range(4)))
    assert [s.lifted_at_ms for s in answers] == [1_000] * 4
    assert [e.lifted_ids for e in subject.published.events] == [(sanction.id,)]
    assert await AuditRow.all().count() == 2


async def test_who_was_seen_waits_for_a_database_that_is_away(subject: Subject) -> None:
    subject.see_ana()
    subject.store.problems[WRITE] = DatabaseUnavailable("away")
    with pytest.raises(DatabaseUnavailable):
        await write(subject.ports)
    subject.store.problems.clear()
    await write(subject.ports)
    (row,) = await SightingRow.all()
    assert (row.user_id, row.name, row.slug, row.address, row.seen_at_ms) == (5, "", "live", "10.0.0.5", 1_000)
    assert len(subject.last_seen) == 0


async def test_what_is_known_stays_while_the_database_is_away(subject: Subject) -> None:
    await execute(subject.ports, SanctionOrder(MUTE))
    for question in (READ_ALL, READ_CHANGES):
        subject.store.problems = {question: DatabaseUnavailable("away")}
        with pytest.raises(DatabaseUnavailable):
            await read_sanctions(subject.ports)
        assert len(subject.cache) == 1
        subject.store.problems.clear()
        await read_sanctions(subject.ports)


async def test_sanctions_are_read_part_by_part_and_applied_when_all_are_there(
    subject: Subject, database: Database
) -> None:
    count = 2 * READ_ALL_AT_ONCE
    await _store_mutes(database, count)
    reading = asyncio.create_task(read_sanctions(subject.ports))
    turns = 0
    while not reading.done():
        assert len(subject.cache) == 0
        await asyncio.sleep(0)
        turns += 1
    assert turns >= 3
    assert subject.store.asked[READ_ALL] == 3
    assert len(subject.cache) == count
    assert subject.is_muted("address 1")
    assert subject.is_muted(f"address {count}")


async def test_a_reading_that_fails_half_way_changes_nothing(
    subject: Subject, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "READ_ALL_AT_ONCE", 1)
    await _store_mutes(database, 2)
    subject.cache.apply([_mute_at(9_999, address="known")], ())
    subject.store.gate.clear()
    reading = asyncio.create_task(read_sanctions(subject.ports))
    await subject.store.reached.wait()
    subject.store.gate.set()
    while subject.store.asked[READ_ALL] < 2:  # noqa: ASYNC110 - a part that was read announces itself to nobody
        await asyncio.sleep(0)
    subject.store.problems[READ_ALL] = DatabaseUnavailable("away")
    with pytest.raises(DatabaseUnavailable):
        await reading
    assert subject.is_muted("known")
    assert not subject.is_muted("address 1")


async def test_all_are_read_but_rows_with_a_value_of_a_later_version(
    subject: Subject, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "READ_ALL_AT_ONCE", 2)
    await _store_mutes(database, 6)
    async with database.transaction() as session:
        await session.client.execute_script("UPDATE sanction SET kind = 9 WHERE id IN (2, 3, 4)")
    await read_sanctions(subject.ports)
    assert [n for n in range(1, 7) if subject.is_muted(f"address {n}")] == [1, 5, 6]


async def test_writes_that_fail_are_tried_again(subject: Subject, quick: None, eventually: Eventually) -> None:
    subject.see_ana()
    subject.store.problems[WRITE] = DatabaseUnavailable("too busy")
    async with subject.running():
        await eventually(lambda: subject.asked(WRITE, 5))
        subject.store.problems.clear()
        await eventually(subject.has_written)


async def test_what_another_replica_changed_is_read_without_an_event_and_nothing_else_is(
    subject: Subject, database: Database, quick: None, eventually: Eventually
) -> None:
    await _store_mutes(database, 3)
    await read_sanctions(subject.ports)
    elsewhere = Subject(database)
    async with subject.running():
        event = (await execute(elsewhere.ports, SanctionOrder(MUTE))).event
        assert event is not None
        (imposed,) = event.imposed

        async def holds() -> bool:
            return subject.cache.remaining_ms(ANA, "live", MUTES_AND_BANS, now_ms=1_000) is not None

        async def is_followed() -> bool:
            return subject.is_muted("10.0.0.5")

        async def is_lifted() -> bool:
            return not await holds()

        await eventually(holds)
        elsewhere.see_ana()
        await write(elsewhere.ports)  # and follows to an address
        await eventually(is_followed)
        await lift(elsewhere.ports, imposed.id, MUTE.moderator)
        await eventually(is_lifted)
    assert not subject.is_muted("10.0.0.5")
    assert subject.store.asked[READ_ALL] == 1
    assert len(subject.cache) == 3


async def test_more_changes_than_one_question_brings_are_all_read(
    subject: Subject, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "READ_AT_ONCE", 2)
    await read_sanctions(subject.ports)
    elsewhere = Subject(database)
    for user_id in range(1, 8):
        await execute(elsewhere.ports, SanctionOrder(replace(MUTE, target=Target(user_id, ""))))
    await read_sanctions(subject.ports)
    assert len(subject.cache) == 7
    assert subject.store.asked[READ_CHANGES] >= 4


async def test_where_the_database_was_put_back_all_is_read_again(subject: Subject, database: Database) -> None:
    await execute(subject.ports, SanctionOrder(MUTE))
    await read_sanctions(subject.ports)
    await execute(subject.ports, SanctionOrder(replace(MUTE, target=Target(6, ""))))
    await read_sanctions(subject.ports)
    assert (len(subject.cache), subject.cache.read_up_to) == (2, 2)
    async with database.transaction() as session:
        for table in ("audit", "sanction"):
            await session.client.execute_script(f"DELETE FROM {table} WHERE id = 2")
    await read_sanctions(subject.ports)
    assert (len(subject.cache), subject.cache.read_up_to) == (1, 1)


async def test_a_change_that_cannot_be_read_is_logged_and_gone_round_by_reading_all(subject: Subject) -> None:
    await read_sanctions(subject.ports)
    await execute(subject.ports, SanctionOrder(MUTE))
    subject.store.problems[READ_CHANGES] = ZeroDivisionError("ours")
    with capture_logs() as lines:
        await read_sanctions(subject.ports)
    assert [(line["event"], line["log_level"]) for line in lines] == [("sanctions_not_followed", "error")]
    assert (subject.store.asked[READ_ALL], subject.cache.read_up_to, len(subject.cache)) == (2, 1, 1)


async def test_what_is_over_leaves_the_memory(subject: Subject) -> None:
    subject.cache.apply([replace(_mute_at(1), expires_at_ms=1_000), _mute_at(2)], ())
    await drop_ended(subject.ports)
    assert subject.cache.ids() == [2]


async def test_a_mistake_of_ours_is_logged_with_its_trace_and_ends_nothing(
    subject: Subject, quick: None, eventually: Eventually
) -> None:
    subject.see_ana()
    subject.store.problems[WRITE] = ZeroDivisionError("ours")
    with capture_logs() as lines:
        async with subject.running():
            await eventually(lambda: subject.asked(WRITE, 2))
            subject.store.problems.clear()
            await eventually(subject.has_written)
    (first, *_) = lines
    assert (first["event"], first["log_level"], first["exc_info"]) == ("sightings_not_written", "error", True)


async def test_policies_are_asked_for_as_often_as_ever_where_the_database_does_not_answer(
    subject: Subject, monkeypatch: pytest.MonkeyPatch, eventually: Eventually
) -> None:
    """Or a change would not hold everywhere a second after it was told: it may be made as soon as the database is
    back."""
    monkeypatch.setattr(module, "READ_CHANGES_EVERY_S", 0.001)
    subject.store.problems["policies_after"] = DatabaseUnavailable("away")
    reading = asyncio.create_task(keep_reading_policies(subject.ports))
    try:
        async with asyncio.timeout(0.4):
            await eventually(lambda: subject.asked("policies_after", 5))
    finally:
        reading.cancel()
        await asyncio.wait([reading])


async def test_a_role_is_stored_and_told_and_one_that_may_not_be_given_is_neither(subject: Subject) -> None:
    def order(rank: Rank, nonce: str = "") -> RoleOrder:
        command = RoleCommand(Moderator(9, rank), "live", Target(5, ""), None, RoomRole.VIP, 9, "")
        return RoleOrder(command, Origin("", 0, nonce))

    with pytest.raises(NotPermitted):
        await execute(subject.ports, order(Rank.MODERATOR))
    assert (await subject.ports.store.roles_of(["live"]), subject.published.roles) == ([], [])
    first = await execute(subject.ports, order(Rank.OWNER, "n"))
    assert (await execute(subject.ports, order(Rank.OWNER, "n"))).action_id == first.action_id
    assert await subject.ports.store.roles_of(["live"]) == subject.published.roles == [first.roles]
    assert await list_role_holders(subject.ports, "live", first=-1, after_user_id=0, user_id=0) == (9, [], [])


async def _held(subject: Subject, count: int) -> list[Hold]:
    """Of so many anonymous people of one address."""
    for number in range(count):
        author = Speaker(0, f"guest {number}", "10.0.0.6", Rank.ANONYMOUS, f"e:{number}")
        await hold(subject.ports, HoldOrder("live", LOG, HeldMessage(author, "see evil.com", "", number + 1)))
    held = subject.published.holds.copy()
    subject.published.holds.clear()
    return held


async def test_a_ban_is_answered_before_all_that_its_target_has_waiting_is_denied_and_the_rest_is_denied_then(
    subject: Subject,
) -> None:
    held = await _held(subject, DENIED_AT_ONCE + 2)
    target = Target(0, "Anonymous_10.0.0.6")
    await execute(subject.ports, SanctionOrder(Command(ADMIN, Action.BAN, target, None, Scope.ROOM, "live", 0, "spam")))
    assert [each.id for each in subject.published.holds] == [each.id for each in held[:DENIED_AT_ONCE]]
    await finish(subject.ports)
    assert [each.id for each in subject.published.holds] == [each.id for each in held]
    assert {each.state for each in subject.published.holds} == {HoldState.DENIED}


async def test_where_the_rest_cannot_be_denied_whoever_allows_it_is_told_who_banned_its_author(
    subject: Subject,
) -> None:
    held = await _held(subject, DENIED_AT_ONCE + 1)
    subject.store.problems["deny_held"] = DatabaseUnavailable("away")
    target = Target(0, "Anonymous_10.0.0.6")
    await execute(subject.ports, SanctionOrder(Command(ADMIN, Action.BAN, target, None, Scope.ROOM, "live", 0, "spam")))
    await finish(subject.ports)
    command = DecideHeldCommand(HoldAction.ALLOW, Moderator(8, Rank.MODERATOR), "live", held[-1].id, "")
    with pytest.raises(HoldDecided) as refused:
        await execute(subject.ports, DecideHeldOrder(command, LOG))
    decided: Hold = refused.value.hold
    assert (decided.id, decided.state, decided.decided_by) == (held[-1].id, HoldState.DENIED, ADMIN.user_id)
    assert subject.published.holds[-1] == decided


async def test_a_defect_while_the_rest_is_denied_is_logged(subject: Subject) -> None:
    await _held(subject, DENIED_AT_ONCE + 1)
    subject.store.problems["deny_held"] = RuntimeError("a defect")
    target = Target(0, "Anonymous_10.0.0.6")
    with capture_logs() as logs:
        await execute(
            subject.ports, SanctionOrder(Command(ADMIN, Action.BAN, target, None, Scope.ROOM, "live", 0, "spam"))
        )
        await finish(subject.ports)
    assert [(line["event"], line["log_level"]) for line in logs] == [("rest_not_denied", "error")]


async def test_a_raid_is_told_and_shielded_where_the_policy_asks_for_it(subject: Subject) -> None:
    def raid(slug: str) -> None:
        for number in range(LEAST_SAME):
            raider = Speaker(100 + number, "raider", "10.0.0.7", Rank.USER, f"e:{number}")
            subject.ports.raids.note(raider, slug, None, "Come all and watch my own channel", NOW.wall_ms)

    changes = PolicyChanges(shield_automatic=True)
    await execute(subject.ports, PolicyOrder(PolicyCommand(Moderator(9, Rank.OWNER), "live", changes, "")))
    raid("live")
    raid("other")
    await look_for_raids(subject.ports)
    events = (await subject.ports.store.feed_after(["live", "other"], 0, first=10)).events
    told = {event.slug: event.data for event in events if event.kind == RAID}
    assert {slug: (data["same"], data["shielded"]) for slug, data in told.items()} == {
        "live": (LEAST_SAME, True),
        "other": (LEAST_SAME, False),
    }
    assert subject.policies.is_shielded("live", NOW.wall_ms)
    assert not subject.policies.is_shielded("other", NOW.wall_ms)
    raid("live")
    await look_for_raids(subject.ports)  # it goes on: there is a shield, and moderators know
    assert len((await subject.ports.store.feed_after(["live"], 0, first=10)).events) == 3


def _mute_at(sanction_id: int, *, user_id: int = 7, address: str = "") -> Sanction:
    addresses = frozenset({address} if address else ())
    return Sanction(sanction_id, Action.MUTE, Target(user_id, ""), addresses, "live", "", 9, Rank.ADMIN, 1_000, None)


async def _store_mutes(database: Database, count: int) -> None:
    """So many in force, the first one at "address 1"."""
    ids = f"WITH RECURSIVE ids (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM ids WHERE n < {count})"
    mutes = (
        "sanction (kind, target_user_id, target_username, slug, reason, moderator_user_id, moderator_rank,"
        f" created_at_ms) {ids} SELECT 2, 7, '', 'live', '', 9, 4, 1000 FROM ids"
    )
    async with database.transaction() as session:
        await session.client.execute_script(f"INSERT INTO {mutes}")
        addresses = f"sanction_address (sanction_id, address) {ids} SELECT n, 'address ' || n FROM ids"
        await session.client.execute_script(f"INSERT INTO {addresses}")
