"""How rooms above the presence limit write less often: the more members, the less."""

LARGE_ROOM_MEMBERS = 10_000
"""From here on it gets no less."""
SHORTEST_FLUSH_S = 0.025
TYPING_LIMIT = 2_000
"""Connections of a room above which nobody is shown typing."""
LONGEST_STATS_INTERVAL_S = 10.0
STATS_AT_ONCE = 10
"""So many room_stats may follow each other a second apart, after a time with few."""


def flush_s(members: int, longest_s: float) -> float:
    """How long frames to so many members of a worker are gathered; `longest_s`: to LARGE_ROOM_MEMBERS and more."""
    return min(longest_s, max(SHORTEST_FLUSH_S, longest_s * members / LARGE_ROOM_MEMBERS))


def shows_typing(connection_count: int) -> bool:
    """Whether anybody in a room of so many is shown typing."""
    return connection_count <= TYPING_LIMIT


def stats_interval_s(connection_count: int) -> float:
    """How far apart the room_stats of a room of so many are that never comes to rest."""
    return min(LONGEST_STATS_INTERVAL_S, max(1.0, connection_count * LONGEST_STATS_INTERVAL_S / LARGE_ROOM_MEMBERS))
