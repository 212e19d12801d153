"""The checker accepts what an append-only log could have given, and refuses everything else."""

from collections.abc import Callable
from dataclasses import replace
from random import Random

import pytest
from chaos.checker import check
from chaos.history import EVERYTHING, Append, Deletion, Entry, History, Message, Reading, Told, View
from hypothesis import HealthCheck, assume, given, settings, strategies as st

SENDERS = ("ana", "bob", "cy")
PROOF = settings(max_examples=100, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])


def history_of(seed: int, deletions: bool) -> History:
    """What a correct log gives: one entry a second, each sent up to three seconds before it was stored, its own copy up
    to three seconds behind; some outcomes never learned, some messages refused, some deleted when all was said."""
    pick = Random(seed)
    count = pick.randint(4, 25)
    ids = sorted(pick.sample(range(1, 10_000), count))
    numbers = dict.fromkeys(SENDERS, 0)
    appends, entries = [], []
    for at, number in enumerate(ids):
        sender = pick.choice(SENDERS)
        numbers[sender] += 1
        message = Message(sender, numbers[sender])
        told = number if at < 2 or pick.random() < 0.8 else None
        appends.append(Append(message, at - pick.uniform(0, 3), at + pick.uniform(0, 3), told))
        entries.append(Entry(number, message))
    appends += [Append(Message(sender, 0), 0, 9, None, refused=True) for sender in SENDERS]
    chosen = pick.sample(ids, pick.randint(1, 3)) if deletions else []
    gone = tuple(Deletion(number, count + 5.0) for number in sorted(chosen))
    erased = [Entry(20_000 + at, None, deletes=each.id) for at, each in enumerate(gone)]
    left = [entry for entry in entries if entry.id not in chosen]
    views = [View("there from the beginning", 0, (*entries, *erased))]
    for at in range(pick.randint(0, 3)):
        since = pick.choice([0, *ids])
        late = [replace(e, read_s=count + 6.0) for e in left if e.id > since]
        live = [e for e in entries if e.id > since]
        views.append(View(f"listener {at}", since, (*pick.choice((late, live)), *erased)))
    asked = pick.uniform(0, count)
    page = tuple(entry for at, entry in enumerate(entries) if at <= asked)[-10:]
    readings = (Reading(asked, EVERYTHING, page), Reading(count + 9.0, EVERYTHING, tuple(left)))
    return History(tuple(appends), tuple(views), readings, gone, log=(*left, *erased), whole=True)


def histories(deletions: bool = True) -> st.SearchStrategy[History]:
    """Made of a seed: drawing each part by itself takes too long on a busy machine."""
    return st.builds(history_of, st.integers(0, 2**32), st.just(deletions))


PICKS = st.builds(Random, st.integers(0, 2**32))


@PROOF
@given(histories())
def test_what_a_correct_log_gives_is_accepted(history: History) -> None:
    found = check(history)
    assert (found.faults, found.forgotten) == ([], [])


def _with_entries(history: History, change: Callable[[list[Entry]], None], at: int = 0) -> History:
    view = history.views[at]
    entries = list(view.entries)
    change(entries)
    changed = replace(view, entries=tuple(entries))
    return replace(history, views=tuple(changed if v is view else v for v in history.views))


def _some_entry(history: History, pick: Random) -> int:
    return pick.randrange(len(history.views[0].entries))


@PROOF
@given(histories(deletions=False), PICKS)
def test_an_entry_that_one_listener_was_not_given_is_lost(history: History, pick: Random) -> None:
    at = _some_entry(history, pick)
    assert check(_with_entries(history, lambda entries: entries.__delitem__(at))).lost != []


@PROOF
@given(histories(), PICKS)
def test_an_entry_given_twice_is_doubled(history: History, pick: Random) -> None:
    at = _some_entry(history, pick)
    assert check(_with_entries(history, lambda entries: entries.insert(at + 1, entries[at]))).doubled != []


@PROOF
@given(histories(), PICKS)
def test_an_entry_given_again_later_is_doubled(history: History, pick: Random) -> None:
    at = _some_entry(history, pick)
    assert check(_with_entries(history, lambda entries: entries.append(entries[at]))).doubled != []


@PROOF
@given(histories(), PICKS)
def test_a_message_under_two_ids_is_doubled(history: History, pick: Random) -> None:
    at = _some_entry(history, pick)
    message = history.views[0].entries[at].message
    assume(message is not None)
    again = Entry(30_000, message)
    assert check(_with_entries(history, lambda entries: entries.append(again))).doubled != []


@PROOF
@given(histories(), PICKS)
def test_two_entries_in_another_order_are_out_of_order(history: History, pick: Random) -> None:
    at = _some_entry(history, pick)
    assume(at > 0)

    def swap(entries: list[Entry]) -> None:
        entries[at - 1], entries[at] = entries[at], entries[at - 1]

    assert check(_with_entries(history, swap)).disordered != []


@PROOF
@given(histories(), PICKS)
def test_a_message_stored_before_one_that_was_acknowledged_before_it_was_sent_is_out_of_order(
    history: History, pick: Random
) -> None:
    known = [a for a in history.appends if a.id is not None]
    assume(len(known) > 1)
    first = pick.choice(known[:-1])
    later = pick.choice([a for a in known if a.id > first.id])  # type: ignore[operator] # not None
    late = replace(first, began_s=later.ended_s + 0.5, ended_s=later.ended_s + 1)
    changed = replace(history, appends=tuple(late if a is first else a for a in history.appends))
    assert check(changed).disordered != []


@PROOF
@given(histories(), PICKS)
def test_one_id_for_two_messages_is_out_of_order(history: History, pick: Random) -> None:
    at = _some_entry(history, pick)
    entry = history.views[0].entries[at]
    assume(entry.message is not None and any(v.since < entry.id for v in history.views[1:]))
    other = replace(entry, message=Message("ana", 999))

    def put(entries: list[Entry]) -> None:
        entries[at] = other

    found = check(_with_entries(history, put))
    assert found.disordered != [] or found.invented != []


@PROOF
@given(histories(), PICKS)
def test_what_nobody_sent_and_what_was_refused_is_invented(history: History, pick: Random) -> None:
    message = pick.choice((Message("ana", 0), Message("nobody", 1)))
    extra = Entry(40_000, message)
    assert check(_with_entries(history, lambda entries: entries.append(extra))).invented != []


@PROOF
@given(histories(), PICKS)
def test_an_own_copy_with_the_id_of_another_message_is_found(history: History, pick: Random) -> None:
    known = [a for a in history.appends if a.id is not None]
    assume(len(known) > 1)
    one, other = pick.sample(known, 2)
    changed = tuple(replace(a, id=other.id) if a is one else a for a in history.appends)
    assert check(replace(history, appends=changed)).faults != []


@PROOF
@given(histories(deletions=False), PICKS)
def test_an_acknowledged_message_that_a_newcomer_cannot_read_is_lost(history: History, pick: Random) -> None:
    known = [a.id for a in history.appends if a.id is not None]
    assume(known and history.log)
    number = pick.choice(known)
    log = tuple(entry for entry in history.log or () if entry.id != number)
    assert check(replace(history, log=log)).lost != []


@PROOF
@given(histories(deletions=False), st.integers(1, 5))
def test_a_log_that_keeps_only_its_end_is_accepted_where_it_may(history: History, kept: int) -> None:
    cut = replace(history, log=(history.log or ())[-kept:], whole=False)
    assert check(cut).faults == []


@PROOF
@given(histories(deletions=False), PICKS)
def test_a_page_without_what_was_acknowledged_before_it_was_asked_for_is_stale(history: History, pick: Random) -> None:
    page = history.readings[1]
    known = [a.id for a in history.appends if a.id is not None and a.id != page.entries[0].id]
    assume(known)
    number = pick.choice(known)
    entries = tuple(entry for entry in page.entries if entry.id != number)
    changed = replace(history, readings=(history.readings[0], replace(page, entries=entries)))
    assert check(changed).stale != []


@PROOF
@given(histories(), PICKS)
def test_a_deleted_message_that_a_later_read_gives_is_found(history: History, pick: Random) -> None:
    deletion = pick.choice(history.deletions)
    shown = {a.id: a.message for a in history.appends if a.id is not None}
    assume(deletion.id in shown)
    entry = Entry(deletion.id, shown[deletion.id], read_s=deletion.confirmed_s + 1)
    by_history = replace(history.readings[1], entries=(entry,))
    assert check(replace(history, readings=(*history.readings, by_history))).deleted_shown != []
    by_replay = View("late", deletion.id - 1, (entry,))
    assert check(replace(history, views=(*history.views, by_replay))).deleted_shown != []


@PROOF
@given(histories(), PICKS)
def test_a_message_whose_deletion_does_not_follow_is_found(history: History, pick: Random) -> None:
    given_live = [e for v in history.views[:1] for e in v.entries if e.message and e.read_s is None]
    dropped = {d.id for d in history.deletions} & {e.id for e in given_live}
    assume(dropped)

    def without_deletions(entries: list[Entry]) -> None:
        entries[:] = [entry for entry in entries if entry.deletes not in dropped]

    assert check(_with_entries(history, without_deletions)).deleted_shown != []


@PROOF
@given(histories(deletions=False), PICKS)
def test_a_gap_that_a_listener_was_told_of_is_forgotten_where_files_were_lost_and_lost_elsewhere(
    history: History, pick: Random
) -> None:
    at = _some_entry(history, pick)
    entry = history.views[0].entries[at]
    gap = _with_entries(history, lambda entries: entries.__delitem__(at))
    told = replace(gap.views[0], told=(Told(entry.id - 1, entry.id + 1),))
    changed = replace(gap, views=(told, *gap.views[1:]), log=None)
    assert check(changed).lost != []
    allowed = check(replace(changed, may_forget=True))
    assert (allowed.faults, len(allowed.forgotten)) == ([], 1)


@pytest.mark.parametrize("since", [0, 5])
def test_a_listener_who_came_later_need_not_have_what_was_there_before(since: int) -> None:
    append = Append(Message("ana", 1), 0, 1, 5)
    found = check(History((append,), (View("bob", since, ()),)))
    assert bool(found.lost) is (since < 5)


def test_who_was_told_that_not_everything_was_replayed_reads_history_and_needs_no_deletion() -> None:
    append = Append(Message("ana", 1), 0, 1, 5)
    shown, deletion = Entry(5, append.message), Entry(6, None, deletes=5)
    witness = View("there", 0, (shown, deletion))
    for told, is_fault in (((), True), ((Told(5, EVERYTHING, others_only=True),), False)):
        absent = View("away", 0, (shown,), told)
        found = check(History((append,), (witness, absent), deletions=(Deletion(5, 9),)))
        assert bool(found.deleted_shown) is is_fault
        assert bool(found.lost) is is_fault


def test_a_deletion_without_an_outcome_may_have_been_made_or_not() -> None:
    append = Append(Message("ana", 1), 0, 1, 5)
    shown, deletion = Entry(5, append.message), Entry(6, None, deletes=5)
    unknown = (Deletion(5, float("inf")),)
    for entries in ((shown,), (shown, deletion)):
        history = History((append,), (View("there", 0, entries), View("too", 0, entries)), deletions=unknown)
        assert check(history).faults == []
