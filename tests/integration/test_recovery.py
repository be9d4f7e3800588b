"""The object is the truth, the row an index that can be made again: what a stop at the worst moments leaves, and what the next start makes of it."""
import signal
import sqlite3
import subprocess

from lib.catalog import Catalog
from lib.scenario import Scenario, Drover


class Recovery(Scenario):
    def setUp(self):
        super().setUp()
        self.source = self.synth("synth", "--studies", 2, "--modalities", "CT", "--instances-per-study", 10, "--defects", "dates,sex")
        self.files = sorted(self.source.rglob("*.dcm"))
        self.engine = Drover(self.folder)
        self.catalog = Catalog(self.engine.data)

    def send(self, *files):
        return subprocess.run(["storescu", "-aec", self.engine.aet, "127.0.0.1", str(self.engine.port), *map(str, files)],
                              capture_output=True, text=True, timeout=120).returncode

    def whole(self):
        """Every instance is here once, with one object of its own, and all hashes hold."""
        rows = self.catalog.rows("SELECT path, received_sop_uid FROM instances")
        self.assertEqual(len(rows), len(self.files))
        self.assertEqual(len({r["received_sop_uid"] for r in rows}), len(self.files))
        self.assertEqual({str(p.relative_to(self.engine.data)) for p in self.engine.objects()}, {r["path"] for r in rows})
        self.engine.cli("verify")

    def forget(self, count):
        """Takes the last COUNT instances out of the stopped catalog, as if their transactions had never been."""
        db = sqlite3.connect(self.catalog.path)
        ids = [r[0] for r in db.execute("SELECT id FROM instances ORDER BY id DESC LIMIT ?", (count,))]
        marks = ",".join("?" * count)
        paths = [r[0] for r in db.execute(f"SELECT path FROM instances WHERE id IN ({marks})", ids)]
        for table, column in (("edits", "instance"), ("findings", "instance"), ("instances", "id")):
            db.execute(f"DELETE FROM {table} WHERE {column} IN ({marks})", ids)
        db.commit()
        db.close()
        return paths

    def audit(self):
        return self.catalog.rows("SELECT i.received_sop_uid, e.path, e.before, e.after, e.rule FROM edits e JOIN instances i ON i.id = e.instance"
                                 " ORDER BY 1, 2")

    def test_objects_whose_rows_were_lost_get_them_again_with_their_audit(self):
        self.begin(self.engine)
        self.assertEqual(self.send(*self.files), 0)
        before, audit = self.catalog.instances(), self.audit()
        self.assertTrue(audit)
        self.engine.kill(signal.SIGKILL)
        self.forget(5)
        self.again(self.engine)
        after = self.catalog.instances()
        kept = ("path", "bytes", "received_hash", "header_hash", "body_hash", "generation", "source", "sop_class", "transfer_syntax")
        self.assertEqual({u: [r[k] for k in kept] for u, r in after.items()}, {u: [r[k] for k in kept] for u, r in before.items()})
        self.assertEqual(self.audit(), audit)
        self.whole()

    def test_an_object_that_is_cut_is_kept_in_quarantine_and_the_instance_taken_again(self):
        self.begin(self.engine)
        self.assertEqual(self.send(*self.files), 0)
        self.engine.kill(signal.SIGKILL)
        # A power cut between link and fsync: the name is there, the end of the file is not, and no row ever was.
        path = self.engine.data / self.forget(1)[0]
        with open(path, "r+b") as f:
            f.truncate(path.stat().st_size - 4000)
        self.again(self.engine)
        self.assertFalse(path.exists())
        self.assertEqual(self.catalog.count("quarantine"), 1)
        self.assertEqual(len([p for p in (self.engine.data / "quarantine").rglob("*") if p.is_file()]), 1)
        self.assertEqual(self.send(*self.files), 0)
        self.whole()
