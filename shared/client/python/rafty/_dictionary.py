"""The replicated dictionary as if it were here."""

from __future__ import annotations

import threading
import time
from collections.abc import ItemsView, Iterator, MutableMapping, ValuesView
from typing import Any, Dict, Iterable, List, Optional, Tuple, Union

import msgpack  # type: ignore[import-untyped]

from ._client import ClusterClient, Session
from ._fork import Forkable
from ._course import Address, Limits
from ._errors import RaftyError
from ._exchange import unpack
from ._refresh import Always, RefreshPolicy

_MAX_KEY_LEN = 1_024
_MAX_VALUE_LEN = 1_024 * 1_024


class DistributedDict(MutableMapping[str, Any], Forkable):
    """The dictionary of a peer set: keys are str, values whatever MessagePack can say.

    Reads go to a copy, which is renewed as the refresh policy says; changes go to the peer set, each in a session
    unless told otherwise, and into the copy once they count. Every read gives a value of its own: changing a list that
    was read changes nothing else. Reads of a member are linearizable, or raise NoQuorum, unless `stale` is set. `pop`,
    `popitem`, `setdefault` and `clear` always ask a member, linearizably. Threads may share it, and so may processes after
    a fork: each has a session of its own. `dict(d)` reads every key on its own; `d.copy()` reads once.
    """

    def __init__(
        self,
        addresses: Union[str, Iterable[Union[str, Address]], ClusterClient],
        *,
        refresh_policy: Optional[RefreshPolicy] = None,
        sessions: bool = True,
        limits: Optional[Limits] = None,
        token: Optional[str] = None,
        stale: bool = False,
    ) -> None:
        """The dictionary of the peer set with these members, each as `"HOST:PORT"` or as a pair; or a client of it.

        A token, as `rafty client create` printed it, reaches members of other machines. With `stale` any member
        may answer a read at once with what it has, with or without a leader. Nothing is asked yet. Raises ValueError
        when an address or the token is none, or when there is no address.
        """
        if isinstance(addresses, ClusterClient):
            self.client = addresses
        else:
            self.client = ClusterClient(addresses, limits=limits, token=token)
        self.refresh_policy = refresh_policy or Always()
        self._session = Session() if sessions else None
        self._stale_reads = stale
        self._is_stale = False
        self._after_fork()
        self._watch_forks()
        self._entries: Dict[str, bytes] = {}
        self._asked: Optional[float] = None
        """When a member was asked last, by the monotonic clock."""
        self._reads = 0
        """How often the answer was read since."""

    def _after_fork(self) -> None:
        self._lock = threading.RLock()

    @property
    def stale(self) -> bool:
        """Whether the copy was read without a leader's word that it is the newest; only with `stale=True`."""
        return self._is_stale

    @property
    def refresh_policy(self) -> RefreshPolicy:
        """When reads ask a member; can be set at any time."""
        return self._policy

    @refresh_policy.setter
    def refresh_policy(self, policy: RefreshPolicy) -> None:
        if not isinstance(policy, RefreshPolicy):
            raise TypeError(f"{policy!r} is no refresh policy; take Always(), Lock(), Count(n) or Time(delta)")
        self._policy = policy
        self._reads = 0

    @property
    def cluster(self) -> List[Address]:
        """Where the members are, as last told."""
        return self.client.members

    def refresh(self) -> None:
        """Asks a member now, whatever the policy says."""
        self._refresh("stale" if self._stale_reads else "linearizable")

    def raw(self, key: str) -> bytes:
        """The exact bytes of a value: one MessagePack value. Raises KeyError when there is none."""
        with self._lock:
            return self._read()[key]

    def copy(self) -> Dict[str, Any]:
        """All entries as they are at one moment."""
        with self._lock:
            return {key: unpack(value) for key, value in self._read().items()}

    def __getitem__(self, key: str) -> Any:
        return unpack(self.raw(key))

    def __contains__(self, key: object) -> bool:
        with self._lock:
            return key in self._read()

    def __len__(self) -> int:
        with self._lock:
            return len(self._read())

    def __iter__(self) -> Iterator[str]:
        with self._lock:
            return iter(list(self._read()))

    def items(self) -> ItemsView[str, Any]:
        """All entries as they are at one moment."""
        return self.copy().items()

    def values(self) -> ValuesView[Any]:
        """All values as they are at one moment."""
        return self.copy().values()

    def __setitem__(self, key: str, value: Any) -> None:
        """Sets a value. When this returns it is on the disks of a majority.

        Raises TypeError or ValueError when key or value cannot be written; nothing was changed then.
        """
        _check_key(key)
        packed: bytes = msgpack.packb(value)
        if len(packed) > _MAX_VALUE_LEN:
            raise ValueError(f"a value takes at most {_MAX_VALUE_LEN} bytes; nothing was changed")
        with self._lock:
            self.client.append_log({"action": "change", "key": key, "value": value}, self._session)
            if self._asked is not None:
                self._entries[key] = packed

    def __delitem__(self, key: str) -> None:
        """Removes an entry. Raises KeyError when there was none."""
        if not isinstance(key, str):
            raise KeyError(key)
        _check_key(key)
        with self._lock:
            found = self.client.append_log({"action": "delete", "key": key}, self._session)
            self._entries.pop(key, None)
        if not found:
            raise KeyError(key)

    def pop(self, key: str, *default: Any) -> Any:
        """Removes an entry and gives its newest value; without one the default, or KeyError."""
        if len(default) > 1:
            raise TypeError("pop takes a key and at most one default")
        with self._lock:
            newest = self._newest()
            if key in newest:
                value = unpack(newest[key])
                try:
                    del self[key]
                    return value
                except KeyError:  # somebody else removed it
                    pass
        if default:
            return default[0]
        raise KeyError(key)

    def popitem(self) -> Tuple[str, Any]:
        """Removes some entry and gives it. Raises KeyError when there is none."""
        with self._lock:
            for key in list(self._newest()):
                value = unpack(self._entries[key])
                try:
                    del self[key]
                    return key, value
                except KeyError:  # somebody else removed it
                    pass
        raise KeyError("the dictionary is empty")

    def setdefault(self, key: str, default: Any = None) -> Any:
        """The newest value of a key, which is set first when there is none."""
        with self._lock:
            newest = self._newest()
            if key in newest:
                return unpack(newest[key])
            self[key] = default
        return default

    def clear(self) -> None:
        """Removes every entry that is there now, one after the other."""
        with self._lock:
            keys = list(self._newest())
        for key in keys:
            try:
                del self[key]
            except KeyError:  # somebody else removed it
                pass

    def __repr__(self) -> str:
        """The entries; as they were last read, when no member answers."""
        try:
            entries = self.copy()
        except RaftyError:
            entries = {key: unpack(value) for key, value in self._entries.items()}
        return f"{type(self).__name__}({entries!r})"

    def _newest(self) -> Dict[str, bytes]:
        """What a change is decided by: a copy would lose what others changed meanwhile."""
        self._refresh("linearizable")
        return self._entries

    def _refresh(self, consistency: str) -> None:
        with self._lock:
            entries, _, stale = self.client.read_state(consistency)
            self._entries, self._is_stale = entries, stale
            self._asked, self._reads = time.monotonic(), 0

    def _read(self) -> Dict[str, bytes]:
        if self._asked is None or self._policy.is_due(self._reads, time.monotonic() - self._asked):
            self.refresh()
        self._reads += 1
        return self._entries


def _check_key(key: object) -> None:
    if not isinstance(key, str):
        raise TypeError(f"a key is a str, not {type(key).__name__}; nothing was changed")
    if key == "cluster":
        raise ValueError("the key 'cluster' lists the members; nothing was changed; choose another key")
    if len(key.encode()) > _MAX_KEY_LEN:
        raise ValueError(f"a key takes at most {_MAX_KEY_LEN} bytes; nothing was changed")
