"""Every named fail point kills the engine once; nothing that was acknowledged is lost, nothing else is there, and it goes on.

The list is what `drover version --fail-points` prints, so that a point which is added without a scene here fails. SCENES says which scene
passes a point, and how often before it is to be the last.
"""
import os
import shutil
import signal
import subprocess

from lib.catalog import Catalog
from lib.scenario import BINARY, Scenario, Drover, fail_points
from lib.cstore import instance, send
from lib.whole import deleted, forget, whole

RULES = '''
mapping "faults" {
  run = function(ds)
    if ds.PatientID == "HOLD" then return hold "looked at first" end
    if ds.PatientID == "REJECT" then return reject "not wanted" end
  end,
  tests = { { given = { PatientID = "HOLD" }, expect = {}, verdict = "hold" }, { given = { PatientID = "P" }, expect = {} } },
}
'''

SCENES = {
    # one instance on its way; a start commits some groups of its own
    "ingest.begun": ("receive", 3), "store.body": ("receive", 5), "store.unsealed": ("receive", 3), "store.written": ("receive", 3),
    "store.linked": ("receive", 3), "store.synced": ("receive", 3), "ingest.before_row": ("receive", 3), "catalog.member": ("receive", 20),
    "catalog.before_commit": ("receive", 20), "catalog.committed": ("receive", 20), "ingest.stored": ("receive", 3), "dimse.answered": ("receive", 3),
    "ingest.known": ("receive", 1), "ingest.before_kept_row": ("receive", 2), "ingest.kept": ("receive", 2), "store.moved": ("receive", 1),
    "catalog.checkpoint": ("quiet", 1), "catalog.checkpointed": ("quiet", 1),
    "recovery.row": ("recover", 2), "recovery.moved": ("recover", 1), "recovery.kept": ("held", 1), "recovery.listed": ("recover", 1),
    "ingest.retried": ("release", 1), "ingest.discarding": ("release", 1),
    "rules.tested": ("publish", 2), "rules.recorded": ("publish", 2),
    "rebuild.filled": ("rebuild", 1), "rebuild.renaming": ("rebuild", 1),
    "again.settling": ("receive", 1), "again.brought": ("receive", 1), "again.before_held_row": ("receive", 1),
    # test_again.py kills there, with instances that come again
    "again.replaced": None, "again.retired": None, "recovery.version": None, "versions.unlinked": None,
    # test_verification.py
    "verify.page": None,
    # test_upgrade.py kills there
    "upgrade.kept": None, "upgrade.step": None,
    # test_killed.py kills a migration there
    "migrate.preflight": None, "migrate.retrieving": None, "migrate.verifying": None, "migrate.settled": None,
}


class Points(Scenario):
    def setUp(self):
        super().setUp()
        self.points = fail_points(self)
        self.engine = Drover(self.folder)
        self.actors.append(self.engine)
        study = instance().study
        self.sent = [instance(), instance(sex="male"), instance(side=300), instance(document=90000), instance(patient="HOLD"),
                     instance(patient="REJECT"), instance(study=study), instance(study=study, patient="OTHER")]
        self.sent += [self.sent[0]] + [instance() for _ in range(4)]
        self.by_uid = {one.uid: one for one in self.sent}

    def test_every_fail_point_of_the_program_has_a_scene_here(self):
        self.assertEqual([p for p in self.points if p not in SCENES], [], "SCENES says what passes a point")
        self.assertEqual([p for p in SCENES if p not in self.points], [], "no longer in the program")

    def test_a_kill_at_each_named_point_loses_nothing_and_invents_nothing(self):
        died = 0
        for point in self.points:
            scene = SCENES.get(point)
            if scene:
                with self.subTest(point):
                    try:
                        self.one(point, *scene)
                        died += 1
                    finally:
                        if self.engine.alive():
                            self.engine.kill()
        print(f"# {died} of {len(self.points)} points; the others: test_killed.py")

    def send(self, engine):
        told = send(engine.port, engine.aet, self.sent)
        self.told |= {u for u, status in told.items() if status == 0}
        return told

    def whole(self, engine, verify=True):
        whole(self, engine, Catalog(engine.data), {u: self.by_uid[u] for u in self.told}, only=self.by_uid, verify=verify)

    def one(self, point, scene, nth):
        self.told, engine = set(), self.engine
        shutil.rmtree(engine.data, ignore_errors=True)
        engine.log.unlink(missing_ok=True)
        (engine.data / "rules").mkdir(parents=True)
        (engine.data / "rules/faults.lua").write_text(RULES)
        engine.env = None
        getattr(self, scene)(engine, {"DROVER_FAIL": f"{point}:kill:{nth}"})
        engine.env = None
        self.again(engine)
        self.whole(engine, verify=False)
        self.assertEqual(set(self.send(engine).values()), {0})
        self.assertEqual(self.told, set(self.by_uid))
        self.wait("no unnamed file", lambda: not deleted(engine))
        self.whole(engine)
        self.assertEqual(engine.stop(), 0)

    def dies(self, engine):
        self.wait("the engine to die", lambda: not engine.alive())
        self.assertEqual(engine.process.wait(), -signal.SIGKILL, engine.said()[-2000:])

    def receive(self, engine, env):
        engine.env = env
        self.again(engine)
        self.send(engine)
        self.dies(engine)

    def quiet(self, engine, env):
        engine.env = env
        engine.start()
        self.wait("it to listen, or to die", lambda: engine.ready() or not engine.alive())
        if engine.alive():
            self.send(engine)
        self.dies(engine)

    def recover(self, engine, env):
        self.again(engine)
        self.send(engine)
        engine.kill()
        cut = forget(engine.data, 4)[0]
        os.truncate(engine.data / cut["path"], 300)
        self.told.discard(cut["received_sop_uid"])
        engine.env = env
        engine.start()
        self.dies(engine)

    def held(self, engine, env):
        self.receive(engine, {"DROVER_FAIL": "again.before_held_row:kill:1"})
        engine.env = env
        engine.start()
        self.dies(engine)

    def release(self, engine, env):
        engine.env = env
        self.again(engine)
        self.send(engine)
        (engine.data / "rules/faults.lua").unlink()
        engine.run("rules", "publish")
        engine.run("quarantine", "retry", "--state", "held")
        self.dies(engine)

    def publish(self, engine, env):
        engine.env = env
        self.again(engine)
        self.send(engine)
        (engine.data / "rules/faults.lua").write_text(RULES.replace("looked at first", "looked at twice"))
        engine.run("rules", "publish")
        self.dies(engine)

    def rebuild(self, engine, env):
        self.again(engine)
        self.send(engine)
        engine.kill()
        done = subprocess.run([BINARY, "catalog", "rebuild", "--data", str(engine.data)], env={**os.environ, **env}, capture_output=True, text=True)
        self.assertEqual(done.returncode, -signal.SIGKILL, done.stderr)

