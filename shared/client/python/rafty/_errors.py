"""What can go wrong, and whether anything was changed."""

from __future__ import annotations


class RaftyError(Exception):
    """A request was not answered as asked."""


class Unreachable(RaftyError, ConnectionError):
    """No member answered. Nothing was changed; check the addresses, and that members run."""


class NoLeader(RaftyError):
    """Members answered, but none leads. Nothing was changed; try again when most voters run."""


class NoQuorum(NoLeader):
    """No quorum reachable: no member could confirm a read. Try again when most voters run, or ask for a stale read."""


class UnknownOutcome(RaftyError):
    """The change was sent, and what became of it is not known. Read before you repeat it."""


class Refused(RaftyError):
    """A member understood, and will not. Nothing was changed.

    `code` says why as a word for programs, `detail` for people.
    """

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(code, detail)
        self.code = code
        self.detail = detail

    def __str__(self) -> str:
        return f"{self.code}: {self.detail}"
