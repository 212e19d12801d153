"""protocol/warnings.py: what an edge knows of warnings, whichever way and in whatever order it hears of them."""

import pytest
from msgspec import structs

from ws_edge.protocol import warnings as module
from ws_edge.protocol.identity import Identity, Rank, Slug, Speaker, UserId
from ws_edge.protocol.warnings import RoomWarning, WarningCache

LIVE, OTHER = Slug("live"), Slug("other")


def warning(number: int = 1, *, user_id: int | None = 5, name: str | None = None, slug: Slug = LIVE) -> RoomWarning:
    target = None if user_id is None else UserId(user_id)
    return RoomWarning(number, slug, target, name, "No links", Rank.MODERATOR, 1_000)


def closed(warning: RoomWarning) -> RoomWarning:
    return structs.replace(warning, is_open=False)


def speaker(user_id: int | None = 5, name: str = "ana", rank: Rank = Rank.USER) -> Speaker:
    target = None if user_id is None else UserId(user_id)
    return Speaker(Identity(target, name, None, (), rank, None), "10.0.0.6", "e:1")


@pytest.fixture
def cache() -> WarningCache:
    return WarningCache()


def test_a_warning_is_for_a_user_by_id_and_for_an_anonymous_one_by_name_in_its_room(cache: WarningCache) -> None:
    cache.apply(warning(1), now_s=0)
    cache.apply(warning(2, user_id=None, name="Anonymous_10.0.0.6"), now_s=0)
    guest = speaker(None, "Anonymous_10.0.0.6", Rank.ANONYMOUS)
    assert [each.id for each in cache.pending(speaker(), LIVE)] == [1]
    assert [each.id for each in cache.pending(guest, LIVE)] == [2]
    assert cache.pending(speaker(), OTHER) == cache.pending(speaker(6), LIVE) == []
    assert cache.pending(speaker(7, "Anonymous_10.0.0.6"), LIVE) == []
    assert cache.pending(speaker(rank=Rank.MODERATOR), LIVE) == []
    assert [each.id for each in cache] == [1, 2]


def test_it_binds_by_the_order_of_ranks(cache: WarningCache) -> None:
    """The owner's number is the highest, their place is not."""
    cache.apply(structs.replace(warning(1), moderator_rank=Rank.OWNER), now_s=0)
    assert [rank for rank in Rank if cache.pending(speaker(rank=rank), LIVE)] == [
        Rank.ANONYMOUS,
        Rank.USER,
        Rank.MODERATOR,
    ]


def test_it_refuses_until_it_is_closed_or_has_lapsed_here(cache: WarningCache) -> None:
    assert not cache.refuses(speaker(), LIVE)
    for number in (1, 2):
        cache.apply(warning(number), now_s=0)
    assert cache.note_lapsed(1)
    assert not cache.note_lapsed(1)
    assert cache.refuses(speaker(), LIVE)
    cache.apply(closed(warning(2)), now_s=0)
    assert not cache.refuses(speaker(), LIVE)
    assert [each.id for each in cache.pending(speaker(), LIVE)] == [1]
    cache.apply(closed(warning(1)), now_s=0)
    assert (len(cache), cache.get(1), cache.note_lapsed(1)) == (0, None, False)


def test_what_was_closed_never_comes_back_as_far_as_is_remembered(
    cache: WarningCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_CLOSED_LIMIT", 1)
    cache.apply(closed(warning(1)), now_s=0)
    cache.apply(warning(1), now_s=0)
    assert len(cache) == 0
    cache.apply(closed(warning(2)), now_s=0)
    cache.apply(warning(1), now_s=0)
    assert len(cache) == 1


def test_an_answer_replaces_what_was_heard_before_it_was_asked_for_and_nothing_else(cache: WarningCache) -> None:
    cache.apply(warning(1), now_s=10)
    cache.apply(warning(2), now_s=30)
    cache.apply(warning(3, slug=OTHER), now_s=10)
    cache.replace([LIVE], [warning(4)], asked_at_s=20)
    assert [each.id for each in cache.of_slug(LIVE)] == [2, 4]
    assert [each.id for each in cache.of_slug(OTHER)] == [3]
    cache.replace([LIVE], [warning(4)], asked_at_s=40)
    assert [each.id for each in cache.of_slug(LIVE)] == [4]
    cache.forget(LIVE)
    cache.forget(LIVE)
    assert [each.id for each in cache] == [3]


def test_the_first_delivery_is_news_where_moderation_does_not_know_of_one(cache: WarningCache) -> None:
    cache.apply(warning(1), now_s=0)
    assert (cache.note_delivered(1), cache.note_delivered(1), cache.note_delivered(9)) == (True, False, False)
    cache.apply(warning(2), now_s=0)
    cache.apply(structs.replace(warning(2), is_delivered=True), now_s=1)
    cache.apply(warning(2), now_s=2)
    assert not cache.note_delivered(2)
