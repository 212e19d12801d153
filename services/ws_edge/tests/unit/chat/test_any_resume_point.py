"""Whatever a client says of where it left the log, it is let in, and told what it is given."""

from edge_world import World
from hypothesis import HealthCheck, given, settings, strategies as st

from ws_edge.protocol.references import parse_resume_point

PROOF = settings(
    max_examples=60, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck)
)
_ids = st.integers(-1, 12).map(str) | st.sampled_from(["", "00", "9007199254740991", "9007199254740992", "1e3", "٣"])
_epochs = st.sampled_from(["right", "right", "right", "", "0.0"]) | st.text(max_size=8)


@given(_ids | st.text(max_size=6), _epochs)
@PROOF
async def test_who_comes_back_is_given_all_that_follows_or_nothing(world: World, since: str, epoch: str) -> None:
    ana = await world.arrive(token="1")
    await world.settle()
    right = ana.frames[0]["data"]
    assert isinstance(right, dict)
    if not right["last_id"]:
        for number in range(8):
            ana.say(f"message {number}")
            await world.settle()
    point = parse_resume_point(since, str(right["epoch"]) if epoch == "right" else epoch)
    ben = await world.arrive(token="2", resume=point)
    await world.settle()
    first, *missed = ben.frames
    data = first["data"]
    assert isinstance(data, dict)
    assert (first["type"], type(data["recovered"])) == ("room_joined", bool)
    ids = [frame["data"]["id"] for frame in missed if frame["type"] == "chat_message"]  # type: ignore[index] # JSON
    if data["recovered"]:
        assert ids == list(range(int(since) + 1, 9))
        assert point.epoch == right["epoch"]
    else:
        assert ids == []
    ben.hang_up()
    if right["last_id"]:  # the first one stays, so that the room does
        ana.hang_up()
    await world.settle()
