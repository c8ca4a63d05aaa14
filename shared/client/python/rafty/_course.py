"""How often a request is tried, and how long it pauses in between: bounded, whatever members answer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import List, Optional, Tuple

Address = Tuple[str, int]

_MAX_HOPS = 3
"""Redirects followed at once; the next one waits like a failure, since members may point at each other."""


@dataclass(frozen=True)
class Limits:
    """Bounds of one request; times are in seconds."""

    patience: float = 30.0
    """How long it may take altogether."""
    tries: int = 16
    """How often it is sent, at most."""
    connect_within: float = 2.0
    """How long a member may take to accept a connection."""
    answer_within: float = 8.0
    """How long a member may take to answer. It is asked to wait for a leader half as long.

    Reads ask everybody once in a hurry before: a quarter of this for the first byte, a sixteenth for a leader.
    """
    first_pause: float = 0.025
    """The pause behind the first failure; it doubles with each further one."""
    longest_pause: float = 2.0
    """The longest pause."""

    def pause(self, failures: int, random: float) -> float:
        """The pause behind so many failures, at least one: between half and the whole of what has doubled.

        `random` is in 0..1; it keeps clients that failed together from coming back together.
        """
        doubled = self.first_pause * 2.0 ** min(failures - 1, 64)
        return min(doubled, self.longest_pause) * (0.5 + 0.5 * random)


class Course:
    """One request's way from member to member."""

    def __init__(self, limits: Limits, order: List[Address]) -> None:
        self._limits = limits
        self._order = order
        self._asked = 0
        self._shown: Optional[Address] = None
        self._hops = 0
        self._failures = 0
        # Nobody is left out, however few tries were meant.
        self._tries_left = max(limits.tries, len(order))

    def next(self) -> Optional[Address]:
        """Whom to ask now; none when it was tried often enough."""
        if self._tries_left <= 0 or not self._order:
            return None
        self._tries_left -= 1
        shown, self._shown = self._shown, None
        if shown is not None:
            return shown
        self._asked += 1
        return self._order[(self._asked - 1) % len(self._order)]

    @property
    def is_first_round(self) -> bool:
        """Whether nobody is asked a second time yet, and somebody else could be asked."""
        return 1 < len(self._order) >= self._asked

    def redirected(self, leader: Address, random: float) -> float:
        """A member said who leads. Gives the pause before that one is asked."""
        self._shown = leader
        self._hops += 1
        return 0.0 if self._hops <= _MAX_HOPS else self.failed(random)

    def failed(self, random: float) -> float:
        """A member did not answer, or could not. Gives the pause before the next one is asked."""
        self._hops = 0
        self._failures += 1
        return self._limits.pause(self._failures, random)
