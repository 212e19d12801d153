"""domain/emotes.py and domain/blocks.py: what an emote may look like, who keeps them, how many there may be."""

from datetime import UTC, datetime

import pytest

from rooms.domain.blocks import BLOCKS_PER_USER, check_block, check_block_quota
from rooms.domain.emotes import (
    EMOTES_PER_SLUG,
    EVERYWHERE,
    check_emote_alt,
    check_emote_name,
    check_emote_quota,
    check_emote_url,
    may_keep_emotes,
)
from rooms.domain.people import Life, Rank, RoomId, Slug, UserId, Viewer
from rooms.domain.rooms import Room, RoomSettings
from rooms.errors import InvalidInput, TooManyBlocks, TooManyEmotes

LIVE = Slug("live")
NOW = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("Kappa", "Kappa"),
        (":Kappa:", "Kappa"),
        ("+1", "+1"),
        ("e\u0301", "é"),
        ("чай_2-x", "чай_2-x"),
        ("é" * 50, "é" * 50),
    ],
)
def test_a_name_has_letters_digits_and_three_signs_in_nfc(text: str, name: str) -> None:
    assert check_emote_name(text) == name


@pytest.mark.parametrize("text", ["", ":", "::", "a b", "a:b", "😀", "a/b", "a.b", "a\n", "\ud800", "\x00", "é" * 51])
def test_other_names_are_refused(text: str) -> None:
    with pytest.raises(InvalidInput):
        check_emote_name(text)


@pytest.mark.parametrize(
    "url",
    [
        "https://cdn.example",
        "https://cdn.example/e.png",
        "https://a.b-c.example:8443/emotes/1?size=2x&x=%20",
        "https://xn--nxasmq6b.example/",
        f"https://cdn.example/{'x' * 480}",
    ],
)
def test_an_address_is_https_with_the_name_of_a_host(url: str) -> None:
    assert check_emote_url(url) == url


@pytest.mark.parametrize(
    "url",
    [
        "",
        "http://cdn.example/e.png",
        "//cdn.example/e.png",
        "javascript:alert(1)",
        "data:image/png;base64,AAAA",
        "https://",
        "https://localhost/e.png",
        "https://127.0.0.1/e.png",
        "https://[::1]/e.png",
        "https://10.1/e.png",
        "https://user@cdn.example/e.png",
        "https://user:secret@cdn.example/e.png",
        "https://cdn.example/e png",
        'https://cdn.example/"onerror=',
        "https://cdn.example/<script>",
        "https://cdn.example/\\e",
        "https://cdn.example/#x",
        "https://cdn.example\n",
        "https://café.example/",
        "HTTPS://cdn.example/",
        "https://-cdn.example/",
        "https://printer.local/e.png",
        "https://router.home.arpa",
        "https://Metadata.Internal:8443/e",
        "https://a.localhost",
        "https://cdn.example:65536/e.png",
        f"https://cdn.example/{'x' * 481}",
    ],
)
def test_other_addresses_are_refused(url: str) -> None:
    with pytest.raises(InvalidInput):
        check_emote_url(url)


def test_the_text_in_its_place_has_1_to_200_characters() -> None:
    assert check_emote_alt("x" * 200) == "x" * 200
    for alt in ("", " ", "x" * 201):
        with pytest.raises(InvalidInput):
            check_emote_alt(alt)


def test_a_slug_has_500_and_a_user_blocks_1000() -> None:
    check_emote_quota(EMOTES_PER_SLUG - 1)
    check_block_quota(BLOCKS_PER_USER - 1)
    with pytest.raises(TooManyEmotes):
        check_emote_quota(EMOTES_PER_SLUG)
    with pytest.raises(TooManyBlocks):
        check_block_quota(BLOCKS_PER_USER)


def test_nobody_blocks_themselves() -> None:
    check_block(UserId(1), UserId(2))
    with pytest.raises(InvalidInput):
        check_block(UserId(1), UserId(1))


def test_admins_keep_all_emotes_and_a_creator_those_of_their_room() -> None:
    room = Room(Life(1), RoomId(1), LIVE, RoomSettings("Live"), UserId(7), "live", NOW)
    admin, moderator = Viewer(UserId(9), "a", Rank.ADMIN), Viewer(UserId(8), "m", Rank.MODERATOR)
    creator = Viewer(UserId(7), "c", Rank.USER)
    assert may_keep_emotes(admin, LIVE, None)
    assert may_keep_emotes(admin, EVERYWHERE, None)
    assert may_keep_emotes(creator, LIVE, room)
    assert not may_keep_emotes(moderator, LIVE, room)
    assert not may_keep_emotes(creator, LIVE, None)
    assert not may_keep_emotes(creator, EVERYWHERE, None)
