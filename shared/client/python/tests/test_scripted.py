"""The clients against members that do as they are told: lie, hang up, fall silent, point at each other."""

import os
import socket
import threading
import unittest
from typing import Any, Callable, Dict, List, Optional

import msgpack

from rafty import (
    ClusterClient,
    DistributedDict,
    Limits,
    Lock,
    NoLeader,
    NoQuorum,
    Refused,
    Session,
    UnknownOutcome,
    Unreachable,
)
from rafty import _exchange

DONE = {"type": "result", "success": True}
HANG_UP, HANG = None, "hang"
LIMITS = Limits(patience=5.0, tries=8, answer_within=0.1, first_pause=0.001, longest_pause=0.008)
CHANGE = {"action": "change", "key": "lamp", "value": 1}


def failed(code: str) -> Dict[str, Any]:
    return {"type": "result", "success": False, "error": code, "detail": "not now"}


class Member:
    """Answers its n-th request as the script says, and remembers what it was asked."""

    def __init__(self, case: unittest.TestCase, script: Callable[[int, Dict[str, Any]], Any]) -> None:
        self.asked: List[Dict[str, Any]] = []
        self._script = script
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = self._listener.getsockname()[:2]
        self._hanging: List[socket.socket] = []
        threading.Thread(target=self._serve, daemon=True).start()
        case.addCleanup(self._close)

    def _serve(self) -> None:
        while True:
            try:
                stream, _ = self._listener.accept()
            except OSError:
                return
            unpacker = msgpack.Unpacker()
            request: Optional[Dict[str, Any]] = None
            while request is None:
                unpacker.feed(stream.recv(4096))
                request = next(iter(unpacker), None)
            self.asked.append(request)
            reply = self._script(len(self.asked) - 1, request)
            if reply == HANG:
                self._hanging.append(stream)
                continue
            if reply is not HANG_UP:
                stream.sendall(reply if isinstance(reply, bytes) else msgpack.packb(reply))
            stream.close()

    def _close(self) -> None:
        self._listener.close()
        for stream in self._hanging:
            stream.close()


class Scripted(unittest.TestCase):
    def member(self, script: Callable[[int, Dict[str, Any]], Any]) -> Member:
        return Member(self, script)

    def client(self, *members: Member) -> ClusterClient:
        return ClusterClient([member.address for member in members], limits=LIMITS)

    def with_sessions(self, appends: Callable[[int], Any]) -> Member:
        """Opens sessions 10, 11, 12, … and does with the n-th append as the script says."""
        count = {"session": 9, "append": -1}

        def script(_: int, request: Dict[str, Any]) -> Any:
            count[request["type"]] += 1
            if request["type"] == "session":
                return {"type": "session", "session": count["session"]}
            return appends(count["append"])

        return self.member(script)

    def numbers(self, member: Member) -> "list[tuple[int, int]]":
        return [(asked["session"], asked["serial"]) for asked in member.asked if asked["type"] == "append"]

    def test_members_that_point_at_each_other_end_in_an_error(self) -> None:
        two: List[Member] = []
        one = self.member(lambda *_: {"type": "redirect", "leader": list(two[0].address)})
        two.append(self.member(lambda *_: {"type": "redirect", "leader": list(one.address)}))
        self.assertRaises(NoLeader, self.client(one).append_log, CHANGE)
        self.assertEqual(len(one.asked) + len(two[0].asked), LIMITS.tries)

    def test_a_redirect_is_followed_and_the_leader_asked_first_from_then_on(self) -> None:
        leader = self.member(lambda *_: DONE)
        follower = self.member(lambda *_: {"type": "redirect", "leader": list(leader.address)})
        client = self.client(follower)
        for _ in range(3):
            self.assertTrue(client.append_log(CHANGE))
        self.assertEqual((len(follower.asked), len(leader.asked)), (1, 3))

    def test_a_change_without_a_session_that_is_not_answered_is_sent_once_only(self) -> None:
        for reply in (HANG_UP, HANG, b"\x93\x01", b"HTTP/1.1 400", failed("unknown_outcome")):
            member = self.member(lambda *_, reply=reply: reply)
            self.assertRaises(UnknownOutcome, self.client(member).append_log, CHANGE)
            self.assertEqual(len(member.asked), 1)

    def test_what_was_certainly_not_done_is_tried_again(self) -> None:
        replies = [failed("no_leader"), {"type": "error", "error": "busy", "detail": ""}, DONE]
        member = self.member(lambda turn, _: replies[turn])
        self.client(member).append_log(CHANGE)
        self.assertEqual(len(member.asked), 3)

    def test_nobody_there_nobody_leading_and_a_refusal_are_told_apart(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as gone:
            address = gone.getsockname()[:2]
        client = ClusterClient([address], limits=LIMITS)
        self.assertRaises(Unreachable, client.append_log, CHANGE)
        self.assertRaises(ConnectionError, client.get_state)
        alone = self.member(lambda *_: failed("no_leader"))
        self.assertRaises(NoLeader, self.client(alone).append_log, CHANGE)
        full = self.member(lambda *_: failed("full"))
        with self.assertRaises(Refused) as caught:
            self.client(full).append_log(CHANGE)
        self.assertEqual((caught.exception.code, len(full.asked)), ("full", 1))

    def test_a_session_sends_the_same_serial_until_it_is_answered_and_then_the_next(self) -> None:
        replies = [HANG_UP, failed("unknown_outcome"), HANG, DONE, failed("full"), DONE]
        member = self.with_sessions(lambda turn: replies[turn])
        client, session = self.client(member), Session()
        client.append_log(CHANGE, session)
        self.assertRaises(Refused, client.append_log, CHANGE, session)
        client.append_log(CHANGE, session)
        self.assertEqual(self.numbers(member), [(10, 1)] * 4 + [(10, 2), (10, 3)])

    def test_a_forgotten_session_is_opened_again_unless_it_may_have_done_its_work(self) -> None:
        replies = [DONE, failed("unknown_session"), DONE, HANG_UP, failed("unknown_session"), DONE]
        member = self.with_sessions(lambda turn: replies[turn])
        client, session = self.client(member), Session()
        client.append_log(CHANGE, session)
        client.append_log(CHANGE, session)
        self.assertRaises(UnknownOutcome, client.append_log, CHANGE, session)
        client.append_log(CHANGE, session)
        self.assertEqual(self.numbers(member), [(10, 1), (10, 2), (11, 1), (11, 2), (11, 2), (12, 1)])

    def test_a_machine_of_its_own_is_commanded_once_and_its_bytes_are_given_as_they_are(self) -> None:
        replies = [HANG_UP, {"type": "value", "found": True, "value": b"41"}]
        member = self.with_sessions(lambda turn: replies[turn])
        self.assertEqual(self.client(member).command(b"\xff", Session()), b"41")
        self.assertEqual(self.numbers(member), [(10, 1), (10, 1)])
        self.assertEqual(member.asked[-1]["data"], {"action": "command", "command": b"\xff"})
        answering = self.member(lambda *_: {"type": "value", "found": True, "value": b"\xc1"})
        self.assertEqual(self.client(answering).query(b"how many", "linearizable"), b"\xc1")

    def test_a_serial_that_somebody_else_used_is_given_up(self) -> None:
        replies = [DONE, failed("serial_reused"), DONE, HANG_UP, failed("serial_reused"), DONE]
        member = self.with_sessions(lambda turn: replies[turn])
        client, session = self.client(member), Session()
        for _ in range(3):
            client.append_log(CHANGE, session)
        self.assertEqual(self.numbers(member), [(10, 1), (10, 2), (11, 1), (11, 2), (11, 2), (12, 1)])

    def test_only_who_opened_a_session_tells_what_became_of_a_change(self) -> None:
        replies = [DONE, HANG_UP, DONE]
        home = self.with_sessions(lambda turn: replies[turn])
        other = self.member(
            lambda _, request: failed("busy" if request["type"] == "session" else "unknown_session")
        )
        client, session = self.client(home, other), Session()
        client.append_log(CHANGE, session)
        client.append_log(CHANGE, session)
        self.assertEqual(self.numbers(home), [(10, 1), (10, 2), (10, 2)])
        self.assertEqual(self.numbers(other), [(10, 2)])

    def test_a_session_that_is_always_forgotten_is_not_opened_for_ever(self) -> None:
        member = self.with_sessions(lambda _: failed("unknown_session"))
        self.assertRaises(Refused, self.client(member).append_log, CHANGE, Session())
        self.assertEqual(len(self.numbers(member)), 3)

    def test_a_dictionary_asks_as_its_policy_says_and_sees_its_own_changes(self) -> None:
        cluster: List[Any] = []
        member = self.with_sessions(lambda _: DONE)
        state = {"cluster": cluster, "a": [1], "other": 2}
        appends = member._script
        member._script = lambda turn, request: state if request["type"] == "get" else appends(turn, request)
        cluster.append(list(member.address))
        d = DistributedDict(self.client(member), refresh_policy=Lock())
        gets = lambda: sum(asked["type"] == "get" for asked in member.asked)
        self.assertEqual((d["a"], len(d), gets()), ([1], 2, 1))
        d["a"].append(2)
        self.assertEqual(d["a"], [1], "a value that was read is the reader's own")
        d["b"] = 3
        del d["other"]
        self.assertEqual((dict(d), gets()), ({"a": [1], "b": 3}, 1))
        d.refresh()
        self.assertEqual((d.copy(), gets()), ({"a": [1], "other": 2}, 2))

    def cut_off(self) -> Member:
        """A member that hears no leader, and has an old state."""
        cluster: List[Any] = []

        def script(_: int, request: Dict[str, Any]) -> Any:
            if request["consistency"] != "stale":
                return {"type": "error", "error": "no_leader", "detail": "cut off"}
            return {"type": "entries", "stale": True, "entries": {"cluster": cluster, "n": 1}}

        member = self.member(script)
        cluster.append(list(member.address))
        return member

    def test_a_member_that_is_cut_off_is_never_read_unless_stale_reads_are_asked_for(self) -> None:
        cut_off = self.cut_off()
        good = self.member(lambda *_: {"type": "entries", "entries": {"cluster": cluster, "n": 2}})
        cluster = [list(good.address), list(cut_off.address)]
        for _ in range(8):
            d = DistributedDict(self.client(cut_off, good))
            self.assertEqual((d["n"], d.stale), (2, False))
        alone = DistributedDict(self.client(cut_off))
        with self.assertRaises(NoQuorum):
            alone["n"]
        stale = DistributedDict(self.client(cut_off), stale=True)
        self.assertEqual((stale["n"], stale.stale), (1, True))
        with self.assertRaises(NoQuorum):
            stale.setdefault("n", 3)
        self.assertTrue(all(asked["forward"] for asked in cut_off.asked + good.asked))

    def test_a_member_of_the_older_kind_answers_with_bare_entries(self) -> None:
        old = self.member(lambda *_: {"cluster": [["127.0.0.1", 1]], "type": "entries", "entries": {"n": 1}})
        d = DistributedDict(self.client(old))
        self.assertEqual(d.copy(), {"type": "entries", "entries": {"n": 1}})

    def test_small_writes_do_not_wait_for_each_other(self) -> None:
        delays: List[int] = []
        send = _exchange._send

        def noting(stream: socket.socket, *rest: Any) -> Any:
            delays.append(stream.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
            return send(stream, *rest)

        _exchange._send = noting
        self.addCleanup(setattr, _exchange, "_send", send)
        self.client(self.member(lambda *_: DONE)).append_log(CHANGE)
        self.assertEqual([delay != 0 for delay in delays], [True])

    @unittest.skipUnless(hasattr(os, "fork"), "there is no fork here")
    def test_a_child_opens_a_session_of_its_own_and_waits_for_no_thread_of_its_parent(self) -> None:
        member = self.with_sessions(lambda _: DONE)
        client, session = self.client(member), Session()
        client.append_log(CHANGE, session)
        with session._lock, client._lock:  # as a thread of the parent may hold them
            child = os.fork()
            if child == 0:
                try:
                    client.append_log(CHANGE, session)
                    os._exit(0)
                finally:
                    os._exit(1)
        self.assertEqual(os.waitpid(child, 0)[1], 0)
        client.append_log(CHANGE, session)
        self.assertEqual(self.numbers(member), [(10, 1), (11, 1), (10, 2)])

    def test_what_no_member_would_take_is_not_sent(self) -> None:
        member = self.member(lambda *_: HANG_UP)
        d = DistributedDict(self.client(member))
        for key, value, error in (
            ("cluster", 1, ValueError),
            (7, 1, TypeError),
            ("k" * 1_025, 1, ValueError),
            ("k", "x" * 1024 * 1024, ValueError),
            ("k", object(), TypeError),
        ):
            with self.assertRaises(error):
                d[key] = value  # type: ignore[index]
        with self.assertRaises(KeyError):
            del d[7]  # type: ignore[arg-type]
        self.assertEqual(member.asked, [])


if __name__ == "__main__":
    unittest.main()
