"""What is lent to a worker, as it keeps it: adapters/grpc/lent_windows.py."""

import pytest
from msgspec.structs import replace

from salon.moderation.v1 import moderation_pb2 as pb
from ws_edge.adapters.grpc.lent_windows import LEASE_S, LentWindows
from ws_edge.protocol.identity import Identity, Life, Rank, Speaker, UserId

LIFE = Life(2)
ANA = Speaker(Identity(UserId(5), "ana", None, (), Rank.USER, None), "10.0.0.5", "e:1")
ANA_ELSEWHERE = replace(ANA, connection="e:2")
GUEST = Speaker(Identity(None, "Anonymous_10.0.0.9", None, (), Rank.ANONYMOUS, None), "10.0.0.9", "e:9")
ANA_KEY, GUEST_KEY = pb.SpeakerKey(user_id=5), pb.SpeakerKey(address="10.0.0.9")


def lent(*speakers: Speaker, now_s: float = 100.0) -> LentWindows:
    """With a grant of 1, 2, ... for each, answered at once."""
    windows = LentWindows()
    windows.renew(now_s, now_s)
    for number, speaker in enumerate(speakers, 1):
        windows.lend(speaker, LIFE, number, now_s)
    return windows


def test_what_was_lent_is_there_for_its_connection_and_room_alone() -> None:
    windows = lent(ANA)
    assert len(windows) == 1
    assert windows.has(ANA, LIFE, 100.0)
    assert not windows.has(ANA, Life(3), 100.0)
    assert not windows.has(ANA_ELSEWHERE, LIFE, 100.0)
    assert not windows.has(GUEST, LIFE, 100.0)


@pytest.mark.parametrize(
    "changed",
    [
        replace(ANA.identity, rank=Rank.MODERATOR),
        ANA.identity.in_room("moderator", Rank.MODERATOR),
        ANA.identity.in_room("vip", None),
        replace(ANA.identity, username="anna"),
    ],
)
def test_who_is_somebody_else_in_the_room_since_asks(changed: Identity) -> None:
    """Sanctions and warnings bind by rank, and a rank may be taken away."""
    windows = lent(ANA)
    assert not windows.has(replace(ANA, identity=changed), LIFE, 100.0)
    windows.lend(replace(ANA, identity=changed), LIFE, 7, 100.0)
    assert windows.has(replace(ANA, identity=changed), LIFE, 100.0)
    assert not windows.has(ANA, LIFE, 100.0)


def test_nothing_is_used_for_longer_than_a_lease_after_the_last_request_that_was_answered() -> None:
    windows = lent(ANA)
    assert windows.has(ANA, LIFE, 100.0 + LEASE_S - 0.001)
    assert not windows.has(ANA, LIFE, 100.0 + LEASE_S)
    windows.renew(100.5, 100.6)
    windows.renew(100.4, 100.6)
    assert windows.has(ANA, LIFE, 100.5 + LEASE_S - 0.001)
    assert not windows.has(ANA, LIFE, 100.5 + LEASE_S)


def test_the_lease_leaves_time_to_report_before_others_are_counted() -> None:
    """moderation.domain.lending.LEASE_NS is a second."""
    assert LEASE_S <= 0.8


def test_what_a_lease_has_let_go_by_is_lent_no_more() -> None:
    windows = lent(ANA)
    windows.renew(100.7, 100.0 + LEASE_S)
    assert len(windows) == 0
    windows.lend(ANA, LIFE, 3, 100.0 + LEASE_S)
    assert windows.has(ANA, LIFE, 100.0 + LEASE_S)


def test_what_was_admitted_is_told_in_parts_and_before_what_is_returned() -> None:
    windows = lent(ANA, GUEST)
    windows.report(ANA, LIFE, 11, "n-1", "a", 100.0)
    windows.report(GUEST, LIFE, 12, "", "b", 100.0)
    windows.report(ANA, LIFE, 13, "", "c", 100.0)
    windows.recall([GUEST_KEY], 0)
    first, second = windows.take_requests(2)
    assert first == pb.AdmitRequest(
        admitted=[
            pb.AdmittedMessage(lent=1, id=11, nonce="n-1", text="a"),
            pb.AdmittedMessage(lent=2, id=12, text="b"),
        ]
    )
    assert second == pb.AdmitRequest(admitted=[pb.AdmittedMessage(lent=1, id=13, text="c")], returned=[GUEST_KEY])
    assert windows.take_requests(2) == []
    assert (windows.has(ANA, LIFE, 100.0), windows.has(GUEST, LIFE, 100.0)) == (True, False)


def test_what_is_recalled_is_returned_also_where_it_is_not_there() -> None:
    windows = lent()
    windows.recall([ANA_KEY, GUEST_KEY], 0)
    assert windows.take_requests(2) == [pb.AdmitRequest(returned=[ANA_KEY, GUEST_KEY])]


def test_all_is_returned_by_the_number_of_the_change() -> None:
    windows = lent(ANA, GUEST)
    windows.recall([], 4)
    windows.recall([], 5)
    assert len(windows) == 0
    assert windows.take_requests(2) == [pb.AdmitRequest(returned_all=5)]
    assert windows.take_requests(2) == []


def test_who_is_quiet_for_long_is_returned() -> None:
    windows = lent(ANA, GUEST)
    windows.use(ANA, 130.0)
    windows.use(ANA_ELSEWHERE, 131.0)
    windows.use(replace(GUEST, address="10.0.0.8"), 131.0)
    assert not windows.return_quiet(160.0)
    assert windows.return_quiet(160.1)
    assert windows.take_requests(2) == [pb.AdmitRequest(returned=[GUEST_KEY])]
    assert not windows.return_quiet(191.0)
    assert windows.return_quiet(191.1)
    assert windows.return_quiet(191.1)
    assert windows.take_requests(2) == [pb.AdmitRequest(returned=[ANA_KEY])]


def test_another_stream_begins_with_nothing() -> None:
    windows = lent(ANA, GUEST)
    windows.report(ANA, LIFE, 11, "", "a", 100.0)
    windows.recall([GUEST_KEY], 9)
    windows.forget()
    assert len(windows) == 0
    assert windows.take_requests(2) == []
