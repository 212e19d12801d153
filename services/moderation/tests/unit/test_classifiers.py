"""domain/classifiers.py: where classifiers may be, what is sent and answered, and who is not asked for a while."""

import base64
import hashlib
import hmac
import json
from dataclasses import replace

import pytest

from moderation.domain import classifiers
from moderation.domain.classifiers import (
    ALLOWED,
    CALLS,
    CALLS_OF_A_RULE,
    LONGEST_REASON,
    NO_SECRETS,
    OPEN_NS,
    OPENS_AFTER,
    PRIVATE_ADDRESS,
    Answer,
    ClassifierVerdict,
    Line,
    Lines,
    Outcome,
    Secrets,
    Subject,
    all_public,
    answer_of,
    answer_without,
    call_of,
    host_problem,
    is_public,
    is_waited_for,
    rule_by,
    secret_problem,
)
from moderation.domain.people import Rank, Speaker
from moderation.domain.rules import OnFailure, Rule, RuleAction, RuleKind, RuleMode, rule_problem

URL = "https://classify.example.com/v1"
RULE = Rule("asks", RuleKind.CLASSIFIER, RuleAction.REFUSE, url=URL)
KEY, OTHER = bytes(range(24)), bytes(range(64))
SECRET, EARLIER = (f"whsec_{base64.b64encode(key).decode()}" for key in (KEY, OTHER))
ANA = Speaker(5, "ana", "10.0.0.5", Rank.USER, "e:1")


@pytest.mark.parametrize(
    "address",
    [
        "8.8.8.8",
        "2606:4700::1111",
        "::ffff:8.8.8.8",
        "2002:808:808::1",
        "64:ff9b::808:808",
        "100.63.255.255",
        "3fff:1000::",
    ],
)
def test_addresses_of_the_internet_are_public(address: str) -> None:
    assert is_public(address)


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "10.1.2.3",
        "172.16.0.1",
        "192.168.0.1",
        "169.254.169.254",
        "100.64.0.1",
        "0.0.0.0",
        "224.0.0.1",
        "240.0.0.1",
        "255.255.255.255",
        "192.0.2.1",
        "198.18.0.1",
        "192.88.99.1",
        "168.63.129.16",
        "::1",
        "::",
        "::8.8.8.8",
        "fe80::1",
        "fe80::1%eth0",
        "fc00::1",
        "ff02::1",
        "2001:db8::1",
        "3fff::1",
        "3fff:fff:ffff::1",
        "2001:0:53aa:64c:0:fbff:f5ff:fff5",
        "::ffff:127.0.0.1",
        "::ffff:10.0.0.1",
        "2002:7f00:1::1",
        "64:ff9b::7f00:1",
        "64:ff9b::a9fe:a9fe",
        "::ffff:168.63.129.16",
        "127.1",
        "localhost",
        "",
    ],
)
def test_all_others_are_not_also_where_they_stand_in_an_address_of_version_6(address: str) -> None:
    assert not is_public(address)


def test_a_name_leads_to_public_addresses_alone() -> None:
    assert all_public(["8.8.8.8", "2606:4700::1111"])
    assert not all_public(["8.8.8.8", "127.0.0.1"])


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        (URL, None),
        ("https://8.8.8.8:8443/", None),
        ("http://classify.example.com/", "The url of a classifier begins with https://"),
        ("https://127.0.0.1/", PRIVATE_ADDRESS),
        ("https://[::1]/", PRIVATE_ADDRESS),
        ("https://2130706433/", PRIVATE_ADDRESS),
        ("https://127.1/", PRIVATE_ADDRESS),
    ],
)
def test_a_url_says_itself_where_it_must_not_be(url: str, problem: str | None) -> None:
    assert host_problem(url, private=False) == problem
    assert host_problem(url, private=True) is None


NO_URL = "A classifier has a url of up to 500 characters, and no user in it"


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({}, None),
        ({"url": "http://localhost:8080/a?b=c"}, None),
        ({"url": URL + "x" * (501 - len(URL))}, NO_URL),
        ({"url": ""}, NO_URL),
        ({"url": "ftp://classify.example.com/"}, NO_URL),
        ({"url": "https:///v1"}, NO_URL),
        ({"url": "https://user@classify.example.com/"}, NO_URL),
        ({"url": "https://classify.example.com/#there"}, NO_URL),
        ({"url": "https://classify.example.com:0/"}, NO_URL),
        ({"url": "https://classify.example.com:99999/"}, NO_URL),
        ({"url": "https://[::1/"}, NO_URL),
        ({"url": "https://classify.example.com/ v1"}, NO_URL),
        ({"url": "https://clässify.example.com/"}, NO_URL),
        ({"action": RuleAction.HOLD, "on_failure": OnFailure.HOLD}, None),
        (
            {"action": RuleAction.FLAG, "on_failure": OnFailure.HOLD},
            "Nothing waits for a classifier that flags: on_failure is ALLOW",
        ),
        ({"patterns": ("a",)}, "CLASSIFIER takes no patterns"),
        ({"threshold": 5}, "CLASSIFIER takes no threshold"),
        ({"kind": RuleKind.CAPS, "threshold": 70}, "CAPS asks no classifier"),
        ({"kind": RuleKind.CAPS, "url": "", "on_failure": OnFailure.HOLD}, "CAPS asks no classifier"),
    ],
)
def test_what_a_rule_that_asks_a_classifier_is_made_of(changes: dict[str, object], problem: str | None) -> None:
    assert rule_problem(replace(RULE, **changes)) == problem  # type: ignore[arg-type]


def test_a_secret_is_that_of_standard_webhooks() -> None:
    wrong = "A secret is whsec_ and base64 of 24 to 64 bytes"
    assert (secret_problem(SECRET), secret_problem(EARLIER)) == (None, None)
    short, long = (base64.b64encode(bytes(length)).decode() for length in (23, 65))
    for secret in ("", SECRET.removeprefix("whsec_"), "whsec_ä", "whsec_abc", f"whsec_{short}", f"whsec_{long}"):
        assert secret_problem(secret) == wrong


def test_another_secret_holds_beside_the_one_before_it_for_a_day_and_shows_none() -> None:
    first = NO_SECRETS.changed(EARLIER, 1_000)
    assert first == Secrets(EARLIER)
    assert first.changed("", 2_000) is first
    assert first.changed(EARLIER, 2_000) is first
    second = first.changed(SECRET, 2_000)
    assert second == Secrets(SECRET, EARLIER, 86_402_000)
    assert second.valid(86_401_999) == [SECRET, EARLIER]
    assert second.valid(86_402_000) == [SECRET]
    assert SECRET not in repr(second)


def test_a_request_is_signed_with_all_secrets_that_hold() -> None:
    secrets = Secrets(SECRET, EARLIER, 2_000_000)
    call = call_of(7, RULE, secrets, Subject("hi", "live", ANA), call_id="msg_1", now_ms=1_500_250)
    assert call.url == URL
    headers = dict(call.headers)
    assert (headers["webhook-id"], headers["webhook-timestamp"]) == ("msg_1", "1500")
    expected = [
        "v1," + base64.b64encode(hmac.digest(key, b"msg_1.1500." + call.body, hashlib.sha256)).decode()
        for key in (KEY, OTHER)
    ]
    assert headers["webhook-signature"] == " ".join(expected)
    assert json.loads(call.body) == {
        "type": "message.classify",
        "timestamp": "1970-01-01T00:25:00.250Z",
        "data": {
            "text": "hi",
            "room": "live",
            "author": {"user_id": 5, "username": "ana", "rank": "user"},
            "rule": {"id": 7, "name": "asks"},
            "test": False,
        },
    }


@pytest.mark.parametrize(
    ("author", "told"),
    [
        (None, None),
        (Speaker(0, "Anonymous_1", "", Rank.ANONYMOUS, "e:2"), (None, "Anonymous_1", "anonymous")),
        (Speaker(6, "later", "", 99, "e:3"), (6, "later", "user")),
    ],
)
def test_authors_are_told_as_they_are_known_and_tries_have_none(
    author: Speaker | None, told: tuple[object, ...] | None
) -> None:
    call = call_of(7, RULE, Secrets(SECRET), Subject("hi\ud800", "live", author), call_id="msg_1", now_ms=0)
    data = json.loads(call.body)["data"]
    expected = None if told is None else dict(zip(("user_id", "username", "rank"), told, strict=True))
    assert (data["author"], data["test"]) == (expected, told is None)


@pytest.mark.parametrize(
    ("body", "answer"),
    [
        (b'{"verdict":"allow"}', ALLOWED),
        (b'{"verdict":"hold","reason":null}', Answer(ClassifierVerdict.HOLD)),
        (b'{"verdict":"refuse","reason":"spam","more":1}', Answer(ClassifierVerdict.REFUSE, "spam")),
        (
            b'{"verdict":"hold","reason":"' + b"x" * 300 + b'"}',
            Answer(ClassifierVerdict.HOLD, "x" * LONGEST_REASON),
        ),
        (rb'{"verdict":"hold","reason":"cut \ud83d"}', Answer(ClassifierVerdict.HOLD, "cut ?")),
        (rb'{"verdict":"hold","reason":"whole \ud83d\ude00"}', Answer(ClassifierVerdict.HOLD, "whole 😀")),
        (b'{"verdict":"Allow"}', None),
        (b'{"verdict":["allow"]}', None),
        (b'{"verdict":"allow","reason":7}', None),
        (b"{}", None),
        (b'["allow"]', None),
        (b"\xff", None),
        (b"", None),
        (b"[" * 4_096, None),
    ],
)
def test_an_answer_is_read_as_it_is_or_not_at_all(body: bytes, answer: Answer | None) -> None:
    assert answer_of(body) == answer


def test_where_there_is_no_answer_the_rule_says_what_becomes_of_the_message() -> None:
    assert answer_without(RULE) == ALLOWED
    without = answer_without(replace(RULE, on_failure=OnFailure.HOLD))
    assert without == Answer(ClassifierVerdict.HOLD, "no answer")


@pytest.mark.parametrize(
    ("action", "held", "refused"),
    [
        (RuleAction.FLAG, RuleAction.FLAG, RuleAction.FLAG),
        (RuleAction.HOLD, RuleAction.HOLD, RuleAction.HOLD),
        (RuleAction.REFUSE, RuleAction.HOLD, RuleAction.REFUSE),
        (RuleAction.MUTE, RuleAction.HOLD, RuleAction.MUTE),
    ],
)
def test_an_answer_does_no_more_than_the_rule_allows(action: RuleAction, held: RuleAction, refused: RuleAction) -> None:
    rule = replace(RULE, action=action, mute_minutes=5 if action is RuleAction.MUTE else 0)
    assert rule_by(rule, ALLOWED) is None
    hold, refuse = (rule_by(rule, Answer(verdict)) for verdict in (ClassifierVerdict.HOLD, ClassifierVerdict.REFUSE))
    assert hold is not None
    assert refuse is not None
    assert (hold.action, hold.mute_minutes) == (held, 0)
    assert (refuse.action, refuse.mute_minutes) == (refused, rule.mute_minutes)


def test_messages_wait_for_those_alone_that_may_do_something_with_them() -> None:
    assert is_waited_for(RULE)
    assert not is_waited_for(replace(RULE, mode=RuleMode.DRY_RUN))
    assert not is_waited_for(replace(RULE, action=RuleAction.FLAG))


def call(
    lines: Lines,
    outcome: Outcome | None,
    now_ns: int = 0,
    rule_id: int = 7,
    url: str = URL,
    *,
    is_waited_for: bool = True,
) -> bool:
    """Whether somebody is asked."""
    line = lines.begin(rule_id, url, now_ns, is_waited_for=is_waited_for)
    if line is not None:
        lines.end(line, outcome, now_ns)
    return line is not None


def test_the_breaker_opens_after_failures_in_a_row_and_one_answer_closes_it() -> None:
    lines = Lines()
    for _ in range(OPENS_AFTER - 1):
        assert call(lines, Outcome.FAILED)
    assert call(lines, Outcome.ANSWERED)
    for outcome in [Outcome.LATE] * OPENS_AFTER:
        assert call(lines, outcome, 10)
    assert lines.open_breakers(9 + OPEN_NS) == 1
    assert lines.open_breakers(10 + OPEN_NS) == 0  # the rule may be gone
    assert not call(lines, Outcome.ANSWERED, 9 + OPEN_NS)
    probe = lines.begin(7, URL, 10 + OPEN_NS, is_waited_for=True)
    assert probe is not None
    assert lines.open_breakers(10 + OPEN_NS) == 1
    assert not call(lines, Outcome.ANSWERED, 10 + OPEN_NS)  # one message to see
    lines.end(probe, Outcome.FAILED, 20 + OPEN_NS)
    assert not call(lines, Outcome.ANSWERED, 19 + 2 * OPEN_NS)
    assert call(lines, None, 20 + 2 * OPEN_NS)  # broken off: the next one sees
    assert call(lines, Outcome.ANSWERED, 20 + 2 * OPEN_NS)
    assert lines.open_breakers(20 + 2 * OPEN_NS) == 0
    assert call(lines, Outcome.FAILED, 20 + 2 * OPEN_NS)
    assert lines.outcomes == {Outcome.FAILED: OPENS_AFTER + 1, Outcome.LATE: OPENS_AFTER, Outcome.ANSWERED: 2} | {
        Outcome.OPEN: 3
    }


def test_tries_open_a_breaker_of_their_own_alone() -> None:
    lines = Lines()
    for _ in range(OPENS_AFTER):
        line = lines.begin(7, URL, 0, is_waited_for=False, is_try=True)
        assert line is not None
        lines.end(line, Outcome.LATE, 0)
    assert lines.begin(7, URL, 0, is_waited_for=False, is_try=True) is None
    assert lines.open_breakers(0) == 0
    assert call(lines, Outcome.ANSWERED)


def test_another_url_or_rule_begins_anew() -> None:
    lines = Lines()
    for _ in range(OPENS_AFTER):
        call(lines, Outcome.FAILED)
    assert not call(lines, Outcome.ANSWERED)
    assert call(lines, Outcome.ANSWERED, rule_id=8)
    assert call(lines, Outcome.ANSWERED, url=f"{URL}/new")


def test_what_fails_late_does_not_keep_a_breaker_open_for_longer() -> None:
    lines = Lines()
    under_way = [lines.begin(7, URL, 0, is_waited_for=True) for _ in range(OPENS_AFTER + 1)]
    for number, line in enumerate(under_way):
        assert line is not None
        lines.end(line, Outcome.LATE, number)
    assert call(lines, Outcome.ANSWERED, OPENS_AFTER - 1 + OPEN_NS)


def begin_many(lines: Lines, count: int, *, is_waited_for: bool) -> list[Line | None]:
    """Of as many rules as that takes."""
    numbers = range(count)
    return [lines.begin(8 + number // CALLS_OF_A_RULE, URL, 0, is_waited_for=is_waited_for) for number in numbers]


def test_so_many_calls_are_made_at_once_of_a_rule_and_of_all() -> None:
    lines = Lines()
    of_one = [lines.begin(7, URL, 0, is_waited_for=True) for _ in range(CALLS_OF_A_RULE)]
    assert None not in of_one
    assert lines.begin(7, URL, 0, is_waited_for=True) is None
    others = begin_many(lines, CALLS - CALLS_OF_A_RULE, is_waited_for=True)
    assert None not in others
    assert lines.begin(99, URL, 0, is_waited_for=True) is None
    assert (lines.calls, lines.outcomes[Outcome.FULL]) == (CALLS, 2)
    assert of_one[0] is not None
    lines.end(of_one[0], Outcome.ANSWERED, 0)
    assert lines.begin(99, URL, 0, is_waited_for=True) is not None


@pytest.mark.parametrize("is_try", [False, True])
def test_half_of_the_calls_are_for_messages_that_wait(is_try: bool) -> None:
    lines = Lines()
    behind = begin_many(lines, CALLS // 2, is_waited_for=False)
    assert None not in behind
    assert lines.begin(99, URL, 0, is_waited_for=False, is_try=is_try) is None
    waited_for = [lines.begin(7, URL, 0, is_waited_for=True) for _ in range(CALLS_OF_A_RULE)]
    assert None not in waited_for
    assert behind[0] is not None
    lines.end(behind[0], Outcome.LATE, 0)
    assert lines.begin(99, URL, 0, is_waited_for=False, is_try=is_try) is not None


def test_a_rule_that_messages_begin_to_wait_for_begins_anew() -> None:
    lines = Lines()
    under_way = lines.begin(7, URL, 0, is_waited_for=False)
    for _ in range(OPENS_AFTER):
        call(lines, Outcome.LATE, is_waited_for=False)
    assert not call(lines, Outcome.ANSWERED, is_waited_for=False)
    assert call(lines, Outcome.ANSWERED)
    assert under_way is not None
    lines.end(under_way, Outcome.LATE, 0)
    assert None not in begin_many(lines, CALLS // 2, is_waited_for=False)


def test_what_is_kept_of_rules_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(classifiers, "LINES_KEPT", 2)
    lines = Lines()
    for rule_id in (7, 8, 9):
        for _ in range(OPENS_AFTER):
            call(lines, Outcome.FAILED, rule_id=rule_id)
    assert lines.open_breakers(0) == 2
