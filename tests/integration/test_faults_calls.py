"""The n-th write, fsync, link, open, mkdir, allocation or SQL statement fails, one after another until a run meets none that fails: in the
engine and in every library it uses (lib/faults.cc). Each time sender's view and archive agree, and the engine goes on or ends in plain words.

The short form takes a few n of each kind, in one engine; with --all there is a test a kind that takes each n (of allocations at most MOST, spread
evenly), and the same for a start, for the verbs, and for a connection to PostgreSQL that breaks.
"""
import os
import random
import shutil
import signal
import tempfile

from lib.catalog import Catalog
from lib.cstore import instance, send
from lib.faults import KINDS, Faults
from lib.scenario import LONG, Scenario, Drover
from lib.whole import deleted, forget, whole
from test_faults_points import RULES
from test_postgres import Server

MOST = int(os.environ.get("DROVER_MOST") or 1000)
SEED = int(os.environ.get("DROVER_SEED") or random.randrange(10**6))
# What a sender may be told when something failed here (PS3.4 B.2.3, PS3.7 C): never a success.
REFUSALS = {0xA700, 0x0110, 0x0122, 0xC000, 0xA900}


def fds(engine):
    return len(os.listdir(f"/proc/{engine.pid}/fd"))


class Calls(Scenario):
    def setUp(self):
        super().setUp()
        self.faults = Faults(self.folder)
        self.engine = Drover(self.folder, env=self.faults.env)
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
        marks = ",".join(f"'{u}'" for u in uids) or "''"
        return {r["uid"] for r in self.catalog.rows(f"SELECT received_sop_uid AS uid FROM instances WHERE received_sop_uid IN ({marks})"
                                                    f" UNION SELECT received_sop_uid FROM quarantine WHERE received_sop_uid IN ({marks})")}

    def count(self, kind, run):
        """Calls of KIND that RUN makes."""
        before = self.faults.seen(kind)
        run()
        return self.faults.seen(kind) - before

    def numbers(self, calls, few):
        """Which calls are to fail: all, or FEW of them, the first and the last among these."""
        few = few or MOST
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

    def sweep(self, kind, few=None):
        calls = self.count(kind, lambda: self.send(self.some()))
        self.wait("the associations' threads to end", lambda: not deleted(self.engine))
        before, met = fds(self.engine), 0
        for n in self.numbers(calls, few):
            with self.subTest(f"{kind} {n}"):
                met += self.one(kind, n)
            if not self.engine.alive():
                break
        while not few and self.one(kind, n := n + 1 + calls // 50):  # their number is not the same each time
            met += 1
        print(f"# {kind}: {calls} calls a run, {met} failed, the last was number {n}")
        self.assertGreater(met, 0)
        if kind != "fsync":
            self.wait("what was opened to be closed", lambda: fds(self.engine) <= before + 2)

    def warm(self):
        self.begin(self.engine)
        for _ in range(2):  # what is made once is made
            self.send(self.some())

    def each(self, kind):
        self.warm()
        self.sweep(kind)
        self.finish()

    def finish(self):
        self.assertEqual(self.engine.stop(), 0, self.engine.said()[-3000:])  # a leak that ASan finds is none
        self.again(self.engine)
        whole(self, self.engine, self.catalog, self.told)
        self.engine.stop()


class AFew(Calls):
    def test_a_few_calls_of_each_kind_fail_and_nothing_acknowledged_is_lost(self):
        self.warm()
        for kind, few in (("write", 5), ("link", 3), ("open", 4), ("mkdir", 2), ("sql", 8), ("malloc", 15), ("fsync", 2)):
            self.sweep(kind, few)
        self.finish()


if LONG:
    class Each(Calls):
        def test_a_write_that_fails_loses_nothing_acknowledged(self):
            self.each("write")

        def test_a_sync_that_fails_makes_the_store_unready_until_a_restart(self):
            self.each("fsync")

        def test_a_link_that_fails_loses_nothing_acknowledged(self):
            self.each("link")

        def test_an_open_that_fails_loses_nothing_acknowledged(self):
            self.each("open")

        def test_a_mkdir_that_fails_loses_nothing_acknowledged(self):
            self.each("mkdir")

        def test_an_allocation_that_fails_loses_nothing_acknowledged(self):
            self.each("malloc")

        def test_an_sql_statement_that_fails_loses_nothing_acknowledged(self):
            self.each("sql")

        def test_a_postgres_connection_that_breaks_at_a_statement_loses_nothing_acknowledged(self):
            server = Server(tempfile.mktemp(prefix="drover-pg-", dir="/tmp"))
            self.addCleanup(server.remove)
            server.start()
            self.engine.argv += ["--set", "database=" + server.dsn]
            self.catalog = server
            self.each("sql")

        # ---- other ways than an instance's ----

        def ends_in_words(self, code, said):
            self.assertTrue(0 <= code < 64, f"ended with {code}: {said[-3000:]}")
            if code:
                self.assertRegex(said, r"(?m)^drover \w+: \S")

        def test_a_start_that_meets_a_failure_comes_up_or_says_why_and_the_next_one_comes_up(self):
            engine, template, met = self.engine, self.folder / "template", 0
            self.begin(engine)
            self.send(self.some() + self.some())
            engine.kill()
            forget(engine.data, 3)  # so that recovery runs
            (engine.data / "drover.sock").unlink()
            shutil.copytree(engine.data, template)
            self.faults = Faults(self.folder)
            engine.env = self.faults.env
            self.again(engine)
            calls = {kind: self.faults.seen(kind) for kind in KINDS[1:]}
            engine.stop()
            for kind in KINDS[1:]:
                few = min(MOST, 25)
                first = 500 if kind == "malloc" else 1  # those before it are the loader's
                for n in sorted({first + i * max(0, calls[kind] - first) // (few - 1) for i in range(few)}):
                    if engine.alive():  # what failed before must not hold the port
                        engine.kill()
                    with self.subTest(f"{kind} {n}"):
                        shutil.rmtree(engine.data)
                        shutil.copytree(template, engine.data)
                        engine.log.unlink()
                        self.faults = Faults(self.folder)
                        engine.env = self.faults.env
                        self.faults.arm(kind, n)
                        engine.start()
                        self.wait("it to listen or to end", lambda: engine.ready() or not engine.alive())
                        met += self.faults.disarm()
                        if engine.alive():
                            self.assertEqual(engine.stop(), 0, engine.said()[-3000:])
                        else:
                            self.ends_in_words(engine.process.wait(), engine.said())
                        self.again(engine)
                        whole(self, engine, self.catalog, self.told, verify=False)
                        self.assertEqual(engine.stop(), 0)
            print(f"# calls of a start: {calls}; {met} failed")
            self.assertGreater(met, 0)

        def test_a_verb_that_meets_a_failure_says_so_and_the_engine_goes_on(self):
            engine, met = self.engine, 0
            self.begin(engine)
            self.send(self.some() + self.some())
            rule = engine.data / "rules/faults.lua"
            turns = iter(range(10**6))

            def publish():
                rule.write_text(RULES.replace("looked at first", f"looked at {next(turns)}"))
                return engine.run("rules", "publish")

            peer = ("--aet", "P", "--host", "127.0.0.1", "--port", "104", "--direction", "SourceOnly")
            verbs = {
                "status": lambda: engine.run("status"), "studies": lambda: engine.run("studies"), "verify": lambda: engine.run("verify"),
                "publish": publish, "retry": lambda: engine.run("quarantine", "retry", "--all"), "list": lambda: engine.run("quarantine", "list"),
                "peers": lambda: engine.run("peers", "add", f"p{next(turns)}", *peer), "audit": lambda: engine.run("audit", sorted(self.told)[0]),
            }
            for verb, run in verbs.items():
                for kind in ("malloc", "sql", "open", "write"):
                    calls = self.count(kind, run)
                    few = min(MOST, 20)
                    for n in sorted({1 + i * (calls - 1) // (few - 1) for i in range(few)}) if calls else ():
                        with self.subTest(f"{verb}, {kind} {n}"):
                            self.faults.arm(kind, n)
                            done = run()
                            met += self.faults.disarm()
                            self.alive()
                            self.ends_in_words(done.returncode, done.stdout + done.stderr)
                            self.assertEqual(run().returncode, 0)
            print(f"# {met} failures met")
            self.assertGreater(met, 0)
            self.finish()
