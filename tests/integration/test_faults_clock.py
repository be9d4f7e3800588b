"""The clock is set forward and back while the engine runs (libfaketime): places of objects, recovery, order, time-outs and retries stand it."""
import glob
import os
import time

from lib.catalog import Catalog
from lib.cstore import CT, EXPLICIT, Association, instance, send
from lib.scenario import BINARY, RELEASE, SANITIZED, Drover, Orthanc, Scenario
from lib.whole import forget, whole

LIBRARY = sorted(glob.glob("/usr/lib/*/faketime/libfaketimeMT.so.1"))
DAY = 86400


class Clock(Scenario):
    def setUp(self):
        super().setUp()
        if not LIBRARY:
            self.skipTest("libfaketime is not installed: the package faketime")
        self.offset = self.folder / "offset"
        self.set(0)
        env = {"LD_PRELOAD": LIBRARY[0], "FAKETIME_TIMESTAMP_FILE": str(self.offset), "FAKETIME_NO_CACHE": "1", "FAKETIME_DONT_FAKE_MONOTONIC": "1"}
        if SANITIZED:
            env["ASAN_OPTIONS"] = os.environ.get("ASAN_OPTIONS", "") + ":verify_asan_link_order=0"
        self.engine = Drover(self.folder, env=env)
        self.catalog = Catalog(self.engine.data)
        self.told = {}

    def set(self, seconds):
        new = self.folder / "offset.new"
        new.write_text(f"{seconds:+d}\n")
        new.rename(self.offset)

    def send(self, count):
        sent = [instance() for _ in range(count)]
        self.assertEqual(set(send(self.engine.port, self.engine.aet, sent).values()), {0})
        self.told |= {one.uid: one for one in sent}

    def lost_and_found(self, count):
        self.engine.kill()
        forget(self.engine.data, count)
        self.again(self.engine)
        whole(self, self.engine, self.catalog, self.told)

    def through(self):
        found = self.catalog.rows("SELECT value FROM site WHERE name = 'recovered_through'")
        return int(found[0]["value"]) / 1e6 if found else 0

    def test_what_is_stored_after_the_clock_was_set_back_is_found_by_recovery(self):
        self.begin(self.engine)
        self.send(3)
        self.set(2 * DAY)
        # A checkpoint at the wrong time, and no object: nothing in objects/ tells that it was ever so late.
        peer = ("--aet", "P", "--host", "127.0.0.1", "--port", "104", "--direction", "SourceOnly")
        turns = iter(range(1000))
        self.wait("a checkpoint in the future", lambda: self.through() > time.time() + DAY or
                  (self.engine.cli("peers", "add", f"p{next(turns)}", *peer), time.sleep(0.6))[0] is None)
        self.set(0)
        self.send(6)
        self.lost_and_found(6)
        self.set(-3600)
        self.send(4)
        self.lost_and_found(4)

    def test_objects_are_never_placed_before_those_that_were_there_and_keep_their_order(self):
        self.begin(self.engine)
        for offset in (0, DAY, -DAY, 7200, 0):
            self.set(offset)
            self.send(2)
        places = [r["path"].split("/")[1:5] for r in self.catalog.rows("SELECT path FROM instances ORDER BY id")]
        self.assertEqual(places, sorted(places))
        self.lost_and_found(6)
        self.engine.stop()
        self.set(-DAY)
        self.again(self.engine)
        self.send(2)
        self.lost_and_found(2)

    def test_open_associations_and_rules_do_not_time_out_when_the_clock_jumps(self):
        self.begin(self.engine)
        link = Association(self.engine.port, self.engine.aet, [(CT, EXPLICIT)])
        for offset in (DAY, -DAY, 400 * DAY, 0):
            self.set(offset)
            one = instance(sex="male")
            self.assertEqual(link.store(one), 0)
            self.told[one.uid] = one
        link.release()
        link.close()
        self.assertEqual(self.catalog.count("quarantine"), 0, "a rule ran into its limit of time")
        whole(self, self.engine, self.catalog, self.told)

    def test_a_retry_that_was_planned_before_the_clock_was_set_back_comes_in_time(self):
        legacy = Orthanc("legacy", self.folder, [self.engine])
        source = self.synth("synth", "--studies", 2, "--instances-per-study", 2)
        self.set(DAY)
        self.begin(self.engine)
        self.engine.knows(legacy)  # which does not run yet
        self.engine.cli("migrate", "--source", "legacy", "--all", "--name", "main", "--detach")
        self.wait("the next try to be planned", lambda: self.catalog.rows("SELECT 1 FROM entries WHERE state = 'waiting' AND peer_tries > 0"))
        self.set(0)
        self.begin(legacy)
        legacy.load(source)
        self.wait("the batch to end", lambda: self.catalog.jobs("main") and not self.catalog.unfinished())
        self.assertEqual({j["state"] for j in self.catalog.jobs("main")}, {"complete"})
        self.engine.stop()
        # And a step while no engine runs.
        legacy.stop()
        self.set(DAY)
        self.again(self.engine)
        self.engine.cli("migrate", "--source", "legacy", "--all", "--name", "later", "--detach")
        self.wait("the next try to be planned", lambda: self.catalog.rows("SELECT 1 FROM entries WHERE state = 'waiting' AND peer_tries > 0"))
        self.engine.kill()
        self.set(0)
        self.again(legacy)
        self.again(self.engine)
        self.wait("the batch to end", lambda: self.catalog.jobs("later") and not self.catalog.unfinished())
