"""Who may take which messages back, and what a command that does so is to erase."""

from dataclasses import replace

import pytest

from moderation.domain.commands import ErasureOrder, SanctionOrder
from moderation.domain.erasures import (
    MOST_KEYS,
    Erasure,
    ErasureCommand,
    ErasureKind,
    LoggedMessage,
    LogRef,
    Origin,
)
from moderation.domain.people import Moderator, Rank, Target
from moderation.domain.rights import (
    OWN_MESSAGE_MS,
    decide_deletion,
    erasure_of,
    may_take_back,
    still_there,
    take_back_all,
)
from moderation.domain.sanctions import Action, Command, Scope
from moderation.errors import MessageNotFound, NotPermitted

DELETE, PURGE, CLEAR = ErasureKind.DELETE, ErasureKind.PURGE, ErasureKind.CLEAR
LOG = LogRef(0, 7, 21)
ANA, NOBODY = Target(5, ""), Target(0, "Anonymous_10.0.0.5")
SAID = LoggedMessage(1_000, 50_000, 5, "ana", "hello", "k1")
ORIGIN = Origin("e", 1, "n")


def order(
    kind: ErasureKind,
    rank: Rank = Rank.MODERATOR,
    *,
    by: int = 9,
    target: Target | None = None,
    target_rank: Rank | None = None,
    log: LogRef | None = LOG,
) -> ErasureOrder:
    message_id = SAID.id if kind is DELETE else 0
    command = ErasureCommand(kind, Moderator(by, rank), "live", target_rank, "", message_id=message_id, target=target)
    return ErasureOrder(command, log, ORIGIN)


@pytest.mark.parametrize("kind", ErasureKind)
@pytest.mark.parametrize("rank", Rank)
def test_moderators_delete_and_purge_and_owners_clear(kind: ErasureKind, rank: Rank) -> None:
    lowest = Rank.OWNER if kind is CLEAR else Rank.MODERATOR
    assert may_take_back(order(kind, rank).command) == (rank >= lowest)


@pytest.mark.parametrize("kind", [DELETE, PURGE])
@pytest.mark.parametrize("target_rank", Rank)
def test_nobody_takes_back_what_a_connected_equal_or_higher_rank_said(kind: ErasureKind, target_rank: Rank) -> None:
    assert may_take_back(order(kind, Rank.ADMIN, target_rank=target_rank).command) == (target_rank < Rank.ADMIN)


def test_nobody_purges_themselves_and_nobody_without_a_user_id_takes_anything_back() -> None:
    assert not may_take_back(order(PURGE, Rank.SUPERUSER, by=5, target=ANA).command)
    for kind in ErasureKind:
        assert not may_take_back(order(kind, Rank.SUPERUSER, by=0).command)
    with pytest.raises(NotPermitted):
        decide_deletion(order(DELETE, Rank.ADMIN, by=0), SAID._replace(user_id=0), now_ms=50_000)


@pytest.mark.parametrize(("age_ms", "may"), [(0, True), (OWN_MESSAGE_MS, True), (OWN_MESSAGE_MS + 1, False)])
def test_a_user_deletes_their_own_message_for_ten_minutes(age_ms: int, may: bool) -> None:
    own, now_ms = order(DELETE, Rank.USER, by=5, target_rank=Rank.USER), SAID.at_ms + age_ms
    if may:
        assert decide_deletion(own, SAID, now_ms=now_ms).moderator_user_id == 0
        return
    with pytest.raises(NotPermitted):
        decide_deletion(own, SAID, now_ms=now_ms)


def test_a_moderator_deletes_their_own_message_at_any_time_and_it_is_told_as_theirs() -> None:
    own = order(DELETE, Rank.MODERATOR, by=5, target_rank=Rank.MODERATOR)
    assert decide_deletion(own, SAID, now_ms=SAID.at_ms + 10 * OWN_MESSAGE_MS).moderator_user_id == 0


def test_a_user_deletes_nothing_of_others() -> None:
    with pytest.raises(NotPermitted):
        decide_deletion(order(DELETE, Rank.USER, by=6), SAID, now_ms=SAID.at_ms)


def test_what_is_not_there_is_not_found() -> None:
    with pytest.raises(MessageNotFound):
        decide_deletion(order(DELETE), None, now_ms=0)
    for kind in (PURGE, CLEAR):
        with pytest.raises(MessageNotFound):
            take_back_all(order(kind, Rank.ADMIN, target=ANA, log=None))
        with pytest.raises(NotPermitted):
            take_back_all(order(kind, Rank.USER, target=ANA))


def test_a_deletion_says_whose_message_it_was() -> None:
    decided = decide_deletion(order(DELETE), SAID, now_ms=SAID.at_ms)
    assert decided == Erasure(DELETE, LOG, 9, ORIGIN, 1_000, ANA, "ana", message_keys=("k1",))
    nameless = decide_deletion(order(DELETE), SAID._replace(user_id=0, username=NOBODY.username, key=""), now_ms=0)
    assert (nameless.author, nameless.username, nameless.message_keys) == (NOBODY, NOBODY.username, ())


def test_a_deletion_whose_message_is_not_known_yet_is_not_resolved() -> None:
    unread = erasure_of(order(DELETE))
    assert not unread.is_resolved
    assert unread.of(SAID).is_resolved
    assert unread.of(SAID).last_id == SAID.id


def messages(count: int) -> list[LoggedMessage]:
    return [LoggedMessage(n, n, n % 2 * 5, ("anon", "ana")[n % 2], "", f"k{n}") for n in range(1, count + 1)]


def test_a_purge_goes_up_to_the_last_entry_and_knows_what_its_target_said_lately() -> None:
    asked = take_back_all(order(PURGE, target=ANA))
    assert not asked.is_resolved
    purge = asked.up_to(7, messages(10))
    assert (purge.up_to_id, purge.last_id, purge.username) == (7, 7, "ana")
    assert purge.message_keys == ("k1", "k3", "k5", "k7")
    assert [m.id for m in messages(10) if purge.takes(m)] == [1, 3, 5, 7]
    empty = asked.up_to(0, [])
    assert (empty.is_resolved, empty.last_id) == (True, 0)


def test_a_clear_takes_everything_up_to_its_last_entry() -> None:
    cleared = take_back_all(order(CLEAR, Rank.ADMIN)).up_to(7, messages(10))
    assert (len(cleared.message_keys), cleared.username) == (7, "")
    assert [m.id for m in messages(10) if cleared.takes(m)] == list(range(1, 8))


def test_all_nonces_are_told_in_parts_of_a_thousand_of_which_the_last_has_the_newest() -> None:
    many = messages(2 * MOST_KEYS + 5)
    cleared = take_back_all(order(CLEAR, Rank.ADMIN)).up_to(len(many), many)
    parts = cleared.parts
    assert [len(part.message_keys) for part in parts] == [5, MOST_KEYS, MOST_KEYS]
    assert [key for part in parts for key in part.message_keys] == [message.key for message in many]
    assert {replace(part, message_keys=()) for part in parts} == {replace(cleared, message_keys=())}


@pytest.mark.parametrize("count", [0, 1, MOST_KEYS])
def test_what_has_few_nonces_is_told_in_one_part(count: int) -> None:
    cleared = take_back_all(order(CLEAR, Rank.ADMIN)).up_to(count, messages(count))
    assert cleared.parts == [cleared]


def test_a_message_that_an_earlier_command_takes_back_is_gone() -> None:
    deletion = decide_deletion(order(DELETE), SAID, now_ms=0)
    purge, cleared = (take_back_all(order(kind, Rank.ADMIN, target=ANA)) for kind in (PURGE, CLEAR))
    others = take_back_all(order(PURGE, target=Target(6, "")))
    another = replace(deletion, message_id=999)
    assert still_there([others, another, purge.up_to(999, [])], deletion, SAID) == deletion
    for earlier in (deletion, erasure_of(order(DELETE)), purge, cleared, cleared.up_to(1_000, [])):
        with pytest.raises(MessageNotFound):
            still_there([earlier], deletion, SAID)
    assert still_there([purge, cleared], purge, None) == purge  # both may be told


def test_a_sanction_purges_where_it_is_told_to_and_the_room_has_a_log() -> None:
    command = Command(Moderator(9, Rank.ADMIN), Action.BAN, NOBODY, None, Scope.ROOM, "live", 0, "")
    purge = SanctionOrder(command, LOG, ORIGIN, purges=True)
    assert purge.purge == Erasure(PURGE, LOG, 9, ORIGIN, author=NOBODY, username=NOBODY.username)
    assert replace(purge, log=None).purge is None
    assert replace(purge, purges=False).purge is None
