"""The policies of all rooms as a replica knows them."""

from collections.abc import Callable, Iterable
from typing import NamedTuple

from moderation.domain.policy import NO_POLICY, Policy, RoomPolicy


class _Known(NamedTuple):
    version: int
    policy: Policy
    """What holds without the shield, and with it."""
    shielded: Policy
    shield_until_ms: int
    """0: there is none."""


class PolicyCache:
    """Of each slug the policy with the highest version, whichever way it came first. A slug whose policy asks for
    nothing costs no memory once that was read."""

    def __init__(self) -> None:
        self._asking: dict[str, _Known] = {}
        """Those that ask for anything, or did until their shield ended."""
        self._changed_here: dict[str, int] = {}
        """The versions of those that ask for nothing any more and were not read yet: nothing older holds."""
        self.on_change: Callable[[], None] = lambda: None
        """Called when another policy that asks for anything holds somewhere."""
        self.read_up_to = 0
        """Whatever was read from the database had at most this version, and nothing before it was left out."""

    def __len__(self) -> int:
        """Rooms whose policy asks for anything."""
        return len(self._asking)

    def find(self, slug: str, now_ms: int) -> Policy | None:
        """What holds there at that time, Unix milliseconds; None: nothing is asked for."""
        known = self._asking.get(slug)
        if known is None:
            return None
        if known.shield_until_ms > now_ms:
            return known.shielded
        if known.policy != NO_POLICY:
            return known.policy
        del self._asking[slug]  # its shield is over
        self._changed_here[slug] = known.version
        return None

    def is_shielded(self, slug: str, now_ms: int) -> bool:
        """Whether a shield lies over it at that time."""
        known = self._asking.get(slug)
        return known is not None and known.shield_until_ms > now_ms

    def apply(self, changed: RoomPolicy) -> None:
        """A policy was changed, now or earlier."""
        slug, version, policy = changed
        known = self._asking.get(slug)
        if version <= max(self.read_up_to, known.version if known else 0, self._changed_here.get(slug, 0)):
            return
        self._asking.pop(slug, None)
        self._changed_here.pop(slug, None)
        if policy == NO_POLICY:
            self._changed_here[slug] = version
        elif policy.shield is None:
            self._asking[slug] = _Known(version, policy, policy, 0)
        else:
            until_ms = policy.shield.until_ms
            self._asking[slug] = _Known(version, policy.in_force(until_ms), policy.in_force(until_ms - 1), until_ms)
        if policy != NO_POLICY:
            self.on_change()

    def read(self, changed: Iterable[RoomPolicy]) -> None:
        """The next ones that the database has after `read_up_to`, in the order of their versions."""
        for one in changed:
            self.apply(one)
            self.read_up_to = one.version
        if self._changed_here:
            unread = self._changed_here.items()
            self._changed_here = {slug: version for slug, version in unread if version > self.read_up_to}
