"""kill -9 is a normal way to stop: whatever the moment, nothing acknowledged is lost and nothing is done twice."""
import collections
import os
import random
import re
import shutil
import signal
import subprocess
import time

from lib import part10
from lib.catalog import Catalog
from lib.scenario import LONG, Scenario, Drover, fail_points

KILLS = 20 if LONG else 3
SEED = int(os.environ.get("DROVER_SEED") or random.randrange(10**6))


class Killed(Scenario):
    def test_a_migration_of_40_studies_is_complete_whenever_it_is_killed(self):
        print(f"# {KILLS} kills, DROVER_SEED={SEED}")
        moments = random.Random(SEED)
        source = self.synth("synth", "--studies", 40, "--instances-per-study", 25 if LONG else 10)
        engine = Drover(self.folder)
        legacy = self.orthanc(knows=[engine])
        legacy.load(source)
        self.begin(engine)
        engine.knows(legacy)
        catalog = Catalog(engine.data)
        engine.cli("migrate", "--source", "legacy", "--all", "--name", "main", "--detach")
        total, killed, inside = len(part10.files_below(source)), 0, 0
        while killed < KILLS:
            # The moment is an instance count to be reached and then some milliseconds, so that slow and fast hosts are killed alike.
            here = catalog.count("instances")
            left = KILLS - killed
            goal = min(total - 1, here + moments.randrange(0, max(2, 3 * (total - here) // (2 * left + 2))))
            wait = moments.uniform(0, 0.05)
            self.wait(f"{goal} instances", lambda: catalog.count("instances") >= goal or not catalog.unfinished())
            end = time.monotonic() + wait
            while time.monotonic() < end:
                pass
            inside += bool(catalog.unfinished())
            engine.kill(signal.SIGKILL)
            killed += 1
            self.again(engine)
        print(f"# {inside} of {killed} while the migration ran")
        self.assertGreater(inside, 0)
        self.wait("the batch to end", lambda: not catalog.unfinished(), 300)
        states = collections.Counter(j["state"] for j in catalog.jobs("main"))
        self.assertEqual(states, {"complete": 40})
        self.assertEqual(catalog.instances().keys(), legacy.instances().keys())
        self.assertEqual(catalog.count("instances"), total)
        self.assertEqual({str(p.relative_to(engine.data)) for p in engine.objects()},
                         {r["path"] for r in catalog.rows("SELECT path FROM instances")})
        engine.cli("verify")

    def test_a_migration_goes_on_from_a_kill_at_each_named_point(self):
        source = self.synth("synth", "--studies", 6, "--instances-per-study", 4)
        engine = Drover(self.folder)
        legacy = self.orthanc(knows=[engine])
        legacy.load(source)
        catalog, there = Catalog(engine.data), legacy.instances().keys()
        # The points that an instance passes whoever sends it have their own test, test_faults_points.py; the last of these stand for them.
        also = ("store.unsealed", "store.written", "store.synced", "catalog.member", "catalog.before_commit") if LONG else ()
        for point in [p for p in fail_points(self) if p.startswith("migrate.")] + ["store.linked", "catalog.committed", *also]:
            with self.subTest(point):
                shutil.rmtree(engine.data, ignore_errors=True)
                engine.env = None
                self.begin(engine)
                engine.knows(legacy)
                engine.stop()
                # Starting commits too; what is wanted is a death in the middle of the batch.
                engine.env = {"DROVER_FAIL": f"{point}:kill:{12 if point.startswith('catalog') else 2}"}
                self.again(engine)
                engine.run("migrate", "--source", "legacy", "--all", "--name", "main", "--detach")
                self.wait(f"a death at {point}", lambda: not engine.alive())
                self.assertEqual(engine.process.wait(), -signal.SIGKILL)
                engine.env = None
                self.again(engine)
                if not catalog.rows("SELECT * FROM batches"):  # the sender of the order was told nothing
                    engine.cli("migrate", "--source", "legacy", "--all", "--name", "main", "--detach")
                self.wait("the batch to end", lambda: catalog.jobs("main") and not catalog.unfinished())
                self.assertEqual({j["state"] for j in catalog.jobs("main")}, {"complete"})
                self.assertEqual(catalog.instances().keys(), there)
                self.assertEqual(catalog.count("instances"), len(engine.objects()))
                engine.cli("verify")
                engine.stop()

    def test_no_instance_whose_sender_was_told_success_is_lost(self):
        print(f"# DROVER_SEED={SEED}")
        moments = random.Random(SEED)
        source = self.synth("synth", "--studies", 8, "--modalities", "CT", "--instances-per-study", 40)
        engine = self.drover()
        catalog = Catalog(engine.data)
        told = set()
        for _ in range(3 if not LONG else 10):
            goal = catalog.count("instances") + moments.randrange(5, 60)  # what is here already comes first, and is acknowledged again
            with open(self.folder / "storescu.log", "w+") as log:
                sender = subprocess.Popen(["storescu", "-v", "-aec", engine.aet, "+sd", "+r", "127.0.0.1", str(engine.port), str(source)],
                                          stdout=log, stderr=subprocess.STDOUT, env={**os.environ, "TCP_NODELAY": "1"})
            self.wait(f"{goal} instances", lambda: catalog.count("instances") >= goal or sender.poll() is not None)
            engine.kill(signal.SIGKILL)
            sender.wait(120)
            told |= self.acknowledged((self.folder / "storescu.log").read_text())
            self.again(engine)
        self.assertGreater(len(told), 10)
        here = catalog.instances()
        self.assertEqual({u for u in told if u not in here}, set())
        self.assertEqual({str(p.relative_to(engine.data)) for p in engine.objects()}, {r["path"] for r in here.values()})
        engine.cli("verify")

    def acknowledged(self, said):
        """Instances whose files storescu -v names before a success."""
        out, path = set(), None
        for line in said.splitlines():
            if found := re.search(r"Sending file: (.*)", line):
                path = found[1].strip()
            elif "Received Store Response (Success)" in line and path:
                with open(path, "rb") as f:
                    out.add(part10.sop_uid(part10.elements(f.read())))
                path = None
        return out
