"""What is done to whom, and for how long."""

from dataclasses import dataclass
from typing import Literal

Whom = Literal[
    "an edge",
    "rooms",
    "moderation",
    "the only NATS server",
    "the leader of three NATS servers",
    "PostgreSQL",
    "an edge and NATS",
    "an edge and rooms",
    "the disk of NATS",
]
Done = Literal["killed", "stopped", "killed, files deleted", "parted", "full, then NATS restarted"]


@dataclass(frozen=True, slots=True)
class Scenario:
    """`for_s`: how long the fault lasts, until the program is started again, goes on, or is reached again.

    `may_forget`: stored messages are lost by what is done. `outage_s`: for how long, at most, a sender may wait for an
    own copy, and a newcomer for `room_joined`.
    """

    whom: Whom
    done: Done
    for_s: float
    outage_s: float
    may_forget: bool = False

    @property
    def name(self) -> str:
        """As the table and the tests have it."""
        return f"{self.whom} {self.done}"


PATIENCE_S = 15.0
"""What everything may take besides the fault itself: silence is noticed in 6 s, a lease lasts 10 s."""

SCENARIOS = (
    Scenario("an edge", "killed", 5, PATIENCE_S),
    Scenario("rooms", "killed", 5, 5 + PATIENCE_S),
    Scenario("moderation", "killed", 5, 5 + PATIENCE_S),
    Scenario("the only NATS server", "killed", 5, 5 + PATIENCE_S),
    Scenario("the leader of three NATS servers", "killed", 5, PATIENCE_S + 10),
    Scenario("PostgreSQL", "killed", 5, 5 + PATIENCE_S),
    Scenario("an edge", "stopped", 20, PATIENCE_S),
    Scenario("rooms", "stopped", 20, 20 + PATIENCE_S),
    Scenario("moderation", "stopped", 20, 20 + PATIENCE_S),
    Scenario("the only NATS server", "stopped", 20, 20 + PATIENCE_S),
    Scenario("the leader of three NATS servers", "stopped", 20, PATIENCE_S + 10),
    Scenario("PostgreSQL", "stopped", 20, 20 + PATIENCE_S),
    Scenario("the only NATS server", "killed, files deleted", 5, 5 + PATIENCE_S, may_forget=True),
    Scenario("an edge and NATS", "parted", 20, 20 + PATIENCE_S),
    Scenario("an edge and rooms", "parted", 20, 20 + PATIENCE_S),
    Scenario("the disk of NATS", "full, then NATS restarted", 10, 10 + PATIENCE_S),
)
QUICK = ("an edge killed", "the only NATS server killed")
"""Those that `make test` runs."""
