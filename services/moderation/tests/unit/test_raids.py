"""What is called a raid: who speaks for the first time, and who says nearly the same."""

from collections.abc import Iterable

import pytest
from hypothesis import given, settings, strategies as st

from moderation.domain import raids
from moderation.domain.admission import Admission, Limits, MessageCheck, Now
from moderation.domain.erasures import LogRef
from moderation.domain.folding import fold
from moderation.domain.last_seen import LastSeenBuffer
from moderation.domain.people import Rank, Speaker
from moderation.domain.policy_cache import PolicyCache
from moderation.domain.raids import (
    FORGOTTEN_AFTER_MS,
    LEAST_NEWCOMERS,
    LEAST_SAME,
    LEAST_WINDOWS,
    MOST_SPEAKERS,
    SAMPLE_CHARACTERS,
    SEEN_OF_AN_END,
    SPEAKERS_OF_ROOM,
    TEXTS,
    TIMES_USUAL,
    WINDOW_MS,
    WINDOWS,
    RaidSign,
    RaidWatch,
    most_alike,
)
from moderation.domain.sanction_cache import SanctionCache

LOG = LogRef(3, 7, 21)
START_MS = 1_764_261_000_000
COPIED = "Follow me on my channel for free gifts, number {}!"


def who(user_id: int, rank: Rank = Rank.USER) -> Speaker:
    return Speaker(user_id, f"u{user_id}", f"10.0.{user_id // 250}.{user_id % 250}", rank, f"e:{user_id}")


def say(watch: RaidWatch, users: Iterable[int], at_ms: int, text: str = "hm {}", slug: str = "live") -> None:
    for user_id in users:
        watch.note(who(user_id), slug, LOG, text.format(user_id), at_ms)


def signs(watch: RaidWatch, now_ms: int) -> list[RaidSign]:
    """What is unusual where somebody has spoken since this was last asked."""
    return [sign for slug in watch.stirred(now_ms) if (sign := watch.sign_of(slug)) is not None]


def alike(texts: list[str], least: int) -> tuple[int, str]:
    return most_alike(texts, least, {})[:2]


def known_room(newcomers: int = 0, windows: int = LEAST_WINDOWS) -> tuple[RaidWatch, int]:
    """In which so many have spoken for the first time in each window until now."""
    watch, at_ms = RaidWatch(), START_MS
    watch.note(who(1), "live", LOG, "hm", at_ms)
    for number in range(windows):
        at_ms += WINDOW_MS
        say(watch, range(100_000 + 1_000 * number, 100_000 + 1_000 * number + newcomers), at_ms)
    watch.note(who(1), "live", LOG, "hm", at_ms + WINDOW_MS)
    signs(watch, at_ms + WINDOW_MS)
    return watch, at_ms + WINDOW_MS


def test_many_newcomers_at_once_in_a_room_that_has_few_are_a_sign() -> None:
    watch, now_ms = known_room()
    say(watch, range(10, 10 + LEAST_NEWCOMERS - 1), now_ms)
    assert signs(watch, now_ms) == []
    say(watch, [1_000], now_ms)
    assert signs(watch, now_ms) == [RaidSign("live", LOG, LEAST_NEWCOMERS, 0, 0, 0, "")]
    assert signs(watch, now_ms) == []
    say(watch, [1_000], now_ms)
    assert len(signs(watch, now_ms)) == 1


def test_as_many_as_usual_are_none_and_so_many_times_more_are() -> None:
    usual = 10
    watch, now_ms = known_room(usual)
    say(watch, range(10, 10 + TIMES_USUAL * usual - 1), now_ms)
    assert signs(watch, now_ms) == []
    say(watch, [1_000], now_ms)
    (sign,) = signs(watch, now_ms)
    assert (sign.newcomers, sign.usual_newcomers) == (TIMES_USUAL * usual, usual)


def test_when_a_stream_begins_all_are_newcomers_and_that_is_none() -> None:
    watch = RaidWatch()
    say(watch, range(10, 500), START_MS)
    assert signs(watch, START_MS) == []
    watch, now_ms = known_room(windows=LEAST_WINDOWS - 2)
    say(watch, range(10, 500), now_ms)
    assert signs(watch, now_ms) == []


def test_who_has_spoken_before_is_no_newcomer() -> None:
    watch, now_ms = known_room()
    for _ in range(3):
        say(watch, range(10, 10 + LEAST_NEWCOMERS - 1), now_ms)
        now_ms += WINDOW_MS
    say(watch, range(10, 30), now_ms)
    assert signs(watch, now_ms) == []


def test_anonymous_people_of_one_address_are_one() -> None:
    watch, now_ms = known_room()
    for number in range(LEAST_NEWCOMERS * 2):
        watch.note(Speaker(0, f"A{number}", "10.9.9.9", Rank.ANONYMOUS, f"e:{number}"), "live", LOG, "hi", now_ms)
    assert signs(watch, now_ms) == []


def test_many_who_say_nearly_the_same_are_a_sign_wherever_and_newcomers_or_not() -> None:
    watch = RaidWatch()
    say(watch, range(10, 10 + LEAST_SAME - 1), START_MS, COPIED)
    assert signs(watch, START_MS) == []
    say(watch, [500], START_MS, COPIED)
    (sign,) = signs(watch, START_MS)
    assert (sign.same, sign.usual_same, sign.sample) == (LEAST_SAME, 0, COPIED.format(10))
    data = sign.data()
    assert (data["same"], data["sample"], data["window_seconds"]) == (10, sign.sample, 10)


def test_where_copying_is_usual_it_is_none() -> None:
    watch, at_ms = RaidWatch(), START_MS
    for _ in range(WINDOWS):
        say(watch, range(10, 10 + LEAST_SAME), at_ms, COPIED)
        at_ms += WINDOW_MS
    signs(watch, at_ms)
    say(watch, range(10, 10 + LEAST_SAME + 5), at_ms, COPIED)
    assert signs(watch, at_ms) == []


@pytest.mark.parametrize("text", ["lol", "GOOOOAL!!!", "🔥🔥🔥🔥🔥🔥🔥🔥🔥🔥🔥🔥🔥🔥", "1111111111111111", ""])
def test_what_is_short_is_said_by_many_in_any_good_moment(text: str) -> None:
    watch = RaidWatch()
    say(watch, range(50), START_MS, text)
    assert signs(watch, START_MS) == []
    assert alike([text] * 50, 2) == (0, "")


def test_alike_is_what_differs_at_one_end_or_in_what_is_no_letter() -> None:
    ends = [f"Buy cheap gold at our wonderful shop now {word}" for word in ("abc", "xyz", "qrs", "tuv")]
    starts = [f"{word} buy cheap gold at our wonderful shop now" for word in ("abc", "xyz", "qrs")]
    assert alike(ends, 4)[0] == 4
    assert alike(ends, 5) == (0, "")
    assert alike(starts, 3)[0] == 3
    assert alike(["Buy, C.H.E.A.P gold 1 here", "buy, cheap GOLD 22 here"], 2)[1] == "Buy, C.H.E.A.P gold 1 here"
    assert alike(["what somebody says", "and what another one does"], 2) == (0, "")
    assert alike(["what somebody says", "what s he wants is this"], 2) == (0, "")
    assert alike(["what 1 2 3 4 5 6", "what 1 2 3 4 5 6"], 2) == (0, "")


def test_long_texts_are_alike_by_their_ends_and_the_sample_is_the_beginning_of_one() -> None:
    watch = RaidWatch()
    copied = "Buy cheap gold at our wonderful shop"
    for user_id in range(10, 10 + LEAST_SAME):
        watch.note(who(user_id), "live", LOG, f"{user_id} is new here" + " x" * 400 + copied, START_MS)
    (sign,) = signs(watch, START_MS)
    assert (sign.same, sign.sample[:14]) == (LEAST_SAME, "10 is new here")
    assert all(len(text) <= SAMPLE_CHARACTERS + SEEN_OF_AN_END for text in watch._rooms["live"].texts.values())
    assert alike(["1 2 3 4 5 6 7 8 9 " * 10 + copied] * 2, 2)[0] == 2
    assert alike([copied + " 1 2 3 4 5 6 7 8 9" * 10] * 2, 2)[0] == 2


def test_of_a_text_no_more_is_folded_than_is_seen_of_it_and_once_however_often_it_is_compared(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    folded: list[str] = []

    def counted(text: str) -> str:
        folded.append(text)
        return fold(text)

    monkeypatch.setattr(raids, "fold", counted)
    watch = RaidWatch()
    for number in range(3):
        for user_id in range(LEAST_SAME):
            watch.note(who(user_id + 1), "live", LOG, f"abcdef{user_id} " + "\u0315\u0300" * 490, START_MS + number)
        assert signs(watch, START_MS) == []
    assert len(folded) == 2 * LEAST_SAME
    assert max(map(len, folded)) == SEEN_OF_AN_END
    say(watch, [1], START_MS + WINDOW_MS)
    assert (watch._rooms["live"].ends, len(folded)) == ({}, 2 * LEAST_SAME)


def test_a_room_in_which_nobody_speaks_for_an_hour_is_forgotten() -> None:
    watch = RaidWatch()
    say(watch, [1, 2], START_MS, slug="quiet")
    say(watch, [1], START_MS + 1, slug="live")
    watch.stirred(START_MS + FORGOTTEN_AFTER_MS - 1)
    assert len(watch) == 3
    watch.stirred(START_MS + FORGOTTEN_AFTER_MS)
    assert (list(watch._rooms), len(watch)) == (["live"], 1)
    assert watch.sign_of("quiet") is None


def test_quiet_windows_count_and_a_room_that_was_silent_for_long_begins_with_nothing_usual() -> None:
    watch, now_ms = known_room(newcomers=12)
    now_ms += WINDOW_MS * (WINDOWS + 5)
    say(watch, range(10, 10 + LEAST_NEWCOMERS), now_ms)
    (sign,) = signs(watch, now_ms)
    assert (sign.newcomers, sign.usual_newcomers) == (LEAST_NEWCOMERS, 0)


def test_a_clock_that_was_put_back_begins_another_window() -> None:
    watch, now_ms = known_room()
    say(watch, range(10, 10 + LEAST_NEWCOMERS - 1), now_ms)
    say(watch, range(500, 505), now_ms - 10 * WINDOW_MS)
    assert signs(watch, now_ms) == []


def test_the_log_is_the_last_one_that_was_told() -> None:
    watch = RaidWatch()
    say(watch, range(LEAST_SAME), START_MS, COPIED)
    watch.note(who(500), "live", None, "from an edge of before", START_MS)
    assert [sign.log for sign in signs(watch, START_MS)] == [LOG]
    watch.note(who(501), "live", LogRef(3, 7, 22), COPIED, START_MS)
    assert [sign.log for sign in signs(watch, START_MS)] == [LogRef(3, 7, 22)]


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 30), st.sampled_from("abc"), st.integers(0, 3 * WINDOW_MS)), max_size=300))
def test_no_more_is_remembered_than_there_is_room_for(spoken: list[tuple[int, str, int]]) -> None:
    watch, at_ms = RaidWatch(most_speakers=20), START_MS
    for user_id, slug, later_ms in spoken:
        at_ms += later_ms
        watch.note(who(user_id), slug, LOG, COPIED, at_ms)
        remembered = [len(room.speakers) for room in watch._rooms.values()]
        assert len(watch) == sum(remembered)
        assert len(watch) <= 20 or len(remembered) == 1
        assert all(len(room.texts) <= TEXTS and len(room.past) <= WINDOWS for room in watch._rooms.values())
    signs(watch, at_ms)


def test_of_a_window_the_last_texts_are_compared() -> None:
    watch = RaidWatch()
    say(watch, range(1, LEAST_SAME + 1), START_MS, COPIED)
    say(watch, range(100, 100 + TEXTS - 1), START_MS)
    assert len(watch._rooms["live"].texts) == TEXTS
    assert signs(watch, START_MS) == []


def test_the_quietest_room_is_forgotten_first() -> None:
    watch = RaidWatch(most_speakers=4)
    say(watch, [1, 2], START_MS, slug="quiet")
    say(watch, [1, 2], START_MS + 1, slug="other")
    say(watch, [1], START_MS + WINDOW_MS, slug="quiet")
    say(watch, [3], START_MS + WINDOW_MS, slug="quiet")
    assert (list(watch._rooms), len(watch)) == (["quiet"], 3)


def test_of_a_room_who_spoke_first_longest_ago_is_forgotten_first() -> None:
    watch = RaidWatch()
    say(watch, range(1, SPEAKERS_OF_ROOM + 2), START_MS)
    assert len(watch) == SPEAKERS_OF_ROOM < MOST_SPEAKERS
    assert 1 not in watch._rooms["live"].speakers
    assert 2 in watch._rooms["live"].speakers


@pytest.mark.parametrize(
    ("speaker", "without_policy", "is_noted"),
    [
        (who(5), False, True),
        (who(0, Rank.ANONYMOUS), False, True),
        (who(5), True, False),
        (who(5, Rank.MODERATOR), False, False),
        (who(5)._replace(vip=True), False, False),
    ],
)
def test_whom_policies_bind_are_noted_when_they_speak(
    speaker: Speaker, *, without_policy: bool, is_noted: bool
) -> None:
    watch = RaidWatch()
    admission = Admission(Limits(10, 10, 100), SanctionCache(), LastSeenBuffer(), PolicyCache(), raids=watch)
    check = MessageCheck(speaker, "live", 21, "", 1, without_policy, "hello", log=LOG)
    admission.judge_message(check, Now(0, START_MS))
    assert len(watch) == int(is_noted)
