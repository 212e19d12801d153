"""Messages that wait for a moderator during a run, in a room of their own: each is allowed, and everybody sees it once
from then on, or denied, and nobody does."""

import asyncio
import itertools
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from chat_client import Frame, Person, person

from chaos.moderating import AGAIN, OBEYED_AFTER_S, Chair, Witness, find
from chaos.people import OUTCOME_WITHIN_S, PAUSE_S, REMEMBERED_S, Link, Lost, Way


@dataclass(frozen=True, slots=True)
class Held:
    """A message that waited, and what was asked for. `id`: of the moderator's own copy, None where it has none;
    `asked_s`: when it was first asked for."""

    text: str
    is_allowed: bool
    asked_s: float
    id: int | None = None


class Sight(NamedTuple):
    """A message as somebody was given it, and when."""

    text: str
    id: int
    at_s: float


def judge_held(
    held: Sequence[Held], viewer: str, sights: Sequence[Sight], may_lack: Callable[[int], bool]
) -> list[str]:
    """Everything that is wrong with what one viewer was given. `may_lack`: whether nothing is said by the lack of the
    message with this id."""
    shown: dict[str, list[Sight]] = {}
    for sight in sights:
        shown.setdefault(sight.text, []).append(sight)
    problems = []
    for one in held:
        there = shown.get(one.text, [])
        ids = [sight.id for sight in there]
        if there and not one.is_allowed:
            problems.append(f"{viewer} was shown {one.text}, which was denied")
        elif any(sight.at_s < one.asked_s for sight in there):
            problems.append(f"{viewer} was shown {one.text} before anybody allowed it")
        elif len(there) > 1:
            problems.append(f"{viewer} was shown {one.text} as {ids}")
        elif one.id is not None and there and ids != [one.id]:
            problems.append(f"{viewer} was shown {one.text} as {ids}, and it was allowed as {one.id}")
        elif one.id is not None and not there and not may_lack(one.id):
            problems.append(f"{viewer} was not shown {one.text} ({one.id}), which was allowed")
    return problems


@dataclass(slots=True)
class Viewer(Witness):
    """A witness who keeps when each message came."""

    sights: list[Sight] = field(default_factory=list)

    def _note(self, frame: Frame, read_s: float | None = None) -> None:
        Witness._note(self, frame, read_s)
        if frame["type"] == "chat_message":
            self.sights.append(Sight(frame["data"]["message"], frame["data"]["id"], time.monotonic()))

    def may_lack(self, number: int) -> bool:
        """Whether it came later, or was told of a gap there."""
        return number <= self.since or self.missed(number)


@dataclass(slots=True)
class Sluice:
    """A room where links wait, people who send some, and a moderator who decides about each, until its outcome is
    known."""

    room: str
    way: Way
    problems: list[str] = field(default_factory=list)
    done: Counter[str] = field(default_factory=Counter)
    """How many were decided, by what was."""
    witnesses: list[Viewer] = field(init=False)
    held: list[Held] = field(default_factory=list)
    _chair: Chair = field(init=False)

    def __post_init__(self) -> None:
        self._chair = Chair(self.room, self.way, self.problems)
        self.witnesses = [Viewer(self.room, person(f"{self.room}-viewer-{at}"), self.way) for at in range(2)]

    async def open(self) -> None:
        """From then on links wait, on every replica."""
        await self._chair.order("open", "room_policy", action="policy", changes={"links": "hold"})
        await asyncio.sleep(OBEYED_AFTER_S)

    async def work(self, pace_s: float, stop: asyncio.Event) -> None:
        """Until `stop`, and to the outcome of the last one."""
        for number in itertools.count(1):
            if stop.is_set():
                return
            await self._hold_and_decide(number, is_allowed=number % 2 == 1)
            await asyncio.sleep(pace_s)

    async def leave(self) -> None:
        """Close every connection."""
        await self._chair.leave()
        await asyncio.gather(*(witness.leave() for witness in self.witnesses))

    async def judge(self, *, logs: bool) -> list[str]:
        """Everything that is wrong, when all is well again and before anybody leaves. `logs`: see Desk."""
        last = max((one.id or 0 for one in self.held), default=0)
        deadline = time.monotonic() + OUTCOME_WITHIN_S
        while any(each.last < last for each in self.witnesses) and time.monotonic() < deadline:  # noqa: ASYNC110
            await asyncio.sleep(PAUSE_S)
        for witness in self.witnesses:
            may_lack = witness.may_lack if logs else lambda _: True
            self.problems += judge_held(self.held, witness.who.username, witness.sights, may_lack)
        now_s = time.monotonic()
        kept = [Sight(each["message"], each["id"], now_s) for each in await self._chair.messages()]
        self.problems += judge_held(self.held, "a newcomer", kept, lambda _: not logs)
        return self.problems

    async def _hold_and_decide(self, number: int, *, is_allowed: bool) -> None:
        author = Author(self.room, person(f"{self.room}-author-{number}"), self.way)
        text = f"see https://example.com/{number}"
        hold_id = await author.have_held(text)
        if hold_id is None:
            self.problems.append(f"{text} does not wait: {author.outcome}")
        else:
            await self._decide(Held(text, is_allowed, time.monotonic()), hold_id, author)
        await author.leave()

    async def _decide(self, held: Held, hold_id: int, author: "Author") -> None:
        action, answer = ("allow", "chat_message") if held.is_allowed else ("deny", "moderation_action")
        own = await self._chair.order(f"d-{hold_id}", answer, action=action, hold_id=hold_id)
        number = own["id"] if own is not None and held.is_allowed else None
        self.held.append(Held(held.text, held.is_allowed, held.asked_s, number))
        if own is not None:
            self.done[f"held, and {'allowed' if held.is_allowed else 'denied'}"] += 1
            if not await author.is_told(hold_id, is_allowed=held.is_allowed):
                self.problems.append(f"{author.who.username} was never told what became of {held.text}")


@dataclass(slots=True)
class Author:
    """Who says what waits, on one connection after the other."""

    room: str
    who: Person
    way: Way
    outcome: str = "nothing"
    """The last one of what was said."""
    _link: Link | None = None
    _told: set[tuple[int, bool]] = field(default_factory=set)
    """Of which holds it was told whether they were allowed."""

    async def leave(self) -> None:
        """Close the connection."""
        if self._link is not None:
            await self._link.leave()

    async def have_held(self, text: str) -> int | None:
        """Say it until it waits; the id of the hold. While moderation is away links are refused."""
        nonce, deadline = f"h-{self.who.username}", time.monotonic() + REMEMBERED_S
        while time.monotonic() < deadline:
            frame = await self._ask(lambda frame: frame["data"].get("nonce") == nonce, message=text, nonce=nonce)
            if frame is None:
                continue
            data = frame["data"]
            if frame["type"] == "message_held":
                hold_id: int = data["hold_id"]
                return hold_id
            self.outcome = data.get("code", frame["type"])
            if self.outcome not in (*AGAIN, "links"):
                return None
            await asyncio.sleep(max(PAUSE_S, data.get("retry_after_ms", 0) / 1000))
        return None

    async def is_told(self, hold_id: int, *, is_allowed: bool) -> bool:
        """Wait until it was told that."""
        deadline = time.monotonic() + REMEMBERED_S
        while (hold_id, is_allowed) not in self._told and time.monotonic() < deadline:
            await self._ask(lambda _: (hold_id, is_allowed) in self._told)
        return (hold_id, is_allowed) in self._told

    async def _ask(self, is_it: Callable[[Frame], bool], **message: str) -> Frame | None:
        """Say this, if anything, and wait for a frame; None where none came, or the connection was lost."""
        try:
            if self._link is None:
                self._link = await self.way.enter(self.room, self.who)
            if message:
                await self._link.send("chat_message", **message)
            return await find(self._link, lambda frame: self._note(frame) or is_it(frame))
        except Lost:
            self._link = None
            return None

    def _note(self, frame: Frame) -> bool:
        data = frame["data"]
        if frame["type"] == "message_rejected":
            self._told.add((data["hold_id"], False))
        elif "hold_id" in data and (frame["type"] == "chat_message" or data.get("state") == "allowed"):
            self._told.add((data["hold_id"], True))
        return False
