"""The replicated dictionary as if it were here."""

from __future__ import annotations

import threading
import time
from collections.abc import ItemsView, Iterator, MutableMapping, ValuesView
from typing import Any, Dict, Iterable, List, Optional, Union

import msgpack  # type: ignore[import-untyped]

from ._client import ClusterClient, Session
from ._course import Address, Limits
from ._errors import RaftyError
from ._exchange import unpack
from ._refresh import Always, RefreshPolicy

_MAX_KEY_LEN = 1_024
_MAX_VALUE_LEN = 1_024 * 1_024


class DistributedDict(MutableMapping[str, Any]):
    """The dictionary of a peer set: keys are str, values whatever MessagePack can say.

    Reads go to a copy, which is renewed as the refresh policy says; changes go to the peer set, each in a session
    unless told otherwise, and into the copy once they count. Every read gives a value of its own: changing a list that
    was read changes nothing else. Threads may share it. `dict(d)` reads every key on its own; `d.copy()` reads once.
    """

    def __init__(
        self,
        addresses: Union[str, Iterable[Union[str, Address]], ClusterClient],
        *,
        refresh_policy: Optional[RefreshPolicy] = None,
        sessions: bool = True,
        limits: Optional[Limits] = None,
        token: Optional[str] = None,
    ) -> None:
        """The dictionary of the peer set with these members, each as `"HOST:PORT"` or as a pair; or a client of it.

        A token, as `rafty client create` printed it, reaches members of other machines. Nothing is asked yet. Raises
        ValueError when an address or the token is none, or when there is no address.
        """
        if isinstance(addresses, ClusterClient):
            self.client = addresses
        else:
            self.client = ClusterClient(addresses, limits=limits, token=token)
        self.refresh_policy = refresh_policy or Always()
        self._session = Session() if sessions else None
        self._lock = threading.RLock()
        self._entries: Dict[str, bytes] = {}
        self._asked: Optional[float] = None
        """When a member was asked last, by the monotonic clock."""
        self._reads = 0
        """How often the answer was read since."""

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
        with self._lock:
            state = self.client.get_raw_state()
            del state["cluster"]
            self._entries, self._asked, self._reads = state, time.monotonic(), 0

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

    def clear(self) -> None:
        """Removes every entry that is there now, one after the other."""
        for key in self:
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
