"""Stored objects are read again by schedule: damage is told and nothing is touched; a restart goes on; receiving comes first."""
import os
import signal
import threading

from lib.catalog import Catalog
from lib.cstore import instance, send
from lib.scenario import Drover, Scenario


class Verification(Scenario):
    def setUp(self):
        super().setUp()
        self.engine = Drover(self.folder)
        self.catalog = Catalog(self.engine.data)

    def settings(self, days=1, rate=0):
        self.engine.data.mkdir(parents=True, exist_ok=True)
        (self.engine.data / "drover.lua").write_text(f"verify = {{ interval_days = {days}, rate_mb_s = {rate} }}\n")

    def filled(self, count, side=64):
        """COUNT instances, stored while nothing is verified."""
        self.settings(days=0)
        self.begin(self.engine)
        self.sent = [instance(side=side) for _ in range(count)]
        self.assertEqual(set(send(self.engine.port, self.engine.aet, self.sent).values()), {0})
        self.assertEqual(self.status()["state"], "off")
        self.engine.stop()

    def status(self):
        return self.engine.json("status")["verify"]

    def complete(self, checked, damaged):
        done = self.wait("a round", lambda: (s := self.status())["last_ended_at"] and s)
        self.assertEqual((done["last_checked"], done["last_damaged"], done["state"]), (checked, damaged, "waiting"))

    def path(self, one):
        return self.engine.data / self.catalog.instances()[one.uid]["path"]

    def test_a_flipped_byte_and_a_missing_file_are_told_and_nothing_is_touched(self):
        self.filled(12)
        flipped, missing = self.path(self.sent[3]), self.path(self.sent[7])
        good = flipped.read_bytes()
        bad = good[:-9] + bytes([good[-9] ^ 4]) + good[-8:]
        flipped.write_bytes(bad)
        kept = missing.read_bytes()
        missing.unlink()
        self.settings()
        self.again(self.engine)
        self.complete(12, 2)
        told = {r["sop_uid"]: r["error"] for r in self.engine.json("verify", "--damaged")}
        self.assertEqual(set(told), {self.sent[3].uid, self.sent[7].uid})
        self.assertIn("body is not what was stored", told[self.sent[3].uid])
        self.assertIn("is missing", told[self.sent[7].uid])
        self.assertIn("damaged", self.engine.cli("status"))
        self.assertEqual(self.engine.json("status")["damaged"], 2)
        self.assertEqual({s["study_uid"] for s in self.engine.json("studies", "--flagged")}, {self.sent[3].study, self.sent[7].study})
        self.assertEqual([f["rule"] for f in self.engine.json("audit", self.sent[3].uid)[0]["findings"]], ["verify/stored-object"])
        self.assertEqual(flipped.read_bytes(), bad)
        self.assertEqual(self.catalog.count("instances"), 12)
        self.assertEqual(self.catalog.count("quarantine"), 0)
        self.assertTrue(all(r["verified_at"] for r in self.catalog.rows("SELECT verified_at FROM instances")))
        self.assertIn("error", [line.split()[1] for line in self.engine.said().splitlines() if self.sent[7].uid in line])
        # Put back from a copy: the next round takes the alarm down.
        flipped.write_bytes(good)
        missing.write_bytes(kept)
        self.engine.stop()
        self.due_again()
        self.again(self.engine)
        self.wait("the alarm to end", lambda: self.engine.json("verify", "--damaged") == [])
        self.assertEqual(self.engine.json("studies", "--flagged"), [])
        self.assertEqual(self.engine.json("audit", self.sent[3].uid)[0]["findings"], [])

    def due_again(self):
        """As if the interval had passed."""
        import json
        import sqlite3
        db = sqlite3.connect(self.catalog.path)
        state = json.loads(db.execute("SELECT value FROM site WHERE name = 'verify'").fetchone()[0])
        state["last_began"] -= 2 * 86400 * 1000000
        db.execute("UPDATE site SET value = ? WHERE name = 'verify'", (json.dumps(state),))
        db.commit()
        db.close()

    def test_a_round_that_is_complete_is_not_begun_again_before_its_interval(self):
        self.filled(3)
        self.settings()
        self.again(self.engine)
        self.complete(3, 0)
        self.engine.stop()
        before = self.catalog.rows("SELECT verified_at FROM instances")
        self.again(self.engine)
        self.assertEqual(self.status()["state"], "waiting")
        self.engine.stop()
        self.assertEqual(self.catalog.rows("SELECT verified_at FROM instances"), before)

    def test_a_restart_goes_on_where_it_was_also_after_a_kill(self):
        self.filled(40, side=512)  # half a megabyte each: 20 s at this pace
        self.settings(rate=1)
        self.again(self.engine)
        self.wait("some of it", lambda: self.status()["checked"] > 3)
        self.engine.stop()
        stopped = self.catalog.rows("SELECT count(*) AS n FROM instances WHERE verified_at > 0")[0]["n"]
        self.assertLess(stopped, 40)
        self.again(self.engine)
        self.assertGreaterEqual(self.status()["checked"], stopped)
        self.wait("some more", lambda: self.status()["checked"] > stopped)
        self.engine.kill(signal.SIGKILL)
        stamps = {r["id"]: r["verified_at"] for r in self.catalog.rows("SELECT id, verified_at FROM instances WHERE verified_at > 0")}
        self.settings()
        self.again(self.engine)
        self.complete(40, 0)
        now = {r["id"]: r["verified_at"] for r in self.catalog.rows("SELECT id, verified_at FROM instances")}
        self.assertEqual({i: now[i] for i in stamps}, stamps, "what was verified before was read once more")
        self.assertEqual(len(now), 40)

    def test_while_instances_arrive_it_takes_its_time(self):
        """The pace is a tenth: with a rate that would be through in a second, it is not while a sender is busy."""
        self.filled(30, side=512)
        self.settings(rate=15)
        self.again(self.engine)
        stop, sent = threading.Event(), []

        def run():
            while not stop.is_set():
                sent.append(send(self.engine.port, self.engine.aet, [instance(side=8) for _ in range(20)]))

        sender = threading.Thread(target=run)
        sender.start()
        try:
            self.wait("a busy second", lambda: sum(len(s) for s in sent) > 200)
            self.assertEqual(self.status()["last_ended_at"], None)
        finally:
            stop.set()
            sender.join()
        self.assertEqual({v for s in sent for v in s.values()}, {0})
        self.wait("a round", lambda: self.status()["last_ended_at"])

    def test_the_rate_is_changed_by_a_reload(self):
        self.filled(8, side=512)
        self.settings(rate=1)
        self.again(self.engine)
        self.wait("it to begin", lambda: self.status()["state"] == "running")
        self.settings(rate=0)
        os.kill(self.engine.pid, signal.SIGHUP)
        self.complete(8, 0)
