"""Classifiers that answer what a test says."""

import asyncio

from moderation.domain.classifiers import Call
from moderation.errors import ClassifierFailed


class ClassifiersAtHand:
    """By URL; whoever is at none of these is away."""

    def __init__(self) -> None:
        self.answers: dict[str, bytes] = {}
        self.gates: dict[str, asyncio.Event] = {}
        """Who waits until they are set before they answer."""
        self.asked: asyncio.Queue[Call] = asyncio.Queue()
        self.problems: dict[str, str] = {}

    async def ask(self, call: Call) -> bytes:
        self.asked.put_nowait(call)
        if (gate := self.gates.get(call.url)) is not None:
            await gate.wait()
        if call.url not in self.answers:
            raise ClassifierFailed("away")
        return self.answers[call.url]

    async def problem(self, url: str) -> str | None:
        return self.problems.get(url)
