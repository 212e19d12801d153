"""The ids of entries, and what makes two messages the same one."""

import pytest

from ws_edge.protocol.identity import Identity, Life, MessageId, Rank, Speaker, UserId
from ws_edge.protocol.log import PARTITIONS, entry_id, message_key, sequence_of


@pytest.mark.parametrize(("sequence", "partition", "number"), [(1, 0, 256), (2, 3, 515), (0, 3, 0), (7, 255, 2047)])
def test_an_id_is_the_sequence_times_256_and_the_partition_and_0_for_none(
    sequence: int, partition: int, number: int
) -> None:
    assert entry_id(sequence, partition) == number
    assert sequence_of(MessageId(number)) == sequence


def test_ids_stay_below_what_a_json_number_holds_until_2081() -> None:
    new_year_2081_s = 3_502_828_800
    assert entry_id(new_year_2081_s * 10_000, PARTITIONS - 1) < 2**53


def test_a_key_differs_by_user_life_and_nonce_and_not_by_the_connection_of_a_user() -> None:
    def speaker(user_id: int | None, connection: str) -> Speaker:
        user = None if user_id is None else UserId(user_id)
        return Speaker(Identity(user, "ana", None, (), Rank.USER, None), "10.0.0.1", connection)

    one, edge = speaker(5, "e:1"), "e" * 32
    keys = {
        message_key(one, Life(1), "n"),
        message_key(one, Life(2), "n"),
        message_key(one, Life(1), "m"),
        message_key(speaker(6, "e:1"), Life(1), "n"),
        message_key(speaker(None, f"{edge}:1"), Life(1), "n"),
        message_key(speaker(None, f"{edge}:2"), Life(1), "n"),
    }
    assert len(keys) == 6
    assert message_key(speaker(5, "e:2"), Life(1), "n") == message_key(one, Life(1), "n")
    assert all(len(key) == 32 for key in keys)
