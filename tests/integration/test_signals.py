"""SIGTERM finishes what is on its way, within a bound; a second one does not wait; SIGHUP reads rules and configuration again."""
import contextlib
import json
import signal
import socket
import threading
import time

from lib.catalog import Catalog
from lib.scenario import PATIENCE, Drover, Scenario
from lib.sender import Aborted, Sender, header, pixels

COUNT, SIDE = 16, 2048  # 16 senders, 8 MB each


class Half:
    """A sender that stops in the middle of an instance until it is told to go on."""

    def __init__(self, port, number):
        self.uid, self.status, self.why = f"1.2.826.0.1.3680043.9.{number}", None, None
        self.sender = Sender(port, calling=f"S{number}", timeout=PATIENCE)
        self.sender.begin(self.uid)
        self.rest = pixels(SIDE * SIDE * 2)
        self.sender.data([header(self.uid, rows=SIDE, columns=SIDE), next(self.rest), next(self.rest)])
        self.thread = threading.Thread(target=self.finish)

    def finish(self):
        try:
            self.sender.data(self.rest, last=True)
            self.status = self.sender.answer()
        except Aborted as e:
            self.why = str(e)

    def aborted(self):
        with contextlib.suppress(Aborted, TimeoutError):
            return f"a status {self.sender.answer():04x}"
        return None


class Stopping(Scenario):
    def engine(self, **settings):
        text = "".join(f"{k} = {v}, " for k, v in {"max_associations": COUNT + 4, **settings}.items())
        data = self.folder / "data"
        data.mkdir()
        (data / "drover.lua").write_text(f"dimse = {{ {text} }}\n")
        return self.drover(data=data)

    def halves(self, engine, count):
        out = [Half(engine.port, n) for n in range(1, count + 1)]
        self.addCleanup(lambda: [h.sender.socket.close() for h in out])
        self.wait("all have begun", lambda: engine.said().count(": associated with") >= count)
        return out

    def stored(self, engine):
        return set(Catalog(engine.data).instances())

    def test_sixteen_instances_on_their_way_are_finished_and_acknowledged_after_sigterm(self):
        engine = self.engine()
        halves = self.halves(engine, COUNT)
        with Sender(engine.port, calling="IDLE", timeout=PATIENCE) as idle:
            engine.process.send_signal(signal.SIGTERM)
            with self.assertRaises(Aborted):  # at once, not when the others have finished
                idle.answer()
        with self.assertRaises((ConnectionError, Aborted)):
            Sender(engine.port, calling="LATE", timeout=PATIENCE)
        self.assertTrue(engine.alive(), "16 instances are on their way")
        self.assertEqual(self.stored(engine), set())
        for h in halves:
            h.thread.start()
        for h in halves:
            h.thread.join(PATIENCE)
        self.assertEqual({h.uid: (h.status, h.why) for h in halves}, {h.uid: (0, None) for h in halves})
        self.assertEqual(engine.process.wait(PATIENCE), 0)
        self.assertEqual(self.stored(engine), {h.uid for h in halves})
        self.assertEqual(len(engine.objects()), COUNT)
        engine.cli("verify")

    def test_an_instance_that_does_not_come_to_an_end_is_aborted_after_stop_s(self):
        engine = self.engine(stop_s=1)
        (half,) = self.halves(engine, 1)
        begun = time.monotonic()
        engine.process.send_signal(signal.SIGTERM)
        self.assertIsNone(half.aborted())
        self.assertEqual(engine.process.wait(PATIENCE), 0)
        self.assertGreaterEqual(time.monotonic() - begun, 1)
        self.assertIn("dimse.stop_s is over", engine.said())
        self.assertEqual((self.stored(engine), engine.objects()), (set(), []))

    def test_a_second_sigterm_waits_for_nobody_and_acknowledges_nothing(self):
        engine = self.engine(stop_s=3600)
        halves = self.halves(engine, 3)
        engine.process.send_signal(signal.SIGTERM)
        self.wait("it waits for three", lambda: "3 associations have an instance on its way" in engine.said())
        engine.process.send_signal(signal.SIGTERM)
        self.assertIn(engine.process.wait(PATIENCE), (0, 19))
        self.assertEqual([h.aborted() for h in halves], [None] * 3)
        engine.start()
        self.wait("it runs again", engine.ready)
        self.assertEqual(self.stored(engine), set())
        with Sender(engine.port, timeout=PATIENCE) as again:
            h = halves[0]
            self.assertEqual(again.store(h.uid, header(h.uid, rows=SIDE, columns=SIDE), pixels(SIDE * SIDE * 2)), 0)
        self.assertEqual(self.stored(engine), {halves[0].uid})


class Reloading(Scenario):
    def reload(self, engine, text):
        seen = len(engine.said())
        (engine.data / "drover.lua").write_text(text)
        engine.process.send_signal(signal.SIGHUP)
        return lambda: engine.said()[seen:]

    def test_sighup_takes_what_can_change_and_names_what_cannot(self):
        engine = self.drover(options=("--log-level", "info"))
        said = self.reload(engine, 'dimse = { max_associations = 3, max_pdu = 16384 }\nstore = { low_water_mb = 1 }\nmigrate = { workers = 2 }\n')
        self.wait("the last is said", lambda: "store.low_water_mb is '1' from now on" in said() and "migrate.workers" in said())
        self.assertIn("dimse.max_associations is '3' from now on", said())
        for key in ("dimse.max_pdu", "migrate.workers"):
            self.assertIn(f"{key} was changed in drover.lua; it counts from the next start", said())
        self.assertNotIn("dimse.aet", said())  # of the command line: it wins still
        with contextlib.ExitStack() as open_ones:
            for n in range(3):
                open_ones.enter_context(Sender(engine.port, timeout=PATIENCE))
            with self.assertRaises(Aborted):
                Sender(engine.port, timeout=PATIENCE)

    def test_a_configuration_that_is_wrong_changes_nothing_and_is_said(self):
        engine = self.drover()
        said = self.reload(engine, 'dimse = { max_associations = 1, ports = 104 }\n')
        self.wait("it is refused", lambda: "the configuration stays as it is: " in said())
        self.assertIn("'dimse.ports'", said())
        with Sender(engine.port, timeout=PATIENCE), Sender(engine.port, timeout=PATIENCE):
            pass
        said = self.reload(engine, 'log = { level = "loud" }\n')
        self.wait("it is refused", lambda: "log.level is 'loud'" in said())

    def test_sighup_moves_the_log_into_a_file_and_makes_it_json(self):
        engine = self.drover()
        log = self.folder / "engine.log"
        self.reload(engine, f'log = {{ json = true, file = "{log}" }}\n')
        self.wait("lines are in the file", lambda: log.exists() and "log.json is 'true' from now on" in log.read_text())
        quiet = len(engine.said())
        self.assertEqual(engine.stop(), 0)
        self.assertEqual(engine.said()[quiet:], "")
        lines = [json.loads(line) for line in log.read_text().splitlines()]
        self.assertEqual(lines[-1]["message"], "stopped")

    def test_sighup_publishes_changed_rules_as_a_new_generation(self):
        engine = self.drover(options=("--set", "rules.watch=false"))
        before = engine.json("rules", "history")
        rule = '%s "from-sighup" { conditions = { { "PatientID", "equals", "SENDER-1" } }, actions = { { "PatientID", "set", "N-1" } },\n' \
               '  tests = { { given = { PatientID = "SENDER-1" }, expect = { PatientID = "N-1" } }, { given = {}, expect = {} } } }\n'
        (engine.data / "rules" / "site.lua").write_text(rule % "mapping")
        engine.process.send_signal(signal.SIGHUP)
        self.wait("a new generation", lambda: len(engine.json("rules", "history")) == len(before) + 1)
        uid = "1.2.826.0.1.3680043.9.77"
        with Sender(engine.port, timeout=PATIENCE) as s:
            self.assertEqual(s.store(uid, header(uid, rows=8, columns=8), pixels(128)), 0)
        self.assertEqual(engine.json("studies")[0]["patient_id"], "N-1")
        (engine.data / "rules" / "site.lua").write_text(rule % "maping")
        engine.process.send_signal(signal.SIGHUP)
        self.wait("the bad one is refused", lambda: "the rules stay as they are: " in engine.said())
        self.assertEqual(len(engine.json("rules", "history")), len(before) + 1)
