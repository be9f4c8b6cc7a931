# SPDX-License-Identifier: Apache-2.0
"""When the messages of a bag are due; arithmetic alone."""

from __future__ import annotations

from dataclasses import dataclass

SLACK_SECONDS = 0.02
"""How late a message may be before all later ones are put off, so that they do not come in a bunch."""


@dataclass
class Schedule:
    """Maps the bag's time in ns to the seconds of a monotonic clock, `rate` times as fast; both begin with `begin`."""

    origin_ns: int
    rate: float
    start: float = 0.0
    late: float = 0.0
    """Seconds by which the latest message was late."""
    slip: float = 0.0
    """Seconds by which messages were put off in all."""

    def begin(self, now: float) -> None:
        """The bag's origin is due now."""
        self.start = now

    def due(self, receive_ns: int) -> float:
        """When a message is due; at once if it is from before the origin."""
        return self.start + max(0, receive_ns - self.origin_ns) / 1e9 / self.rate

    def bag_ns(self, now: float) -> int:
        """The bag's time."""
        return self.origin_ns + round((now - self.start) * self.rate * 1e9)

    def sent(self, due: float, now: float) -> None:
        """A message that was due is on its way; if it is much too late, all that follow keep their distance to it."""
        late = now - due
        self.late = max(self.late, late)
        if late > SLACK_SECONDS:
            self.start += late
            self.slip += late

    def again(self, length_ns: float) -> None:
        """The origin is due again, `length_ns` of the bag after it was due the last time."""
        self.start += length_ns / 1e9 / self.rate
