"""The object is the truth, the row an index that can be made again: what a stop at the worst moments leaves, and what the next start makes of it."""
import signal
import sqlite3
import subprocess

from lib.catalog import Catalog
from lib.cstore import instance, send
from lib.scenario import Scenario, Drover
from lib.whole import forget, whole


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

    # What a power cut may leave of an object whose fsync had not returned, and what a disk may do to it.
    DAMAGE = {
        "empty": lambda d: b"", "cut in the preamble": lambda d: d[:100], "cut in File Meta": lambda d: d[:200],
        "cut in the seal": lambda d: d[:d.index(b"DVO1") + 60], "cut behind the seal": lambda d: d[:d.index(b"DVO1") + 200],
        "cut in the header": lambda d: d[:-9000], "cut in the body": lambda d: d[:len(d) - 4000], "one byte short": lambda d: d[:-1],
        "one byte long": lambda d: d + b"\0", "a flip in the seal": lambda d: flip(d, d.index(b"DVO1") + 50),
        "a flip in the note": lambda d: flip(d, d.index(b"DVO1") + 200), "a flip in the header": lambda d: flip(d, len(d) - 8500),
        "a flip in the body": lambda d: flip(d, len(d) - 100), "zeros at the end": lambda d: d[:-4096] + bytes(4096),
    }

    def damaged_and_forgotten(self, keep):
        """Sends, stops hard, takes out the last rows but KEEP, and damages as many of the last objects as DAMAGE has ways."""
        self.begin(self.engine)
        sent = [instance(sex="male", side=64) for _ in range(len(self.DAMAGE) + 6)]
        by_uid = {one.uid: one for one in sent}
        self.assertEqual(set(send(self.engine.port, self.engine.aet, sent).values()), {0})
        before = self.catalog.instances()
        self.engine.kill(signal.SIGKILL)
        gone = forget(self.engine.data, len(sent) - keep)
        hurt = {}
        for row, (how, damage) in zip(gone, self.DAMAGE.items()):
            path = self.engine.data / row["path"]
            path.write_bytes(damage(path.read_bytes()))
            hurt[row["received_sop_uid"]] = how
        self.again(self.engine)
        left = {u: one for u, one in by_uid.items() if u not in hurt}
        whole(self, self.engine, self.catalog, left, only=left)
        after = self.catalog.instances()
        for column in ("path", "bytes", "received_hash", "header_hash", "body_hash", "generation", "source"):
            self.assertEqual({u: after[u][column] for u in left}, {u: before[u][column] for u in left}, column)
        self.assertEqual(self.catalog.count("quarantine"), len(hurt), sorted(hurt.values()))
        self.assertEqual(set(send(self.engine.port, self.engine.aet, sent).values()), {0})
        whole(self, self.engine, self.catalog, by_uid, only=by_uid)

    def test_objects_damaged_in_every_way_go_to_quarantine_and_the_whole_ones_get_their_rows(self):
        self.damaged_and_forgotten(4)

    def test_when_no_row_is_left_every_whole_object_gets_its_own_again(self):
        self.damaged_and_forgotten(0)

    def test_when_the_catalog_itself_is_gone_all_is_catalogued_again(self):
        self.begin(self.engine)
        sent = [instance() for _ in range(8)] + [instance(document=70000)]
        self.assertEqual(set(send(self.engine.port, self.engine.aet, sent).values()), {0})
        self.engine.stop()
        for path in self.engine.data.glob("catalog.db*"):
            path.unlink()
        self.again(self.engine)
        whole(self, self.engine, self.catalog, {one.uid: one for one in sent})

    def test_verification_finds_each_damage_of_what_has_its_row(self):
        self.begin(self.engine)
        sent = [instance(sex="male", side=64) for _ in self.DAMAGE]
        self.assertEqual(set(send(self.engine.port, self.engine.aet, sent).values()), {0})
        paths = [r["path"] for r in self.catalog.rows("SELECT path FROM instances ORDER BY id")]
        for path, damage in zip(paths, self.DAMAGE.values()):
            (self.engine.data / path).write_bytes(damage((self.engine.data / path).read_bytes()))
        done = self.engine.run("verify")
        self.assertNotEqual(done.returncode, 0)
        said = done.stdout + done.stderr
        self.assertEqual([how for path, how in zip(paths, self.DAMAGE) if path not in said], [], said[-3000:])


def flip(data, at):
    return data[:at] + bytes((data[at] ^ 0x10,)) + data[at + 1:]
