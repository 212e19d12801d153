"""How much of something is allowed in any window of time, and which messages were counted already."""

from collections import OrderedDict, deque

from ws_edge.protocol.identity import Life, Speaker

ADDRESSES_REMEMBERED = 10_000
HANDSHAKE_WINDOW_S = 1.0
NONCE_AGE_S = 110.0
"""For 120 s the stream finds duplicates: who repeats a message that is known here as admitted finds it there too."""
NONCES_LIMIT = 100_000


class SlidingWindow:
    """At most `limit` events in any `window_s` seconds, exactly, in memory for `limit` times. 0: no limit."""

    __slots__ = ("_times", "limit", "window_s")

    def __init__(self, limit: int, window_s: float) -> None:
        self.limit = limit
        self.window_s = window_s
        # An idle connection has several windows and needs none of them: an empty deque would take 600 bytes each.
        self._times: deque[float] | None = None

    def admit(self, now: float) -> bool:
        """Count an event if there is room for it; one that is refused does not count."""
        if self.is_full(now):
            return False
        self.record(now)
        return True

    def record(self, now: float) -> None:
        """Count an event that happened whether there was room for it or not."""
        if self._times is None:
            self._times = deque()
        self._times.append(now)
        if len(self._times) > self.limit:
            self._times.popleft()

    def take_back(self, at: float) -> None:
        """An event of that time does not count any more."""
        if self._times is not None and at in self._times:
            self._times.remove(at)

    def is_full(self, now: float) -> bool:
        """Whether an event at this moment would be one too many."""
        times = self._times
        if times is None:
            return False
        horizon = now - self.window_s
        while times and times[0] <= horizon:
            times.popleft()
        return len(times) >= self.limit > 0

    def is_idle(self, now: float) -> bool:
        """Whether nothing of the window is left to remember."""
        self.is_full(now)  # which drops what is over
        return not self._times

    def retry_after_s(self, now: float) -> float:
        """Seconds until there is room again; 0.0 where there is."""
        if self._times is None or not self.is_full(now):
            return 0.0
        # Where the limit was lowered, more than one has to go.
        return self._times[len(self._times) - self.limit] + self.window_s - now


class SlidingWindowLimiter:
    """A sliding window for each address: at most `limit` events in any `window_s` seconds. 0: no limit.

    Holds `most_addresses`; for one more, what is known of the one that was not heard of for longest is forgotten.
    """

    def __init__(self, limit: int, window_s: float, most_addresses: int = ADDRESSES_REMEMBERED) -> None:
        self.limit = limit
        self._window_s = window_s
        self._most_addresses = most_addresses
        # In the order of their last use.
        self._windows: dict[str, SlidingWindow] = {}

    def __len__(self) -> int:
        """Addresses in memory: those of the last window length, and what came with none since."""
        return len(self._windows)

    def admit_or_wait_s(self, address: str, now: float) -> float:
        """Count one event and return 0.0, or return in how many seconds there is room; that does not count."""
        if not self.limit:
            return 0.0
        window = self._windows.pop(address, None) or SlidingWindow(self.limit, self._window_s)
        self._windows[address] = window
        self._forget(now)
        wait_s = window.retry_after_s(now)
        if wait_s == 0.0:
            window.record(now)
        return wait_s

    def _forget(self, now: float) -> None:
        """Forget the oldest that are idle, or too many; never the address that is counted at this moment."""
        while len(self._windows) > 1:
            oldest = next(iter(self._windows))
            if len(self._windows) <= self._most_addresses and not self._windows[oldest].is_idle(now):
                return
            del self._windows[oldest]


class ConnectionLimits:
    """How many connections are open, in all and of one address, and how many handshakes an address makes in a second;
    0: no limit. Addresses are those of address_key."""

    __slots__ = ("_open", "_total", "handshakes", "in_all", "of_address")

    def __init__(self, *, in_all: int, of_address: int, handshakes: int) -> None:
        self.in_all = in_all
        self.of_address = of_address
        self.handshakes = SlidingWindowLimiter(handshakes, HANDSHAKE_WINDOW_S)
        self._open: dict[str, int] = {}
        self._total = 0

    def __len__(self) -> int:
        """Open connections."""
        return self._total

    def count_handshake(self, address: str, *, now_s: float) -> bool:
        """Count one handshake, whatever comes of it; before anything is done for it. False: one too many."""
        return self.handshakes.admit_or_wait_s(address, now_s) == 0.0

    def admit(self, address: str) -> bool:
        """Count one connection, which departs later. False: one too many, which is not counted."""
        of_address = self._open.get(address, 0)
        if 0 < self.in_all <= self._total or 0 < self.of_address <= of_address:
            return False
        self._open[address] = of_address + 1
        self._total += 1
        return True

    def departed(self, address: str) -> None:
        """One open connection less."""
        self._total -= 1
        left = self._open[address] - 1
        if left:
            self._open[address] = left
        else:
            del self._open[address]


class LocalLimiter:
    """The message limits as one edge can hold them alone, while moderation is away."""

    def __init__(self, messages_per_window: int, window_s: float, messages_per_address: int) -> None:
        self._limits = (messages_per_window, window_s, messages_per_address)
        self._speakers: dict[str, SlidingWindow] = {}
        self._addresses: dict[str, SlidingWindow] = {}
        self._sweep_at: float | None = None

    def __len__(self) -> int:
        """Windows in memory: at most those that were used within the last two window lengths."""
        return len(self._speakers) + len(self._addresses)

    def configure(self, messages_per_window: int, window_s: float, messages_per_address: int) -> None:
        """Follow the limits as moderation last sent them; what was counted stays counted."""
        if (messages_per_window, window_s, messages_per_address) == self._limits:
            return
        self._limits = (messages_per_window, window_s, messages_per_address)
        for window in self._speakers.values():
            window.limit, window.window_s = messages_per_window, window_s
        for window in self._addresses.values():
            window.limit, window.window_s = messages_per_address, window_s

    def admit_or_wait_ms(self, speaker: Speaker, now: float) -> int:
        """Count one message and return 0, or return in how many milliseconds there is room; that does not count."""
        self._sweep(now)
        wait_s, windows = 0.0, self._windows(speaker)
        for window in windows:
            wait_s = max(wait_s, window.retry_after_s(now))
        if wait_s > 0.0:
            return max(1, -int(-wait_s * 1000 // 1))
        for window in windows:
            window.record(now)
        return 0

    def record(self, speaker: Speaker, now: float) -> None:
        """Count a message that moderation admitted, so that the window is right when moderation goes away."""
        self._sweep(now)
        for window in self._windows(speaker):
            window.record(now)

    def release(self, speaker: Speaker, at_s: float) -> None:
        """A message that was counted at that time was not stored, or was refused afterwards."""
        for window in self._windows(speaker):
            window.take_back(at_s)

    def _windows(self, speaker: Speaker) -> list[SlidingWindow]:
        """A user's window, or an anonymous connection's with the one that it shares with its address."""
        messages_per_window, window_s, messages_per_address = self._limits
        windows = [_window(self._speakers, speaker.key, messages_per_window, window_s)]
        if speaker.identity.user_id is None:
            windows.append(_window(self._addresses, speaker.address, messages_per_address, window_s))
        return windows

    def _sweep(self, now: float) -> None:
        """Forget the idle once a window length: the cost is that of the messages since."""
        if self._sweep_at is None:
            self._sweep_at = now + self._limits[1]
        if now < self._sweep_at:
            return
        self._sweep_at = now + self._limits[1]
        self._speakers = {key: window for key, window in self._speakers.items() if not window.is_idle(now)}
        self._addresses = {key: window for key, window in self._addresses.items() if not window.is_idle(now)}


def _window(windows: dict[str, SlidingWindow], key: str, limit: int, window_s: float) -> SlidingWindow:
    window = windows.get(key)
    if window is None:
        window = windows[key] = SlidingWindow(limit, window_s)
    return window


class AdmittedNonces:
    """Bounded twice, by age and by number: the oldest are forgotten first. The nonces of a participant are its own in
    each life of a room. With another text it is another message: what it says was never judged."""

    __slots__ = ("_admitted",)

    def __init__(self) -> None:
        self._admitted: OrderedDict[tuple[str, Life, str], tuple[float, int]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._admitted)

    def note(self, key: str, life: Life, nonce: str, text: str, now: float) -> None:
        """Remember a message that was admitted; a repeat does not make it younger."""
        if self.knows(key, life, nonce, text, now):
            return
        self._admitted[key, life, nonce] = now, hash(text)
        self._admitted.move_to_end((key, life, nonce))
        if len(self._admitted) > NONCES_LIMIT:
            self._admitted.popitem(last=False)

    def has(self, key: str, life: Life, nonce: str, now: float) -> bool:
        """Whether any message with that nonce was admitted within NONCE_AGE_S."""
        self._age(now)
        return (key, life, nonce) in self._admitted

    def forget(self, key: str, life: Life, nonce: str) -> None:
        """That message was not stored: sent again it is a new one."""
        self._admitted.pop((key, life, nonce), None)

    def knows(self, key: str, life: Life, nonce: str, text: str, now: float) -> bool:
        """Whether this was admitted within NONCE_AGE_S."""
        self._age(now)
        return self._admitted.get((key, life, nonce), (0.0, None))[1] == hash(text)

    def _age(self, now: float) -> None:
        horizon = now - NONCE_AGE_S
        while self._admitted and next(iter(self._admitted.values()))[0] <= horizon:
            self._admitted.popitem(last=False)
