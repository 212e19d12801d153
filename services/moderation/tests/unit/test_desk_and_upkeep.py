"""usecases/: what a caller gives up, what a database refuses, and what happens meanwhile is not lost."""

import asyncio
from collections.abc import Callable, Mapping

import pytest

from moderation.domain.admission import Admission, Limits, Now
from moderation.domain.book import MUTES_AND_BANS, SanctionBook
from moderation.domain.order import Change, Moderator, Order
from moderation.domain.people import Rank, Speaker, Target
from moderation.domain.sanction import Action, Sanction, SanctionEvent, Scope
from moderation.domain.sightings import Sighting, SightingBuffer
from moderation.ports import Asked, Clock, DatabaseUnavailable, Events, Store
from moderation.usecases.desk import Desk
from moderation.usecases.upkeep import READ_AT_ONCE, Retention, Upkeep

MUTE = Order(Moderator(9, Rank.ADMIN), Action.MUTE, Target(5, ""), None, Scope.ROOM, "live", 0, "")
ANA = Speaker(5, "ana", "10.0.0.5", Rank.USER, "e:1")


class FakeClock:
    def now(self) -> Now:
        return Now(0, 1_000)


class FakeEvents:
    is_connected = True

    def __init__(self) -> None:
        self.published: list[SanctionEvent] = []

    async def publish(self, event: SanctionEvent) -> None:
        self.published.append(event)


class FakeStore:
    """Imposes without remembering; stops at `gate` in each call, and fails when told to."""

    def __init__(self) -> None:
        self.gate = asyncio.Event()
        self.gate.set()
        self.reached = asyncio.Event()
        self.is_away = False
        self.written: dict[Sighting, int] = {}
        self.stored: list[Sanction] = []

    async def _pass(self) -> None:
        self.reached.set()
        await self.gate.wait()
        if self.is_away:
            raise DatabaseUnavailable("away")

    async def change(
        self, order: Order, addresses: frozenset[str], decide: Callable[[list[Sanction]], Change], *, now_ms: int
    ) -> SanctionEvent:
        await self._pass()
        sanction = Sanction(1, order.action, order.target, addresses, order.slug, "", 9, Rank.ADMIN, now_ms, None)
        return SanctionEvent(1, order.action, order.target, 9, 0, order.scope, order.slug, now_ms, (sanction,))

    async def follow(self, sanction_id: int, address: str, *, now_ms: int) -> SanctionEvent | None:
        await self._pass()
        return SanctionEvent(2, Action.MUTE, Target(5, ""), 9, 0, Scope.ROOM, "live", now_ms, silent=True)

    async def find(self, sanction_id: int) -> Sanction | None:
        return None

    async def in_force(self, asked: Asked, *, now_ms: int) -> list[Sanction]:
        return []

    async def standing(self, *, after_id: int, first: int, now_ms: int) -> list[Sanction]:
        await self._pass()
        return [s for s in self.stored if s.id > after_id][:first]

    async def page(
        self, slug: str | None, *, only_in_force: bool, first: int, before_id: int | None, now_ms: int
    ) -> list[Sanction]:
        return []

    async def seen_addresses(self, target: Target, slug: str | None, *, since_ms: int) -> list[str]:
        return []

    async def write_sightings(self, sightings: Mapping[Sighting, int]) -> None:
        await self._pass()
        self.written.update(sightings)

    async def forget_sightings(self, before_ms: int) -> None:
        return None

    async def end_expired(self, before_ms: int) -> None:
        return None

    async def erase_evidence(self, before_ms: int, *, now_ms: int) -> None:
        return None

    async def delete_history(self, before_ms: int) -> None:
        return None


class Subject:
    def __init__(self) -> None:
        self.fake, self.events = FakeStore(), FakeEvents()
        self.book, self.sightings = SanctionBook(), SightingBuffer()
        self.admission = Admission(Limits(10, 10, 100), self.book, self.sightings)
        store: Store = self.fake
        events: Events = self.events
        clock: Clock = FakeClock()
        self.upkeep = Upkeep(store, events, clock, self.book, self.sightings, self.admission, Retention(90, 30))
        self.desk = Desk(
            store, events, clock, self.book, self.sightings, self.admission, outcome_unknown=self.upkeep.read_soon
        )

    def is_muted(self, address: str) -> bool:
        anonymous = Speaker(0, f"Anonymous_{address}", address, Rank.ANONYMOUS, "e:2")
        return self.book.remaining_ms(anonymous, "live", MUTES_AND_BANS, now_ms=1_000) is not None


async def test_an_action_whose_caller_goes_away_is_still_obeyed_and_told() -> None:
    subject = Subject()
    subject.fake.gate.clear()
    call = asyncio.create_task(subject.desk.act(MUTE))
    await subject.fake.reached.wait()
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    subject.fake.gate.set()
    await subject.desk.finish()
    assert len(subject.book) == 1
    assert [e.event_id for e in subject.events.published] == [1]


async def test_an_action_sees_sightings_that_are_not_written_yet() -> None:
    subject = Subject()
    subject.admission.sight(ANA, "live", 1_000)
    event = await subject.desk.act(MUTE)
    assert event.imposed[0].addresses == {"10.0.0.5"}


async def test_who_is_seen_while_the_action_is_stored_is_followed() -> None:
    subject = Subject()
    subject.fake.gate.clear()
    call = asyncio.create_task(subject.desk.act(MUTE))
    await subject.fake.reached.wait()
    subject.admission.sight(ANA, "live", 1_000)
    subject.fake.gate.set()
    await call
    assert subject.is_muted("10.0.0.5")
    await subject.upkeep.flush()
    assert [e.silent for e in subject.events.published] == [False, True]


async def test_who_was_seen_just_before_the_action_and_is_being_written_is_followed() -> None:
    subject = Subject()
    subject.admission.sight(ANA, "live", 1_000)
    subject.fake.gate.clear()
    flush = asyncio.create_task(subject.upkeep.flush())
    await subject.fake.reached.wait()
    sanction = Sanction(1, Action.MUTE, Target(5, ""), frozenset(), "live", "", 9, Rank.ADMIN, 1_000, None)
    subject.book.apply([sanction], ())  # from another replica
    subject.fake.gate.set()
    await flush
    assert subject.is_muted("10.0.0.5")


async def test_sightings_wait_for_a_database_that_is_away() -> None:
    subject = Subject()
    subject.admission.sight(ANA, "live", 1_000)
    subject.fake.is_away = True
    with pytest.raises(DatabaseUnavailable):
        await subject.upkeep.flush()
    subject.fake.is_away = False
    await subject.upkeep.flush()
    assert subject.fake.written == {Sighting(5, "", "live", "10.0.0.5"): 1_000}
    assert len(subject.sightings) == 0


async def test_what_is_known_stands_while_the_database_is_away() -> None:
    subject = Subject()
    await subject.desk.act(MUTE)
    subject.fake.is_away = True
    with pytest.raises(DatabaseUnavailable):
        await subject.upkeep.read()
    assert len(subject.book) == 1


async def test_sanctions_are_read_part_by_part_and_obeyed_when_all_are_there() -> None:
    subject = Subject()
    count = 2 * READ_AT_ONCE
    subject.fake.stored = [_mute_at(n + 1, f"address {n}") for n in range(count)]
    reading = asyncio.create_task(subject.upkeep.read())
    turns = 0
    while not reading.done():
        assert len(subject.book) == 0
        await asyncio.sleep(0)
        turns += 1
    assert turns >= 3
    assert len(subject.book) == count
    assert subject.is_muted("address 0")
    assert subject.is_muted(f"address {count - 1}")


async def test_a_reading_that_fails_half_way_changes_nothing() -> None:
    subject = Subject()
    subject.book.apply([_mute_at(9_999, "known")], ())
    subject.fake.stored = [_mute_at(n + 1, f"address {n}") for n in range(READ_AT_ONCE + 1)]
    reading = asyncio.create_task(subject.upkeep.read())
    await subject.fake.reached.wait()
    subject.fake.is_away = True
    with pytest.raises(DatabaseUnavailable):
        await reading
    assert subject.is_muted("known")
    assert not subject.is_muted("address 0")


def _mute_at(sanction_id: int, address: str) -> Sanction:
    return Sanction(
        sanction_id, Action.MUTE, Target(7, ""), frozenset({address}), "live", "", 9, Rank.ADMIN, 1_000, None
    )
