"""The n-th write, fsync, link, open, mkdir, allocation or SQL statement fails, one after another until a run meets none that fails: in the
engine and in every library it uses (lib/faults.cc). Each time sender's view and archive agree, and the engine goes on or ends in plain words.

A short run takes a few n spread over all there are; --all takes each (of allocations at most MOST, spread too).
"""
import os
import random
import shutil
import signal
import tempfile

from lib.catalog import Catalog
from lib.cstore import instance, send
from lib.faults import Faults
from lib.scenario import LONG, Scenario, Drover
from lib.whole import deleted, whole
from test_faults_points import RULES

MOST = int(os.environ.get("DROVER_MOST") or 2000)
SEED = int(os.environ.get("DROVER_SEED") or random.randrange(10**6))
# What a sender may be told when something failed here (PS3.4 B.2.3, PS3.7 C): never a success.
REFUSALS = {0xA700, 0x0110, 0x0122, 0xC000, 0xA900}


def fds(engine):
    return len(os.listdir(f"/proc/{engine.pid}/fd"))


class Calls(Scenario):
    options = ()

    def setUp(self):
        super().setUp()
        self.faults = Faults(self.folder)
        self.engine = Drover(self.folder, env=self.faults.env, options=self.options)
        (self.engine.data / "rules").mkdir(parents=True)
        (self.engine.data / "rules/faults.lua").write_text(RULES)
        self.catalog = Catalog(self.engine.data)
        self.told = {}

    def some(self):
        """New instances that go every way there is: edited, streamed, spooled, held, known."""
        one = instance(sex="male")
        return [one, instance(side=300), instance(document=90000), instance(patient="HOLD"), one]

    def send(self, instances):
        by_uid = {one.uid: one for one in instances}
        told = send(self.engine.port, self.engine.aet, instances)
        self.told |= {u: by_uid[u] for u, status in told.items() if status == 0}
        return told

    def here(self, uids):
        marks = ",".join(f"'{u}'" for u in uids)
        return {r["uid"] for r in self.catalog.rows(f"SELECT received_sop_uid AS uid FROM instances WHERE received_sop_uid IN ({marks})"
                                                    f" UNION SELECT received_sop_uid FROM quarantine WHERE received_sop_uid IN ({marks})")}

    def count(self, kind, run):
        """Calls of KIND that RUN makes."""
        before = self.faults.seen(kind)
        run()
        return self.faults.seen(kind) - before

    def numbers(self, calls, few):
        """Which calls are to fail: all, or FEW of them, the first and the last among these."""
        few = MOST if LONG else few
        return range(1, calls + 1) if calls <= few else sorted({1 + i * (calls - 1) // (few - 1) for i in range(few)})

    def alive(self):
        self.assertTrue(self.engine.alive(), f"it ended with {self.engine.process.returncode}: {self.engine.said()[-3000:]}")

    def one(self, kind, n):
        """True when the N-th call of KIND failed while these were sent."""
        instances = self.some()
        self.faults.arm(kind, n)
        told = self.send(instances)
        failed = self.faults.disarm()
        self.alive()
        self.assertLessEqual(set(told.values()) - {0}, REFUSALS)
        good = [u for u, status in told.items() if status == 0]
        self.assertEqual(self.here(good), set(good), "acknowledged, and not there")
        if kind == "fsync" and failed and set(told.values()) != {0}:  # final: nothing is stored any more until a restart
            self.assertEqual(set(self.send([instance()]).values()), {0xA700})
            self.assertEqual(self.engine.stop(), 0)
            self.again(self.engine)
        if failed:
            self.assertEqual(set(self.send(instances).values()), {0}, f"does not go on: {self.engine.said()[-1500:]}")
            self.assertEqual(self.here(one.uid for one in instances), {one.uid for one in instances})
        self.wait("no unnamed file", lambda: not deleted(self.engine))
        for one in instances:
            one.data = b""
        return failed > 0

    def sweep(self, kind, few=6):
        self.begin(self.engine)
        for _ in range(2):  # what is made once is made
            self.send(self.some())
        calls = self.count(kind, lambda: self.send(self.some()))
        self.wait("the associations' threads to end", lambda: not deleted(self.engine))
        before, met = fds(self.engine), 0
        for n in self.numbers(calls, few):
            with self.subTest(f"{kind} {n}"):
                met += self.one(kind, n)
        while LONG and self.one(kind, n := n + 1 + calls // 50):  # their number is not the same each time
            met += 1
        print(f"# {kind}: {calls} calls a run, {met} failed, the last was number {n}")
        self.assertGreater(met, 0)
        if kind != "fsync":
            self.wait("what was opened to be closed", lambda: fds(self.engine) <= before + 2)
        self.finish()

    def finish(self):
        self.assertEqual(self.engine.stop(), 0, self.engine.said()[-3000:])  # a leak that ASan finds is none
        self.again(self.engine)
        whole(self, self.engine, self.catalog, self.told)
        self.engine.stop()

    def test_a_write_that_fails_loses_nothing_acknowledged(self):
        self.sweep("write")

    def test_a_sync_that_fails_makes_the_store_unready_until_a_restart(self):
        self.sweep("fsync", 3)

    def test_a_link_that_fails_loses_nothing_acknowledged(self):
        self.sweep("link")

    def test_an_open_that_fails_loses_nothing_acknowledged(self):
        self.sweep("open")

    def test_a_mkdir_that_fails_loses_nothing_acknowledged(self):
        self.sweep("mkdir", 3)

    def test_an_allocation_that_fails_loses_nothing_acknowledged(self):
        self.sweep("malloc", 40)

    def test_an_sql_statement_that_fails_loses_nothing_acknowledged(self):
        self.sweep("sql", 20)
