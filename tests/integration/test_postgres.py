"""The engine on PostgreSQL: a whole migration as on SQLite, and what happens when the server is not there, goes and comes back."""
import json
import subprocess
import tempfile

from lib.catalog import Catalog
from lib.cstore import Senders, instance, send
from lib.postgres import Postgres
from lib.scenario import BINARY, PATIENCE, Scenario, Drover
from lib.whole import whole


class Server(Postgres):
    """As Postgres, and asked as lib.catalog's Catalog is."""

    def rows(self, sql):
        return json.loads(self.sql(f"SELECT coalesce(json_agg(t), '[]') FROM ({sql}) t"))

    def count(self, table):
        return int(self.sql(f"SELECT count(*) FROM {table}"))


class OnPostgres(Scenario):
    def setUp(self):
        super().setUp()
        self.server = Server(tempfile.mktemp(prefix="drover-pg-", dir="/tmp"))  # short: a socket's path has 107 bytes
        self.addCleanup(self.server.remove)
        self.server.start()

    def engine(self, **options):
        return Drover(self.folder, options=["--set", "database=" + self.server.dsn], **options)

    def files(self, *options):
        return sorted(self.synth("synth", *options).rglob("*.dcm"))

    def send(self, engine, *files):
        return subprocess.run(["storescu", "-v", "-aec", engine.aet, "127.0.0.1", str(engine.port), *map(str, files)], capture_output=True, text=True,
                              timeout=PATIENCE * 2)

    # What is the same on both engines: everything but ids, times and the folder chosen by the clock.
    SAME = {
        "instances": "SELECT received_sop_uid, sop_uid, sop_class, transfer_syntax, instance_number, bytes, source, generation, repeats FROM instances"
                     " ORDER BY received_sop_uid",
        "studies": "SELECT study_uid, received_study_uid, patient_id, patient_key, patient_name, name_key, birth_date, sex, accession, accession_key,"
                   " received_accession, study_date, study_time, description, modalities, series_count, instance_count, finding_count FROM studies"
                   " ORDER BY study_uid",
        "series": "SELECT series_uid, received_series_uid, modality, number, description, body_part, instance_count FROM series ORDER BY series_uid",
        "patients": "SELECT patient_id, issuer, name, name_key, birth_date, sex FROM patients ORDER BY patient_id, issuer",
        "edits": "SELECT i.received_sop_uid, e.position, e.kind, e.path, e.before, e.after, e.stage, e.rule FROM edits e JOIN instances i"
                 " ON i.id = e.instance ORDER BY i.received_sop_uid, e.position",
        "findings": "SELECT i.received_sop_uid, f.position, f.kind, f.rule, f.path, f.message FROM findings f JOIN instances i ON i.id = f.instance"
                    " ORDER BY i.received_sop_uid, f.position",
        "jobs": "SELECT study_uid, state, tries, source_series, source_instances, here_series, here_instances, explained, bytes FROM jobs"
                " ORDER BY study_uid",
        "counters": "SELECT name, value FROM counters WHERE value <> 0 ORDER BY name",
        "generations": "SELECT number, hash FROM generations ORDER BY number",
    }

    def test_a_migration_ends_with_the_same_catalog_as_on_sqlite(self):
        files = self.files()
        small = Drover(self.folder, name="sqlite")
        large = Drover(self.folder, name="postgres", options=["--set", "database=" + self.server.dsn])
        large.port = small.port  # one after the other, the destination that the source knows
        large.argv[large.argv.index("--dicom-port") + 1] = str(small.port)
        legacy = self.orthanc(knows=[small])
        legacy.load(self.folder / "synth")
        for engine in (small, large):
            self.begin(engine)
            engine.knows(legacy)
            engine.cli("migrate", "--source", "legacy", "--all")
            engine.cli("verify")
            engine.stop()
        there = Catalog(small.data)
        self.assertEqual(self.server.count("instances"), len(files))
        for what, sql in self.SAME.items():
            self.assertEqual(self.server.rows(sql), there.rows(sql), what)
        # A clean stop is one there too, and the next start finds all of it.
        self.assertEqual(self.server.sql("SELECT value FROM site WHERE name = 'clean_stop'"), "1")
        self.again(large)
        uid = self.server.sql("SELECT i.received_sop_uid FROM edits e JOIN instances i ON i.id = e.instance ORDER BY i.id LIMIT 1")
        self.assertIn("->", large.cli("audit", uid))
        studies = large.json("studies")
        self.assertEqual(len(studies), self.server.count("studies"))
        name = self.server.sql("SELECT patient_name FROM studies WHERE patient_name <> '' ORDER BY id LIMIT 1")
        self.assertTrue(large.json("studies", "--patient-name", name[:3].lower() + "*"))
        self.assertIn("postgresql 1", large.cli("status"))
        large.cli("migrate", "--source", "legacy", "--all", "--name", "again")
        self.assertEqual({r["state"] for r in self.server.rows("SELECT j.state FROM jobs j JOIN batches b ON b.id = j.batch WHERE b.name = 'again'")},
                         {"skipped"})

    def test_what_is_held_is_listed_and_released(self):
        engine = self.engine()
        (engine.data / "rules").mkdir(parents=True)
        rule = engine.data / "rules/hold.lua"
        rule.write_text('mapping "hold-all" { run = function() return hold "looked at first" end,\n'
                        '  tests = { { given = {}, expect = {}, verdict = "hold" } } }\n')
        self.begin(engine)
        files = self.files("--studies", 1, "--instances-per-study", 3)
        self.assertEqual(self.send(engine, *files).returncode, 0)
        held = engine.json("quarantine", "list")
        self.assertEqual([(h["state"], h["rule"]) for h in held], [("held", "mapping/hold-all")] * 3)
        rule.unlink()
        engine.cli("rules", "publish")
        engine.cli("quarantine", "retry", "--all")
        self.assertEqual(engine.json("quarantine", "list"), [])
        self.assertEqual(self.server.count("instances"), 3)
        engine.cli("verify")

    def test_without_its_catalog_the_engine_does_not_start_and_tells_no_password(self):
        self.server.stop()
        dsn = f"postgresql://drover:sesame@localhost/postgres?host={self.server.folder}&port=5432"
        done = subprocess.run([BINARY, "serve", "--data", self.folder / "d", "--dicom-port", "0", "--set", "database=" + dsn], capture_output=True,
                              text=True, timeout=PATIENCE)
        self.assertEqual(done.returncode, 12, done.stderr)
        self.assertIn("cannot be reached", done.stderr)
        self.assertIn("drover@", done.stderr)
        self.assertNotIn("sesame", done.stderr + done.stdout)
        self.assertNotIn("serve: ready", done.stderr)

    def test_senders_get_a700_while_the_catalog_is_lost_and_go_on_when_it_is_back(self):
        engine = self.begin(self.engine())
        files = self.files("--studies", 1, "--instances-per-study", 12)
        self.assertEqual(self.send(engine, *files[:4]).returncode, 0)
        self.server.stop()
        lost = self.send(engine, files[4])
        self.assertIn("OutOfResources", lost.stdout + lost.stderr)  # A700
        self.assertTrue(engine.alive())
        self.server.start()
        self.wait("instances to be taken again", lambda: "Response (Success)" in (lambda d: d.stdout + d.stderr)(self.send(engine, files[4])))
        self.assertEqual(self.send(engine, *files[5:]).returncode, 0)
        self.assertEqual(self.server.count("instances"), len(files))
        engine.cli("verify")

    def test_a_catalog_that_goes_and_comes_back_while_four_send_costs_a700_and_nothing_else(self):
        engine = self.begin(self.engine())
        sent = [instance(side=side) for side in (16, 200) * 150]
        by_uid = {one.uid: one for one in sent}
        told = {}
        for away in (self.server.stop, self.server.crash):
            senders = Senders(engine.port, engine.aet, sent)
            goal = self.server.count("instances") + 20
            self.wait(f"{goal} instances", lambda: self.server.count("instances") >= goal or not senders.running())
            away()
            self.wait("the senders to end", lambda: not senders.running())
            answers = senders.join()
            self.assertEqual(set(answers.values()), {0, 0xA700})
            told |= {u: by_uid[u] for u, status in answers.items() if status == 0}
            self.assertTrue(engine.alive())
            self.server.start()
            self.wait("instances to be taken again", lambda: send(engine.port, engine.aet, sent[:1]) == {sent[0].uid: 0})
            told[sent[0].uid] = sent[0]
            self.wait("every acknowledged instance", lambda: {r["received_sop_uid"] for r in self.server.rows("SELECT received_sop_uid FROM instances")} >= set(told))
        self.assertEqual(set(send(engine.port, engine.aet, sent).values()), {0})
        self.assertEqual(engine.stop(), 0)
        self.again(engine)
        whole(self, engine, self.server, by_uid, only=by_uid)

    def test_an_acknowledged_instance_has_its_row_again_after_the_server_broke_down(self):
        engine = self.begin(self.engine())
        files = self.files("--studies", 2, "--instances-per-study", 40)
        self.assertEqual(self.send(engine, *files).returncode, 0)
        self.server.crash()  # at once: what was committed without waiting for the disk may be gone
        self.server.start()
        self.wait("all rows", lambda: self.server.count("instances") == len(files))
        engine.cli("verify")
        engine.stop()
        self.again(engine)
        self.assertEqual(self.server.count("instances"), len(files))
        self.assertEqual({str(p.relative_to(engine.data)) for p in engine.objects()}, {r["path"] for r in self.server.rows("SELECT path FROM instances")})
        self.assertEqual(self.server.sql("SELECT sum(value) FROM counters WHERE name = 'instances'"), str(len(files)))
