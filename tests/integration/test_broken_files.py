"""Files that break off or lie: what of them can be had is had, nothing is lost, and the error is told where it is looked for."""
import json

from lib.catalog import Catalog
from lib.cstore import instance, send
from lib.scenario import Drover, Scenario


class Broken(Scenario):
    def setUp(self):
        super().setUp()
        self.file = next(self.synth("synth", "--studies", 1, "--modalities", "CT", "--instances-per-study", 1).rglob("*.dcm"))
        self.bytes = self.file.read_bytes()
        self.engine = Drover(self.folder)
        self.catalog = Catalog(self.engine.data)

    def meta_end(self):
        return 144 + int.from_bytes(self.bytes[140:144], "little")

    def test_a_file_cut_inside_its_file_meta_is_kept_whole_and_retried_as_a_file(self):
        self.begin(self.engine)
        cut = self.folder / "cut.dcm"
        for size in (170, 200, self.meta_end() - 3):
            cut.write_bytes(self.bytes[:size])
            said = self.engine.cli("ingest", cut)
            self.assertIn("1 unreadable", said)
            self.assertIn("0 failed", said)
        kept = self.engine.json("quarantine", "list")
        self.assertEqual([k["state"] for k in kept], ["unreadable"] * 3)
        self.assertIn("within element (0002,", kept[0]["reason"])
        for k, size in zip(kept, (170, 200, self.meta_end() - 3)):
            self.assertTrue((self.engine.data / k["path"]).read_bytes().endswith(self.bytes[:size]))
        again = self.engine.json("quarantine", "retry", "--all")
        self.assertEqual({a["kept"] for a in again}, {"unreadable"})
        self.assertEqual(len(self.engine.json("quarantine", "list")), 3)
        self.engine.stop()
        for p in self.engine.data.glob("catalog.db*"):
            p.unlink()
        self.again(self.engine)
        found = self.engine.json("quarantine", "list")
        self.assertEqual({(k["state"], k["stage"]) for k in found}, {("unreadable", "intake")}, "the seal of a kept file is not understood")
        self.assertEqual(sorted(k["reason"] for k in found), sorted(k["reason"] for k in kept))

    def test_an_unreadable_entry_keeps_the_uid_of_its_command_over_a_retry(self):
        self.begin(self.engine)
        one = instance()
        one.data = one.data[:-700] + b"\xff" * 30  # breaks off inside the header: nobody can read past it
        one.data = one.data[:150] + b"\x10\x00\x10\x00PN\xff\xff"
        self.assertEqual(send(self.engine.port, self.engine.aet, [one]), {one.uid: 0})
        for _ in range(2):
            kept = self.engine.json("quarantine", "list")
            self.assertEqual([(k["state"], k["received_sop_uid"]) for k in kept], [("unreadable", one.uid)])
            self.engine.cli("quarantine", "retry", kept[0]["id"])

    def test_native_pixel_data_shorter_than_its_image_is_stored_and_flagged(self):
        self.begin(self.engine)
        good, short = instance(side=20), instance(side=20)
        at = short.data.index(b"\x28\x00\x10\x00US\x02\x00") + 8
        short.data = short.data[:at] + b"\x28\x00" + short.data[at + 2:]  # 40 rows, bytes for 20
        self.assertEqual(set(send(self.engine.port, self.engine.aet, [good, short]).values()), {0})
        self.assertEqual(self.engine.json("audit", good.uid)[0]["findings"], [])
        told = self.engine.json("audit", short.uid)[0]["findings"]
        self.assertEqual([(f["kind"], f["rule"]) for f in told], [("flag", "intake/pixel-data-length")])
        self.assertEqual(told[0]["message"], "Pixel Data has 800 bytes, the header describes an image of 1600")
        self.assertEqual([s["study_uid"] for s in self.engine.json("studies", "--flagged")], [short.study])

    def test_dump_prints_what_can_be_read_and_then_the_error(self):
        junk = self.folder / "junk.dcm"
        junk.write_bytes(self.bytes + b"trailing junk")
        done = self.cli("dump", junk)
        self.assertEqual(done.returncode, 6)
        self.assertIn("PatientID", done.stdout)
        self.assertIn("PixelData", done.stdout)
        self.assertIn("junk.dcm", done.stderr)
        junk.write_bytes(self.bytes[:-100])
        done = self.cli("dump", "--json", junk)
        self.assertEqual(done.returncode, 6)
        first, second = (json.loads(line) for line in done.stdout.splitlines())
        self.assertIn("00100020", first)
        self.assertEqual(second["error"]["code"], "TRUNCATED")

    def test_an_error_is_a_json_object_too_when_json_is_asked_for(self):
        self.begin(self.engine)
        done = self.engine.run("audit", "1.2.3.4.5", "--json")
        self.assertEqual(done.returncode, 4)
        error = json.loads(done.stdout)["error"]
        self.assertEqual((error["code"], error["exit"]), ("NOT_FOUND", 4))
        self.assertIn("1.2.3.4.5", error["message"])
        self.assertIn(error["message"], done.stderr)
        done = self.engine.run("quarantine", "nonsense", "--json")
        self.assertEqual(json.loads(done.stdout)["error"]["code"], "USAGE")
        done = self.engine.run("studies", "--study-date", "yesterday", "--json")
        self.assertEqual(json.loads(done.stdout)["error"]["code"], "VALUE")
