"""When comings and goings are told one by one, and when they are only counted."""

from dataclasses import dataclass


@dataclass(slots=True)
class Tally:
    """One room's connections while a batch changes them."""

    limit: int
    """Above it a room is crowded, until below 80 % of it again."""
    connection_count: int
    crowded: bool

    def arrive(self) -> bool:
        """Count a connection in; whether somebody whose first one it is gets announced."""
        self.connection_count += 1
        self._turn()
        return not self.crowded

    def depart(self, *, was_announced: bool) -> bool:
        """Count a connection out; whether somebody whose last one it was gets announced. Who was announced on coming
        always is."""
        self.connection_count -= 1
        self._turn()
        return was_announced or not self.crowded

    def _turn(self) -> None:
        if self.connection_count > self.limit:
            self.crowded = True
        elif self.connection_count * 5 < self.limit * 4:
            self.crowded = False
