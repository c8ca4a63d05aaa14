"""Whom a client knows, and in which order it asks them."""

from __future__ import annotations

import ipaddress
from random import Random
from typing import Dict, Iterable, List, Optional, Tuple, Union

from ._course import Address

_MAX_MEMBERS = 256
"""Most members that are believed to be; a peer set has far fewer."""
_SUSPECT_FOR = 10.0
"""For how many seconds a member that did not answer is asked last."""


def parse(address: Union[str, Tuple[str, int]]) -> Address:
    """Reads `"HOST:PORT"`, where an IPv6 host stands in brackets, or a pair."""
    if isinstance(address, str):
        host, _, digits = address.rpartition(":")
        bracketed = host.startswith("[") and host.endswith("]")
        if bracketed:
            host = host[1:-1]
        port = int(digits) if digits.isascii() and digits.isdigit() else 0
        good = bracketed or ":" not in host
    else:
        host, port = address
        good = isinstance(host, str) and isinstance(port, int)
    if not (good and host and 0 < port < 65536):
        raise ValueError(f"{address!r} is not the address of a member; write HOST:PORT")
    return host, port


class Members:
    """The addresses a client was given, those a member told it, and what it found out about them."""

    def __init__(self, given: Iterable[Address]) -> None:
        self._given = list(given)
        self.told = list(self._given)
        self._leader: Optional[Address] = None
        self._suspects: Dict[Address, float] = {}

    def learn(self, cluster: List[Address]) -> None:
        """A member told who all are. Nobody at all is not believed."""
        if cluster:
            self.told = cluster[:_MAX_MEMBERS]
            known = {*self.told, *self._given}
            self._suspects = {who: since for who, since in self._suspects.items() if who in known}

    def answered(self, member: Address, answered: bool, now: float) -> None:
        """A member answered, or did not."""
        if answered:
            self._suspects.pop(member, None)
        elif member in self.told or member in self._given:
            self._suspects[member] = now
        if not answered and self._leader == member:
            self._leader = None

    def leads(self, leader: Optional[Address]) -> None:
        """Who answered a change, or was said to lead."""
        self._leader = leader

    def order(self, for_leader: bool, token: bool, now: float, random: Random) -> List[Address]:
        """Everybody once, at random: who was told, then who was given and not told, then who lately did not answer.

        A request that only the leader can do goes to the last known one first. Without a token members answer on their
        own machine only, so other addresses come last.
        """
        everybody = list(dict.fromkeys([*self.told, *self._given]))
        random.shuffle(everybody)

        def rank(member: Address) -> int:
            if not token and _is_elsewhere(member):
                return 3
            if now - self._suspects.get(member, float("-inf")) < _SUSPECT_FOR:
                return 2
            return 0 if member in self.told else 1

        everybody.sort(key=rank)
        first = [self._leader] if for_leader and self._leader is not None else []
        return list(dict.fromkeys([*first, *everybody]))


def _is_elsewhere(member: Address) -> bool:
    """Whether it is certainly no address of this machine's own."""
    try:
        return not ipaddress.ip_address(member[0]).is_loopback
    except ValueError:
        return False
