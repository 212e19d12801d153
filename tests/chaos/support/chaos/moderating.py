"""A moderator's work during a run, in a room of its own, and whether what was answered holds: whole, for everybody,
from then on, and once."""

import asyncio
import itertools
import math
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from itertools import pairwise

from chat_client import Frame, Person, person

from chaos.people import OUTCOME_WITHIN_S, PAUSE_S, REMEMBERED_S, Link, Listener, Lost, Sender, Way, read_history

OBEYED_AFTER_S = 1.0
"""From so long after the author's own copy of a policy on, every replica goes by it."""
AGAIN = ("unavailable", "rate_limited")
_SHORTEST = 500
_HELD_BACK = ("warning_pending", *AGAIN)


@dataclass(slots=True)
class Witness(Listener):
    """A listener who keeps what it was given as it came, each with when the read of it began, None: it was live."""

    frames: list[tuple[Frame, float | None]] = field(default_factory=list)

    def _note(self, frame: Frame, read_s: float | None = None) -> None:
        Listener._note(self, frame, read_s)
        self.frames.append((frame, self.entries[-1].read_s))

    def missed(self, number: int) -> bool:
        """Whether it was told of a gap in which this entry is."""
        return any(told.after < number < told.before for told in self.view.told)


@dataclass(frozen=True, slots=True)
class Suspect:
    """Somebody who said this and was banned, with all they had said; `confirmed_s` infinity: nobody knows."""

    who: Person
    ids: tuple[int, ...]
    confirmed_s: float


@dataclass(slots=True)
class Chair:
    """An admin of a room, who asks for one thing after the other, over as many connections as it takes."""

    room: str
    way: Way
    problems: list[str]
    _who: Person = field(init=False)
    _link: Link | None = None

    def __post_init__(self) -> None:
        self._who = person(f"{self.room}-chair", "admin")

    async def leave(self) -> None:
        """Close the connection."""
        if self._link is not None:
            await self._link.leave()

    async def order(self, nonce: str, answer: str, **order: object) -> Frame | None:
        """Ask for it with one nonce; the own copy, None where it has none. What refuses it for good is a problem."""
        began, came = time.monotonic(), Counter[str]()
        while time.monotonic() < began + REMEMBERED_S:
            try:
                if self._link is None:
                    self._link = await self.way.enter(self.room, self._who)
                await self._link.send("moderation_action", nonce=nonce, **order)
                frame = await find(self._link, lambda frame: _answers(frame, nonce, answer))
            except Lost as lost:
                self._link = None
                came[f"lost: {lost}"] += 1
                continue
            if frame is None:
                came["nothing"] += 1
                continue
            data: Frame = frame["data"]
            if frame["type"] == answer:
                return data
            if data["code"] not in AGAIN:
                self.problems.append(f"{order} was refused: {data['code']}")
                return None
            came[data["code"]] += 1
            await asyncio.sleep(max(PAUSE_S, data.get("retry_after_ms", 0) / 1000))
        self.problems.append(f"{order} has no outcome: {dict(came)}")
        return None

    async def messages(self) -> list[Frame]:
        """All that history has."""
        while True:
            try:
                if self._link is None:
                    self._link = await self.way.enter(self.room, self._who)
                found, _ = await read_history(self._link, 0, lambda _: None, lambda _: None)
            except Lost:
                self._link = None
            else:
                return [message for message, _ in found]


@dataclass(slots=True)
class Desk:
    """Changes the policy, bans with purge, and warns, one after the other, each until its outcome is known."""

    room: str
    way: Way
    problems: list[str] = field(default_factory=list)
    done: Counter[str] = field(default_factory=Counter)
    """How many were answered, by kind."""
    witnesses: list[Witness] = field(init=False)
    policies: list[tuple[int, Frame | None]] = field(default_factory=list)
    """The longest message of each, and the own copy, None: nobody knows."""
    suspects: list[Suspect] = field(default_factory=list)
    _chair: Chair = field(init=False)
    _numbers: "itertools.count[int]" = field(default_factory=lambda: itertools.count(1))

    def __post_init__(self) -> None:
        self._chair = Chair(self.room, self.way, self.problems)
        self.witnesses = [Witness(self.room, person(f"{self.room}-witness-{at}"), self.way) for at in range(2)]

    async def work(self, pace_s: float, stop: asyncio.Event) -> None:
        """Until `stop`, and to the outcome of the last one."""
        cases: tuple[Callable[[int], Awaitable[None]], ...] = (self._change_policy, self._ban, self._warn)
        for case in itertools.cycle(cases):
            if stop.is_set():
                return
            await case(next(self._numbers))
            await asyncio.sleep(pace_s)

    async def leave(self) -> None:
        """Close every connection."""
        await self._chair.leave()
        await asyncio.gather(*(witness.leave() for witness in self.witnesses))

    async def judge(self, *, logs: bool) -> list[str]:
        """Everything that is wrong, when all is well again and before anybody leaves. `logs`: also by what witnesses
        were given, which says nothing where files of NATS were deleted."""
        await asyncio.sleep(OBEYED_AFTER_S)
        for witness in self.witnesses if logs else ():
            self._judge_policies_of(witness)
            self._judge_purges_of(witness)
        await self._judge_what_holds()
        await self._judge_suspects()
        return self.problems

    async def _change_policy(self, number: int) -> None:
        longest = _SHORTEST + number
        own = await self._chair.order(f"o-{number}", "room_policy", action="policy", changes={"max_length": longest})
        self.policies.append((longest, own))
        self.done["policy"] += own is not None

    async def _ban(self, number: int) -> None:
        who = person(f"{self.room}-suspect-{number}")
        sender = Sender(self.room, who, self.way)
        ids = tuple(said.id for said in [await sender.say() for _ in range(2)] if said.id is not None)
        own = await self._chair.order(
            f"o-{number}", "messages_purged", action="ban", target_user_id=who.user_id, purge=True
        )
        confirmed_s = math.inf if own is None else time.monotonic()
        self.suspects.append(Suspect(who, ids, confirmed_s))
        await sender.leave()
        if own is not None:
            self.done["ban with purge"] += 1
            if shown := await self._shown() & set(ids):
                self.problems.append(f"{who.username} was banned and purged, and {shown} were read after that")

    async def _warn(self, number: int) -> None:
        """Told to the target on every connection until they acknowledge it, held back until then, and not after."""
        target = Target(self.room, person(f"{self.room}-warned-{number}"), self.way)
        await target.come()
        reason = f"reason {number}"
        user_id = target.who.user_id
        own = await self._chair.order(
            f"o-{number}", "moderation_action", action="warn", target_user_id=user_id, reason=reason
        )
        if own is not None:
            self.done["warning"] += 1
            self.problems += await target.be_warned(own["warning_id"])
        await target.leave()

    async def _shown(self) -> set[int]:
        """The ids of all messages that history has."""
        return {message["id"] for message in await self._chair.messages()}

    def _judge_policies_of(self, witness: Witness) -> None:
        told = [frame["data"] for frame, _ in witness.frames if frame["type"] == "room_policy"]
        versions = [data["policy"]["version"] for data in told]
        if any(after <= before for before, after in pairwise(versions)):
            self.problems.append(f"{witness.who.username} was told versions {versions}")
        ids = {data["id"] for data in told}
        for longest, own in self.policies:
            if own is None:
                continue
            number = own["id"]
            if number > witness.since and number not in ids and not witness.missed(number):
                self.problems.append(f"{witness.who.username} was not told of the policy {number} ({longest})")

    def _judge_purges_of(self, witness: Witness) -> None:
        purges = [frame["data"] for frame, _ in witness.frames if frame["type"] == "messages_purged"]
        for suspect in self.suspects:
            if math.isinf(suspect.confirmed_s):
                continue
            up_to = max((p["up_to_id"] for p in purges if p["user_id"] == suspect.who.user_id), default=-1)
            for frame, read_s in witness.frames:
                number = frame["data"]["id"]
                if frame["type"] != "chat_message" or number not in suspect.ids:
                    continue
                if read_s is not None and read_s > suspect.confirmed_s:
                    self.problems.append(f"{witness.who.username} read {number} after its author was banned with it")
                elif number > up_to and not witness.missed(number):
                    self.problems.append(f"{witness.who.username} was given {number} and not that it was purged")

    async def _judge_what_holds(self) -> None:
        """What newcomers are told of the policy at every door, and what is refused there."""
        known = [own for _, own in self.policies if own is not None]
        if not known:
            return
        newest = max(known, key=lambda own: own["policy"]["version"])["policy"]
        for at, door in enumerate(self.way.doors.urls):
            link = await self.way.try_door(door, self.room, person(f"{self.room}-newcomer-{at}"))
            if link is None:
                self.problems.append(f"nobody gets in at {door}")
                continue
            told = link.joined["policy"]
            if told["version"] < newest["version"]:
                self.problems.append(f"{door} tells {told['version']}, and {newest['version']} was acknowledged")
            for length, outcome in ((told["max_length"] + 1, "message_too_long"), (told["max_length"], "chat_message")):
                answer = await _outcome(link, "x" * length)
                if answer != outcome:
                    self.problems.append(f"{answer} at {door} of {length} characters, {told['max_length']} are allowed")
            await link.leave()

    async def _judge_suspects(self) -> None:
        """Banned and taken back, or neither: also where nobody was answered."""
        there = await self._shown()
        for suspect in self.suspects:
            shown = sorted(there.intersection(suspect.ids))
            inside = [link for door in self.way.doors.urls if (link := await self._try_alone(door, suspect.who))]
            for link in inside:
                await link.leave()
            is_banned = not inside
            if math.isfinite(suspect.confirmed_s) and not is_banned:
                self.problems.append(f"{suspect.who.username} was banned and gets in")
            if is_banned and shown:
                self.problems.append(f"{suspect.who.username} is banned, and {shown} are there")
            if not is_banned and len(shown) < len(suspect.ids):
                self.problems.append(f"{suspect.who.username} is not banned, and of {suspect.ids} {shown} are there")

    async def _try_alone(self, door: str, who: Person) -> Link | None:
        return await self.way.try_door(door, self.room, who)


@dataclass(slots=True)
class Target:
    """Who is warned, on one connection after the other."""

    room: str
    who: Person
    way: Way
    _link: Link | None = None
    _warned: Counter[int] = field(default_factory=Counter)
    """Warnings on this connection, by id."""

    async def come(self) -> None:
        """Come in, however long it takes, as a client that knows of warnings: a frame that the document does not have
        says so."""
        while self._link is None:
            self._warned.clear()
            self._link = await self.way.enter(self.room, self.who)
            await self._ask(lambda frame: frame["type"] == "history", "history", limit=1)

    async def leave(self) -> None:
        """Close the connection."""
        if self._link is not None:
            await self._link.leave()
            self._link = None

    async def be_warned(self, warning_id: int) -> list[str]:
        """Wait for the warning, write before and after acknowledging it, and come back; what was wrong."""
        problems = []
        deadline = time.monotonic() + REMEMBERED_S
        while not self._warned[warning_id]:
            if time.monotonic() > deadline:
                return [f"{self.who.username} was never told of the warning {warning_id}"]
            await self._ask(lambda _: self._warned[warning_id] > 0)
        if await self._say("before", ("chat_message", *_HELD_BACK)) == "chat_message":
            problems.append(f"{self.who.username} wrote before the warning {warning_id} was acknowledged")
        closed = False
        while not closed and time.monotonic() < deadline:
            frame = await self._ask(
                lambda frame: frame["type"] == "warning_closed" and frame["data"]["warning_id"] == warning_id,
                "acknowledge_warning",
                warning_id=warning_id,
            )
            closed = frame is not None
        outcome = await self._say("after", ("chat_message",))
        if outcome != "chat_message":
            problems.append(f"{self.who.username} acknowledged the warning {warning_id} and may not write: {outcome}")
        if self._warned[warning_id] > 1:
            problems.append(f"{self.who.username} was told {self._warned[warning_id]} times on one connection")
        await self.leave()
        await self.come()
        if self._warned[warning_id]:
            problems.append(f"{self.who.username} was warned again with {warning_id}, which they had acknowledged")
        return problems

    async def _say(self, text: str, wanted: tuple[str, ...]) -> str:
        """Say it until the outcome is one of these, or for as long as anything may take; the last outcome."""
        outcome, deadline = "nothing", time.monotonic() + REMEMBERED_S / 4
        nonce = f"{text}-{self.who.user_id}"
        while outcome not in wanted and time.monotonic() < deadline:
            frame = await self._ask(
                lambda frame: frame["data"].get("nonce") == nonce, "chat_message", message=text, nonce=nonce
            )
            if frame is not None:
                outcome = frame["data"]["code"] if frame["type"] == "error" else frame["type"]
                await asyncio.sleep(PAUSE_S)
        return outcome

    async def _ask(self, is_it: Callable[[Frame], bool], type_: str = "", **data: object) -> Frame | None:
        """Send this, if anything, and wait for a frame; None where none came, or the connection had to be made anew."""
        try:
            if self._link is None:
                await self.come()
            assert self._link is not None
            if type_:
                await self._link.send(type_, **data)
            return await find(self._link, lambda frame: self._note(frame) or is_it(frame))
        except Lost:
            self._link = None
            return None

    def _note(self, frame: Frame) -> bool:
        if frame["type"] == "warning":
            self._warned[frame["data"]["warning_id"]] += 1
        return False


def _answers(frame: Frame, nonce: str, type_: str) -> bool:
    """Whether it is this own copy, or the error instead; a ban with purge has one of the ban besides."""
    return frame["data"].get("nonce") == nonce and frame["type"] in (type_, "error")


async def _outcome(link: Link, text: str) -> str:
    """The type, or the code, of what comes of a message. Raises Lost."""
    nonce = f"l-{len(text)}"
    await link.send("chat_message", message=text, nonce=nonce)
    frame = await find(link, lambda frame: frame["data"].get("nonce") == nonce)
    if frame is None:
        return "nothing"
    return str(frame["data"]["code"] if frame["type"] == "error" else frame["type"])


async def find(link: Link, is_it: Callable[[Frame], bool]) -> Frame | None:
    """The next frame that is, None where none comes for as long as an outcome may take. Raises Lost."""
    deadline = time.monotonic() + OUTCOME_WITHIN_S
    while time.monotonic() < deadline:
        frame = await link.receive(deadline - time.monotonic())
        if frame is not None and is_it(frame):
            return frame
    return None
