"""One room on one edge: order, gaps, presence and typing as members see them, in literal frames."""

import json
import sys
from collections.abc import Callable, Iterable, Sequence, Set
from types import FrameType

import pytest
from hypothesis import given, settings, strategies as st
from msgspec import to_builtins
from msgspec.structs import replace

from ws_edge.errors import ErrorCode
from ws_edge.ports import Incident
from ws_edge.protocol import codec
from ws_edge.protocol.emotes import EmoteCache, EmoteTable
from ws_edge.protocol.holds import Decided
from ws_edge.protocol.identity import ConnectionId, Identity, Life, MessageId, Rank, RoomId, Slug, Speaker, UserId
from ws_edge.protocol.log import LogEntry, LogRef, MessageDeleted, MessagePinned, PolicyChanged, StoredMessage
from ws_edge.protocol.policies import NO_POLICY, Policy
from ws_edge.protocol.reactions import Reacted
from ws_edge.protocol.references import ResumePoint
from ws_edge.protocol.rooms import Membership, Participant, PresenceChanged, RoomSnapshot, TypingChanged
from ws_edge.protocol.server_frames import You
from ws_edge.room.member import Member
from ws_edge.room.outcomes import Outcomes
from ws_edge.room.room import Room
from ws_edge.room.shown_log import REPEATABLE_LIMIT

NOW_S = 1_700_000_000.0
AT = "2025-11-27T16:30:00.000Z"
YOU = You(user_id=7, username="ana", roles=(), may=())


class Viewer:
    """A member that reads its frames."""

    def __init__(self, key: str, name: str = "") -> None:
        self.key = key
        self.name = name
        self.frames: list[dict[str, object]] = []
        self.waiting = 0

    def refuse(
        self,
        code: ErrorCode,
        *,
        retry_after_ms: int = 0,
        nonce: str = "",
        told: str = "",
        decided: Decided | None = None,
    ) -> None:
        raise AssertionError("nobody is refused here")

    def write(self, frames: bytes) -> None:
        while frames:
            size, start = frames[1], 2
            if size == 126:
                size, start = int.from_bytes(frames[2:4], "big"), 4
            self.frames.append(json.loads(frames[start : start + size]))
            frames = frames[start + size :]

    def unsent_bytes(self) -> int:
        return 0

    def close_slow_consumer(self) -> None:
        raise AssertionError("nobody is slow here")

    def told(self) -> list[tuple[object, object]]:
        """What was shown, as (type, message or username)."""
        told: list[tuple[object, object]] = []
        for frame in self.frames:
            data = frame["data"]
            assert isinstance(data, dict)
            told.append((frame["type"], data.get("message", data.get("username"))))
        return told


class FakeTimer:
    def __init__(self, timers: "list[FakeTimer]", due_s: float, callback: Callable[[], object]) -> None:
        self.timers, self.due_s, self.callback = timers, due_s, callback
        timers.append(self)

    def cancel(self) -> None:
        self.timers.remove(self)


class FakeMeter:
    """Implements Meter; nothing is counted here."""

    def refused(self, code: str) -> None: ...

    def posted(self) -> None: ...

    def incident(self, incident: Incident) -> None: ...

    def turned_away(self, code: str) -> None: ...

    def closed(self, code: int) -> None: ...


class Surroundings:
    """All that a room needs: clock and timers that the test moves, and what was asked to be read again."""

    def __init__(self) -> None:
        self.time_s = 100.0
        self.crowded_flush_s = 0.0
        self.soon: list[Callable[[], object]] = []
        self.timers: list[FakeTimer] = []
        self.reacted: list[list[Reacted]] = []
        self.emotes = EmoteCache()
        self.viewers: list[Viewer] = []
        self.outcomes = Outcomes("e1", self, FakeMeter())
        self.policies: list[tuple[Slug, Policy]] = []
        self.missed: list[str] = []

    def now_s(self) -> float:
        return self.time_s

    def unix_s(self) -> float:
        return NOW_S + self.time_s - 100.0

    def call_soon(self, callback: Callable[[], object], /) -> object:
        self.soon.append(callback)
        return None

    def call_later(self, delay: float, callback: Callable[[], object], /) -> FakeTimer:
        return FakeTimer(self.timers, self.time_s + delay, callback)

    def of_participant(self, key: str) -> Iterable[Member]:
        return [viewer for viewer in self.viewers if viewer.key == key]

    def named(self, life: Life, names: Set[str]) -> dict[str, list[Member]]:
        return {name: [viewer for viewer in self.viewers if viewer.name == name] for name in names}

    def second_begun(self, room: Room, first: LogEntry) -> None:
        self.missed.append(f"what the second had before {first.id}")

    def second_ends(self, room: Room, second: str) -> None:
        self.missed.append(f"the end of {second}")

    def entries_missed(self, room: Room) -> None:
        self.missed.append("messages")

    def logs_to_compare(self, rooms: Sequence[Room]) -> None:
        self.missed += ["comparison"] * len(rooms)

    def log_reaches(self, room: Room, last_id: MessageId) -> None:
        self.missed.append(f"messages up to {last_id}")

    def presence_missed(self, room: Room) -> None:
        self.missed.append("presence")

    def policy_heard(self, slug: Slug, policy: Policy) -> None:
        self.policies.append((slug, policy))

    def room_deleted(self, life: Life) -> None:
        self.missed.append(f"deletion of {life}")

    def participant_returned(self, log: LogRef, key: str, version: int) -> None:
        raise AssertionError("nobody comes back here")

    def room(self, membership: Membership) -> Room:
        return Room(
            membership,
            participants=self,
            gaps=self,
            resolve=self.outcomes.resolve_copy,
            policy_heard=self.policy_heard,
            deleted=self.room_deleted,
            returned=self.participant_returned,
            reacted=lambda _log, sums: self.reacted.append(list(sums)),
            epoch=lambda log: f"{log.life}.1",
            emotes=self.emotes.of,
            clock=self,
            timers=self,
            crowded_flush_s=self.crowded_flush_s,
        )

    def end_turn(self) -> None:
        soon, self.soon = self.soon, []
        for callback in soon:
            callback()

    def pass_time(self, seconds: float) -> None:
        self.time_s += seconds
        while due := [timer for timer in self.timers if timer.due_s <= self.time_s]:
            self.timers.remove(due[0])
            due[0].callback()
        self.end_turn()


def speaker(key: str) -> Speaker:
    """Who has the key of a participant, "u:7" or "c:e1:7"."""
    kind, _, rest = key.partition(":")
    if kind == "u":
        return Speaker(Identity(UserId(int(rest)), f"user_{rest}", None, (), Rank.USER, None), "192.0.2.1", "e1:1")
    return Speaker(Identity(None, "Anonymous_192.0.2.1", None, (), Rank.ANONYMOUS, None), "192.0.2.1", rest)


def membership(*, version: int = 1, crowded: bool = False) -> Membership:
    return Membership(RoomId(7), Life(3), Slug("s"), 1, version, crowded)


def open_room(
    *keys: str, crowded: bool = False, crowded_flush_s: float = 0.0
) -> tuple[Room, Surroundings, list[Viewer]]:
    host = Surroundings()
    host.crowded_flush_s = crowded_flush_s
    room = host.room(membership(crowded=crowded))
    room.presence_restored(RoomSnapshot(1, 1, crowded, ()))
    room.opened(MessageId(0))
    viewers = [Viewer(key) for key in keys]
    for viewer in viewers:
        host.viewers.append(viewer)
        room.welcome(viewer, speaker(viewer.key), membership(), you=YOU, policy=NO_POLICY)
    return room, host, viewers


def message(number: int, prev: int, *, edge: str = "e2", token: int = 0, nonce: str = "") -> StoredMessage:
    at = "2025-11-27T16:30:00.000Z"
    return StoredMessage(MessageId(number), MessageId(prev), at, f"m{number}", UserId(1), "ana", edge, token, nonce)


def typing(key: str, *, active: bool) -> TypingChanged:
    user_id = UserId(int(key[2:]))
    return TypingChanged(key, user_id, f"user_{user_id}", active, "e2", ConnectionId(user_id), 1_700_000_000_000)


def person(number: int) -> Participant:
    return Participant(f"u:{number}", UserId(number), f"user_{number}")


def came(version: int, number: int) -> PresenceChanged:
    return batch(version, version, number)


def batch(first: int, last: int, *numbers: int) -> PresenceChanged:
    people = tuple(replace(person(n), version=first + i) for i, n in enumerate(numbers))
    return PresenceChanged(first, last, 9, False, people, (), len(people), 0, 1_700_000_000_000)


def went(version: int, number: int) -> PresenceChanged:
    return PresenceChanged(version, version, 2, False, (), (person(number),), 0, 1, 1_700_000_000_000)


def test_chat_message_goes_to_everyone_in_the_document_s_form() -> None:
    room, host, (ana, ben) = open_room("u:1", "u:2")
    room.entry_stored(message(42, 0))
    host.end_turn()
    assert ana.frames == ben.frames
    assert json.dumps(ana.frames[0], separators=(",", ":")) == (
        '{"type":"chat_message","data":{"id":42,"message":"m42","username":"ana","user_id":1,'
        '"timestamp":"2025-11-27T16:30:00.000Z","room_id":7,"prev_id":0,"role":null}}'
    )
    assert room.last_id == 42


def test_a_message_is_shown_once_however_often_it_comes() -> None:
    room, host, (ana,) = open_room("u:1")
    for stored in (message(5, 0), message(5, 0), message(4, 0)):
        room.entry_stored(stored)
    host.end_turn()
    assert ana.told() == [("chat_message", "m5")]


def test_nonce_comes_back_in_the_sender_s_own_copy_alone() -> None:
    room, host, (ana, ben) = open_room("u:1", "u:2")
    token = host.outcomes.register(ana, room, "n1")
    room.entry_stored(message(5, 0, edge="e1", token=token, nonce="n1"))
    host.end_turn()
    assert [f["data"].get("nonce") for f in ana.frames] == ["n1"]  # type: ignore[attr-defined]
    assert [f["data"].get("nonce") for f in ben.frames] == [None]  # type: ignore[attr-defined]
    assert room.repeatable(MessageId(5)) is not None


def test_another_edge_s_token_resolves_nothing_here() -> None:
    room, host, (ana,) = open_room("u:1")
    token = host.outcomes.register(ana, room, "")
    room.entry_stored(message(5, 0, edge="e2", token=token))
    assert host.outcomes.find(token) is not None


def test_messages_with_a_nonce_are_kept_within_bounds() -> None:
    room, host, _ = open_room("u:1")
    for number in range(1, REPEATABLE_LIMIT + 3):
        room.entry_stored(message(number, number - 1, nonce="n"))
    host.end_turn()
    assert room.repeatable(MessageId(2)) is None
    assert room.repeatable(MessageId(3)) is not None


def test_a_gap_is_filled_before_what_comes_after_it() -> None:
    room, host, (ana,) = open_room("u:1")
    room.entry_stored(message(1, 0))
    room.entry_stored(message(4, 3))
    room.entry_stored(message(5, 4))
    host.end_turn()
    assert ana.told() == [("chat_message", "m1")]
    assert host.missed == ["messages"]
    room.entries_restored([message(2, 1), message(3, 2), message(4, 3)])
    host.end_turn()
    assert [text for _, text in ana.told()] == ["m1", "m2", "m3", "m4", "m5"]


def test_after_a_gap_that_cannot_be_filled_the_room_goes_on_and_prev_id_shows_it() -> None:
    room, host, (ana,) = open_room("u:1")
    room.entry_stored(message(1, 0))
    room.entry_stored(message(4, 3))
    room.entries_restored([])
    room.entry_stored(message(5, 4))
    host.end_turn()
    assert [(f["data"]["id"], f["data"]["prev_id"]) for f in ana.frames] == [(1, 0), (4, 3), (5, 4)]  # type: ignore[index]


def test_a_gap_is_closed_by_what_joins_the_last_one_shown_with_all_that_is_held_back() -> None:
    room, _, _ = open_room("u:1")
    room.entry_stored(message(1, 0))
    assert not room.holds_back
    room.entry_stored(message(4, 3))
    room.entry_stored(message(6, 5))
    assert room.holds_back
    assert not room.is_closed_by([])
    assert not room.is_closed_by([message(2, 1), message(3, 2)])
    assert not room.is_closed_by([message(3, 2), message(5, 4)])
    assert room.is_closed_by([message(5, 4), message(3, 2), message(2, 1)])
    assert room.is_closed_by([message(3, 1), message(4, 3), message(6, 4)])


def test_what_was_shown_already_is_not_held_back() -> None:
    room, _, _ = open_room("u:1")
    room.entry_stored(message(3, 0))
    room.recover()
    room.entry_stored(message(3, 0))
    assert not room.holds_back


def test_what_comes_while_a_room_opens_is_shown_after_what_is_history() -> None:
    host = Surroundings()
    room = host.room(membership(version=4))
    room.entry_stored(message(8, 7))
    room.entry_stored(message(7, 0))
    room.opened(MessageId(7))
    ana = Viewer("u:1")
    room.welcome(ana, speaker("u:1"), membership(version=4), you=YOU, policy=NO_POLICY)
    assert room.last_id == 8
    host.end_turn()
    assert ana.frames == []


def test_user_joined_goes_to_the_others_only() -> None:
    room, host, (ana, ben) = open_room("u:1", "u:2")
    room.presence_changed(came(2, 2))
    host.end_turn()
    assert ana.frames == [
        {
            "type": "user_joined",
            "data": {"username": "user_2", "user_id": 2, "timestamp": "2023-11-14T22:13:20.000Z"},
        }
    ]
    assert ben.frames == []


def test_a_newcomer_is_not_told_of_who_came_before() -> None:
    room, host, (ana,) = open_room("u:1")
    ben = Viewer("u:2")
    room.welcome(ben, speaker("u:2"), membership(version=3), you=YOU, policy=NO_POLICY)
    room.presence_changed(came(2, 5))
    room.presence_changed(came(3, 2))
    room.presence_changed(came(4, 6))
    host.end_turn()
    assert ana.told() == [("user_joined", "user_5"), ("user_joined", "user_2"), ("user_joined", "user_6")]
    assert ben.told() == [("user_joined", "user_6")]


def test_a_member_is_told_who_came_after_it_while_it_was_still_on_its_way() -> None:
    room, host, (ana,) = open_room("u:1")
    room.presence_changed(batch(2, 4, 2, 3, 4))
    cleo = Viewer("u:3")
    cleo.write(room.welcome(cleo, speaker(cleo.key), membership(version=3), you=YOU, policy=NO_POLICY))
    host.end_turn()
    assert ana.told() == [("user_joined", "user_2"), ("user_joined", "user_3"), ("user_joined", "user_4")]
    assert cleo.told() == [("room_joined", None), ("user_joined", "user_4")]
    assert cleo.frames[0]["data"] == {
        "room_id": 7,
        "connection_count": 9,
        "last_id": 0,
        "epoch": "3.1",
        "you": {"user_id": 7, "username": "ana", "roles": [], "may": []},
        "policy": to_builtins(NO_POLICY),
        "pinned": None,
    }


def test_of_those_who_came_in_one_batch_each_is_told_of_the_later_ones_only() -> None:
    room, host, (ana,) = open_room("u:1")
    ben, cleo = Viewer("u:2"), Viewer("u:3")
    for viewer, version in ((ben, 2), (cleo, 3)):
        host.viewers.append(viewer)
        viewer.write(room.welcome(viewer, speaker(viewer.key), membership(version=version), you=YOU, policy=NO_POLICY))
    room.presence_changed(batch(2, 3, 2, 3))
    host.end_turn()
    assert ana.told() == [("user_joined", "user_2"), ("user_joined", "user_3")]
    assert ben.told() == [("room_joined", None), ("user_joined", "user_3")]
    assert cleo.told() == [("room_joined", None)]


class Unread(Viewer):
    """Many of them: what they are sent is not decoded."""

    def write(self, frames: bytes) -> None: ...


def newcomers(size: int, kind: type[Viewer] = Viewer) -> tuple[Room, Surroundings, list[Viewer]]:
    """A room with a member who was there before, and so many who are let in with the versions from 2 on."""
    room, host, (ana,) = open_room("u:1")
    host.viewers = [ana, *(kind(f"u:{number}") for number in range(2, size + 2))]
    for version, viewer in enumerate(host.viewers[1:], start=2):
        room.welcome(viewer, speaker(viewer.key), membership(version=version), you=YOU, policy=NO_POLICY)
    return room, host, host.viewers


def calls_to_announce(size: int) -> int:
    """How many functions run until so many newcomers of one batch were shown to each other."""
    room, host, _ = newcomers(size, Unread)
    host.of_participant = lambda key: ()  # type: ignore[method-assign]  # the fake looks at every viewer
    calls = 0

    def count(frame: FrameType, event: str, arg: object) -> None:
        nonlocal calls
        calls += event in {"call", "c_call"}

    change = batch(2, size + 1, *range(2, size + 2))
    before = sys.getprofile()
    sys.setprofile(count)
    try:
        room.presence_changed(change)
        host.end_turn()
    finally:
        sys.setprofile(before)
    return calls


def test_announcing_a_batch_to_its_own_newcomers_takes_work_in_proportion_to_its_size() -> None:
    assert calls_to_announce(400) < 2.5 * calls_to_announce(200)


def test_who_came_meanwhile_is_encoded_once_for_all_who_are_let_in_at_the_same_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    room, _, _ = open_room("u:1")
    room.presence_changed(batch(2, 51, *range(2, 52)))
    encoded: list[int] = []
    encode = codec.user_joined

    def note(username: str, user_id: int, at: str) -> bytes:
        encoded.append(user_id)
        return encode(username, user_id, at)

    monkeypatch.setattr(codec, "user_joined", note)
    for version in range(2, 52):
        late = Viewer(f"u:{version}")
        late.write(room.welcome(late, speaker(late.key), membership(version=version), you=YOU, policy=NO_POLICY))
        assert late.told()[1:] == [("user_joined", f"user_{number}") for number in range(version + 1, 52)]
    assert sorted(encoded) == list(range(3, 52))


@pytest.mark.parametrize("versions", [(2, 3, 4, 5), (4, 2, 5, 3)])
def test_each_newcomer_is_shown_those_after_it_also_where_typing_stops_in_between_and_versions_fall(
    versions: tuple[int, ...],
) -> None:
    room, host, viewers = newcomers(4)
    room.typing_changed(typing("u:90", active=True))
    room.typing_changed(typing("u:91", active=True))
    host.end_turn()
    for viewer in viewers:
        viewer.frames.clear()
    joined = tuple(replace(person(version), version=version) for version in versions)
    change = PresenceChanged(2, 5, 9, False, joined, (person(90), person(91)), 4, 2, 1_700_000_000_000)
    room.presence_changed(change)
    host.end_turn()
    for own, viewer in enumerate(viewers, start=1):
        ends = ["typing_stop", "user_left"] if own < 5 else ["typing_stop"]
        left = [(end, f"user_{number}") for number in (90, 91) for end in ends]
        assert viewer.told() == [("user_joined", f"user_{v}") for v in versions if v > own] + left


def test_a_presence_gap_is_read_again_once() -> None:
    room, host, (ana,) = open_room("u:1")
    room.presence_changed(came(3, 3))
    room.presence_changed(came(4, 4))
    assert host.missed == ["presence"]
    room.presence_restored(RoomSnapshot(4, 4, False, (person(2), person(3), person(4))))
    host.end_turn()
    assert sorted(str(name) for _, name in ana.told()) == ["user_2", "user_3", "user_4"]
    room.presence_changed(came(6, 6))
    assert host.missed == ["presence", "presence"]


def test_who_was_there_before_the_room_opened_is_not_announced_again_after_an_interruption() -> None:
    host = Surroundings()
    room = host.room(membership(version=4))
    room.presence_restored(RoomSnapshot(4, 3, False, (person(1), person(2), person(3))))
    room.opened(MessageId(0))
    ana = Viewer("u:1")
    ana.write(room.welcome(ana, speaker("u:1"), membership(version=4), you=YOU, policy=NO_POLICY))
    room.reread_presence()
    room.presence_restored(RoomSnapshot(6, 3, False, (person(1), person(2), person(4))))
    host.end_turn()
    assert ana.told() == [("room_joined", None), ("user_left", "user_3"), ("user_joined", "user_4")]


def test_an_event_that_comes_while_a_room_opens_waits_for_the_first_snapshot() -> None:
    host = Surroundings()
    room = host.room(membership(version=4))
    room.presence_changed(came(5, 5))
    assert host.missed == []
    room.presence_restored(RoomSnapshot(4, 2, False, (person(1), person(2))))
    room.opened(MessageId(0))
    ana = Viewer("u:1")
    ana.write(room.welcome(ana, speaker("u:1"), membership(version=4), you=YOU, policy=NO_POLICY))
    room.reread_presence()
    room.presence_restored(RoomSnapshot(6, 2, False, (person(1), replace(person(5), version=5))))
    host.end_turn()
    assert ana.told() == [("room_joined", None), ("user_joined", "user_5"), ("user_left", "user_2")]


def test_a_gap_that_the_snapshot_leaves_open_is_read_again() -> None:
    host = Surroundings()
    room = host.room(membership(version=4))
    room.presence_changed(came(7, 7))
    room.presence_restored(RoomSnapshot(5, 2, False, (person(1),)))
    assert host.missed == ["presence"]


def test_a_snapshot_of_a_deleted_room_is_told_to_the_worker_and_announces_nobody() -> None:
    room, host, (ana,) = open_room("u:1")
    room.presence_changed(came(2, 2))
    room.reread_presence()
    room.presence_restored(RoomSnapshot(0, 0, False, (), deleted=True))
    host.end_turn()
    assert host.missed == ["presence", "deletion of 3"]
    assert ana.told() == [("user_joined", "user_2")]


def test_room_stats_are_told_at_most_once_a_second() -> None:
    room, host, (ana,) = open_room("u:1", crowded=True)
    for version in range(2, 6):
        room.presence_changed(PresenceChanged(version, version, 600 + version, True, (), (), 1, 0, 0))
    host.pass_time(0.0)
    room.presence_changed(PresenceChanged(6, 6, 610, True, (), (), 0, 3, 0))
    host.pass_time(0.9)
    assert [f["data"] for f in ana.frames] == [{"connection_count": 605, "joined": 4, "left": 0}]
    host.pass_time(0.2)
    assert ana.frames[1:] == [{"type": "room_stats", "data": {"connection_count": 610, "joined": 0, "left": 3}}]


def test_typing_goes_to_everyone_but_the_sender_and_is_not_repeated() -> None:
    room, host, (ana, ben, ana_again) = open_room("u:1", "u:2", "u:1")
    room.typing_changed(typing("u:1", active=True))
    room.typing_changed(typing("u:1", active=True))
    room.typing_changed(typing("u:1", active=False))
    room.typing_changed(typing("u:1", active=False))
    host.end_turn()
    assert ana.frames == ana_again.frames == []
    assert ben.told() == [("typing_start", "user_1"), ("typing_stop", "user_1")]


def test_typing_of_who_leaves_is_stopped_first() -> None:
    room, host, (ben,) = open_room("u:2")
    room.presence_changed(came(2, 1))
    room.typing_changed(typing("u:1", active=True))
    room.presence_changed(went(3, 1))
    room.typing_changed(typing("u:1", active=False))
    host.end_turn()
    assert [kind for kind, _ in ben.told()] == ["user_joined", "typing_start", "typing_stop", "user_left"]


def test_typing_whose_stop_never_comes_ends_by_itself() -> None:
    room, host, (ben,) = open_room("u:2")
    room.typing_changed(typing("u:1", active=True))
    for _ in range(13):
        host.pass_time(1.0)
    assert ben.told() == [("typing_start", "user_1"), ("typing_stop", "user_1")]
    assert host.timers == []


def test_in_a_crowded_room_at_most_10_typing_frames_a_second_are_shown_in_whole_pairs() -> None:
    room, host, (viewer,) = open_room("u:99", crowded=True)
    for number in range(1, 41):
        room.typing_changed(typing(f"u:{number}", active=True))
    host.end_turn()
    assert len(viewer.frames) == 10
    for number in range(1, 41):
        room.typing_changed(typing(f"u:{number}", active=False))
    host.end_turn()
    assert len(viewer.frames) == 10
    for _ in range(30):
        host.pass_time(0.1)
    assert len(viewer.frames) == 20
    starts = [name for kind, name in viewer.told() if kind == "typing_start"]
    stops = [name for kind, name in viewer.told() if kind == "typing_stop"]
    assert sorted(map(str, starts)) == sorted(map(str, stops))


def test_a_room_of_more_than_2000_is_shown_nothing_but_the_stops_of_whom_it_saw() -> None:
    room, host, (viewer,) = open_room("u:99", crowded=True)
    for number in range(1, 16):
        room.typing_changed(typing(f"u:{number}", active=True))
    room.presence_changed(PresenceChanged(2, 2, 2001, True, (), (), 0, 0, 0))
    for number in range(1, 31):
        room.typing_changed(typing(f"u:{number}", active=True))
        room.typing_changed(typing(f"u:{number}", active=False))
    for _ in range(30):
        host.pass_time(0.1)
    told = [kind for kind, _ in viewer.told() if kind != "room_stats"]
    assert told == ["typing_start"] * 10 + ["typing_stop"] * 10


def test_a_crowded_room_is_written_at_once_after_a_quiet_time_and_then_what_was_gathered() -> None:
    room, host, (ana, ben) = open_room("u:1", "u:2", crowded=True, crowded_flush_s=0.15)
    room.entry_stored(message(1, 0))
    host.end_turn()
    assert ana.told() == [("chat_message", "m1")]
    room.entry_stored(message(2, 1))
    room.entry_stored(message(3, 2))
    host.end_turn()
    host.pass_time(0.02)
    assert ana.told() == ben.told() == [("chat_message", "m1")]
    host.pass_time(0.01)
    assert ana.told() == ben.told() == [("chat_message", f"m{number}") for number in (1, 2, 3)]


def test_a_room_in_which_somebody_always_types_does_not_gather_timers() -> None:
    room, host, _ = open_room("u:99", crowded=True)
    for turn in range(600):
        room.typing_changed(typing(f"u:{turn % 40 + 1}", active=True))
        room.typing_changed(typing(f"u:{(turn + 20) % 40 + 1}", active=False))
        host.pass_time(0.05)
    assert len(host.timers) == 1


# --- so many messages a second ----------------------------------------------------------------------------------------


def limited(
    number: int, author: int, *, second: int = 0, token: int = 0, text: str = "", nonce: str = ""
) -> StoredMessage:
    edge = "e1" if token else "e2"
    plain = message(number, number - 1, edge=edge, token=token, nonce=nonce)
    at = f"2025-11-27T16:30:{second:02}.250Z"
    return replace(plain, at=at, user_id=UserId(author), role="user", max_shown=5, text=text or plain.text)


def moderated_room(*keys: str) -> tuple[Room, Surroundings, Viewer, list[Viewer]]:
    """A room with viewers, and a moderator besides."""
    room, host, viewers = open_room(*keys)
    chair = Viewer("u:99")
    host.viewers.append(chair)
    moderator = speaker("u:99")
    moderator = replace(moderator, identity=replace(moderator.identity, rank=Rank.MODERATOR))
    room.welcome(chair, moderator, membership(), you=YOU, policy=NO_POLICY)
    return room, host, chair, viewers


def numbers(viewer: Viewer) -> list[object]:
    return [frame["data"]["id"] for frame in viewer.frames]  # type: ignore[index]


def chain_of(viewer: Viewer) -> list[tuple[object, object, object]]:
    """What a viewer was shown, but for copies besides the chain."""
    shown = [frame["data"] for frame in viewer.frames]
    return [(d["id"], d["prev_id"], d.get("skipped", 0)) for d in shown if "prev_id" in d]  # type: ignore[attr-defined,index,operator]


def test_viewers_are_shown_a_second_when_it_is_over_and_moderators_everything_at_once() -> None:
    room, host, chair, (ana, ben) = moderated_room("u:1", "u:2")
    for number in range(1, 21):
        room.entry_stored(limited(number, 100 + number))
    host.end_turn()
    assert (numbers(ana), room.viewed_id, room.last_id) == ([], 0, 20)
    assert chain_of(chair) == [(number, number - 1, 0) for number in range(1, 21)]
    host.pass_time(0.75)
    assert host.missed == ["the end of 2025-11-27T16:30:00"]
    room.second_over("2025-11-27T16:30:00")
    host.end_turn()
    assert len(numbers(ana)) == 5
    assert ana.frames == ben.frames
    chain = chain_of(ana)
    for before, (shown_id, prev_id, skipped) in zip([(0, 0, 0), *chain], chain, strict=False):
        assert prev_id == before[0]
        assert skipped == shown_id - prev_id - 1  # type: ignore[operator]
    assert (len(chair.frames), room.viewed_id) == (20, 20)


def test_authors_and_those_who_are_mentioned_are_shown_what_others_are_not() -> None:
    room, host, chair, (ana, ben, other_tab) = moderated_room("u:1", "u:2", "u:1")
    ben.name = "ben"
    tokens = {}
    for number in range(1, 21):
        tokens[number] = host.outcomes.register(ana, room, f"n{number}")
        room.entry_stored(limited(number, 1, token=tokens[number], nonce=f"n{number}", text=f"@Ben {number}"))
    room.second_over("2025-11-27T16:30:00")
    host.end_turn()
    assert numbers(ana) == numbers(ben) == numbers(other_tab) == list(range(1, 21))
    assert [f["data"]["nonce"] for f in ana.frames] == [f"n{number}" for number in range(1, 21)]  # type: ignore[index]
    assert not any("nonce" in f["data"] for f in (*ben.frames, *other_tab.frames, *chair.frames))  # type: ignore[operator]
    assert len(chain_of(ana)) == 1
    assert chain_of(ana) == chain_of(ben) == chain_of(other_tab)
    assert len(chain_of(chair)) == 20


def test_somebody_anonymous_is_shown_their_own_as_well() -> None:
    room, host, (ana,) = open_room("c:e1:7")
    for number in range(1, 21):
        token = host.outcomes.register(ana, room, "")
        room.entry_stored(replace(limited(number, 1, token=token), user_id=None, role=None))
    room.second_over("2025-11-27T16:30:00")
    host.end_turn()
    assert numbers(ana) == list(range(1, 21))
    assert len(chain_of(ana)) == 1


def test_a_moderator_s_own_copy_comes_at_once_with_its_nonce() -> None:
    room, host, chair, (ana,) = moderated_room("u:1")
    room.entry_stored(limited(1, 5))
    token = host.outcomes.register(chair, room, "n")
    own = limited(2, 99, token=token, nonce="n")
    room.entry_stored(replace(own, role="moderator"))
    host.end_turn()
    assert [f["data"].get("nonce") for f in chair.frames] == [None, "n"]  # type: ignore[attr-defined]
    room.second_over("2025-11-27T16:30:00")
    host.end_turn()
    assert chain_of(ana) == [(1, 0, 0), (2, 1, 0)]
    assert len(chair.frames) == 2


def test_who_comes_meanwhile_begins_where_viewers_are() -> None:
    room, host, chair, (ana,) = moderated_room("u:1")
    room.hold_recent()
    for number in range(1, 8):
        room.entry_stored(limited(number, number, second=number // 4))
    late, back = Viewer("u:3"), Viewer("u:4")
    room.welcome(late, speaker("u:3"), membership(), you=YOU, policy=NO_POLICY)
    point = ResumePoint(MessageId(1), room.epoch)
    first = Viewer("")
    first.write(room.welcome(back, speaker("u:4"), membership(), you=YOU, policy=NO_POLICY, resume=point))
    assert first.frames[0]["data"]["last_id"] == 3  # type: ignore[index]
    assert [frame["data"]["id"] for frame in first.frames[1:]] == [2, 3]  # type: ignore[index]
    ahead = ResumePoint(MessageId(5), room.epoch)
    first = Viewer("")
    first.write(room.welcome(Viewer("u:5"), speaker("u:5"), membership(), you=YOU, policy=NO_POLICY, resume=ahead))
    assert first.frames[0]["data"]["recovered"] is False  # type: ignore[index]
    room.second_over("2025-11-27T16:30:01")
    host.end_turn()
    assert chain_of(late) == chain_of(back) == [(4, 3, 0), (5, 4, 0), (6, 5, 0), (7, 6, 0)]
    assert numbers(ana) == numbers(chair) == list(range(1, 8))


def test_a_room_asks_for_the_begin_of_a_second_in_which_it_was_opened() -> None:
    host = Surroundings()
    room = host.room(membership())
    room.presence_restored(RoomSnapshot(1, 1, False, ()))
    room.opened(MessageId(10))
    ana = Viewer("u:1")
    room.welcome(ana, speaker("u:1"), membership(), you=YOU, policy=NO_POLICY)
    first = limited(11, 11)
    room.entry_stored(first)
    assert host.missed == ["what the second had before 11"]
    room.second_over("2025-11-27T16:30:00")
    room.second_read(limited(9, 9), [])
    host.end_turn()
    assert ana.frames == []
    room.second_read(first, [limited(number, number) for number in range(4, 11)])
    host.end_turn()
    assert numbers(ana) in ([], [11])
    assert room.viewed_id == 11


def test_without_a_limit_for_a_while_viewers_are_shown_what_everybody_is() -> None:
    room, host, chair, (ana,) = moderated_room("u:1")
    room.entry_stored(limited(1, 1))
    room.second_over("2025-11-27T16:30:00")
    plain = [message(number, number - 1) for number in range(2, 6)]
    room.entry_stored(plain[0])
    assert room.history_end(ana) == 3
    assert room.history_end(chair) is None
    host.pass_time(29.0)
    room.check_progress()
    assert room.history_end(ana) == 3
    host.pass_time(2.0)
    room.check_progress()
    room.second_over("2025-11-27T16:30:09")
    room.second_read(plain[0], [])
    assert room._viewers.lane is None
    room.entry_stored(plain[1])
    host.end_turn()
    assert chain_of(ana) == chain_of(chair) == [(1, 0, 0), (2, 1, 0), (3, 2, 0)]


def test_a_timer_of_a_second_that_is_over_asks_for_nothing() -> None:
    room, host, _ = open_room("u:1")
    room.entry_stored(limited(1, 1))
    room.entry_stored(limited(2, 1, second=1))
    host.pass_time(0.75)
    assert host.missed == ["the end of 2025-11-27T16:30:01"]


def test_who_left_is_shown_nothing_more() -> None:
    room, host, chair, (ana,) = moderated_room("u:1")
    room.entry_stored(limited(1, 1))
    room.discard(chair)
    room.discard(ana)
    room.second_over("2025-11-27T16:30:00")
    host.end_turn()
    assert (chair.frames, ana.frames) == ([], [])


def test_deletions_and_policies_keep_their_place_in_what_viewers_are_shown() -> None:
    room, host, chair, (ana,) = moderated_room("u:1")
    for number in range(1, 21):
        room.entry_stored(limited(number, number))
    at = "2025-11-27T16:30:00.900Z"
    gone = MessageDeleted(MessageId(21), MessageId(20), at, MessageId(3), UserId(3), "ana", UserId(99))
    room.entry_stored(gone)
    room.second_over("2025-11-27T16:30:00")
    host.end_turn()
    assert numbers(ana)[-1] == numbers(chair)[-1] == 21
    *_, (before, _, _), (_, prev_id, skipped) = chain_of(ana)
    assert (prev_id, skipped) == (before, 20 - before)  # type: ignore[operator]
    assert 3 not in numbers(ana)


# --- later than others ------------------------------------------------------------------------------------------------

DELAY_S = 4.0


def delayed(
    number: int, author: int, *, at_s: float = 0.0, delay_s: float = DELAY_S, token: int = 0, nonce: str = ""
) -> StoredMessage:
    """Stored so long after the test began."""
    plain = message(number, number - 1, edge="e1" if token else "e2", token=token, nonce=nonce)
    at = codec.rfc3339(round((NOW_S + at_s) * 1000))
    return replace(plain, at=at, user_id=UserId(author), role="user", delay_ms=round(delay_s * 1000))


def early_of(viewer: Viewer) -> list[tuple[object, object]]:
    """Copies that came before their time."""
    shown = [frame["data"] for frame in viewer.frames]
    return [(d["id"], d["visible_at"]) for d in shown if "visible_at" in d]  # type: ignore[index,operator]


def deletion(number: int, message_id: int) -> MessageDeleted:
    return MessageDeleted(
        MessageId(number), MessageId(number - 1), AT, MessageId(message_id), UserId(5), "u", UserId(9)
    )


def test_moderators_and_its_author_see_a_message_at_once_and_viewers_when_its_time_has_come() -> None:
    room, host, chair, (ana, ben, other_tab) = moderated_room("u:1", "u:2", "u:1")
    room.entry_stored(message(1, 0))
    token = host.outcomes.register(ana, room, "n")
    room.entry_stored(delayed(2, 1, token=token, nonce="n"))
    host.end_turn()
    visible_at = codec.rfc3339(round((NOW_S + DELAY_S) * 1000))
    assert early_of(chair) == early_of(ana) == early_of(other_tab) == [(2, visible_at)]
    assert [frame["data"].get("nonce") for frame in ana.frames] == [None, "n"]  # type: ignore[attr-defined]
    assert [frame["data"].get("nonce") for frame in other_tab.frames] == [None, None]  # type: ignore[attr-defined]
    assert (numbers(ben), room.viewed_id, room.watched_id, room.last_id) == ([1], 1, 1, 2)
    host.pass_time(DELAY_S - 0.01)
    assert numbers(ben) == [1]
    host.pass_time(0.01)
    for viewer in (ana, ben, other_tab, chair):
        assert chain_of(viewer) == [(1, 0, 0), (2, 1, 0)]
    assert ben.frames[-1] == chair.frames[-1] == ana.frames[-1]
    assert (room.viewed_id, room.watched_id) == (2, 2)


def test_everything_behind_a_delayed_message_waits_behind_it_and_moderators_know_it_at_once() -> None:
    room, host, chair, (ben,) = moderated_room("u:2")
    room.entry_stored(delayed(1, 5))
    room.entry_stored(message(2, 1))
    room.entry_stored(delayed(3, 6, at_s=0.5, delay_s=2.0))
    room.entry_stored(PolicyChanged(MessageId(4), MessageId(3), AT, Policy(8), UserId(9)))
    host.end_turn()
    assert ben.frames == []
    assert [number for number, _ in early_of(chair)] == [1, 2, 3, 4]
    assert len({visible_at for _, visible_at in early_of(chair)}) == 1
    assert not any("prev_id" in frame["data"] for frame in chair.frames)  # type: ignore[operator]
    host.pass_time(DELAY_S)
    assert chain_of(ben) == chain_of(chair) == [(1, 0, 0), (2, 1, 0), (3, 2, 0), (4, 3, 0)]


def test_what_is_taken_back_meanwhile_viewers_never_see_and_their_chain_has_no_gap() -> None:
    room, host, chair, (ben,) = moderated_room("u:2")
    room.entry_stored(message(1, 0))
    for number in (2, 3, 4):
        room.entry_stored(delayed(number, 5))
    room.entry_stored(deletion(5, 2))
    room.entry_stored(deletion(6, 3))
    host.end_turn()
    host.pass_time(DELAY_S)
    assert chain_of(ben) == chain_of(chair) == [(1, 0, 0), (4, 1, 0), (5, 4, 0), (6, 5, 0)]
    assert all(frame["type"] == "message_deleted" for frame in ben.frames[2:])
    room.entry_stored(delayed(7, 5, at_s=5.0))
    room.entry_stored(deletion(8, 7))
    host.pass_time(DELAY_S + 5.0)
    assert chain_of(ben)[4:] == [(8, 6, 0)]


def test_a_message_whose_time_has_come_when_it_is_heard_is_shown_at_once() -> None:
    room, host, chair, (ben,) = moderated_room("u:2")
    room.entry_stored(delayed(1, 5, at_s=-DELAY_S))
    host.end_turn()
    assert chain_of(ben) == chain_of(chair) == [(1, 0, 0)]
    assert (early_of(chair), room.viewed_id) == ([], 1)


def test_who_comes_meanwhile_begins_before_what_waits_and_is_shown_it_with_the_others() -> None:
    room, host, _, (ben,) = moderated_room("u:2")
    room.hold_recent()
    for number in (1, 2):
        room.entry_stored(delayed(number, 5, at_s=-DELAY_S))
    room.entry_stored(delayed(3, 5))
    room.entry_stored(delayed(4, 6))

    def comes(key: str, *, rank: Rank = Rank.USER, since: int | None = None) -> Viewer:
        who, first = speaker(key), Viewer(key)
        who = replace(who, identity=replace(who.identity, rank=rank))
        point = None if since is None else ResumePoint(MessageId(since), room.epoch)
        first.write(room.welcome(first, who, membership(), you=YOU, policy=NO_POLICY, resume=point))
        return first

    viewer, back, author, moderator = comes("u:3"), comes("u:4", since=1), comes("u:5"), comes("u:6", rank=Rank.OWNER)
    for first in (viewer, back, author, moderator):
        assert first.frames[0]["data"]["last_id"] == 2  # type: ignore[index]
    assert [frame["data"]["id"] for frame in back.frames[1:]] == [2]  # type: ignore[index]
    assert [number for number, _ in early_of(author)] == [3]
    assert [number for number, _ in early_of(moderator)] == [3, 4]
    assert len(viewer.frames) == 1
    assert [room.history_end(member) for member in (viewer, moderator)] == [3, None]
    assert room.is_to_come(author, delayed(3, 5))
    assert not room.is_to_come(author, delayed(2, 5))
    assert room.is_to_come(moderator, delayed(3, 5))
    room.entry_stored(deletion(5, 3))
    assert early_of(comes("u:5")) == []
    host.pass_time(DELAY_S)
    for late in (viewer, back, author, moderator, ben):
        assert chain_of(late)[-2:] == [(4, 2, 0), (5, 4, 0)]


def test_what_waits_is_encoded_once_for_all_who_come_and_forgotten_when_its_time_has_come(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    room, host, _, _ = moderated_room("u:2")
    for number in range(1, 6):
        room.entry_stored(delayed(number, 5))
    encoded: list[int] = []

    def besides(message: StoredMessage, room_id: int, *, emotes: EmoteTable, visible_ms: int) -> bytes:
        encoded.append(message.id)
        return encode(message, room_id, emotes=emotes, visible_ms=visible_ms)

    encode = codec.besides
    monkeypatch.setattr(codec, "besides", besides)
    copies = []
    for key in ("u:6", "u:7", "u:5"):
        who, first = speaker(key), Viewer(key)
        rank = Rank.USER if key == "u:5" else Rank.MODERATOR
        who = replace(who, identity=replace(who.identity, rank=rank))
        first.write(room.welcome(first, who, membership(), you=YOU, policy=NO_POLICY))
        copies.append(early_of(first))
    assert copies == [copies[0]] * 3
    assert encoded == [number for number, _ in copies[0]] == [1, 2, 3, 4, 5]
    host.pass_time(DELAY_S)
    assert not room._viewers._early_frames


def test_a_room_that_is_opened_while_something_waits_shows_it_no_earlier() -> None:
    host = Surroundings()
    room = host.room(membership())
    tail = [delayed(8, 5, at_s=-1.0), delayed(9, 5, at_s=-0.5), message(10, 9)]
    room.opened(MessageId(10), tail)
    assert (room.viewed_id, room.last_id) == (7, 10)
    ben, first = Viewer("u:2"), Viewer("u:2")
    first.write(room.welcome(ben, speaker("u:2"), membership(), you=YOU, policy=NO_POLICY))
    assert first.frames[0]["data"]["last_id"] == 7  # type: ignore[index]
    host.pass_time(DELAY_S - 1.0)
    assert chain_of(ben) == [(8, 7, 0)]
    host.pass_time(0.5)
    assert chain_of(ben) == [(8, 7, 0), (9, 8, 0), (10, 9, 0)]


def test_a_pin_of_a_message_that_waits_is_told_to_nobody_who_comes() -> None:
    room, host, _, _ = moderated_room()
    waiting = delayed(1, 5)
    room.entry_stored(waiting)
    pin = MessagePinned(MessageId(2), MessageId(1), AT, MessageId(1), 5, UserId(9), message=waiting)
    room.entry_stored(pin)
    first = Viewer("u:2")
    first.write(room.welcome(first, speaker("u:2"), membership(), you=YOU, policy=NO_POLICY))
    assert "pinned" not in first.frames[0]["data"]  # type: ignore[operator]
    host.pass_time(DELAY_S)
    late = Viewer("u:3")
    late.write(room.welcome(late, speaker("u:3"), membership(), you=YOU, policy=NO_POLICY))
    assert late.frames[0]["data"]["pinned"]["message"]["id"] == 1  # type: ignore[index]


def test_few_messages_a_second_and_later_than_others_hold_together() -> None:
    room, host, chair, (ben,) = moderated_room("u:2")
    for number in range(1, 21):
        room.entry_stored(replace(delayed(number, 100 + number), max_shown=5))
    host.end_turn()
    assert [number for number, _ in early_of(chair)] == list(range(1, 21))
    room.second_over(delayed(1, 1).at[:19])
    host.pass_time(DELAY_S - 0.5)
    assert ben.frames == []
    host.pass_time(0.5)
    assert len(chain_of(ben)) == 5
    assert chain_of(chair) == [(number, number - 1, 0) for number in range(1, 21)]


@settings(deadline=None)
@given(data=st.data())
def test_whatever_waits_and_is_taken_back_all_are_shown_one_chain_in_order_and_nothing_before_its_time(
    data: st.DataObject,
) -> None:
    room, host, chair, (ben,) = moderated_room("u:2")
    visible_s: dict[int, float] = {}
    for number in range(1, data.draw(st.integers(1, 25)) + 1):
        host.pass_time(data.draw(st.sampled_from([0.0, 0.1, 1.0, 3.0])))
        now_s = host.time_s - 100.0
        if visible_s and data.draw(st.integers(0, 3)) == 0:
            room.entry_stored(deletion(number, data.draw(st.sampled_from(sorted(visible_s)))))
            continue
        delay_s = data.draw(st.sampled_from([0.0, 2.0, 4.0, 6.0]))
        visible_s[number] = now_s + delay_s
        room.entry_stored(delayed(number, 5, at_s=now_s, delay_s=delay_s))
        host.end_turn()
        seen = [shown_id for shown_id, _, _ in chain_of(ben)]
        assert not [one for one in seen if visible_s.get(one, 0.0) > now_s + 0.002]  # type: ignore[call-overload]
    host.pass_time(DELAY_S + 3.0)
    chain = chain_of(ben)
    assert [prev_id for _, prev_id, _ in chain] == [0, *(shown_id for shown_id, _, _ in chain)][: len(chain)]
    assert chain == chain_of(chair)
    gone = {frame["data"]["message_id"] for frame in ben.frames if frame["type"] == "message_deleted"}  # type: ignore[index]
    assert {shown_id for shown_id, _, _ in chain} >= set(visible_s) - gone


def test_who_is_made_a_moderator_sees_what_waits_and_who_is_none_any_more_does_not() -> None:
    room, host, chair, (ben,) = moderated_room("u:2")
    room.entry_stored(delayed(1, 5))
    host.end_turn()
    moderator = replace(speaker("u:2"), identity=replace(speaker("u:2").identity, rank=Rank.MODERATOR))
    for _ in range(2):
        room.rank_changed(ben, moderator)
    host.end_turn()
    assert [number for number, _ in early_of(ben)] == [1]
    for _ in range(2):
        room.rank_changed(chair, speaker("u:99"))
    room.entry_stored(delayed(2, 5))
    host.end_turn()
    assert [number for number, _ in early_of(ben)] == [1, 2]
    assert [number for number, _ in early_of(chair)] == [1]
    assert [room.history_end(member) for member in (ben, chair)] == [1, 1]
    host.pass_time(DELAY_S)
    assert chain_of(ben) == chain_of(chair) == [(1, 0, 0), (2, 1, 0)]


def test_an_author_hears_at_once_that_what_waits_was_taken_back() -> None:
    room, host, _, (ana, ben) = moderated_room("u:5", "u:2")
    room.entry_stored(delayed(1, 5))
    room.entry_stored(deletion(2, 1))
    host.end_turn()
    assert [frame["type"] for frame in ana.frames] == ["chat_message", "message_deleted"]
    assert ben.frames == []


def test_an_edge_whose_clock_is_behind_shows_a_message_after_the_delay() -> None:
    room, host, _, (ben,) = moderated_room("u:2")
    room.entry_stored(delayed(1, 5, at_s=3600.0))
    host.pass_time(DELAY_S)
    assert chain_of(ben) == [(1, 0, 0)]


def test_of_more_than_may_wait_the_last_ones_are_left_out_and_the_chain_shows_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("ws_edge.room.viewers.WAITING_LIMIT", 2)
    room, host, chair, (ben,) = moderated_room("u:2")
    for number in range(1, 5):
        room.entry_stored(delayed(number, 5))
    room.entry_stored(deletion(5, 1))
    host.pass_time(DELAY_S)
    assert chain_of(ben) == chain_of(chair) == [(2, 0, 0), (5, 4, 0)]


def test_nobody_reacts_to_what_waits() -> None:
    room, host, _, _ = moderated_room()
    reactable = room.hold_reactable()
    reactable.read([])
    room.entry_stored(delayed(1, 5))
    assert room.is_reactable(MessageId(1)) is False
    host.pass_time(DELAY_S)
    assert room.is_reactable(MessageId(1)) is True


def test_moderators_see_no_gap_where_what_waited_was_taken_back_before_its_deletion_came() -> None:
    room, host, chair, (ben,) = moderated_room("u:2")
    room.entry_stored(message(1, 0))
    room.entry_stored(delayed(2, 5))
    room.take_back([deletion(3, 2)])  # read from beside the log, as for a pin, history or a replay
    host.pass_time(DELAY_S)
    room.entry_stored(deletion(3, 2))
    host.end_turn()
    assert chain_of(ben) == [(1, 0, 0), (3, 1, 0)]
    assert chain_of(chair) == [(1, 0, 0), (3, 1, 0)]


def test_what_was_skipped_before_a_message_that_was_taken_back_counts_behind_it() -> None:
    room, host, _, (ben,) = moderated_room("u:2")
    for number in range(1, 21):
        room.entry_stored(replace(delayed(number, 100 + number), max_shown=5))
    room.second_over(delayed(1, 1).at[:19])
    shown = [one.entry.id for _, one in room._viewers._viewed if one.is_shown]
    room.entry_stored(replace(deletion(21, shown[2]), user_id=UserId(100 + shown[2])))
    host.pass_time(DELAY_S)
    fourth = chain_of(ben)[2]
    assert fourth == (shown[3], shown[1], shown[3] - shown[1] - 2)


def test_a_clock_that_is_set_back_keeps_nobody_waiting() -> None:
    room, host, _, (ben,) = moderated_room("u:2")
    room.entry_stored(delayed(1, 5))
    host.pass_time(0.5)
    room.entry_stored(delayed(2, 5, at_s=0.5))
    host.unix_s = lambda: NOW_S + host.time_s - 100.0 - 3600.0  # type: ignore[method-assign]
    host.pass_time(DELAY_S)
    host.pass_time(6.0)
    assert chain_of(ben) == [(1, 0, 0), (2, 1, 0)]


def test_what_no_place_is_left_for_its_author_and_moderators_see_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ws_edge.room.viewers.WAITING_LIMIT", 2)
    room, host, chair, (ana,) = moderated_room("u:5")
    for number in range(1, 4):
        token = host.outcomes.register(ana, room, f"n{number}")
        room.entry_stored(delayed(number, 5, token=token, nonce=f"n{number}"))
    host.end_turn()
    assert [frame["data"]["id"] for frame in ana.frames] == [1, 2, 3]  # type: ignore[index]
    assert [frame["data"]["id"] for frame in chair.frames] == [1, 2, 3]  # type: ignore[index]


def test_of_more_than_may_wait_the_stream_is_not_read_again_for_each_that_finds_a_place(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("ws_edge.room.viewers.WAITING_LIMIT", 2)
    room, host, _, _ = moderated_room("u:2")
    for number in range(1, 41):
        host.pass_time(1.0)
        room.entry_stored(replace(delayed(number, 100 + number, at_s=host.time_s - 100.0), max_shown=5))
    assert [one for one in host.missed if "had before" in one] == []


def test_names_are_looked_up_once_a_second_also_where_what_is_left_out_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    room, host, _, _ = moderated_room("u:2")
    asked: list[object] = []
    host.named = lambda life, names: asked.append(names) or {}  # type: ignore[method-assign,func-returns-value]
    for number in range(1, 101):
        host.pass_time(0.001)
        said = replace(delayed(number, 100 + number, at_s=number / 1000), text="@ana", max_shown=5)
        room.entry_stored(said)
    room.second_over(delayed(1, 1).at[:19])
    for _ in range(200):
        host.pass_time(DELAY_S / 200 + 0.001)
    assert len(asked) <= 1


def test_what_no_place_was_left_for_is_in_no_history_before_its_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ws_edge.room.viewers.WAITING_LIMIT", 2)
    room, host, _, (ben,) = moderated_room("u:2")
    for number in (1, 2):
        room.entry_stored(delayed(number, 5))
    host.pass_time(DELAY_S - 0.1)
    room.entry_stored(delayed(3, 5, at_s=DELAY_S - 0.1))  # no place: visible at 7.9
    room.entry_stored(deletion(4, 1))  # waits behind 2 alone
    host.pass_time(0.1)
    assert room.history_end(ben) <= 3  # type: ignore[operator]
