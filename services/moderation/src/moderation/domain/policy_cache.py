"""The policies of all rooms as a replica knows them."""

from collections.abc import Iterable

from moderation.domain.policy import NO_POLICY, Policy, RoomPolicy


class PolicyCache:
    """Of each slug the policy with the highest version, whichever way it came first."""

    def __init__(self) -> None:
        self._policies: dict[str, RoomPolicy] = {}
        self._asking: dict[str, Policy] = {}
        """Those that ask for anything: what a message is judged by is looked up here."""
        self.read_up_to = 0
        """Whatever was read from the database had at most this version, and nothing before it was left out."""

    def __len__(self) -> int:
        """Rooms whose policy asks for anything."""
        return len(self._asking)

    def find(self, slug: str) -> Policy | None:
        """What holds there; None: nothing is asked for."""
        return self._asking.get(slug)

    def apply(self, changed: RoomPolicy) -> None:
        """A policy was changed, now or earlier."""
        slug, version, policy = changed
        known = self._policies.get(slug)
        if known is not None and known.version >= version:
            return
        self._policies[slug] = changed
        if policy == NO_POLICY:
            self._asking.pop(slug, None)
        else:
            self._asking[slug] = policy

    def read(self, changed: Iterable[RoomPolicy]) -> None:
        """The next ones that the database has after `read_up_to`, in the order of their versions."""
        for one in changed:
            self.apply(one)
            self.read_up_to = one.version
