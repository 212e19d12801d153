"""Held messages in the port Store, on SQLite and on PostgreSQL."""

import asyncio
from collections.abc import Sequence
from functools import partial

import pytest

from chassis.database import Database
from moderation.adapters.store.feed_pages import open_items
from moderation.adapters.store.holds import are_holds_late
from moderation.adapters.store.outbox import TortoiseOutbox
from moderation.adapters.store.tables import AuditRow, HoldRow, OutboxRow, SanctionAddressRow, SanctionRow
from moderation.domain.audit import AuditQuery
from moderation.domain.commands import Receipt, SanctionOrder
from moderation.domain.erasures import NO_ORIGIN, LogRef, Origin
from moderation.domain.holds import (
    DENIED_AT_ONCE,
    NONCES_KNOWN_MS,
    WAITS_MS,
    DecideHeldCommand,
    DecideHeldOrder,
    HeldMessage,
    Hold,
    HoldAction,
    HoldOrder,
    HoldState,
    Publication,
    decide_hold,
)
from moderation.domain.people import Moderator, Rank, Speaker, Target
from moderation.domain.rights import decide
from moderation.domain.sanctions import Action, Command, Scope
from moderation.domain.undo import UndoCommand, UndoOrder, decide_undo
from moderation.domain.user_erasures import EraseUserCommand, EraseUserOrder
from moderation.errors import CannotUndo, HoldDecided, HoldFull, HoldNotFound, NotPermitted, RoomGone
from moderation.ports import Kept, Store

pytestmark = pytest.mark.integration
LOG, LATER = LogRef(3, 7, 21), LogRef(3, 7, 22)
ORIGIN = Origin("e" * 32, 2**64 - 1, "a1")
CHAIR, ADMIN = Moderator(9, Rank.MODERATOR), Moderator(1, Rank.ADMIN)
ANA = Speaker(5, "ana", "10.0.0.5", Rank.USER, "e:1")
GUEST = Speaker(0, "Anonymous_10.0.0.6", "10.0.0.6", Rank.ANONYMOUS, "e:2")


@pytest.fixture(autouse=True)
def a_patient_store(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is asked at once waits in turn, on a busy machine longer than people would."""
    monkeypatch.setattr("moderation.adapters.store.database.DEADLINE_S", 60.0)


def message(author: Speaker = ANA, nonce: str = "", text: str = "be \0nice", number: int = 17) -> HeldMessage:
    return HeldMessage(author, text, nonce, number, "user" if author.user_id else "", 515)


async def wait(
    store: Store, *, now_ms: int, author: Speaker = ANA, nonce: str = "", slug: str = "live", log: LogRef = LOG
) -> Receipt:
    return await store.hold(HoldOrder(slug, log, message(author, nonce), 3, "words"), now_ms=now_ms)


async def held(store: Store, **values: object) -> Hold:
    receipt = await wait(store, **values)  # type: ignore[arg-type]
    assert receipt.hold is not None
    return receipt.hold


async def settle(
    store: Store,
    hold: Hold,
    action: HoldAction = HoldAction.ALLOW,
    *,
    now_ms: int,
    by: Moderator = CHAIR,
    origin: Origin = NO_ORIGIN,
    log: LogRef | None = LOG,
) -> Receipt:
    order = DecideHeldOrder(DecideHeldCommand(action, by, hold.slug, hold.id, "fine"), log, origin)
    return await store.decide_hold(order, partial(decide_hold, order, now_ms=now_ms), now_ms=now_ms)


async def ban(
    store: Store, target: Target, *, now_ms: int, slug: str = "live", addresses: Sequence[str] = ()
) -> Receipt:
    scope = Scope.ROOM if slug else Scope.EVERYWHERE
    command = Command(ADMIN, Action.BAN, target, None, scope, slug, 0, "spam")
    at = frozenset(addresses)
    return await store.change(SanctionOrder(command), at, partial(decide, command, addresses=at), now_ms=now_ms)


async def test_a_message_waits_with_its_audit_row_and_moderators_read_it(store: Store) -> None:
    hold = await held(store, now_ms=1_000, nonce="n1")
    assert (hold.state, hold.held_at_ms, hold.log, hold.rule_name) == (HoldState.WAITING, 1_000, LOG, "words")
    (shown,) = await store.held("live", first=9, before_id=None, now_ms=2_000)
    assert shown.message == message(ANA._replace(address=""), "n1", "be \N{REPLACEMENT CHARACTER}nice")
    assert await store.held("other", first=9, before_id=None, now_ms=2_000) == []
    row = await AuditRow.get()
    assert (row.action, row.moderator_user_id, row.target_user_id, row.slug) == (34, 0, 5, "live")
    assert (row.message_text, row.reason) == ("be \N{REPLACEMENT CHARACTER}nice", "Rule: words")
    assert row.details == {"hold_id": hold.id, "rule_id": 3, "rule_name": "words"}
    by_policy = await store.hold(HoldOrder("live", LOG, message()), now_ms=1_500)
    row = await AuditRow.get(id=by_policy.action_id)
    assert (row.reason, set(row.details or {})) == ("Links wait for a moderator", {"hold_id"})


async def test_pages_of_what_waits_are_newest_first_and_without_what_has_expired(store: Store) -> None:
    authors = [ANA._replace(user_id=number) for number in range(10, 15)]
    holds = [await held(store, author=one, now_ms=1_000 + number) for number, one in enumerate(authors)]
    ids = [hold.id for hold in holds][::-1]
    first = await store.held("live", first=2, before_id=None, now_ms=2_000)
    rest = await store.held("live", first=9, before_id=first[-1].id, now_ms=2_000)
    assert [hold.id for hold in first + rest] == ids
    late = await store.held("live", first=9, before_id=None, now_ms=1_002 + WAITS_MS)
    assert [hold.id for hold in late] == ids[:2]


async def test_with_its_nonce_it_is_the_same_message_for_two_minutes_in_its_life(store: Store) -> None:
    first = await wait(store, now_ms=1_000, nonce="n1")
    again = await wait(store, now_ms=2_000, nonce="n1")
    assert (again.repeated, again.hold) == (True, first.hold)
    others = [
        await wait(store, now_ms=2_000, nonce="n1", log=LATER),
        await wait(store, now_ms=1_000 + NONCES_KNOWN_MS, nonce="n1"),
        await wait(store, now_ms=2_000, nonce="n1", author=GUEST),
        await wait(store, now_ms=2_000, nonce="n1", author=GUEST._replace(connection="e:3")),
    ]
    assert [other.repeated for other in others] == [False] * 4
    assert (await wait(store, now_ms=2_001, nonce="n1", author=GUEST)).hold == others[2].hold
    assert await AuditRow.filter(action=34).count() == 5


async def test_many_at_once_with_one_nonce_are_one_and_of_many_others_three_wait(store: Store) -> None:
    same = await asyncio.gather(*(wait(store, now_ms=1_000, nonce="n1") for _ in range(5)))
    assert len({receipt.hold.id for receipt in same if receipt.hold}) == 1
    assert sum(not receipt.repeated for receipt in same) == 1
    others = await asyncio.gather(*(wait(store, now_ms=1_000) for _ in range(5)), return_exceptions=True)
    assert sum(isinstance(other, Receipt) for other in others) == 2
    assert all(isinstance(other, Receipt | HoldFull) for other in others)


async def test_three_of_an_author_wait_over_all_rooms_and_what_was_decided_or_expired_counts_no_longer(
    store: Store,
) -> None:
    holds = [await held(store, now_ms=1_000 + number, slug=f"s{number}") for number in range(3)]
    with pytest.raises(HoldFull):
        await wait(store, now_ms=2_000)
    await wait(store, now_ms=2_000, author=ANA._replace(user_id=6))
    await settle(store, holds[0], HoldAction.DENY, now_ms=2_000)
    await wait(store, now_ms=2_500)
    with pytest.raises(HoldFull):
        await wait(store, now_ms=1_000 + WAITS_MS)
    await wait(store, now_ms=1_001 + WAITS_MS)


async def test_anonymous_people_of_one_name_count_together(store: Store) -> None:
    for number in range(3):
        await wait(store, now_ms=1_000, author=GUEST._replace(connection=f"e:{number}"))
    with pytest.raises(HoldFull):
        await wait(store, now_ms=1_000, author=GUEST)
    await wait(store, now_ms=1_000, author=GUEST._replace(username="Anonymous_10.0.0.7"))


async def test_five_hundred_wait_in_a_room(store: Store) -> None:
    row = await HoldRow.get(id=(await held(store, now_ms=1_000)).id)
    fields = {name: getattr(row, name) for name in HoldRow._meta.fields_map if name != "id"}
    await HoldRow.bulk_create([HoldRow(**fields | {"user_id": 100 + number}) for number in range(499)])
    with pytest.raises(HoldFull):
        await wait(store, now_ms=1_000, author=ANA._replace(user_id=6))
    await wait(store, now_ms=1_000, author=ANA._replace(user_id=6), slug="other")


async def test_allowed_it_is_given_to_the_outbox_whole_and_is_kept_nowhere_else(
    store: Store, database: Database
) -> None:
    hold = await held(store, now_ms=1_000, nonce="n1")
    receipt = await settle(store, hold, now_ms=2_000, origin=ORIGIN)
    assert receipt.hold is not None
    assert (receipt.hold.state, receipt.hold.decided_by, receipt.hold.decided_at_ms) == (HoldState.ALLOWED, 9, 2_000)
    assert receipt.work is not None
    published = HeldMessage(Speaker(5, "ana", "", 0, "e:1"), "be \N{REPLACEMENT CHARACTER}nice", "n1", 0, "user", 515)
    assert receipt.work.change == Publication(LOG, ORIGIN, hold.id, published)
    row = await AuditRow.get(id=receipt.action_id)
    assert (row.action, row.moderator_user_id, row.nonce, row.reason) == (35, 9, "a1", "fine")
    assert (row.target_user_id, row.message_text, row.details) == (5, None, {"hold_id": hold.id})
    assert "nice" not in str(await HoldRow.all().values())
    outbox = TortoiseOutbox(database)
    (item,) = await outbox.claim(first=9, now_ms=100_000)
    assert item.change == receipt.work.change
    await outbox.appended(item, 1_027, now_ms=100_001)
    assert "nice" not in str(await OutboxRow.all().values())
    again = await wait(store, now_ms=3_000, nonce="n1")
    assert (again.repeated, again.entry_id, again.hold and again.hold.state) == (True, 1_027, HoldState.ALLOWED)


async def test_denied_nothing_is_published(store: Store) -> None:
    hold = await held(store, now_ms=1_000)
    receipt = await settle(store, hold, HoldAction.DENY, now_ms=2_000)
    assert (receipt.work, receipt.hold and receipt.hold.state) == (None, HoldState.DENIED)
    assert await OutboxRow.all().count() == 0
    assert (await AuditRow.get(id=receipt.action_id)).action == 36
    assert await store.held("live", first=9, before_id=None, now_ms=2_000) == []


async def test_of_many_decisions_at_once_one_counts_and_the_others_are_told_whose(store: Store) -> None:
    hold = await held(store, now_ms=1_000)
    actions = [HoldAction.ALLOW, HoldAction.DENY] * 5
    deciding = [
        settle(store, hold, action, now_ms=2_000, by=Moderator(20 + number, Rank.MODERATOR))
        for number, action in enumerate(actions)
    ]
    found = await asyncio.gather(*deciding, return_exceptions=True)
    (receipt,) = [each for each in found if isinstance(each, Receipt)]
    assert receipt.hold is not None
    others = [each for each in found if isinstance(each, HoldDecided)]
    assert len(others) == 9
    assert {(other.hold.decided_by, other.hold.state) for other in others} == {
        (receipt.hold.decided_by, receipt.hold.state)
    }
    assert await OutboxRow.all().count() == (receipt.hold.state is HoldState.ALLOWED)
    assert await AuditRow.filter(action__in=[35, 36]).count() == 1


async def test_the_same_decision_again_is_answered_as_the_first_time(store: Store) -> None:
    hold = await held(store, now_ms=1_000)
    first = await settle(store, hold, now_ms=2_000, origin=ORIGIN)
    again = await settle(store, hold, now_ms=3_000, origin=ORIGIN)
    assert (again.repeated, again.action_id, again.hold and again.hold.state) == (
        True,
        first.action_id,
        HoldState.ALLOWED,
    )
    assert again.work is None


async def test_what_is_refused_changes_nothing(store: Store) -> None:
    hold = await held(store, now_ms=1_000)
    with pytest.raises(RoomGone):
        await settle(store, hold, now_ms=2_000, log=LATER)
    with pytest.raises(NotPermitted):
        await settle(store, hold, now_ms=2_000, by=Moderator(5, Rank.ADMIN))
    order = DecideHeldOrder(DecideHeldCommand(HoldAction.ALLOW, CHAIR, "live", hold.id + 1, ""), LOG)
    with pytest.raises(HoldNotFound):
        await store.decide_hold(order, partial(decide_hold, order, now_ms=2_000), now_ms=2_000)
    assert await AuditRow.all().count() == 1
    assert [each.id for each in await store.held("live", first=9, before_id=None, now_ms=2_000)] == [hold.id]


async def test_after_five_minutes_it_is_rejected_once_and_nobody_decides_any_more(store: Store) -> None:
    hold = await held(store, now_ms=1_000)
    assert await store.expire_holds(now_ms=999 + WAITS_MS) == []
    with pytest.raises(HoldDecided):
        await settle(store, hold, now_ms=1_000 + WAITS_MS)
    (expired,) = await store.expire_holds(now_ms=1_000 + WAITS_MS)
    assert (expired.id, expired.state, expired.decided_by, expired.decided_at_ms) == (
        hold.id,
        HoldState.EXPIRED,
        0,
        1_000 + WAITS_MS,
    )
    assert await store.expire_holds(now_ms=2_000 + WAITS_MS) == []
    assert "nice" not in str(await HoldRow.all().values())


async def test_a_ban_denies_what_its_target_has_waiting_there_each_with_a_row(store: Store) -> None:
    here, elsewhere = await held(store, now_ms=1_000), await held(store, now_ms=1_000, slug="other")
    other = await held(store, now_ms=1_000, author=ANA._replace(user_id=6))
    receipt = await ban(store, Target(5, ""), now_ms=2_000)
    assert [(each.id, each.state, each.decided_by) for each in receipt.denied] == [(here.id, HoldState.DENIED, 1)]
    row = await AuditRow.get(action=36)
    assert (row.moderator_user_id, row.reason, row.details) == (1, "spam", {"hold_id": here.id})
    everywhere = await ban(store, Target(5, ""), now_ms=2_500, slug="")
    assert [each.id for each in everywhere.denied] == [elsewhere.id]
    with pytest.raises(NotPermitted):
        await wait(store, now_ms=3_000)
    assert [each.id for each in await store.held("live", first=9, before_id=None, now_ms=3_000)] == [other.id]


async def test_a_ban_reaches_anonymous_people_by_name_and_by_address(store: Store) -> None:
    by_name = await held(store, now_ms=1_000, author=GUEST)
    by_address = await held(store, now_ms=1_000, author=GUEST._replace(username="Anonymous_x", address="10.0.0.9"))
    named = await ban(store, Target(0, GUEST.username), now_ms=2_000, addresses=["10.0.0.6"])
    assert [each.id for each in named.denied] == [by_name.id]
    followed = await ban(store, Target(77, ""), now_ms=2_000, addresses=["10.0.0.9"])
    assert [each.id for each in followed.denied] == [by_address.id]
    with pytest.raises(NotPermitted):
        await wait(store, now_ms=3_000, author=GUEST)


async def test_a_ban_denies_no_more_at_once_than_other_commands_can_wait_for_and_the_rest_in_parts(
    store: Store,
) -> None:
    authors = [GUEST._replace(username=f"guest {number}") for number in range(DENIED_AT_ONCE + 3)]
    holds = [await held(store, now_ms=1_000, author=one) for one in authors]
    await held(store, now_ms=1_000, author=GUEST._replace(username="other", address="10.0.0.7"))
    expired = [await held(store, now_ms=2_001 - WAITS_MS, author=GUEST._replace(username=f"e{n}")) for n in range(3)]
    receipt = await ban(store, Target(0, GUEST.username), now_ms=2_001, addresses=["10.0.0.6"])
    assert [each.id for each in receipt.denied] == [hold.id for hold in holds[:DENIED_AT_ONCE]]
    assert receipt.event is not None
    (imposed,) = receipt.event.imposed
    rest = await store.deny_held(imposed, now_ms=2_002)
    assert [(each.id, each.decided_by) for each in rest] == [(hold.id, 1) for hold in holds[DENIED_AT_ONCE:]]
    assert await store.deny_held(imposed, now_ms=2_003) == []
    assert await AuditRow.filter(action=36, moderator_user_id=1, reason="spam").count() == len(holds)
    assert {hold.id for hold in await store.expire_holds(now_ms=2_003)} == {hold.id for hold in expired}


async def test_a_ban_that_was_lifted_denies_no_further(store: Store) -> None:
    receipt = await ban(store, Target(5, ""), now_ms=1_000)
    assert receipt.event is not None
    lifting = Command(ADMIN, Action.UNBAN, Target(5, ""), None, Scope.ROOM, "live", 0, "")
    none: frozenset[str] = frozenset()
    await store.change(SanctionOrder(lifting), none, partial(decide, lifting, addresses=none), now_ms=2_000)
    await held(store, now_ms=3_000)
    assert await store.deny_held(receipt.event.imposed[0], now_ms=3_000) == []


@pytest.mark.parametrize(
    ("author", "target", "slug", "addresses", "rank", "is_denied"),
    [
        (ANA, Target(5, ""), "live", [], Rank.ADMIN, True),
        (ANA, Target(5, ""), "", [], Rank.ADMIN, True),
        (ANA, Target(5, ""), "other", [], Rank.ADMIN, False),
        (ANA, Target(6, ""), "live", ["10.0.0.5"], Rank.ADMIN, False),
        (ANA._replace(rank=Rank.OWNER), Target(5, ""), "live", [], Rank.OWNER, False),
        (GUEST, Target(0, GUEST.username), "live", [], Rank.ADMIN, True),
        (GUEST, Target(77, ""), "", ["10.0.0.6"], Rank.ADMIN, True),
        (GUEST, Target(77, ""), "live", ["10.0.0.7"], Rank.ADMIN, False),
    ],
)
async def test_what_somebody_has_waiting_whom_a_ban_binds_is_denied_by_it_when_it_is_to_be_allowed(
    store: Store,
    author: Speaker,
    target: Target,
    slug: str,
    addresses: list[str],
    rank: Rank,
    *,
    is_denied: bool,
) -> None:
    """A replica of before, or one that was killed, has denied nothing."""
    hold = await held(store, now_ms=1_000, author=author)
    row = SanctionRow(
        kind=int(Action.BAN),
        target_user_id=target.user_id,
        target_username=target.username,
        slug=slug or None,
        reason="spam",
        moderator_user_id=1,
        moderator_rank=int(rank),
        created_at_ms=1_500,
    )
    await row.save()
    await SanctionAddressRow.bulk_create([SanctionAddressRow(sanction_id=row.id, address=each) for each in addresses])
    receipt = await settle(store, hold, now_ms=2_000)
    assert receipt.hold is not None
    if not is_denied:
        assert (receipt.hold.state, receipt.hold.decided_by) == (HoldState.ALLOWED, 9)
        return
    assert (receipt.hold.state, receipt.hold.decided_by, receipt.work) == (HoldState.DENIED, 1, None)
    denial = await AuditRow.get(action=36)
    assert (denial.moderator_user_id, denial.moderator_rank, denial.reason) == (1, int(rank), "spam")
    assert (await AuditRow.filter(action=35).count(), await OutboxRow.all().count()) == (0, 0)
    with pytest.raises(HoldDecided):
        await settle(store, hold, now_ms=2_001)


async def test_a_mute_denies_nothing(store: Store) -> None:
    await wait(store, now_ms=1_000)
    command = Command(CHAIR, Action.MUTE, Target(5, ""), None, Scope.ROOM, "live", 5, "")
    none: frozenset[str] = frozenset()
    receipt = await store.change(SanctionOrder(command), none, partial(decide, command, addresses=none), now_ms=2_000)
    assert receipt.denied == ()


async def test_a_ban_that_an_undo_imposes_again_denies_as_well(store: Store) -> None:
    await ban(store, Target(5, ""), now_ms=1_000)
    lifting = Command(ADMIN, Action.UNBAN, Target(5, ""), None, Scope.ROOM, "live", 0, "")
    none: frozenset[str] = frozenset()
    lifted = await store.change(SanctionOrder(lifting), none, partial(decide, lifting, addresses=none), now_ms=2_000)
    hold = await held(store, now_ms=3_000)
    command = UndoCommand(ADMIN, "live", lifted.action_id, "")
    receipt = await store.undo(UndoOrder(command), partial(decide_undo, command, now_ms=4_000), now_ms=4_000)
    assert [each.id for each in receipt.denied] == [hold.id]


async def test_decisions_and_holds_cannot_be_undone(store: Store) -> None:
    decided = await settle(store, await held(store, now_ms=1_000), now_ms=2_000)
    command = UndoCommand(ADMIN, "live", decided.action_id, "")
    with pytest.raises(CannotUndo):
        await store.undo(UndoOrder(command), partial(decide_undo, command, now_ms=3_000), now_ms=3_000)


async def test_edges_read_what_waits_and_what_was_decided_lately(store: Store) -> None:
    waiting, decided = await held(store, now_ms=1_000), await held(store, now_ms=1_100)
    await held(store, now_ms=1_200, slug="other")
    await settle(store, decided, HoldAction.DENY, now_ms=2_000)
    assert [each.id for each in await store.holds_of(["live"], since_ms=2_000, first=9)] == [decided.id, waiting.id]
    assert [each.id for each in await store.holds_of(["live"], since_ms=2_001, first=9)] == [waiting.id]
    assert await store.kept_of(["live"], holds_since_ms=2_001, now_ms=2_001) == {Kept.HOLDS}
    await settle(store, waiting, HoldAction.DENY, now_ms=2_000)
    assert await store.kept_of(["live"], holds_since_ms=2_000, now_ms=2_001) == {Kept.HOLDS}
    assert await store.kept_of(["live"], holds_since_ms=2_001, now_ms=2_001) == set()
    assert len(await store.holds_of(["live", "other"], since_ms=0, first=2)) == 2
    assert await store.holds_of([], since_ms=0, first=9) == []


async def test_moderators_are_told_of_it_and_of_what_becomes_of_it_in_their_feed(
    store: Store, database: Database
) -> None:
    denied, expired = await held(store, now_ms=1_000), await held(store, now_ms=1_100, author=GUEST)
    async with database.transaction():
        open_now = (await open_items("live", 8)).held
    assert [(one["hold_id"], one["user_id"], one["rule"]) for one in open_now] == [
        (expired.id, None, "words"),
        (denied.id, 5, "words"),
    ]
    assert open_now[1]["message"] == "be \N{REPLACEMENT CHARACTER}nice"
    assert open_now[1]["expires_at"] == "1970-01-01T00:05:01.000Z"
    await settle(store, denied, HoldAction.DENY, now_ms=2_000)
    await store.expire_holds(now_ms=1_100 + WAITS_MS)
    events = (await store.feed_after(["live"], 0, first=9)).events
    assert [(event.kind, event.data["hold_id"], event.data.get("state")) for event in events] == [
        ("hold", denied.id, None),
        ("hold", expired.id, None),
        ("hold_decided", denied.id, "denied"),
        ("hold_decided", expired.id, "expired"),
    ]
    assert [event.data.get("decided_by") for event in events] == [None, None, 9, None]
    assert events[0].action is not None
    assert events[0].action.message_text == "be \N{REPLACEMENT CHARACTER}nice"
    assert "nice" not in str(events[0].data)


async def test_what_a_later_version_made_of_one_is_left_out(store: Store) -> None:
    hold = await held(store, now_ms=1_000, nonce="n1")
    await HoldRow.filter(id=hold.id).update(state=99)
    assert await store.held("live", first=9, before_id=None, now_ms=2_000) == []
    assert await store.holds_of(["live"], since_ms=0, first=9) == []
    with pytest.raises(HoldNotFound):
        await settle(store, hold, now_ms=2_000)
    assert not await are_holds_late(1_000 + WAITS_MS)


async def test_evidence_is_erased_with_the_others_and_the_chain_stays_whole(store: Store) -> None:
    denied, waiting = await held(store, now_ms=1_000, author=GUEST), await held(store, now_ms=50_000)
    await settle(store, denied, HoldAction.DENY, now_ms=2_000)
    await store.erase_evidence(10_000, now_ms=60_000)
    await store.forget_holds(2_000)
    assert {row.id for row in await HoldRow.all()} == {denied.id, waiting.id}
    await store.forget_holds(2_001)
    assert [row.id for row in await HoldRow.all()] == [waiting.id]
    rows = await AuditRow.all().order_by("id")
    assert [(row.message_text, row.target_username) for row in rows] == [
        ("", "Anonymous"),
        ("be \N{REPLACEMENT CHARACTER}nice", ""),
        (None, "Anonymous"),
    ]
    verified = await store.verify_part("live", 0, first=9)
    assert (verified.checked, verified.broken_id) == (3, None)
    assert len(await store.audit_log(AuditQuery(slug="live", actions=(34,)), first=9, before_id=None)) == 2


async def test_of_an_erased_user_nothing_waits(store: Store) -> None:
    waiting, other = await held(store, now_ms=1_000), await held(store, now_ms=1_000, author=GUEST)
    await store.erase_user(EraseUserOrder(EraseUserCommand(ADMIN, 5, "")), now_ms=2_000)
    later = max(2_000, WAITS_MS)
    assert [hold.id for hold in await store.expire_holds(now_ms=later)] == [waiting.id]
    assert (await HoldRow.get(id=waiting.id)).text == ""
    assert (await HoldRow.get(id=other.id)).text
    await store.erase_user(EraseUserOrder(EraseUserCommand(ADMIN, 5, "")), now_ms=2_000)
    assert await HoldRow.filter(id=waiting.id).count() == 0


async def test_what_was_not_judged_is_asked_about_and_never_held(store: Store) -> None:
    known = await held(store, now_ms=1_000, nonce="n1")
    asked = HoldOrder("live", LOG, message(nonce="n1", number=0))
    assert (await store.hold(asked, now_ms=2_000)).hold == known
    with pytest.raises(HoldNotFound):
        await store.hold(asked, now_ms=1_000 + NONCES_KNOWN_MS)
    assert await HoldRow.all().count() == 1


async def test_a_moderator_does_not_wait_for_all_that_is_to_be_held_at_once(store: Store) -> None:
    authors = [ANA._replace(user_id=number) for number in range(100, 140)]
    waiting = [asyncio.create_task(held(store, author=one, now_ms=1_000)) for one in authors]
    await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
    banned = await ban(store, Target(99, ""), now_ms=1_000)
    last = max((await asyncio.gather(*waiting)), key=lambda hold: hold.id)
    row = await AuditRow.get(action=34, target_user_id=last.message.author.user_id)
    assert banned.action_id < row.id
