"""Judges a history: is it one that an append-only log could have given, with nothing lost, doubled or out of order?

A room's log is one register to which messages are appended, and which everybody reads in one order. A history is
linearisable where the ids agree with the order of time: a message acknowledged before another one was first sent has
the smaller id. Nothing here knows how ids are made, only that they rise.
"""

import math
from collections.abc import Iterator, Mapping
from itertools import pairwise

from chaos.history import EVERYTHING, Entry, Findings, History, Message, Reading, View


def check(history: History) -> Findings:
    """Everything that is wrong with it."""
    found = Findings()
    known = _by_id(history, found)
    _check_identities(history, known, found)
    _check_time(history, known, found)
    for view in history.views:
        _check_order(view, found)
        _check_whole(view, history, known, found)
        _check_deletions(view, history, found)
    _check_log(history, found)
    for reading in history.readings:
        _check_reading(reading, history, found)
    return found


def _by_id(history: History, found: Findings) -> dict[int, Entry]:
    """Every entry that anybody was given. One that is given differently to two is a fault."""
    known: dict[int, Entry] = {}
    for entry in _all_entries(history):
        before = known.setdefault(entry.id, entry)
        if (before.message, before.deletes) != (entry.message, entry.deletes):
            found.disordered.append(f"{entry.id} is {_name(before)} for one and {_name(entry)} for another")
    return known


def _all_entries(history: History) -> Iterator[Entry]:
    for view in history.views:
        yield from view.entries
    for reading in history.readings:
        yield from reading.entries
    yield from history.log or ()


def _check_identities(history: History, known: Mapping[int, Entry], found: Findings) -> None:
    """Each message is there once, was sent, and has the id that its sender was told."""
    sent = {append.message: append for append in history.appends}
    ids: dict[Message, int] = {append.message: append.id for append in history.appends if append.id is not None}
    told = {number: message for message, number in ids.items()}
    if len(told) != len(ids):
        found.disordered.append("two messages were acknowledged with one id")
    for entry in known.values():
        message = entry.message
        if message is None:
            continue
        if message not in sent or sent[message].refused:
            found.invented.append(f"{message.text} ({entry.id}) was {'refused' if message in sent else 'never sent'}")
        if told.get(entry.id, message) != message:
            found.invented.append(f"{entry.id} was acknowledged for {told[entry.id].text} and is {message.text}")
        elif ids.setdefault(message, entry.id) != entry.id:
            found.doubled.append(f"{message.text} is {ids[message]} and {entry.id}")


def _check_time(history: History, known: Mapping[int, Entry], found: Findings) -> None:
    """The order of ids agrees with the order in which messages were acknowledged and then others sent."""
    seen = {entry.message: entry.id for entry in known.values() if entry.message is not None}
    placed = [
        (append, number)
        for append in history.appends
        if (number := append.id if append.id is not None else seen.get(append.message)) is not None
    ]
    acknowledged = sorted(
        ((a.ended_s, number, a) for a, number in placed if a.id is not None), key=lambda each: each[0]
    )
    highest, earlier, at = -1, "", 0
    for append, number in sorted(placed, key=lambda each: each[0].began_s):
        while at < len(acknowledged) and acknowledged[at][0] < append.began_s:
            if acknowledged[at][1] > highest:
                highest, earlier = acknowledged[at][1], acknowledged[at][2].message.text
            at += 1
        if number <= highest and append.message.text != earlier:
            found.disordered.append(
                f"{append.message.text} ({number}) was sent after {earlier} ({highest}) was acknowledged"
            )


def _check_order(view: View, found: Findings) -> None:
    """Ids rise from one entry to the next, and begin above what was there before."""
    seen: set[int] = set()
    ids = [view.since, *(entry.id for entry in view.entries)]
    for before, after in pairwise(ids):
        if after in seen or after == before:
            found.doubled.append(f"{view.listener} was given {after} twice")
        elif after < before:
            found.disordered.append(f"{view.listener} was given {after} after {before}")
        seen.add(after)


def _check_whole(view: View, history: History, known: Mapping[int, Entry], found: Findings) -> None:
    """Whatever anybody was given, or had acknowledged, was given to this listener, or it was told of the gap."""
    given = {entry.id for entry in view.entries}
    deleted = {deletion.id for deletion in history.deletions}
    acknowledged = {append.id: append.message for append in history.appends if append.id is not None}
    for number in sorted(known.keys() | acknowledged.keys()):
        if number <= view.since or number in given or number in deleted:
            continue
        text = f"{view.listener} was not given {number} ({_name(known.get(number), acknowledged.get(number))})"
        gaps = [told for told in view.told if told.after < number < told.before]
        if gaps and number in known and known[number].message is None:
            continue
        if history.may_forget and any(not told.others_only for told in gaps):
            found.forgotten.append(text)
        else:
            found.lost.append(text)


def _check_deletions(view: View, history: History, found: Findings) -> None:
    """No read that began after the deletion gives the text; what was given before is followed by its deletion, or by
    the news that not everything was replayed, which sends the client to history."""
    confirmed = {each.id: each.confirmed_s for each in history.deletions if math.isfinite(each.confirmed_s)}
    deletions = {entry.deletes: at for at, entry in enumerate(view.entries) if entry.deletes is not None}
    for at, entry in enumerate(view.entries):
        if entry.id not in confirmed or entry.message is None:
            continue
        if entry.read_s is not None and entry.read_s > confirmed[entry.id]:
            found.deleted_shown.append(f"{view.listener} read {entry.id} after it was deleted")
        elif deletions.get(entry.id, -1) < at and all(told.after < entry.id for told in view.told):
            found.deleted_shown.append(f"{view.listener} was given {entry.id} and not its deletion")


def _check_log(history: History, found: Findings) -> None:
    """What a newcomer reads in the end holds every acknowledged message that is not older than its beginning."""
    if history.log is None:
        return
    there = [entry.id for entry in history.log]
    if any(after <= before for before, after in pairwise(there)):
        found.disordered.append("the log does not rise")
    deleted = {deletion.id for deletion in history.deletions}
    begin = there[0] if there else EVERYTHING
    for append in history.appends:
        if append.id is None or append.id in there or append.id in deleted:
            continue
        if append.id > begin or (history.whole and not history.may_forget):
            found.lost.append(f"{append.message.text} ({append.id}) was acknowledged and is not in the log")
        elif history.may_forget:
            found.forgotten.append(f"{append.message.text} ({append.id}) is not in the log")


def _check_reading(reading: Reading, history: History, found: Findings) -> None:
    """It holds every message between its ends that was acknowledged before it was asked for, and nothing deleted."""
    there = [entry.id for entry in reading.entries]
    oldest = there[0] if there else (0 if not history.may_forget else reading.before)
    deleted = {deletion.id: deletion.confirmed_s for deletion in history.deletions}
    for append in history.appends:
        if append.id is None or append.ended_s >= reading.began_s or append.id in there or append.id in deleted:
            continue
        if oldest < append.id < reading.before:
            found.stale.append(f"a page before {reading.before} is without {append.message.text} ({append.id})")
    found.deleted_shown.extend(
        f"a page has {number} after it was deleted"
        for number in there
        if number in deleted and reading.began_s > deleted[number]
    )


def _name(entry: Entry | None, message: Message | None = None) -> str:
    if entry is not None and entry.message is not None:
        return entry.message.text
    if message is not None:
        return message.text
    return "another entry" if entry is None or entry.deletes is None else f"the deletion of {entry.deletes}"
