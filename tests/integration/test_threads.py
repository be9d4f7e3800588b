"""ThreadSanitizer sees sixteen associations at once, rules that change under them, and every verb that looks (--all)."""
import os
import pathlib
import re
import shutil
import signal
import threading
import unittest

from lib.scenario import LONG, PATIENCE, ROOT, Drover, Scenario
from lib.sender import Sender, header, pixels

BINARY = pathlib.Path(os.environ.get("DROVER_TSAN_BIN", ROOT / "build/tsan/drover"))
ROUNDS, STUDIES, IMAGES = 12, 6, 5
RULE = """
mapping "round" {
  run = function(ds)
    if ds.PatientID == "HOLD" then return hold "looked at first" end
    ds.PatientComments = "round %d"
  end,
  tests = { { given = { PatientID = "HOLD" }, expect = {}, verdict = "hold" }, { given = { PatientID = "P" }, expect = { PatientComments = "round %d" } } },
}
"""


@unittest.skipUnless(LONG, "--all runs it")
class Threads(Scenario):
    def setUp(self):
        super().setUp()
        if not BINARY.exists():
            self.skipTest(f"{BINARY} is not there: build the preset tsan")
        self.assertIn(b"__tsan_init", BINARY.read_bytes(), "a build that watches nothing")
        self.engine = Drover(self.folder, options=["--set", "dimse.max_associations=64"])
        self.engine.argv[0] = str(BINARY)
        if shutil.which("setarch"):  # old runtimes do not know the address layout of new kernels
            self.engine.argv = ["setarch", "-R", *self.engine.argv]
        self.engine.env = {"TSAN_OPTIONS": f"suppressions={ROOT}/tests/tsan.supp exitcode=66 history_size=4 second_deadlock_stack=1"}

    def associations(self, n, told):
        """An association a study, the first image of each a second time; the last study is held by the rule."""
        for study in range(STUDIES):
            name = f"1.2.826.0.1.3680043.9.{800 + n}.{study}"
            with Sender(self.engine.port, calling=f"S{n}", timeout=10 * PATIENCE) as s:
                for image in (*range(IMAGES), 0):
                    uid = f"{name}.{image}"
                    told[uid] = s.store(uid, header(uid, study=name, rows=64, columns=64, patient="HOLD" if study == 5 else f"P{n}"), pixels(8192))
                s.release()

    def test_sixteen_associations_under_changing_rules_race_nowhere(self):
        engine, told = self.begin(self.engine), {}
        threads = [threading.Thread(target=self.associations, args=(n, told)) for n in range(16)]
        for t in threads:
            t.start()
        rules = engine.data / "rules/site.lua"
        generations = len(engine.json("rules", "history"))
        for n in range(ROUNDS):  # by the watch, by the verb, by SIGHUP, with all that reads meanwhile
            rules.with_suffix(".new").write_text(RULE % (n, n))
            rules.with_suffix(".new").rename(rules)
            if n % 3 == 1:
                engine.cli("rules", "publish")
            elif n % 3 == 2:
                engine.process.send_signal(signal.SIGHUP)
            self.wait(f"generation {n}", lambda: len(engine.json("rules", "history")) > generations, 5 * PATIENCE)
            generations = len(engine.json("rules", "history"))
            for words in (("status",), ("studies",), ("quarantine", "list"), ("audit", "--by-rule")):
                engine.json(*words)
        engine.cli("verify")
        for t in threads:
            t.join(20 * PATIENCE)
        self.assertEqual(len(told), 16 * STUDIES * IMAGES)
        self.assertEqual(set(told.values()), {0})
        engine.cli("quarantine", "retry", "--all")
        engine.process.send_signal(signal.SIGTERM)
        status = engine.process.wait(5 * PATIENCE)
        reports = re.findall(r"WARNING: ThreadSanitizer: [^\n]*(?:\n(?!={10}).*)*", engine.said())
        self.assertEqual(reports, [])
        self.assertEqual(status, 0)
