"""Awake clock: a clock for time-outs that stops while its process is stopped.

After Ctrl-Z and fg, or on a machine that slept, `time.monotonic` has advanced by hours:
the candidate that was being evaluated would have timed out.
"""

import functools
import threading
import time

# Seconds between two looks at the clock, and how many of them count at most: after a
# longer pause the process was stopped.
_TICK, _LONGEST = 1.0, 5.0


class AwakeClock:
    """Counts the seconds that this process ran."""

    def __init__(self, tick: float = _TICK, longest: float = _LONGEST) -> None:
        """Start at 0.

        Args:
          tick: seconds between the looks of a thread at the clock.
          longest: seconds that count at most between two looks.
        """
        self._tick, self._longest = tick, longest
        self._lock = threading.Lock()
        self._last, self._total = time.monotonic(), 0.0
        threading.Thread(target=self._look, name="clock", daemon=True).start()

    def seconds(self) -> float:
        """Return how long this process has been awake since the clock was made."""
        with self._lock:
            now = time.monotonic()
            self._total += min(now - self._last, self._longest)
            self._last = now
            return self._total

    def _look(self) -> None:
        while True:
            time.sleep(self._tick)
            self.seconds()


@functools.cache
def _clock() -> AwakeClock:
    return AwakeClock()


def seconds() -> float:
    """Read the clock of this process; only differences mean anything."""
    return _clock().seconds()
