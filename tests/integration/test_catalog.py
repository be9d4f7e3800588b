"""`drover catalog`: what the catalog is, and the whole of it made again from the stored objects."""
import tempfile

from lib.catalog import Catalog
from lib.scenario import Scenario, Drover
import test_postgres


class Rebuild(Scenario):
    # All that objects and the old catalog say, without ids of rows made anew and counts of what came again.
    SAME = {**{k: v.replace(", repeats FROM instances", " FROM instances") for k, v in test_postgres.OnPostgres.SAME.items()},
            "quarantine": "SELECT state, reason, stage, rule, received_sop_uid, received_study_uid, received_patient_id, sop_class, transfer_syntax,"
                          " path, bytes, generation, job, source, findings FROM quarantine ORDER BY path",
            "paths": "SELECT received_sop_uid, path, received_at, job FROM instances ORDER BY 1",
            # one MRN with two names: the row says what the first instance said, and objects of one folder come in another order
            "patients": "SELECT patient_id, issuer FROM patients ORDER BY 1, 2",
            "peers": "SELECT * FROM peers ORDER BY id",
            "batches": "SELECT * FROM batches ORDER BY id",
            "attempts": "SELECT * FROM attempts ORDER BY id",
            "jobs": "SELECT * FROM jobs ORDER BY id",
            "texts": "SELECT hash FROM texts ORDER BY hash",
            "site": "SELECT name, value FROM site WHERE name = 'generation'"}

    def setUp(self):
        super().setUp()
        self.engine = Drover(self.folder)
        self.synth("synth")
        legacy = self.orthanc(knows=[self.engine])
        legacy.load(self.folder / "synth")
        (self.engine.data / "rules").mkdir(parents=True)
        (self.engine.data / "rules/hold.lua").write_text(
            'mapping "hold-mr" { conditions = { { "Modality", "equals", "MR" } },\n'
            '  run = function(ds) if ds.Modality == "MR" then flag "seen" return hold "MR is looked at first" end end,\n'
            '  tests = { { given = { Modality = "MR" }, expect = {}, verdict = "hold", flagged = { "mapping/hold-mr" } } } }\n')
        self.begin(self.engine)
        self.engine.knows(legacy)
        self.engine.run("migrate", "--source", "legacy", "--all")
        self.catalog = Catalog(self.engine.data)

    def everything(self, of):
        # JSON columns come back as text or as values
        return {what: [{k: v for k, v in r.items() if k not in ("found",)} for r in of.rows(sql)] for what, sql in self.SAME.items()}

    def same(self, after, before):
        for what, rows in before.items():
            lost = [r for r in rows if r not in after[what]]
            new = [r for r in after[what] if r not in rows]
            self.assertEqual((lost[:3], new[:3]), ([], []), what)
            self.assertEqual(len(after[what]), len(rows), what)

    def test_a_rebuilt_catalog_says_what_the_old_one_said(self):
        self.assertIn("in use by process", self.said("rebuild", fails=18))  # the engine runs
        self.engine.stop()
        before = self.everything(self.catalog)
        self.assertTrue(before["quarantine"] and before["edits"])
        done = self.said("rebuild")
        self.assertIn("made again from their objects", done)
        self.same(self.everything(self.catalog), before)
        self.assertEqual(len([p for p in self.engine.data.glob("catalog.db.before-*") if p.name[-4:] not in ("-wal", "-shm")]), 1)
        self.again(self.engine)
        self.engine.cli("verify")
        self.assertIn("restart needed       no", self.engine.cli("catalog", "info"))
        self.engine.run("migrate", "--source", "legacy", "--all", "--name", "again")
        self.assertTrue({j["state"] for j in self.catalog.jobs("again")} <= {"skipped", "partial", "complete"})

    def test_a_catalog_that_is_lost_is_made_again_and_its_numbers_go_on(self):
        self.engine.stop()
        before = self.everything(self.catalog)
        for path in self.engine.data.glob("catalog.db*"):
            path.write_bytes(b"nothing that a database would be " * 100)
        self.assertIn("not all carried over", self.said("rebuild"))
        after = self.everything(self.catalog)
        for what in ("instances", "studies", "series", "patients", "edits", "findings", "quarantine", "paths"):
            self.same(after, {what: before[what]})
        highest = max(r["generation"] for r in before["instances"])
        self.again(self.engine)
        self.assertGreater(int(self.catalog.rows("SELECT max(number) AS n FROM generations")[0]["n"]), highest)

    def test_a_site_moves_to_postgresql(self):
        server = test_postgres.Server(tempfile.mktemp(prefix="drover-pg-", dir="/tmp"))
        self.addCleanup(server.remove)
        server.start()
        self.engine.stop()
        before = self.everything(self.catalog)
        self.said("rebuild", "--into", server.dsn)
        after = self.everything(server)
        self.same(after, before)
        self.assertIn("there is a catalog", self.said("rebuild", "--into", server.dsn, fails=5))
        (self.engine.data / "drover.lua").write_text(f'database = "{server.dsn}"\n')
        self.again(self.engine)
        self.assertIn("postgresql 1", self.engine.cli("catalog", "info"))
        self.engine.run("migrate", "--source", "legacy", "--all", "--name", "again")  # ids go on behind what was carried over
        self.assertEqual(server.count("batches"), len(before["batches"]) + 1)

    def said(self, *words, fails=0):
        done = self.engine.run("catalog", *words)
        self.assertEqual(done.returncode, fails, done.stdout + done.stderr)
        return done.stdout + done.stderr
