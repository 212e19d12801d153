"""Who erases whom, and what is told of it."""

import pytest

from moderation.api.grpc.convert import order_from_proto
from moderation.domain.audit import AuditRecord
from moderation.domain.commands import is_repeated
from moderation.domain.erasures import ErasureKind, LogRef, Origin
from moderation.domain.last_seen import LastSeen, LastSeenBuffer
from moderation.domain.people import Moderator, Rank, Target
from moderation.domain.rights import may_erase_user
from moderation.domain.rule_hits import HitBuffer, RuleHit
from moderation.domain.rules import RuleAction
from moderation.domain.user_erasures import EraseUserCommand, EraseUserOrder
from moderation.domain.visits import Visit, VisitBuffer
from moderation.errors import MalformedRequest
from salon.moderation.v1 import moderation_pb2 as pb

ADMIN = Moderator(9, Rank.ADMIN)
LOG = LogRef(0, 3, 4)


@pytest.mark.parametrize(
    ("moderator", "user_id", "rank", "is_permitted"),
    [
        (ADMIN, 7, None, True),
        (ADMIN, 7, Rank.MODERATOR, True),
        (ADMIN, 7, Rank.ADMIN, False),
        (ADMIN, 9, None, False),
        (Moderator(9, Rank.MODERATOR), 7, None, False),
        (Moderator(0, Rank.ADMIN), 7, None, False),
    ],
)
def test_admins_erase_whom_they_may_act_on(
    moderator: Moderator, user_id: int, rank: Rank | None, *, is_permitted: bool
) -> None:
    assert may_erase_user(EraseUserCommand(moderator, user_id, "", target_rank=rank)) is is_permitted


def test_what_is_taken_back_is_told_by_the_number_and_not_by_the_name() -> None:
    ((command, erasure),) = EraseUserCommand(ADMIN, 7, "Asked", (("live", LOG),)).purges()
    assert (command.kind, command.slug, command.target) == (ErasureKind.PURGE, "live", Target(7, ""))
    assert (erasure.log, erasure.author, erasure.username) == (LOG, Target(7, ""), "user_7")


def test_the_command_crosses_the_wire() -> None:
    room = pb.EraseUser.Room(slug="live", log=pb.LogRef(partition=0, room_id=3, life=4))
    actor = pb.Speaker(user_id=9, username="admin", rank=pb.RANK_ADMIN)
    request = pb.ExecuteRequest(
        actor=actor,
        reason="Asked",
        nonce="n",
        target_rank=pb.RANK_USER,
        erase_user=pb.EraseUser(user_id=7, rooms=[room]),
    )
    command = EraseUserCommand(ADMIN, 7, "Asked", (("live", LOG),), Rank.USER)
    assert order_from_proto(request) == EraseUserOrder(command, Origin("", 0, "n"))
    for wrong in (
        pb.EraseUser(),
        pb.EraseUser(user_id=7, rooms=[room] * 101),
        pb.EraseUser(user_id=7, rooms=[pb.EraseUser.Room()]),
    ):
        with pytest.raises(MalformedRequest):
            order_from_proto(pb.ExecuteRequest(actor=actor, erase_user=wrong))


def test_a_nonce_that_is_sent_again_is_the_same_command_where_it_erases_the_same_user() -> None:
    row = AuditRecord(3, 40, 7, "", 9, 4, 0, 2, "", "", 1)
    assert is_repeated(EraseUserOrder(EraseUserCommand(ADMIN, 7, "")), row)
    assert not is_repeated(EraseUserOrder(EraseUserCommand(ADMIN, 8, "")), row)


def test_what_waits_of_them_in_memory_is_not_written_any_more() -> None:
    buffer = LastSeenBuffer()
    for user_id in (7, 8):
        buffer.put(LastSeen(user_id, "", "live", "10.0.0.1"), 5)
    buffer.forget(7)
    assert buffer.take(9) == {LastSeen(8, "", "live", "10.0.0.1"): 5}
    visits = VisitBuffer()
    for user_id in (7, 8):
        visits.put(Visit(user_id, "live", "x"), 5)
    visits.forget(7)
    assert visits.take(9) == {Visit(8, "live", "x"): (5, 5)}
    hits = HitBuffer()
    for user_id in (7, 8):
        hits.note(RuleHit(1, "live", 5, user_id, "x", "text", "", RuleAction.FLAG, acted=False))
    hits.forget(7)
    assert len(hits) == 1
    batch = hits.take(9)
    assert batch is not None
    assert ([hit.user_id for hit in batch.sample], batch.counts[1].hits) == ([8], 2)
