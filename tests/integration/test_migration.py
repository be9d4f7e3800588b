"""A whole migration from a real Orthanc: what arrives, what rules did to it, what it costs to ask twice."""
import collections

from lib import part10
from lib.catalog import Catalog
from lib.scenario import Scenario, Drover


class Migration(Scenario):
    def setUp(self):
        super().setUp()
        self.engine = Drover(self.folder)
        self.source = self.synth()
        self.originals = part10.files_below(self.source)
        self.legacy = self.orthanc(knows=[self.engine])
        self.legacy.load(self.source)
        self.begin(self.engine)
        self.engine.knows(self.legacy)
        self.catalog = Catalog(self.engine.data)

    def migrate(self, *options):
        return self.engine.cli("migrate", "--source", "legacy", "--all", *options)

    def test_every_instance_of_the_source_is_here_once_with_its_pixels(self):
        self.engine.cli("echo", "legacy")
        self.migrate()
        stored = self.catalog.instances()
        there = set(self.legacy.instances())
        self.assertEqual(len(there), len(self.originals))
        self.assertEqual(collections.Counter(stored.keys()), collections.Counter(there))
        objects = {str(p.relative_to(self.engine.data)) for p in self.engine.objects()}
        self.assertEqual(objects, {row["path"] for row in stored.values()})
        for uid, row in stored.items():
            fields = part10.elements((self.engine.data / row["path"]).read_bytes())
            self.assertEqual(part10.pixels(fields), part10.pixels(self.originals[uid][1]), f"pixels of {uid}")
        self.engine.cli("verify")

    def test_counts_of_every_study_agree_with_the_source(self):
        self.migrate()
        want = {uid: len(sops) for uid, sops in self.legacy.studies().items()}
        self.assertEqual({r["received_study_uid"]: r["instance_count"] for r in self.catalog.rows("SELECT * FROM studies")}, want)
        jobs = self.catalog.rows("SELECT * FROM jobs")
        self.assertEqual({j["study_uid"]: (j["state"], j["source_instances"], j["here_instances"]) for j in jobs},
                         {uid: ("complete", n, n) for uid, n in want.items()})

    def test_what_rules_change_is_written_down_with_stage_and_rule(self):
        self.migrate()
        edits = self.catalog.rows("SELECT i.received_sop_uid AS uid, e.* FROM edits e JOIN instances i ON i.id = e.instance")
        self.assertTrue(all(e["stage"] and "/" in e["rule"] for e in edits))
        before = collections.defaultdict(set)
        for e in edits:
            before[e["path"]].add((e["before"], e["after"]))
        self.assertTrue({("m", "M"), ("f", "F")} & before["PatientSex"], before["PatientSex"])
        self.assertTrue({("MALE", "M"), ("FEMALE", "F")} & before["PatientSex"], before["PatientSex"])
        self.assertTrue(any("." in (b or "") and a == b.replace(".", "") for b, a in before["StudyDate"]), before["StudyDate"])
        # What the audit says is what the object holds, and nothing else was touched.
        touched = collections.defaultdict(set)
        for e in edits:
            touched[e["uid"]].add(e["path"])
        for uid, row in self.catalog.instances().items():
            was, now = self.originals[uid][1], part10.elements((self.engine.data / row["path"]).read_bytes())
            changed = {tag for tag in set(was) | set(now) if tag[0] > 2 and was.get(tag) != now.get(tag)}
            if not touched[uid]:
                self.assertEqual(changed, set(), f"{uid} differs, and no edit says so")
            else:
                self.assertTrue(changed, f"{uid} has edits {touched[uid]} and does not differ")

    def test_a_study_can_be_asked_about(self):
        self.migrate()
        row = next(r for r in self.catalog.rows("SELECT i.received_sop_uid AS uid, e.path, e.before, e.after, e.rule FROM edits e JOIN instances i"
                                                " ON i.id = e.instance WHERE e.path = 'PatientSex'"))
        said = self.engine.cli("audit", row["uid"])
        for word in ("PatientSex", row["before"], row["after"], row["rule"]):
            self.assertIn(word, said)
        self.assertEqual(len(self.engine.json("studies")), len(self.legacy.studies()))

    def test_what_is_here_is_skipped_and_a_full_repull_stores_nothing_twice(self):
        self.migrate()
        first = self.catalog.instances()
        files = self.engine.objects()
        self.migrate("--name", "again")
        self.assertEqual({j["state"] for j in self.catalog.jobs("again")}, {"skipped"})
        self.migrate("--name", "full", "--full-repull")
        self.assertEqual({j["state"] for j in self.catalog.jobs("full")}, {"complete"})
        again = self.catalog.instances()
        self.assertEqual({u: r["path"] for u, r in again.items()}, {u: r["path"] for u, r in first.items()})
        self.assertEqual(self.engine.objects(), files)
        self.assertTrue(all(r["repeats"] >= 1 for r in again.values()))

    def test_one_accession_brings_its_study_only(self):
        study = next(r for r in (part10.text(f, 0x0008, 0x0050) for _, f in self.originals.values()) if r)
        self.engine.cli("migrate", "--source", "legacy", "--accession", study)
        rows = self.catalog.rows("SELECT * FROM studies")
        self.assertEqual([r["received_accession"] for r in rows], [study])
