"""Any request to any member, until it is answered or was tried often enough."""

from __future__ import annotations

import threading
import time
from random import Random
from typing import Any, Dict, Iterable, List, Mapping, NamedTuple, Optional, Tuple, Union

import msgpack  # type: ignore[import-untyped]

from ._course import Address, Course, Limits
from ._errors import NoLeader, NoQuorum, RaftyError, Refused, UnknownOutcome, Unreachable
from ._exchange import NoReply, NotSent, exchange, unpack
from ._fork import Forkable
from ._members import Members, parse
from ._secure import RefusedBefore, Secure
from ._verdict import Kind, Verdict, cluster_of, entries_of, failed, judge

_CHANGES = ("append", "config")
"""What leaves a doubt when no answer comes."""
_FOR_LEADER = (*_CHANGES, "session")
"""What only the leader does."""
_READS = ("get", "query")
_NO_LEADER = "no_leader"
"""A member's word for hearing no leader."""
_FORGETFUL = ("unknown_session", "forgotten_serial", "unauthorized")
"""Refusals that say nothing about a try before: the session that knew is gone, or the token is."""
_BEGUN_ANEW = ("unknown_session", "serial_reused")
"""Refusals after which a change that certainly does not count is begun anew in another session: this one is gone, or
somebody else gave the serial to a change of its own."""
_MAX_SESSIONS = 3
"""How often a change is begun anew because its session is not known any more."""
_MAX_TIMEOUT_MS = 60_000
"""Longest time that a member waits for a leader."""


class State(NamedTuple):
    """Everything that a dictionary holds, at one moment."""

    entries: Dict[str, bytes]
    """The exact bytes of each value."""
    cluster: List[Address]
    """Where the members are."""
    stale: bool
    """Whether no leader confirmed that this is the newest; only after a read that asked for "stale"."""


class Session(Forkable):
    """A session with a peer set: its changes count once, however often they must be sent.

    It is opened when it is first used, and again when the peer set has forgotten it. One change at a time goes through
    it; threads wait for each other. A child process after a fork opens one of its own: with a shared one both would
    number their changes alike, and only the first of each number would count.

    With a token the session is the token's, whichever member is asked. Without one it is known only to the member that
    opened it: when that one is gone for good, a change that it did not answer is of unknown outcome.
    """

    def __init__(self) -> None:
        self._after_fork()
        self._watch_forks()

    def _after_fork(self) -> None:
        self._lock = threading.Lock()
        self._open: Optional[Tuple[int, int, Address]] = None
        """Its name, the serial of the next change, and who opened it."""


class ClusterClient(Forkable):
    """A client of a peer set. Threads may share it, and processes after a fork: it keeps no connection."""

    def __init__(
        self,
        addresses: Union[str, Iterable[Union[str, Address]]],
        *,
        limits: Optional[Limits] = None,
        token: Optional[str] = None,
    ) -> None:
        """Knows these members, each as `"HOST:PORT"` or as a pair. Nothing is asked yet.

        With a token, as `rafty client create` printed it, members of other machines are reached, over TLS. It is sent
        to nobody who does not prove first to know it. Raises ValueError when an address or the token is none, or when
        there is no address.
        """
        given = [parse(address) for address in ([addresses] if isinstance(addresses, str) else addresses)]
        if not given:
            raise ValueError("no address of a member was given; name at least one, as HOST:PORT")
        self._limits = limits or Limits()
        self._secure = None if token is None else Secure(token)
        self._members = Members(given)
        self._after_fork()
        self._watch_forks()

    def _after_fork(self) -> None:
        self._lock = threading.Lock()
        self._random = Random()

    @property
    def members(self) -> List[Address]:
        """The members as they were last told by one of them; before that, those given."""
        with self._lock:
            return list(self._members.told)

    def request(self, message: Mapping[str, Any]) -> Any:
        """Asks anything, and gives the reply.

        Redirects are followed; whatever can be repeated safely is tried again, at every member that is known. Reads
        are linearizable unless their `consistency` is "stale"; a reply with `stale` true is not. Raises Unreachable,
        NoQuorum, NoLeader or Refused when nothing was changed, UnknownOutcome when that is not known.
        """
        return unpack(self.request_raw(message))

    def request_raw(self, message: Mapping[str, Any]) -> bytes:
        """The same, and gives the bytes of the reply."""
        if message.get("type") in _READS:
            message = {"consistency": "linearizable", **message}
        return self._request_in_turn(message, self._order(message))[1]

    def _order(self, message: Mapping[str, Any]) -> List[Address]:
        with self._lock:
            for_leader, token = message.get("type") in _FOR_LEADER, self._secure is not None
            return self._members.order(for_leader, token, time.monotonic(), self._random)

    def get_state(self) -> Dict[str, Any]:
        """All entries and, as `cluster`, the members, linearizably. Every member is asked before this fails."""
        return {key: unpack(value) for key, value in self.get_raw_state().items()}

    def get_raw_state(self) -> Dict[str, bytes]:
        """The same, with the exact bytes of each value."""
        return self._get_entries("linearizable")[0]

    def read_state(self, consistency: str = "linearizable") -> State:
        """All entries: linearizable ones, or "stale" ones from any member at once, with or without a leader."""
        entries, stale = self._get_entries(consistency)
        return State(entries, cluster_of({"cluster": entries.pop("cluster")}), stale)

    def _get_entries(self, consistency: str) -> Tuple[Dict[str, bytes], bool]:
        message = {"type": "get", "framed": True, "consistency": consistency}
        entries, stale = entries_of(self.request_raw(message))
        with self._lock:
            self._members.learn(cluster_of(entries))
        return entries, stale

    def append_log(self, data: Mapping[str, Any], session: Optional[Session] = None) -> bool:
        """Changes an entry: `data` is `{"action": "change", "key", "value"}` or `{"action": "delete", "key"}`.

        With a session it counts once, however often it must be sent; without one it is not tried again when no answer
        comes. Gives whether there was something to change: false when there is no such key to delete.
        """
        return bool(self._append(data, session).get("found", True))

    def command(self, command: bytes, session: Optional[Session] = None) -> bytes:
        """Commands a machine that is not the dictionary, and gives what it answers; sessions as in `append_log`."""
        return bytes(self._append({"action": "command", "command": command}, session)["value"])

    def query(self, query: bytes, consistency: str = "linearizable") -> bytes:
        """Asks a machine that is not the dictionary, linearizably; "stale": any member at once, without a leader."""
        message = {"type": "query", "query": query, "consistency": consistency}
        return bytes(self.request(message)["value"])

    def diagnostic(self, member: Union[None, str, Address] = None) -> Dict[str, Any]:
        """What a member, a random one unless told which, knows of Raft's inside."""
        message = {"type": "diagnostic"}
        if member is None:
            reply = self.request(message)
        else:
            reply = unpack(self._request_in_turn(message, [parse(member)])[1])
        return dict(reply)

    def config_cluster(self, action: str, member: Union[str, Address]) -> None:
        """Gives an enrolled member a vote (`"add"`), or removes a member (`"delete"`)."""
        if action not in ("add", "delete"):
            raise ValueError(f"the action is 'add' or 'delete', not {action!r}")
        host, port = parse(member)
        self.request({"type": "config", "action": action, "address": host, "port": port})

    def _append(self, data: Mapping[str, Any], session: Optional[Session]) -> Dict[str, Any]:
        message = {"type": "append", "data": dict(data)}
        if session is None:
            return dict(self.request(message))
        with session._lock:
            return self._append_once(message, session)

    def _append_once(self, message: Dict[str, Any], session: Session) -> Dict[str, Any]:
        for left in reversed(range(_MAX_SESSIONS)):
            # Taken: whoever is interrupted leaves a session of which it does not know how far it is.
            opened, session._open = session._open, None
            number, serial, home = opened or self._open_session()
            numbered = {**message, "session": number, "serial": serial}
            try:
                reply = unpack(self._request_in_session(numbered, home))
            except Refused as refused:
                if refused.code in _BEGUN_ANEW and left:
                    continue
                # Said by the replicated state itself, so that the serial is used up. After any other failure the
                # serial may not be given to another change: the peer set might answer for the first one.
                if refused.code == "full":
                    session._open = (number, serial + 1, home)
                raise
            session._open = (number, serial + 1, home)
            return dict(reply)
        raise AssertionError("the last session's result is returned")

    def _open_session(self) -> Tuple[int, int, Address]:
        message = {"type": "session"}
        home, reply = self._request_in_turn(message, self._order(message))
        return int(unpack(reply)["session"]), 1, home

    def _request_in_session(self, message: Mapping[str, Any], home: Address) -> bytes:
        """Asks first whoever opened the session: without a token nobody else knows it."""
        order = self._order(message)
        if self._secure is not None:
            return self._request_in_turn(message, order)[1]
        order = [home, *(member for member in order if member != home)]
        return self._request_in_turn(message, order, home)[1]

    def _request_in_turn(
        self, message: Mapping[str, Any], order: List[Address], home: Optional[Address] = None
    ) -> Tuple[Address, bytes]:
        """Gives whoever answered, too. What a change in doubt came to can be told only by its session's `home`."""
        answer_within = self._limits.answer_within
        patient = answer_within, self._packed(message, answer_within / 2)
        quick = patient
        if message.get("type") in _READS:
            quick = answer_within / 4, self._packed(message, answer_within / 16)
        until = time.monotonic() + self._limits.patience
        course = Course(self._limits, order)
        trouble = _Trouble()
        while (member := course.next()) is not None:
            first_within, request = quick if course.is_first_round else patient
            verdict = self._try_once(member, message, request, first_within, until)
            self._learn(member, message, verdict)
            if verdict.kind is Kind.ANSWER:
                return member, verdict.reply
            if home not in (None, member) and trouble.in_doubt and verdict.code == "unknown_session":
                verdict = Verdict(Kind.UNCLEAR, verdict.detail)
            trouble.note(message, verdict)
            if trouble.is_final(message, verdict):
                break
            with self._lock:
                random = self._random.random()
            if verdict.leader is not None:
                pause = course.redirected(verdict.leader, random)
            else:
                pause = course.failed(random)
            if until - time.monotonic() <= pause:
                break
            time.sleep(pause)
        raise trouble.error(message)

    def _packed(self, message: Mapping[str, Any], leader_within: float) -> bytes:
        timeout_ms = min(int(leader_within * 1_000), _MAX_TIMEOUT_MS)
        shown = {} if self._secure is None else {"token": self._secure.token}
        fields = {"timeout_ms": timeout_ms, **message, "forward": True, "keep": False, **shown}
        packed: bytes = msgpack.packb(fields)
        return packed

    def _try_once(
        self, member: Address, message: Mapping[str, Any], request: bytes, first_within: float, until: float
    ) -> Verdict:
        left = until - time.monotonic()
        times = (self._limits.connect_within, first_within, self._limits.answer_within)
        try:
            reply = exchange(member, request, self._secure, *(min(within, left) for within in times))
        except NotSent as why:
            return Verdict(Kind.NOT_SENT, str(why))
        except NoReply as why:
            return Verdict(Kind.UNCLEAR, str(why))
        except RefusedBefore as refused:
            return failed(refused.code, refused.detail)
        return judge(message, reply)

    def _learn(self, member: Address, message: Mapping[str, Any], verdict: Verdict) -> None:
        with self._lock:
            # A member that hears no leader is as little use as one that is silent: others are asked first.
            helpless = verdict.kind in (Kind.NOT_SENT, Kind.UNCLEAR) or verdict.code == _NO_LEADER
            self._members.answered(member, not helpless, time.monotonic())
            if verdict.kind is Kind.ANSWER and message.get("type") in _FOR_LEADER:
                self._members.leads(member)
            elif verdict.kind in (Kind.REDIRECT, Kind.NOT_NOW):
                self._members.leads(verdict.leader)


class _Trouble:
    """What went wrong so far."""

    def __init__(self) -> None:
        self._doubt: Optional[str] = None
        """Why the change may count already."""
        self._last: RaftyError = Unreachable("none was tried in time")

    def note(self, message: Mapping[str, Any], verdict: Verdict) -> None:
        """A try did not succeed."""
        if verdict.kind is Kind.UNCLEAR and message.get("type") in _CHANGES:
            self._doubt = verdict.detail
        elif verdict.kind is Kind.REDIRECT:
            self._last = NoLeader(f"sent on to {verdict.leader}")
        elif verdict.kind is Kind.REFUSED or verdict.kind is Kind.NOT_NOW:
            no_leader = verdict.code == _NO_LEADER
            self._last = NoLeader(verdict.detail) if no_leader else Refused(verdict.code, verdict.detail)
            if verdict.kind is Kind.REFUSED and verdict.code not in _FORGETFUL:
                self._doubt = None
        elif isinstance(self._last, Unreachable):
            # Who does not answer tells less than who said why not.
            self._last = Unreachable(verdict.detail)

    @property
    def in_doubt(self) -> bool:
        """Whether the change may count already."""
        return self._doubt is not None

    def is_final(self, message: Mapping[str, Any], verdict: Verdict) -> bool:
        """Whether trying again is of no use, or not safe."""
        once = message.get("type") == "append" and message.get("session") is not None
        unsafe = self._doubt is not None and not once
        return verdict.kind is Kind.REFUSED or unsafe

    def error(self, message: Mapping[str, Any]) -> RaftyError:
        """What to raise."""
        if type(self._last) is NoLeader and message.get("type") in _READS:
            return NoQuorum(f"no quorum reachable: no member could confirm the read ({self._last})")
        return self._last if self._doubt is None else UnknownOutcome(self._doubt)
