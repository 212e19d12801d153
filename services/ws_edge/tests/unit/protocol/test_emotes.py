"""Emotes of a room, and where they are in a text."""

import time

import pytest

from ws_edge.protocol import codec
from ws_edge.protocol.emotes import EMOTES_SHOWN, EVERYWHERE, NO_EMOTES, EmoteCache, EmoteTable
from ws_edge.protocol.identity import MessageId, Slug, UserId
from ws_edge.protocol.log import StoredMessage

KAPPA, WAVE = "https://cdn.example/kappa.png", "https://cdn.example/wave.png"
TABLE = EmoteTable({"Kappa": KAPPA}, {"wave": WAVE, "+1": WAVE, "чай": WAVE})


def shown(text: str) -> list[tuple[str, int, int]]:
    return [(one.name, one.start, one.end) for one in TABLE.shown_in(text)]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (":Kappa:", [("Kappa", 0, 7)]),
        ("hi :Kappa: and :wave:!", [("Kappa", 3, 10), ("wave", 15, 21)]),
        ("😀 :чай:", [("чай", 2, 7)]),
        (":Kappa::wave:", [("Kappa", 0, 7), ("wave", 7, 13)]),
        (":Kappa:wave:", [("Kappa", 0, 7)]),
        (":nothing:wave:", [("wave", 8, 14)]),
        ("a:wave:b", [("wave", 1, 7)]),
        (":+1:", [("+1", 0, 4)]),
    ],
)
def test_emotes_are_told_in_code_points_with_their_colons(text: str, found: list[tuple[str, int, int]]) -> None:
    assert shown(text) == found
    assert all(text[start:end] == f":{name}:" for name, start, end in found)


@pytest.mark.parametrize("text", ["", "Kappa", ":Kappa", "Kappa:", ": Kappa :", ":kappa:", ":Ka pa:", "1:30:5", "::"])
def test_what_is_no_emote_of_the_room_stays_text(text: str) -> None:
    assert shown(text) == []


def test_a_room_s_own_emote_stands_before_one_of_everywhere() -> None:
    table = EmoteTable({"wave": KAPPA}, {"wave": WAVE})
    assert table.find("wave") == KAPPA
    assert [one.url for one in table.shown_in(":wave:")] == [KAPPA]


def test_in_one_message_the_first_50_are_told() -> None:
    text = ":wave:" * 160
    assert shown(text) == [("wave", 6 * n, 6 * n + 6) for n in range(EMOTES_SHOWN)]


def test_of_long_addresses_fewer_are_told() -> None:
    table = EmoteTable({"wave": "https://e.example/" + "w" * 482}, {})
    assert len(table.shown_in(":wave:" * 160)) == 8


def test_a_text_is_looked_through_once_whatever_is_in_it() -> None:
    texts = [":" * 1000, ":a" * 500, (":" + "a" * 100) * 9, "a" * 1000, ":wave" * 200]
    began_s = time.process_time()
    for _ in range(100):
        for text in texts:
            TABLE.shown_in(text)
            NO_EMOTES.shown_in(text)
    assert time.process_time() - began_s < 2


def test_nothing_is_kept_of_slugs_without_emotes() -> None:
    cache = EmoteCache()
    cache.replace(Slug("a"), {})
    assert cache.of(Slug("a")) is NO_EMOTES
    cache.replace(Slug("a"), {"Kappa": KAPPA})
    cache.replace(EVERYWHERE, {"wave": WAVE})
    assert [cache.of(Slug(slug)).find(name) for slug in ("a", "b") for name in ("Kappa", "wave")] == [
        KAPPA,
        WAVE,
        None,
        WAVE,
    ]
    cache.replace(Slug("a"), {})
    cache.forget(Slug("b"))
    assert len(cache) == 1
    cache.forget(EVERYWHERE)
    assert cache.of(Slug("a")) is NO_EMOTES


# --- on the wire -----------------------------------------------------------------------------------------------------

MESSAGE = StoredMessage(
    MessageId(42),
    MessageId(41),
    "2025-11-27T16:30:00.000Z",
    "hi :Kappa:",
    UserId(7),
    "ana",
    "e1",
    0,
    "n1",
    None,
    "user",
)
FIELDS = (
    '"id":42,"message":"hi :Kappa:","username":"ana","user_id":7,"timestamp":"2025-11-27T16:30:00.000Z","room_id":1'
)
EMOTES = '"emotes":[{"name":"Kappa","url":"https://cdn.example/kappa.png","start":3,"end":10}]'


def test_a_message_with_emotes_carries_them_and_its_text_as_it_was_sent() -> None:
    frame = codec.entry(MESSAGE, 1, nonce="n1", emotes=TABLE)
    assert frame[4:].decode() == (
        f'{{"type":"chat_message","data":{{{FIELDS},"prev_id":41,"role":"user",{EMOTES},"nonce":"n1"}}}}'
    )


def test_a_message_without_has_no_such_field() -> None:
    frame = f'{{"type":"chat_message","data":{{{FIELDS},"prev_id":41,"role":"user"}}}}'
    assert codec.entry(MESSAGE, 1)[4:].decode() == frame
    assert codec.entry(MESSAGE, 1, emotes=EmoteTable({}, {"wave": WAVE}))[4:].decode() == frame


def test_history_shows_them_too() -> None:
    frame = codec.history([MESSAGE], 1, has_more=False, emotes=TABLE)
    assert frame[4:].decode() == (
        f'{{"type":"history","data":{{"messages":[{{{FIELDS},"role":"user",{EMOTES}}}],"has_more":false}}}}'
    )
