"""The clients against the running peer set named in RAFTY_MEMBERS, one of whose members may be gone.

With a token in RAFTY_TOKEN they come as from another machine.
"""

import multiprocessing
import os
import threading
import unittest
import uuid

from rafty import ClusterClient, Count, DistributedDict, Lock, Refused, Session

MEMBERS = os.environ.get("RAFTY_MEMBERS")
TOKEN = os.environ.get("RAFTY_TOKEN")


@unittest.skipUnless(MEMBERS, "RAFTY_MEMBERS names no peer set")
class Cluster(unittest.TestCase):
    def setUp(self) -> None:
        self.members = (MEMBERS or "").split(",")
        self.d = DistributedDict(self.members, token=TOKEN)
        self.prefix = uuid.uuid4().hex
        self.addCleanup(self.tidy)

    def tidy(self) -> None:
        for key in self.d:
            if key.startswith(self.prefix):
                del self.d[key]

    def key(self, name: str) -> str:
        return f"{self.prefix}-{name}"

    def test_it_is_a_mapping(self) -> None:
        a, b, c = (self.key(name) for name in "abc")
        before = len(self.d)
        values = {a: [1, "zwei", b"\x00", None, {"x": 0.1}], b: -(2**63), c: "ü" * 1_000}
        self.d.update(values)
        self.assertEqual(len(self.d), before + 3)
        for view in (self.d, DistributedDict(self.members, token=TOKEN)):
            self.assertEqual({key: view[key] for key in values}, values)
            self.assertLessEqual(set(values), set(view))
            self.assertEqual({key: view.copy()[key] for key in values}, values)
        self.assertIn(self.prefix, repr(self.d))
        self.assertEqual(self.d.pop(b), -(2**63))
        self.assertEqual(self.d.setdefault(b, 7), 7)
        self.assertEqual(self.d.get(self.key("none"), 0), 0)
        self.assertNotIn("cluster", self.d)
        self.assertGreaterEqual(len(self.d.cluster), 3)

    def test_what_is_not_there_is_a_key_error(self) -> None:
        key = self.key("none")
        with self.assertRaises(KeyError):
            self.d[key]
        with self.assertRaises(KeyError):
            del self.d[key]
        self.d[key] = None
        del self.d[key]
        with self.assertRaises(KeyError):
            del self.d[key]

    def test_a_locked_copy_stays_as_it_is(self) -> None:
        key = self.key("lamp")
        self.d[key] = 1
        other = DistributedDict(self.members, refresh_policy=Lock(), token=TOKEN)
        self.assertEqual(other[key], 1)
        self.d[key] = 2
        self.assertEqual(other[key], 1)
        other.refresh()
        self.assertEqual(other[key], 2)
        other.refresh_policy = Count(2)
        self.d[key] = 3
        self.assertEqual([other[key], other[key], other[key]], [2, 2, 3])

    def test_threads_share_one_dictionary(self) -> None:
        def write(thread: int) -> None:
            for count in range(10):
                self.d[self.key(f"{thread}-{count}")] = count

        threads = [threading.Thread(target=write, args=(thread,)) for thread in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        mine = [key for key in self.d if key.startswith(self.prefix)]
        self.assertEqual(len(mine), 40)

    @unittest.skipUnless("fork" in multiprocessing.get_all_start_methods(), "there is no fork here")
    def test_processes_share_one_dictionary(self) -> None:
        def write(process: int) -> None:
            for count in range(25):
                self.d[self.key(f"{process}-{count}")] = count

        self.d[self.key("first")] = 0
        forking = multiprocessing.get_context("fork")
        children = [forking.Process(target=write, args=(process,)) for process in range(3)]
        for child in children:
            child.start()
        write(3)
        for child in children:
            child.join()
        self.assertEqual([child.exitcode for child in children], [0, 0, 0])
        self.assertEqual(sum(key.startswith(self.prefix) for key in self.d), 101)

    def test_the_layer_below(self) -> None:
        client, key = ClusterClient(self.members, token=TOKEN), self.key("lamp")
        self.assertTrue(client.append_log({"action": "change", "key": key, "value": True}))
        self.assertIs(client.get_state()[key], True)
        value = client.request({"type": "get", "key": key, "consistency": "linearizable"})
        self.assertEqual(value, {"type": "value", "found": True, "value": True})
        session = Session()
        self.assertTrue(client.append_log({"action": "delete", "key": key}, session))
        self.assertFalse(client.append_log({"action": "delete", "key": key}, session))
        leader = client.diagnostic()["volatile"]["leaderId"]
        self.assertEqual(client.diagnostic(tuple(leader))["status"], "Leader")
        with self.assertRaises(Refused):
            client.config_cluster("add", "192.0.2.1:1")
        with self.assertRaises(Refused):
            client.request({"type": "append", "data": {"action": "change", "key": "cluster", "value": 1}})


if __name__ == "__main__":
    unittest.main()
