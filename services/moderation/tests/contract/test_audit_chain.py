"""The chains of the audit log in the database, on SQLite and on PostgreSQL: what is found, what leaves them whole."""

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator
from functools import partial
from typing import Any

import pytest

from chassis.database import Database
from moderation.adapters.store import audit, retention
from moderation.adapters.store.database import moderation_database
from moderation.adapters.store.sanctions import TortoiseStore
from moderation.adapters.store.tables import AuditRow, OutboxRow, PolicyRow, SanctionRow
from moderation.domain.audit import AuditQuery, Problem, Verification
from moderation.domain.commands import ErasureOrder, Receipt, SanctionOrder
from moderation.domain.erasures import Erasure, ErasureCommand, ErasureKind, LoggedMessage, LogRef, Origin
from moderation.domain.people import Moderator, Rank, Target
from moderation.domain.policy import PolicyChanges, PolicyCommand, PolicyOrder
from moderation.domain.rights import decide
from moderation.domain.sanctions import Action, Command, Scope
from moderation.domain.undo import UndoCommand, UndoOrder, decide_undo
from moderation.errors import ModerationError
from moderation.ports import Store

pytestmark = pytest.mark.integration
ADMIN = Moderator(9, Rank.ADMIN)
ANA, NAMELESS = Target(123, ""), Target(0, "Anonymous_10.0.0.1")
LOG = LogRef(3, 7, 21)
MESSAGE = LoggedMessage(515, 5, 0, "Anonymous_10.0.0.5", "bad words", "k")
DAY_MS = 86_400_000


async def act(
    store: Store,
    action: Action = Action.BAN,
    target: Target = ANA,
    *,
    at_ms: int,
    slug: str = "live",
    scope: Scope = Scope.ROOM,
    by: Moderator = ADMIN,
) -> Receipt:
    command = Command(by, action, target, None, scope, slug, 0, "spam")
    decision = partial(decide, command, addresses=frozenset[str]())
    return await store.change(SanctionOrder(command), frozenset(), decision, now_ms=at_ms)


async def change_policy(store: Store, *, at_ms: int, slow_mode_seconds: int) -> Receipt:
    command = PolicyCommand(ADMIN, "live", PolicyChanges(slow_mode_seconds=slow_mode_seconds), "raid")
    return await store.change_policy(PolicyOrder(command), now_ms=at_ms)


async def delete(store: Store, *, at_ms: int) -> Receipt:
    command = ErasureCommand(ErasureKind.DELETE, ADMIN, "live", None, "", message_id=MESSAGE.id)
    erasure = Erasure(ErasureKind.DELETE, LOG, 9, Origin("e", 1, "n"), message_id=MESSAGE.id).of(MESSAGE)
    return await store.take_back(ErasureOrder(command, LOG), MESSAGE, lambda _: erasure, now_ms=at_ms)


async def undo(store: Store, action_id: int, *, at_ms: int, by: Moderator = ADMIN) -> Receipt:
    command = UndoCommand(by, "", action_id, "")
    return await store.undo(UndoOrder(command), partial(decide_undo, command, now_ms=at_ms), now_ms=at_ms)


async def every_kind(store: Store) -> list[int]:
    """One row of each in the chain of "live", and some elsewhere in between; the ids of the former."""
    ban = await act(store, at_ms=1)
    await act(store, scope=Scope.EVERYWHERE, target=NAMELESS, at_ms=2)
    mute = await act(store, Action.MUTE, NAMELESS, at_ms=3)
    assert mute.event is not None
    followed = await store.follow(mute.event.imposed[0].id, "10.0.0.7", now_ms=4)
    assert followed is not None
    await act(store, slug="other", at_ms=5)
    policy = await change_policy(store, slow_mode_seconds=30, at_ms=6)
    deletion = await delete(store, at_ms=7)
    clear = Erasure(ErasureKind.CLEAR, LOG, 9, Origin("e", 1, "n"))
    order = ErasureOrder(ErasureCommand(ErasureKind.CLEAR, ADMIN, "live", None, ""), LOG)
    cleared = await store.take_back(order, None, lambda _: clear, now_ms=8)
    undone = await undo(store, ban.action_id, at_ms=9)
    last = await act(store, at_ms=10)
    receipts = [ban, mute, policy, deletion, cleared, undone, last]
    return sorted([followed.event_id, *(receipt.action_id for receipt in receipts)])


def unchained(**other: Any) -> AuditRow:
    """A row as a replica of before writes it, or somebody."""
    row = {
        "action": 1,
        "target_user_id": 5,
        "target_username": "",
        "moderator_user_id": 9,
        "moderator_rank": 4,
        "duration_minutes": 0,
        "scope": 1,
        "slug": "live",
        "reason": "",
        "at_ms": 1,
        "lifted_ids": [],
    }
    return AuditRow(**{**row, **other})


async def verified(store: Store, chain: str = "live", *, first: int = 100) -> Verification:
    """The whole chain, part by part."""
    found = Verification(0, more=True)
    while found.more:
        part = await store.verify_part(chain, found.last_id, first=first)
        found = part._replace(checked=found.checked + part.checked, unchained=found.unchained + part.unchained)
    return found


async def test_every_kind_of_row_is_in_the_chain_of_its_slug_and_what_holds_everywhere_in_its_own(store: Store) -> None:
    ids = await every_kind(store)
    last = await AuditRow.get(id=ids[-1])
    assert await verified(store) == Verification(8, ids[-1], last.digest or "")
    assert await verified(store, first=3) == await verified(store)
    assert (await verified(store, "other")).checked == (await verified(store, "")).checked == 1
    assert (await verified(store, "nothing")) == Verification(0)
    rows = await AuditRow.filter(chain="live").order_by("id")
    assert [row.previous_digest for row in rows] == ["", *(row.digest for row in rows[:-1])]


CHANGED: dict[str, Any] = {
    "id": 1_000,
    "lifted_ids": [77],
    "details": {"other": 1},
    "purged": True,
    "chain": "other",
    "evidence_salt": "ff" * 16,
    "followed_address": "10.9.9.9",
    "previous_digest": "0" * 64,
    "digest": "0" * 64,
    "evidence_digest": "0" * 64,
}
"""What a column is changed into where that is not one more, or another text."""
TEXTS = {"target_username", "slug", "reason", "nonce", "message_text"}


async def test_tampering_with_any_column_of_any_row_is_found(store: Store, database: Database) -> None:
    async def write(action_id: int, column: str, value: object) -> None:
        if column != "id":
            await AuditRow.filter(id=action_id).update(**{column: value})
            return
        async with database.transaction() as session:
            await session.fetch("UPDATE audit SET id = $1 WHERE id = $2", value, action_id)

    ids = await every_kind(store)
    for place, action_id in enumerate(ids[:-1]):
        row = await AuditRow.get(id=action_id)
        for column in AuditRow._meta.db_fields:
            if column == "evidence_erased_at_ms" and row.evidence_digest is None:
                continue  # where there never was any evidence, when that was looked at says nothing
            was = getattr(row, column)
            changed = CHANGED[column] if column in CHANGED else f"{was or ''}x" if column in TEXTS else (was or 0) + 1
            await write(action_id, column, changed)
            found = await verified(store)
            if found.problem is None and column == "chain":
                found = await verified(store, "other")  # where the oldest one of a chain went
            expected = [action_id, ids[place + 1], *([changed] if column == "id" else [])]
            assert found.broken_id in expected, (action_id, column, found)
            await write(1_000 if column == "id" else action_id, column, was)
    assert (await verified(store)).problem is None


async def test_a_row_that_was_left_out_is_found_at_the_next_one_and_an_end_that_was_cut_off_by_the_last_digest(
    store: Store,
) -> None:
    ids = await every_kind(store)
    whole = await verified(store)
    await AuditRow.filter(id=ids[3]).delete()
    broken = await verified(store)
    assert (broken.broken_id, broken.problem, broken.checked) == (ids[4], Problem.LINK, 4)
    await AuditRow.filter(id__gte=ids[3]).delete()
    cut_off = await verified(store)
    assert (cut_off.problem, cut_off.last_id) == (None, ids[2])
    assert cut_off.last_digest != whole.last_digest


async def test_a_row_that_was_put_in_is_found(store: Store) -> None:
    ids = await every_kind(store)
    row = await AuditRow.get(id=ids[-1])
    other = AuditRow(**{name: getattr(row, name) for name in AuditRow._meta.db_fields if name != "id"})
    await other.save()
    found = await verified(store)
    assert (found.checked, found.problem) == (9, Problem.ROW)


async def test_erasing_evidence_leaves_the_chain_whole_and_nothing_to_guess_by(store: Store) -> None:
    ids = await every_kind(store)
    whole = await verified(store)
    salted = await AuditRow.filter(evidence_salt__isnull=False).count()
    assert salted == 4, "of an anonymous target, an address, the text of a message, and everywhere"
    await store.erase_evidence(9, now_ms=31 * DAY_MS)
    assert await verified(store) == whole
    assert await AuditRow.filter(evidence_salt__isnull=False).count() == 0
    rows = await AuditRow.filter(id__in=ids)
    assert {row.message_text for row in rows} == {None, ""}
    assert {row.followed_address for row in rows} == {None, ""}
    assert {row.target_username for row in rows} == {"", "Anonymous"}
    await AuditRow.filter(message_text="").update(message_text="never said")
    assert (await verified(store)).problem is Problem.EVIDENCE


async def test_two_rows_with_the_same_evidence_have_different_digests_of_it(store: Store) -> None:
    await act(store, target=NAMELESS, at_ms=1)
    await act(store, Action.MUTE, NAMELESS, at_ms=2)
    first, second = await AuditRow.all()
    assert first.evidence_salt != second.evidence_salt
    assert first.evidence_digest != second.evidence_digest


async def test_pruning_leaves_what_is_kept_whole_and_goes_in_order(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "ROWS_AT_ONCE", 2)
    ids = await every_kind(store)
    await store.delete_history(7)
    kept = await verified(store)
    assert (kept.problem, kept.checked) == (None, 4)
    await AuditRow.filter(id=ids[-3]).update(at_ms=1)  # by a clock that is wrong: it waits for those before it
    await store.delete_history(7)
    assert [row.id for row in await AuditRow.all().order_by("id")] == ids[-4:]
    assert (await verified(store)).broken_id == ids[-3], "its time was changed"
    await store.delete_history(100)
    assert (await verified(store)).checked == 0
    again = await act(store, at_ms=200)
    row = await AuditRow.get(id=again.action_id)
    assert row.previous_digest == "", "the chain begins anew where nothing of it is kept"
    assert (await verified(store)).checked == 1


async def test_a_check_goes_on_where_rows_were_pruned_meanwhile(store: Store) -> None:
    ids = await every_kind(store)
    part = await store.verify_part("live", 0, first=2)
    assert (part.last_id, part.more) == (ids[1], True)
    await store.delete_history(7)
    rest = await store.verify_part("live", part.last_id, first=100)
    assert (rest.checked, rest.problem, rest.more) == (4, None, False)


async def test_rows_of_before_the_migration_are_in_no_chain_and_it_begins_behind_them(store: Store) -> None:
    before = unchained()
    await before.save()
    receipt = await act(store, at_ms=2)
    found = await verified(store)
    assert (found.checked, found.last_id, found.problem, found.unchained) == (1, receipt.action_id, None, 0)
    listed = await store.audit_log(AuditQuery("live"), first=9, before_id=None)
    assert [record.id for record, _ in listed] == [receipt.action_id, before.id]


async def test_rows_in_no_chain_behind_its_first_one_are_counted(store: Store) -> None:
    await act(store, at_ms=1)
    await act(store, scope=Scope.EVERYWHERE, at_ms=1)
    for other in ({}, {"slug": "other"}, {"scope": 2}):
        await unchained(**other).save()
    await act(store, Action.UNBAN, at_ms=2)
    await unchained().save()
    for first in (1, 2, 100):
        assert (await verified(store, first=first)).unchained == 2
        assert (await verified(store, "", first=first)).unchained == 1
    assert (await verified(store, "other")).unchained == 0, "there is no chain of it yet"


@pytest.fixture
async def replicas(database: Database) -> AsyncIterator[list[TortoiseStore]]:
    """Two where several may use the database."""
    others = [] if database.url.startswith("sqlite") else [moderation_database(database.url)]
    for other in others:
        await other.open()
    yield [TortoiseStore(each) for each in (database, *others)]
    for other in others:
        await other.close()


async def test_commands_at_the_same_time_keep_one_chain(replicas: list[TortoiseStore]) -> None:
    work = []
    for n in range(12):
        store = replicas[n % len(replicas)]
        if n % 3:
            work.append(act(store, Action.MUTE, Target(n + 1, ""), at_ms=n))
        else:
            work.append(change_policy(store, slow_mode_seconds=n, at_ms=n))
    await asyncio.gather(*work)
    found = await verified(replicas[0])
    assert (found.checked, found.problem) == (12, None)


async def test_one_command_reads_the_head_of_its_chain_alone(store: Store, caplog: pytest.LogCaptureFixture) -> None:
    for n in range(5):
        await act(store, target=Target(n + 1, ""), at_ms=n)
    caplog.set_level("DEBUG", "tortoise.db_client")
    caplog.clear()
    await act(store, target=Target(9, ""), at_ms=9)
    said = [str(record.args[0]) for record in caplog.records if isinstance(record.args, tuple)]
    heads = [sql for sql in said if sql.startswith("SELECT") and '"chain"' in sql]
    assert len(heads) == 1
    assert 'ORDER BY "id" DESC LIMIT' in heads[0]


async def test_the_log_is_listed_by_slug_actor_target_and_action_page_by_page(store: Store) -> None:
    ids = await every_kind(store)
    other = await act(store, by=Moderator(8, Rank.MODERATOR), action=Action.MUTE, target=Target(7, ""), at_ms=20)

    async def listed(query: AuditQuery, first: int = 99, before_id: int | None = None) -> list[int]:
        return [record.id for record, _ in await store.audit_log(query, first=first, before_id=before_id)]

    assert await listed(AuditQuery("live")) == [other.action_id, *reversed(ids)]
    assert await listed(AuditQuery("live"), 2, ids[-1]) == [ids[-2], ids[-3]]
    assert await listed(AuditQuery(actor_user_id=8)) == [other.action_id]
    assert await listed(AuditQuery(target_user_id=7)) == [other.action_id]
    assert len(await listed(AuditQuery(target_username=NAMELESS.username))) == 3
    assert await listed(AuditQuery("live", actions=(2,), follows=False)) == [other.action_id, ids[1]]
    assert await listed(AuditQuery("live", follows=True)) == [ids[2]]
    assert len(await listed(AuditQuery())) == 11
    undone = {record.id: by for record, by in await store.audit_log(AuditQuery(), first=99, before_id=None)}
    assert {action_id: by for action_id, by in undone.items() if by} == {ids[0]: ids[-2]}


async def test_what_no_index_finds_is_looked_for_among_the_newest_rows_alone(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(audit, "LOOKED_AT", 3)
    ids = await every_kind(store)
    newest = [record.id for record, _ in await store.audit_log(AuditQuery("live"), first=2, before_id=None)]
    assert newest == [ids[-1], ids[-2]]
    bans = await store.audit_log(AuditQuery("live", actions=(1,)), first=99, before_id=None)
    assert [record.id for record, _ in bans] == [ids[-1]]
    older = await store.audit_log(AuditQuery("live", actions=(1, 2)), first=99, before_id=ids[3])
    assert [record.id for record, _ in older] == [ids[2], ids[1], ids[0]]
    of_actor = await store.audit_log(AuditQuery("other", actor_user_id=9), first=99, before_id=None)
    assert of_actor == []


async def test_whatever_is_done_and_undone_what_is_refused_changes_nothing_and_the_chain_is_whole(
    store: Store,
) -> None:
    """Any order of commands, the same in every run."""
    chance = random.Random(7)
    done: list[int] = []
    refused = Counter[str]()
    for step in range(70):
        at_ms, before = 1_000 + step, await everything()
        target = Target(chance.randrange(1, 4), "")
        try:
            match chance.choice(["impose", "lift", "policy", "delete", *["undo"] * 5]):
                case "impose":
                    receipt = await act(store, chance.choice([Action.BAN, Action.MUTE]), target, at_ms=at_ms)
                case "lift":
                    receipt = await act(store, chance.choice([Action.UNBAN, Action.UNMUTE]), target, at_ms=at_ms)
                case "policy":
                    receipt = await change_policy(store, slow_mode_seconds=chance.randrange(3), at_ms=at_ms)
                case "delete":
                    receipt = await delete(store, at_ms=at_ms)
                case _:
                    by = Moderator(chance.randrange(3, 9), chance.choice([Rank.MODERATOR, *[Rank.ADMIN] * 5]))
                    receipt = await undo(store, chance.choice([0, *done[-6:]]), by=by, at_ms=at_ms)
            done.append(receipt.action_id)
        except ModerationError as refusal:
            refused[type(refusal).__name__] += 1
            assert await everything() == before
    assert refused.keys() == {"ActionNotFound", "AlreadyUndone", "CannotUndo", "NotPermitted", "NothingToUndo"}
    found = await verified(store)
    assert (found.checked, found.problem) == (len(done), None)
    undone = [row.undoes_id for row in await AuditRow.filter(undoes_id__isnull=False)]
    assert len(undone) == len(set(undone)) > 3


async def everything() -> list[list[dict[str, Any]]]:
    """All rows that commands change."""
    tables = (AuditRow, SanctionRow, PolicyRow, OutboxRow)
    return [list(await table.all().order_by(table._meta.pk_attr).values()) for table in tables]


async def test_what_is_to_be_undone_of_somebodys_is_what_they_did_and_took_not_back_themselves(store: Store) -> None:
    rogue = Moderator(66, Rank.ADMIN)
    before = await act(store, by=rogue, target=Target(1, ""), at_ms=10)
    of_others = await act(store, target=Target(2, ""), at_ms=20)
    took_back = await act(store, by=rogue, target=Target(3, ""), at_ms=30)
    await undo(store, took_back.action_id, by=rogue, at_ms=31)
    of_the_other = await undo(store, of_others.action_id, by=rogue, at_ms=32)
    toggled = await act(store, by=rogue, target=Target(4, ""), at_ms=33)
    once = await undo(store, toggled.action_id, by=rogue, at_ms=34)
    twice = await undo(store, once.action_id, by=rogue, at_ms=35)
    policy = PolicyOrder(PolicyCommand(rogue, "live", PolicyChanges(slow_mode_seconds=5), ""))
    changed = await store.change_policy(policy, now_ms=36)
    undone_by_another = await act(store, by=rogue, target=Target(5, ""), at_ms=37)
    await undo(store, undone_by_another.action_id, at_ms=38)
    found, left, last_id = await store.undoable(66, 20, None, first=100)
    assert [record.id for record in found] == [changed.action_id, twice.action_id, of_the_other.action_id]
    assert (left, last_id) == (0, of_the_other.action_id - 1), "the last that was looked at is what they took back"
    found, left, last_id = await store.undoable(66, 0, None, first=2)
    assert [record.id for record in found] == [changed.action_id, twice.action_id]
    assert (left, last_id) == (3, twice.action_id)
    found, left, _ = await store.undoable(66, 0, last_id, first=2)
    assert [record.id for record in found] == [of_the_other.action_id]
    assert left == 1
    found, left, _ = await store.undoable(66, 0, of_the_other.action_id - 1, first=2)
    assert ([record.id for record in found], left) == ([before.action_id], 0)
    assert await store.undoable(67, 0, None, first=2) == ([], 0, 0)
