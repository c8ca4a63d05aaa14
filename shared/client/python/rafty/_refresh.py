"""How old what a dictionary shows may be."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Union


class RefreshPolicy:
    """When a `DistributedDict` asks a member again before it answers a read. The first read always does."""

    def is_due(self, reads: int, age: float) -> bool:
        """Whether to ask now: `reads` were answered since a member was asked `age` seconds ago."""
        raise NotImplementedError


@dataclass(frozen=True)
class Always(RefreshPolicy):
    """Asks at every read."""

    def is_due(self, reads: int, age: float) -> bool:
        return True


@dataclass(frozen=True)
class Lock(RefreshPolicy):
    """Asks only when told to: by `refresh()`, or by another policy."""

    def is_due(self, reads: int, age: float) -> bool:
        return False


@dataclass(frozen=True)
class Count(RefreshPolicy):
    """Asks at every n-th read."""

    n: int

    def __post_init__(self) -> None:
        if self.n < 1:
            raise ValueError(f"n is at least 1, not {self.n}")

    def is_due(self, reads: int, age: float) -> bool:
        return reads >= self.n


@dataclass(frozen=True)
class Time(RefreshPolicy):
    """Asks at the first read after so long: a timedelta, or seconds."""

    delta: Union[timedelta, float]

    def __post_init__(self) -> None:
        if not self.seconds >= 0:
            raise ValueError(f"the time is not negative, as {self.delta} is")

    @property
    def seconds(self) -> float:
        """The time in seconds."""
        return self.delta.total_seconds() if isinstance(self.delta, timedelta) else self.delta

    def is_due(self, reads: int, age: float) -> bool:
        return age >= self.seconds
