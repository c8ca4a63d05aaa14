"""What a child process must not share with its parent: locks that a thread of the parent may hold, sessions, dice."""

from __future__ import annotations

import os
import weakref


class Forkable:
    """Something that starts anew in a child process after `os.fork`."""

    def _after_fork(self) -> None:
        raise NotImplementedError

    def _watch_forks(self) -> None:
        _WATCHED[id(self)] = self


_WATCHED: "weakref.WeakValueDictionary[int, Forkable]" = weakref.WeakValueDictionary()


def _in_child() -> None:
    for watched in list(_WATCHED.values()):
        watched._after_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_in_child)
