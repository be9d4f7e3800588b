"""A catalog of schema version 1 with real data is upgraded at start: nothing of it is lost, every verb works on it, a kill leaves it as it was.

The data come from the engine itself: an archive is filled by it (studies with faults, a quarantine, a migration), and its rows are laid into the
tables of version 1 (lib/schema_v1.sql) beside the same objects. So what the verbs say of it is known: what they said before.
"""
import json
import os
import pathlib
import re
import shutil
import signal
import sqlite3
import subprocess
import tempfile

from lib.postgres import Postgres
from lib.scenario import BINARY, PATIENCE, Drover, Scenario
from lib.sender import Sender, header, pixels

SQL = (pathlib.Path(__file__).parent / "lib/schema_v1.sql").read_text()
TABLES = {t: [c.split()[0] for c in re.split(r",\s*(?![^(]*\))", columns) if not c.startswith(("PRIMARY", "UNIQUE"))]
          for t, columns in re.findall(r"^CREATE TABLE (\w+) \((.*)\);$", SQL, re.M)}
HELD, REJECTED = "1.2.826.0.1.3680043.9.501", "1.2.826.0.1.3680043.9.502"
RULES = """
mapping "waits" {
  run = function(ds)
    if ds.PatientID == "HOLD" then return hold "looked at first" end
    if ds.PatientID == "REJECT" then return reject "not wanted" end
  end,
  tests = { { given = { PatientID = "HOLD" }, expect = {}, verdict = "hold" }, { given = { PatientID = "P" }, expect = {} } },
}
"""


class Upgrade(Scenario):
    database = ()

    def fill(self):
        """An archive of everything that has rows, stopped; what each verb says of it."""
        source = self.synth("source", "--studies", 3, "--instances-per-study", 2)
        engine = Drover(self.folder, options=self.database)
        legacy = self.orthanc(knows=[engine])
        legacy.load(source)
        self.begin(engine)
        engine.knows(legacy)
        (engine.data / "rules/site.lua").write_text(RULES)
        engine.cli("rules", "publish")
        engine.cli("migrate", "--source", "legacy", "--all", "--name", "main")
        engine.cli("ingest", self.synth("files", "--studies", 5, "--instances-per-study", 2, "--seed", 7))
        for uid, patient in ((HELD, "HOLD"), (REJECTED, "REJECT")):
            with Sender(engine.port, timeout=PATIENCE) as s:
                s.store(uid, header(uid, rows=8, columns=8, patient=patient), pixels(128))
        legacy.stop()
        said = self.ask(engine)
        self.assertEqual(len(said["studies"]), 8)
        self.assertEqual(len(said["quarantine"]), 2)
        self.assertTrue(said["audit"])
        self.assertEqual(engine.stop(), 0)
        return engine, said

    def ask(self, engine):
        """What a user sees of the archive."""
        out = {"studies": engine.json("studies"), "quarantine": engine.json("quarantine", "list"), "peers": engine.json("peers", "list"),
               "batches": engine.json("batches", "list"), "batch": engine.json("batches", "show", 1),
               "history": [{k: v for k, v in g.items()} for g in engine.json("rules", "history")], "by_rule": engine.json("audit", "--by-rule")}
        out["audit"] = {s["study_uid"]: engine.json("audit", s["study_uid"]) for s in out["studies"][::3]}
        name, study = out["studies"][0]["patient_name"], out["studies"][0]["study_uid"]
        out["searched"] = [engine.json("studies", *words) for words in (
            ("--patient-name", name.lower()), ("--patient-name", name[:3] + "*"), ("--study-uid", study), ("--modality", "CT"),
            ("--patient-id", out["studies"][-1]["patient_id"]), ("--source", "legacy"), ("--flagged",))]
        self.assertTrue(all(out["searched"][:4]))
        return out

    def dump(self, db):
        return {t: sorted(db.execute(f"SELECT {', '.join(c)} FROM {t}").fetchall(), key=repr) for t, c in TABLES.items() if t != "site"}

    def turn_back(self, engine):
        """The same rows in the tables of version 1."""
        new, old = engine.data / "catalog.db", engine.data / "old.db"
        db = sqlite3.connect(old)
        db.executescript(SQL)
        db.execute("ATTACH ? AS new", (str(new),))
        for table, columns in TABLES.items():
            names = ", ".join(columns)
            db.execute(f"INSERT INTO {table} ({names}) SELECT {names} FROM new.{table}")
        db.execute("UPDATE site SET value = '1' WHERE name = 'schema'")
        db.commit()
        rows = self.dump(db)
        db.close()
        for name in os.listdir(engine.data):
            if name.startswith("catalog.db"):
                os.unlink(engine.data / name)
        old.rename(new)
        return rows

    def tables(self, path):
        """Columns and indices of a database, however they came to be."""
        with sqlite3.connect(f"file:{path}?mode=ro", uri=True) as db:
            names = [n for (n,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'") if not n.startswith("sqlite_")]
            columns = {t: {r[1:4] for r in db.execute(f"PRAGMA table_info({t})")} for t in names}
            indices = {t: {(r[1], r[2], r[4]) for r in db.execute(f"PRAGMA index_list({t})")} for t in names}
            return columns, indices

    def version(self, path):
        with sqlite3.connect(f"file:{path}?mode=ro", uri=True) as db:
            return int(db.execute("SELECT value FROM site WHERE name = 'schema'").fetchone()[0])

    def works(self, engine, said):
        """Everything is there, and goes on: retry, a further migration, the same instance again, a new one."""
        self.assertEqual(self.ask(engine), said)
        engine.cli("verify")
        with Sender(engine.port, timeout=PATIENCE) as s:
            self.assertEqual(s.store(HELD, header(HELD, rows=8, columns=8, patient="HOLD"), pixels(128)), 0)
            uid = "1.2.826.0.1.3680043.9.503"
            for _ in range(2):
                self.assertEqual(s.store(uid, header(uid, rows=8, columns=8, patient="NEW-1"), pixels(128)), 0)
        found = engine.json("studies", "--patient-id", "NEW-1")
        self.assertEqual([f["instances"] for f in found], [1])
        self.assertEqual(len(engine.json("quarantine", "list")), 2)
        (engine.data / "rules/site.lua").unlink()
        engine.cli("rules", "publish")
        engine.cli("quarantine", "retry", "--all")
        self.assertEqual(len(engine.json("quarantine", "list")), 0)
        self.assertEqual(len(engine.json("studies")), len(said["studies"]) + 3)
        engine.cli("peers", "add", "other", "--aet", "OTHER", "--host", "127.0.0.1", "--port", 104)
        engine.cli("verify")

    def killed(self, engine, points, left):
        """At each of POINTS; LEFT looks at what is there then."""
        if b"DROVER_FAIL" in pathlib.Path(BINARY).read_bytes():
            for point in points:
                engine.env = {"DROVER_FAIL": f"{point}:kill"}
                engine.start()
                self.wait(f"a death at {point}", lambda: not engine.alive())
                self.assertEqual(engine.process.wait(), -signal.SIGKILL, point)
                left()
        engine.env = None

    def still_old(self, engine, rows):
        copy = self.folder / "copy.db"  # opening a database with a log behind it writes to it
        for name in ("", "-wal", "-shm"):
            pathlib.Path(f"{copy}{name}").unlink(missing_ok=True)
            if (engine.data / f"catalog.db{name}").exists():
                shutil.copy(engine.data / f"catalog.db{name}", f"{copy}{name}")
        with sqlite3.connect(copy) as db:
            self.assertEqual(self.dump(db), rows)
        self.assertEqual(self.version(copy), 1)

    def test_a_catalog_of_version_1_is_upgraded_with_everything_in_it_after_kills_too_and_the_old_file_is_kept(self):
        engine, said = self.fill()
        fresh = self.tables(engine.data / "catalog.db")
        now = self.version(engine.data / "catalog.db")
        rows = self.turn_back(engine)
        self.killed(engine, ("upgrade.kept", "upgrade.step"), lambda: self.still_old(engine, rows))
        self.again(engine)
        self.assertIn(f"upgraded from schema version 1 to {now}", engine.said())
        self.assertIn(f"copied to {engine.data}/catalog.db.v1 before", engine.said())
        with sqlite3.connect(f"file:{engine.data}/catalog.db?mode=ro", uri=True) as db:
            self.assertEqual(self.dump(db), rows)
        with sqlite3.connect(f"file:{engine.data}/catalog.db.v1?mode=ro", uri=True) as db:
            self.assertEqual(self.dump(db), rows)
        self.assertEqual(self.version(engine.data / "catalog.db.v1"), 1)
        self.assertEqual(self.tables(engine.data / "catalog.db"), fresh)
        self.works(engine, said)

    def test_a_catalog_of_a_newer_program_is_refused_and_not_touched(self):
        engine = self.drover()
        engine.stop()
        with sqlite3.connect(engine.data / "catalog.db") as db:
            db.execute("UPDATE site SET value = '99' WHERE name = 'schema'")
        db.close()
        done = self.cli("serve", "--data", engine.data, "--dicom-port", 0)
        self.assertEqual(done.returncode, 3)
        self.assertIn("schema version 99", done.stderr)
        self.assertIn("use the newer program", done.stderr)
        self.assertEqual(self.version(engine.data / "catalog.db"), 99)

    def test_an_upgrade_whose_copy_cannot_be_written_does_not_begin(self):
        engine = self.drover()
        engine.stop()
        self.turn_back(engine)
        (engine.data / "catalog.db.v1").mkdir()
        (engine.data / "catalog.db.v1/in-the-way").touch()
        done = self.cli("serve", "--data", engine.data, "--dicom-port", 0)
        self.assertNotEqual(done.returncode, 0)
        self.assertIn("catalog.db.v1", done.stderr)
        self.assertEqual(self.version(engine.data / "catalog.db"), 1)


class UpgradeOnPostgres(Upgrade):
    def setUp(self):
        super().setUp()
        self.server = Postgres(tempfile.mktemp(prefix="drover-pg-", dir="/tmp"))
        self.addCleanup(self.server.remove)
        self.server.start()
        self.database = ["--set", "database=" + self.server.dsn]

    def rows(self, schema):
        return {t: sorted(json.loads(self.server.sql(f"SELECT coalesce(json_agg(t), '[]') FROM (SELECT {', '.join(c)} FROM {schema}.{t}) t")), key=repr)
                for t, c in TABLES.items() if t != "site"}

    def turn_back(self, engine):
        text = re.sub(r"\bTEXT\b", 'TEXT COLLATE "C"', re.sub(r"\bBLOB\b", "BYTEA", re.sub(r"\bINTEGER\b", "BIGINT", re.sub(
            r"\bINTEGER PRIMARY KEY\b", "BIGINT GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY", SQL))))
        script = ["CREATE SCHEMA old; SET search_path = old;", text]
        for table, columns in TABLES.items():
            names = ", ".join(columns)
            script.append(f"INSERT INTO old.{table} ({names}) SELECT {names} FROM public.{table};")
            if re.search(rf"CREATE TABLE {table} \(id INTEGER PRIMARY KEY", SQL):
                script.append(f"SELECT setval(pg_get_serial_sequence('old.{table}', 'id'), coalesce((SELECT max(id) FROM old.{table}), 0) + 1);")
        script.append("UPDATE old.site SET value = '1' WHERE name = 'schema'; DROP SCHEMA public CASCADE; ALTER SCHEMA old RENAME TO public;")
        done = subprocess.run([self.server.program("psql"), "-Xq", "-v", "ON_ERROR_STOP=1", "-d", self.server.dsn], input="\n".join(script),
                              capture_output=True, text=True)
        self.assertEqual(done.returncode, 0, done.stderr)
        return self.rows("public")

    def test_a_catalog_of_version_1_is_upgraded_with_everything_in_it_after_kills_too_and_the_old_file_is_kept(self):
        """There is no file; the rest is the same."""
        engine, said = self.fill()
        rows = self.turn_back(engine)

        def still_old():
            self.assertEqual(self.rows("public"), rows)
            self.assertEqual(self.server.sql("SELECT value FROM site WHERE name = 'schema'"), "1")

        self.killed(engine, ("upgrade.step",), still_old)
        self.again(engine)
        self.assertIn("upgraded from schema version 1 to", engine.said())
        self.assertEqual(self.rows("public"), rows)
        self.works(engine, said)

    def test_a_catalog_of_a_newer_program_is_refused_and_not_touched(self):
        engine = self.begin(Drover(self.folder, options=self.database))
        engine.stop()
        self.server.sql("UPDATE site SET value = '99' WHERE name = 'schema'")
        done = self.cli("serve", "--data", engine.data, "--dicom-port", 0, *self.database)
        self.assertEqual(done.returncode, 3)
        self.assertIn("schema version 99", done.stderr)

    test_an_upgrade_whose_copy_cannot_be_written_does_not_begin = None
