"""Emoji and emotes in texts: whether a text is nothing else, where the emotes of its room are, and what somebody may
react with."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from ws_edge.protocol.identity import Slug

_PICTOGRAPHS = """
a9 ae 203c 2049 2122 2139 2194-2199 21a9-21aa 231a-231b 2328 23cf 23e9-23f3 23f8-23fa 24c2 25aa-25ab 25b6 25c0
25fb-25fe 2600-2604 260e 2611 2614-2615 2618 261d 2620 2622-2623 2626 262a 262e-262f 2638-263a 2640 2642
2648-2653 265f-2660 2663 2665-2666 2668 267b 267e-267f 2692-2697 2699 269b-269c 26a0-26a1 26a7 26aa-26ab
26b0-26b1 26bd-26be 26c4-26c5 26c8 26ce-26cf 26d1 26d3-26d4 26e9-26ea 26f0-26f5 26f7-26fa 26fd 2702 2705
2708-270d 270f 2712 2714 2716 271d 2721 2728 2733-2734 2744 2747 274c 274e 2753-2755 2757 2763-2764 2795-2797
27a1 27b0 27bf 2934-2935 2b05-2b07 2b1b-2b1c 2b50 2b55 3030 303d 3297 3299 1f004 1f02c-1f02f 1f094-1f09f
1f0af-1f0b0 1f0c0 1f0cf-1f0d0 1f0f6-1f0ff 1f170-1f171 1f17e-1f17f 1f18e 1f191-1f19a 1f1ae-1f1e5 1f201-1f20f
1f21a 1f22f 1f232-1f23a 1f23c-1f23f 1f249-1f25f 1f266-1f321 1f324-1f393 1f396-1f397 1f399-1f39b 1f39e-1f3f0
1f3f3-1f3f5 1f3f7-1f3fa 1f400-1f4fd 1f4ff-1f53d 1f549-1f54e 1f550-1f567 1f56f-1f570 1f573-1f57a 1f587
1f58a-1f58d 1f590 1f595-1f596 1f5a4-1f5a5 1f5a8 1f5b1-1f5b2 1f5bc 1f5c2-1f5c4 1f5d1-1f5d3 1f5dc-1f5de 1f5e1
1f5e3 1f5e8 1f5ef 1f5f3 1f5fa-1f64f 1f680-1f6c5 1f6cb-1f6d2 1f6d5-1f6e5 1f6e9 1f6eb-1f6f0 1f6f3-1f6ff
1f7da-1f7ff 1f80c-1f80f 1f848-1f84f 1f85a-1f85f 1f888-1f88f 1f8ae-1f8af 1f8bc-1f8bf 1f8c2-1f8cf 1f8d9-1f8ff
1f90c-1f93a 1f93c-1f945 1f947-1f9ff 1fa58-1fa5f 1fa6e-1faff 1fc00-1fffd
"""
"""Extended_Pictographic of Unicode 17.0, in hexadecimal."""


def _class(ranges: str) -> str:
    ends = (each.split("-") for each in ranges.split())
    return "".join(f"{chr(int(first[0], 16))}-{chr(int(first[-1], 16))}" for first in ends)


_PICTOGRAPH = f"[{_class(_PICTOGRAPHS)}]"
_SKIN, _FLAG = "[\U0001f3fb-\U0001f3ff]", "[\U0001f1e6-\U0001f1ff]"
_PART_OF_COUNTRY = "\U0001f3f4[\U000e0030-\U000e0039\U000e0061-\U000e007a]{3,6}+\U000e007f"
_ONE = f"{_PICTOGRAPH}(?:\ufe0f|{_SKIN})?+"
_EMOJI = f"(?:{_PART_OF_COUNTRY}|{_ONE}(?:\u200d{_ONE})*+|{_FLAG}{_FLAG}|[0-9#*]\ufe0f?+\u20e3|{_SKIN})"
_NAME = r":[^\s:]{1,100}+:"
_ONE_EMOJI = re.compile(_EMOJI)
_ONE_NAME = re.compile(r":[\w+-]+:|[\w+-]+")
NAME_LIMIT_BYTES = 100
EMOJI_LIMIT_CHARACTERS = 10
"""As the longest that Unicode recommends."""
REACTION_LIMIT_CHARACTERS = NAME_LIMIT_BYTES + 2
_NAMES = re.compile(rf":([\w+-]{{1,{NAME_LIMIT_BYTES}}})(?=:)")
EMOTES_SHOWN = 50
ADDRESSES_SHOWN_CHARACTERS = 4000
"""In one message: the rest stays text. A room's creator chooses the addresses, which make a frame of a message long,
and a replay has 500 of them."""
ADDRESSES_SENT_CHARACTERS = 131_072
"""In one history or replay, in its newest messages: those before are text."""
EVERYWHERE = Slug("")
"""In place of a slug: the emotes that every room has."""
_NONE: Mapping[str, str] = MappingProxyType({})
_EMOTES = re.compile(rf"(?:\s|{_EMOJI}|{_NAME})++")


def is_emotes_only(text: str) -> bool:
    """Whether there is nothing but emoji, `:names:` and white space in it; false for an empty one. Nobody asks whether
    there are such emotes."""
    return _EMOTES.fullmatch(text) is not None


def read_reaction(text: str) -> str | None:
    """What is counted of a reaction: one emoji as it was sent, or what may be the name of an emote, between colons.
    None: it is neither."""
    if _ONE_EMOJI.fullmatch(text):
        return text if len(text) <= EMOJI_LIMIT_CHARACTERS else None
    if not _ONE_NAME.fullmatch(text):
        return None
    name = text.strip(":")
    return f":{name}:" if len(name.encode()) <= NAME_LIMIT_BYTES else None


def is_name(reaction: str) -> bool:
    """Whether what read_reaction gave is the name of an emote."""
    return reaction.startswith(":")


@dataclass(frozen=True, slots=True)
class ShownEmote:
    """An emote in a text, from its first colon to behind its last one, in code points."""

    name: str
    url: str
    start: int
    end: int


class EmoteTable:
    """The emotes of a room by name, with their addresses: its own, and those of everywhere behind them."""

    __slots__ = ("_everywhere", "_own")

    def __init__(self, own: Mapping[str, str], everywhere: Mapping[str, str]) -> None:
        self._own = own
        self._everywhere = everywhere

    def find(self, name: str) -> str | None:
        """The address of one; None: there is none."""
        return self._own.get(name) or self._everywhere.get(name)

    def shown_in(self, text: str) -> list[ShownEmote]:
        """The first of those in a text, in their order. One colon may end a name and begin the next, of which the first
        that is an emote has it."""
        shown: list[ShownEmote] = []
        if not (self._own or self._everywhere) or ":" not in text:
            return shown
        free, left = 0, ADDRESSES_SHOWN_CHARACTERS
        for match in _NAMES.finditer(text):
            url = self.find(match[1]) if match.start() >= free else None
            if url is not None:
                free, left = match.end() + 1, left - len(url)
                if left < 0:
                    break
                shown.append(ShownEmote(match[1], url, match.start(), free))
                if len(shown) == EMOTES_SHOWN:
                    break
        return shown


NO_EMOTES = EmoteTable(_NONE, _NONE)


class EmoteCache:
    """The emotes of the rooms that a worker holds, and those of everywhere. Nothing is kept of rooms without any."""

    __slots__ = ("_by_slug",)

    def __init__(self) -> None:
        self._by_slug: dict[Slug, Mapping[str, str]] = {}

    def __len__(self) -> int:
        """Slugs with emotes, everywhere among them."""
        return len(self._by_slug)

    def of(self, slug: Slug) -> EmoteTable:
        """Those of a room."""
        if not self._by_slug:
            return NO_EMOTES
        return EmoteTable(self._by_slug.get(slug, _NONE), self._by_slug.get(EVERYWHERE, _NONE))

    def replace(self, slug: Slug, emotes: Mapping[str, str]) -> None:
        """What was read of a slug, or of EVERYWHERE."""
        if emotes:
            self._by_slug[slug] = emotes
        else:
            self.forget(slug)

    def forget(self, slug: Slug) -> None:
        """The last room of this slug was left."""
        self._by_slug.pop(slug, None)
