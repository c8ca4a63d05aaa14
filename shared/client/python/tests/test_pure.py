"""What decides without a socket or a clock: policies, pauses, members, verdicts."""

import unittest
from datetime import timedelta
from random import Random

import msgpack

from rafty import Always, ClusterClient, Count, DistributedDict, Limits, Lock, RefreshPolicy, Time
from rafty._course import Course
from rafty._members import Members, parse
from rafty._secure import Secure
from rafty._verdict import Kind, judge


def which_ask(policy: RefreshPolicy) -> "list[int]":
    """Which of ten reads, a second apart, ask a member."""
    asked = [0]
    for read in range(1, 10):
        if policy.is_due(read - asked[-1], float(read - asked[-1])):
            asked.append(read)
    return asked


class Tokens(unittest.TestCase):
    """Pinned as in the Rust client: both must derive the same."""

    TEXT = "rafty-client1-aaaqeayeaudaocajbifqydiob4ibceqtcqkrmfyydenbwha5dyprkhb4"
    PROOF = "8b752fd48ef760b1f9d483e241291fef62f1a0a073f154537d7f0b2d5b403fa5"

    def test_a_proof_holds_for_one_token_and_one_certificate(self) -> None:
        secure, proof = Secure(f" {self.TEXT}\n"), bytes.fromhex(self.PROOF)
        self.assertEqual(secure.token, self.TEXT)
        self.assertTrue(secure.is_proved(proof, b"certificate"))
        for wrong in ((proof, b"another"), (proof[:31], b"certificate"), (None, b"certificate"), (proof, None)):
            self.assertFalse(secure.is_proved(*wrong))
        self.assertNotIn(self.TEXT[20:30], repr(secure))

    def test_what_is_no_token_is_told_at_once(self) -> None:
        swapped = self.TEXT[:-2] + ("a" if self.TEXT[-2] != "a" else "b") + self.TEXT[-1]
        for text in ("", "rafty1-abc", self.TEXT[:-1], self.TEXT + "a", swapped, self.TEXT[:20] + "!" + self.TEXT[21:]):
            with self.assertRaises(ValueError):
                DistributedDict("127.0.0.1:1", token=text)


class Policies(unittest.TestCase):
    def test_they_ask_when_they_say(self) -> None:
        self.assertEqual(which_ask(Always()), list(range(10)))
        self.assertEqual(which_ask(Lock()), [0])
        self.assertEqual(which_ask(Count(4)), [0, 4, 8])
        self.assertEqual(which_ask(Time(3)), [0, 3, 6, 9])
        self.assertEqual(which_ask(Time(timedelta(seconds=3))), [0, 3, 6, 9])

    def test_impossible_ones_are_refused(self) -> None:
        for wrong in (lambda: Count(0), lambda: Time(-1), lambda: Time(float("nan"))):
            self.assertRaises(ValueError, wrong)
        self.assertRaises(TypeError, DistributedDict, "127.0.0.1:1", refresh_policy="always")


class Courses(unittest.TestCase):
    def test_pauses_double_within_bounds(self) -> None:
        limits, before = Limits(), 0.0
        for failures in range(1, 2_000):
            least, most = limits.pause(failures, 0.0), limits.pause(failures, 1.0)
            self.assertAlmostEqual(2 * least, most)
            self.assertTrue(before <= most <= limits.longest_pause)
            before = most
        self.assertEqual(limits.pause(3, 1.0), 4 * limits.first_pause)
        self.assertEqual(before, limits.longest_pause)

    def test_members_that_point_at_each_other_are_asked_a_bounded_number_of_times(self) -> None:
        course = Course(Limits(), [("a", 1)])
        pauses = []
        while course.next() is not None:
            pauses.append(course.redirected(("b", 2), 1.0))
        self.assertEqual(len(pauses), Limits().tries)
        self.assertEqual(sum(pause > 0 for pause in pauses), Limits().tries // 4)


class Knowing(unittest.TestCase):
    def test_addresses(self) -> None:
        self.assertEqual(parse("laptop.local:7400"), ("laptop.local", 7400))
        self.assertEqual(parse("[::1]:7400"), ("::1", 7400))
        self.assertEqual(parse(("laptop", 1)), ("laptop", 1))
        for wrong in ("", "laptop", "laptop:", ":1", "laptop:0", "laptop:65536", "::1:7400", "[::1:7400", "a:²"):
            self.assertRaises(ValueError, parse, wrong)
        self.assertRaises(ValueError, ClusterClient, [])

    def test_who_was_told_comes_first_and_who_fails_last_for_a_while(self) -> None:
        members = Members([("given", 1), ("both", 2)])
        members.learn([("both", 2), ("told", 3)])
        for seed in range(32):
            self.assertEqual(members.order(False, True, 0.0, Random(seed))[-1], ("given", 1))
        members.answered(("told", 3), False, 0.0)
        for seed in range(32):
            self.assertEqual(members.order(False, True, 9.0, Random(seed))[-1], ("told", 3))
            self.assertEqual(members.order(False, True, 10.0, Random(seed))[-1], ("given", 1))
        members.leads(("told", 3))
        self.assertEqual(members.order(True, True, 0.0, Random(0))[0], ("told", 3))
        members.answered(("told", 3), False, 0.0)
        self.assertEqual(members.order(True, True, 0.0, Random(0))[-1], ("told", 3))
        members.learn([])
        self.assertEqual(len(members.told), 2)


class Verdicts(unittest.TestCase):
    def kind(self, message: object, reply: object) -> Kind:
        data = reply if isinstance(reply, bytes) else msgpack.packb(reply)
        return judge(message, data).kind  # type: ignore[arg-type]

    def test_entries_that_look_like_a_reply_are_entries(self) -> None:
        entries = {"cluster": [["127.0.0.1", 7400]], "type": "redirect", "leader": ["evil", 1]}
        self.assertIs(self.kind({"type": "get"}, entries), Kind.ANSWER)

    def test_each_reply_means_what_it_says(self) -> None:
        append = {"type": "append"}
        for reply, kind in (
            ({"type": "result", "success": True}, Kind.ANSWER),
            ({"type": "redirect", "leader": ["127.0.0.1", 7400]}, Kind.REDIRECT),
            ({"type": "redirect", "leader": None}, Kind.UNCLEAR),
            ({"type": "redirect", "leader": ["127.0.0.1", 70_000]}, Kind.UNCLEAR),
            ({"type": "result", "success": False, "error": "no_leader"}, Kind.NOT_NOW),
            ({"type": "result", "success": False, "error": "unknown_outcome"}, Kind.UNCLEAR),
            ({"type": "result", "success": False, "error": "full"}, Kind.REFUSED),
            ({"type": "error", "error": "busy", "detail": ""}, Kind.NOT_NOW),
            ({"type": "error", "error": "tls_required", "detail": ""}, Kind.NOT_SENT),
        ):
            self.assertIs(self.kind(append, reply), kind, reply)

    def test_what_is_no_reply_is_never_taken_for_one(self) -> None:
        for reply in (b"", b"\xc0", b"\x80", b"\x92\x01", b"HTTP/1.1 400 Bad Request", b"\x81\xa4type\x01"):
            for kind in ("get", "append", "session", "diagnostic", "config"):
                self.assertIs(self.kind({"type": kind}, reply), Kind.UNCLEAR)
        self.assertIs(self.kind({"type": "get"}, {"cluster": [["127.0.0.1"]]}), Kind.UNCLEAR)


if __name__ == "__main__":
    unittest.main()
