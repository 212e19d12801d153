"""Tokens that were revoked, as an edge knows them: it refuses them and never revokes any."""

from typing import NamedTuple, TypeAlias

from ws_edge.protocol.identity import Identity, UserId

LONGEST_JTI = 128
"""Characters. A token with a longer one can be revoked with all of its user alone."""
Key: TypeAlias = UserId | str
"""Whose tokens, or which one."""


class Revocation(NamedTuple):
    """One token, or what tokens a user had before a time."""

    user_id: UserId | None
    """None: it is of one token."""
    jti: str
    """Of one token."""
    before_s: float
    """Of a user: tokens issued before then, and those that do not say when. Unix seconds, as below."""
    until_s: float
    """Whatever it means has expired by then."""
    version: int
    """Rises with each; whoever reads on from one misses none."""


class RevokedTokens:
    """All that are revoked. A token is looked up in memory."""

    __slots__ = ("_tokens", "_users")

    def __init__(self) -> None:
        self._users: dict[UserId, tuple[float, float]] = {}
        """Before and until when."""
        self._tokens: dict[str, float] = {}
        """Until when."""

    def __len__(self) -> int:
        return len(self._users) + len(self._tokens)

    def apply(self, revocation: Revocation) -> bool:
        """Something was revoked, now or earlier, in whatever order it is heard; False: it was known."""
        user_id, jti, before_s, until_s, _ = revocation
        if user_id is None:
            is_new = jti not in self._tokens
            self._tokens[jti] = max(until_s, self._tokens.get(jti, 0.0))
            return is_new
        known_before_s, known_until_s = self._users.get(user_id, (0.0, 0.0))
        self._users[user_id] = (max(before_s, known_before_s), max(until_s, known_until_s))
        return before_s > known_before_s

    def includes(self, identity: Identity) -> bool:
        """Whether the token that said this of its bearer is revoked. A token that does not say when it was issued
        counts as older than any time."""
        if identity.jti is not None and identity.jti in self._tokens:
            return True
        if identity.user_id is None or (known := self._users.get(identity.user_id)) is None:
            return False
        return identity.issued_at_s is None or identity.issued_at_s < known[0]

    def listed(self) -> list[Key]:
        """All of them, for drop_ended."""
        return [*self._users, *self._tokens]

    def drop_ended(self, key: Key, *, now_s: float) -> None:
        """Let go of one that means no token any more which has not expired; `now_s` in Unix seconds."""
        if isinstance(key, str):
            if self._tokens.get(key, now_s) < now_s:
                del self._tokens[key]
        elif self._users.get(key, (0.0, now_s))[1] < now_s:
            del self._users[key]
