"""An instance that comes again: identical, header changed, re-encoded, conflicting; what a person decides; killed at each step; made again."""
import functools
import hashlib
import random
import shutil
import signal
import sqlite3
import subprocess
import tempfile
import threading
import time

from lib.catalog import Catalog
from lib.cstore import EXPLICIT, instance, send
from lib.postgres import Postgres
from lib.scenario import LONG, Drover, Scenario
from lib import part10

UID = "1.2.826.0.1.3680043.10.1511.9.1"
STUDY = "1.2.826.0.1.3680043.10.1511.9"


@functools.cache
def one(sex="M", **more):
    """The same each time: instance() numbers its datasets."""
    return instance(uid=UID, study=STUDY, sex=sex, **more)


class Again(Scenario):
    def engine_with(self, *options, **settings):
        if getattr(self, "engine", None):  # of a part that failed
            self.engine.stop()
            shutil.rmtree(self.engine.data, ignore_errors=True)
        self.engine = Drover(self.folder, options=options)
        self.engine.data.mkdir(parents=True, exist_ok=True)
        lines = "".join(f"{k} = {v!r},\n" if isinstance(v, str) else f"{k} = {v},\n" for k, v in settings.items())
        (self.engine.data / "drover.lua").write_text(f"store = {{ {lines} }}\n")
        self.catalog = Catalog(self.engine.data)
        return self.begin(self.engine)

    def send(self, *instances):
        told = send(self.engine.port, self.engine.aet, instances)
        self.assertEqual(set(told.values()), {0})

    def files(self, area):
        return {str(p.relative_to(self.engine.data)) for p in (self.engine.data / area).rglob("*") if p.is_file()}

    def row(self):
        rows = self.catalog.rows("SELECT * FROM instances WHERE received_sop_uid = ?", UID)
        self.assertEqual(len(rows), 1)
        return rows[0]

    def sex(self):
        """Of the object in force, read by other means."""
        return part10.text(part10.elements((self.engine.data / self.row()["path"]).read_bytes()), 0x10, 0x40)

    def versions(self):
        return self.catalog.rows("SELECT * FROM versions ORDER BY number")

    def whole(self):
        """Each file has its row, each row its file, and the counters say the same."""
        for area, table in (("objects", "instances"), ("versions", "versions"), ("quarantine", "quarantine")):
            self.assertEqual(self.files(area), {r["path"] for r in self.catalog.rows(f"SELECT path FROM {table}")}, area)
            if area != "quarantine":
                self.assertEqual(int(self.catalog.rows("SELECT coalesce(sum(value), 0) AS n FROM counters WHERE name = ?", table)[0]["n"]),
                                 self.catalog.count(table), table)
        for r in self.catalog.rows("SELECT s.instance_count AS said, (SELECT count(*) FROM instances i JOIN series e ON e.id = i.series WHERE "
                                   "e.study = s.id) AS n, s.bytes AS b, (SELECT sum(i.bytes) FROM instances i JOIN series e ON e.id = i.series"
                                   " WHERE e.study = s.id) AS m FROM studies s"):
            self.assertEqual((r["said"], r["b"]), (r["n"], r["m"]))
        self.engine.cli("verify")

    # ---- classes and policies ----

    def test_the_same_again_is_acknowledged_counted_and_not_stored(self):
        self.engine_with()
        a = one()
        self.send(a)
        self.send(a, a)
        self.assertEqual(self.row()["repeats"], 2)
        self.assertEqual(len(self.files("objects")), 1)
        self.assertEqual(self.engine.json("status")["duplicates"], 2)
        self.whole()

    def test_by_default_the_newest_header_is_in_force_and_the_old_one_a_version(self):
        self.engine_with()
        self.send(one("M"))
        old = self.row()
        self.send(one("F"))
        self.assertEqual(self.sex(), "F")
        self.assertEqual((self.row()["id"], self.row()["version"]), (old["id"], 2))
        listed = self.engine.json("versions", UID)
        self.assertEqual([(v["number"], v["state"], v.get("replaced_by"), v.get("class")) for v in listed],
                         [(1, "replaced", 2, "header changed"), (2, "in force", None, None)])
        self.assertTrue(listed[0]["path"].startswith("versions/"))
        self.assertEqual(listed[0]["received_hash"], old["received_hash"].hex())
        audit = self.engine.json("audit", UID)[0]
        self.assertEqual((audit["version"], [v["replaced_by"] for v in audit["versions"]]), (2, [2]))
        self.assertIn("was replaced by version 2", self.engine.cli("audit", UID))
        self.assertEqual(self.catalog.rows("SELECT sex FROM studies"), [{"sex": "F"}])
        self.assertEqual(self.engine.json("status")["versions"], 1)
        self.whole()

    def test_with_first_the_newcomer_stands_beside_and_is_counted_when_it_comes_again(self):
        self.engine_with(header_changed="first")
        self.send(one("M"))
        self.send(one("F"))
        self.send(one("F"))
        self.assertEqual(self.sex(), "M")
        self.assertEqual([(v["number"], v["replaced_by"], v["repeats"]) for v in self.versions()], [(2, 0, 1)])
        self.whole()

    def test_with_hold_a_person_decides_and_accept_makes_it_the_new_version(self):
        self.engine_with(header_changed="hold")
        self.send(one("M"))
        self.send(one("F"))
        self.send(one("F"))
        held = self.engine.json("quarantine", "list")
        self.assertEqual([(h["state"], h["rule"], h["class"], h["repeats"]) for h in held], [("held", "intake/header-changed", "header-changed", 1)])
        self.assertNotEqual(held[0]["received_hash"], held[0]["standing_received_hash"])
        self.assertEqual(held[0]["body_hash"], held[0]["standing_body_hash"])
        self.assertEqual(self.sex(), "M")
        self.assertIn("SHA-256 of pixels", self.engine.cli("quarantine", "show", held[0]["id"]))
        done = self.engine.json("quarantine", "accept", held[0]["id"])
        self.assertEqual([d["kept"] for d in done], ["stored"], done)
        self.assertEqual(self.sex(), "F")
        self.assertEqual(self.engine.json("quarantine", "list"), [])
        self.assertEqual([v["number"] for v in self.versions()], [1])
        self.whole()

    def test_a_peers_own_setting_wins_over_the_sites(self):
        self.engine_with(header_changed="hold")
        self.engine.cli("peers", "add", "strict", "--aet", "FAULTS", "--host", "127.0.0.1", "--port", "104", "--direction", "SourceOnly",
                        "--settings", '{"header_changed": "newest"}')
        self.send(one("M"))
        self.send(one("F"))
        self.assertEqual(self.sex(), "F")
        self.whole()

    def test_an_unknown_policy_is_refused_at_start_naming_the_words(self):
        done = self.cli("serve", "--data", self.folder / "x", "--set", "store.header_changed=latest")
        self.assertEqual(done.returncode, 3)
        self.assertIn("store.header_changed is 'latest'; newest, first and hold are", done.stderr)

    def recoded(self):
        """The same CT in implicit little endian and in JPEG lossless, by DCMTK."""
        source = self.synth("synth", "--studies", 1, "--modalities", "CT", "--instances-per-study", 1)
        plain = next(source.rglob("*.dcm"))
        out = []
        for name, tool in (("jpeg", ["dcmcjpeg", "+e1"]), ("implicit", ["dcmconv", "+ti"])):
            out.append(self.folder / f"{name}.dcm")
            subprocess.run([*tool, str(plain), str(out[-1])], check=True)
        return plain, *out

    def test_re_encoded_instances_are_known_by_class_and_size_and_go_by_their_own_policy(self):
        plain, jpeg, implicit = self.recoded()
        for policy, syntax, beside in (("first", EXPLICIT.decode(), 2), ("newest", "1.2.840.10008.1.2", 2), ("hold", EXPLICIT.decode(), 0)):
            with self.subTest(policy):
                self.engine_with(reencoded=policy)
                for f in (plain, jpeg, implicit):
                    self.engine.cli("ingest", f, "--rules", "none")
                self.assertEqual([r["transfer_syntax"] for r in self.catalog.rows("SELECT transfer_syntax FROM instances")], [syntax])
                self.assertEqual({v["class"] for v in self.versions()}, {"re-encoded"} if beside else set())
                self.assertEqual(len(self.versions()), beside)
                self.assertEqual({q["rule"] for q in self.catalog.rows("SELECT rule FROM quarantine")}, set() if beside else {"intake/re-encoded"})
                self.whole()
                self.engine.stop()
                shutil.rmtree(self.engine.data)

    # ---- conflicts ----

    def test_other_pixels_another_study_another_patient_are_held_apart_naming_why(self):
        self.engine_with()
        self.send(one())
        self.send(one(side=20), instance(uid=UID, study=STUDY + ".77"), one(patient="P2"), instance(study=STUDY, patient="P3"))
        held = {h["reason"].split("; ")[0]: h for h in self.engine.json("quarantine", "list")}
        self.assertEqual(set(held), {"conflict: another body came before under this SOP Instance UID",
                                     "conflict: this SOP Instance UID came before in another study",
                                     "conflict: this SOP Instance UID came before for another patient",
                                     "conflict: the study belongs to another patient"})
        self.assertEqual({h["class"] for h in held.values()}, {"conflict"})
        other = held["conflict: this SOP Instance UID came before for another patient"]
        self.assertEqual((other["received_patient_id"], other["standing_patient_id"]), ("P2", "P1"))
        self.assertEqual(self.row()["version"], 1)
        self.whole()

    def test_an_accepted_conflict_takes_the_place_and_the_study_follows(self):
        self.engine_with()
        self.send(one(), instance(study=STUDY))
        self.send(instance(uid=UID, study=STUDY + ".77", patient="P9"))
        number = self.engine.json("quarantine", "list")[0]["id"]
        self.engine.cli("quarantine", "accept", number)
        studies = {s["study_uid"]: (s["patient_id"], s["instances"]) for s in self.engine.json("studies")}
        self.assertEqual(studies, {STUDY: ("P1", 1), STUDY + ".77": ("P9", 1)})
        self.assertEqual([(v["class"], v["number"]) for v in self.versions()], [("conflict", 1)])
        self.whole()

    def test_a_merged_patient_is_accepted_study_by_study(self):
        self.engine_with()
        more = [instance(study=STUDY) for _ in range(3)]
        self.send(*more)
        self.send(*[instance(uid=m.uid, study=STUDY, patient="MERGED") for m in more])
        self.assertEqual(len(self.engine.json("quarantine", "list")), 3)
        self.engine.cli("quarantine", "accept", "--study", STUDY)
        self.assertEqual(self.engine.json("quarantine", "list"), [])
        self.assertEqual([(s["patient_id"], s["instances"]) for s in self.engine.json("studies")], [("MERGED", 3)])
        self.assertEqual(self.catalog.rows("SELECT patient_id FROM patients"), [{"patient_id": "MERGED"}])
        self.whole()

    def test_accept_does_not_overrule_a_rule(self):
        self.engine_with()
        (self.engine.data / "rules").mkdir(exist_ok=True)
        (self.engine.data / "rules/no.lua").write_text('mapping "no" { run = function(ds) return hold "not yet" end, tests = { { given = {}, expect = {}, verdict = "hold" } } }')
        self.engine.cli("rules", "publish")
        self.send(one())
        done = self.engine.run("quarantine", "accept", 1)
        self.assertEqual(done.returncode, 2)
        self.assertIn("was held by mapping/no", done.stderr)
        self.assertEqual(self.engine.run("quarantine", "accept", 99).returncode, 4)

    # ---- undo, and the end of its days ----

    def test_a_restored_version_goes_through_the_rules_again_and_is_in_force(self):
        self.engine_with()
        self.send(one("M"))
        self.send(one("F"))
        (self.engine.data / "rules").mkdir(exist_ok=True)
        (self.engine.data / "rules/site.lua").write_text('mapping "site" { actions = { { "InstitutionName", "set", "HERE" } }, tests = { { given = {}, expect = { InstitutionName = "HERE" } } } }')
        self.engine.cli("rules", "publish")
        done = self.engine.json("versions", "restore", self.versions()[0]["id"])
        self.assertEqual(done[0]["kept"], "stored", done)
        self.assertEqual(self.sex(), "M")
        self.assertEqual(self.row()["version"], 3)
        fields = part10.elements((self.engine.data / self.row()["path"]).read_bytes())
        self.assertEqual(part10.text(fields, 0x08, 0x80), "HERE")
        self.assertEqual([(v["number"], v["replaced_by"]) for v in self.versions()], [(1, 2), (2, 3)])
        again = self.engine.json("versions", "restore", self.versions()[0]["id"])
        self.assertEqual((again[0]["kept"], again[0]["reason"]), ("known", "it is what is in force already"))
        self.assertEqual(self.engine.run("versions", "restore", 999).returncode, 4)
        self.whole()

    def test_a_version_is_removed_when_its_days_are_over(self):
        self.engine_with(keep_versions_days=10)
        self.send(one("M"))
        self.send(one("F"))
        self.send(one("O"))
        self.engine.stop()
        db = sqlite3.connect(self.catalog.path)
        db.execute("UPDATE versions SET replaced_at = replaced_at - 11 * 86400000000 WHERE number = 1")
        db.commit()
        db.close()
        self.again(self.engine)
        self.wait("the old version to go", lambda: [v["number"] for v in self.versions()] == [2])
        self.whole()

    # ---- at once ----

    def test_eight_senders_of_the_same_instance_store_it_once(self):
        self.engine_with("--set", "dimse.max_associations=20")
        a = one(side=200)
        told = self.at_once([a] * 8)
        self.assertEqual(set(told), {0})
        self.assertLessEqual(self.row()["repeats"], 7)  # who finds the other's equal object takes that one for its own
        self.assertEqual((len(self.files("objects")), self.files("quarantine"), self.files("versions")), (1, set(), set()))
        self.whole()

    def at_once(self, instances):
        told, lock = [], threading.Lock()

        def run(what):
            status = send(self.engine.port, self.engine.aet, [what], tries=20).get(what.uid)
            with lock:
                told.append(status)

        threads = [threading.Thread(target=run, args=(i,)) for i in instances]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        return told

    def test_eight_senders_of_different_headers_leave_one_in_force_and_seven_versions(self):
        self.engine_with("--set", "dimse.max_associations=20")
        headers = [one(sex=s, side=100) for s in ("M", "F", "O", "A", "B", "C", "D", "E")]
        told = self.at_once(headers)
        self.assertEqual(set(told), {0})
        self.assertEqual(self.row()["version"], 8)
        self.assertEqual(sorted(v["number"] for v in self.versions()), list(range(1, 8)))
        hashes = {self.row()["received_hash"]} | {v["received_hash"] for v in self.versions()}
        self.assertEqual(len(hashes), 8)
        self.whole()

    def test_two_senders_with_other_pixels_leave_one_in_force_and_one_held(self):
        self.engine_with()
        told = self.at_once([one(side=100), one(side=101)])
        self.assertEqual(set(told), {0})
        self.assertEqual(len(self.engine.json("quarantine", "list")), 1)
        self.whole()

    # ---- killed, and made again ----

    def test_killed_at_each_step_either_version_is_in_force_and_none_is_lost(self):
        hit = 0
        for point in ("store.linked", "store.synced", "ingest.known", "again.settling", "catalog.before_commit", "catalog.committed",
                      "again.replaced", "store.moved", "again.retired"):
            for nth in (1, 2, 3, 4):
                with self.subTest(f"{point} {nth}"):
                    self.engine_with()
                    self.send(one("M"))
                    self.engine.stop()
                    self.engine.env = {"DROVER_FAIL": f"{point}:kill:{nth}"}
                    self.engine.start()
                    self.wait("it to listen, or to die", lambda: self.engine.ready() or not self.engine.alive())
                    told = send(self.engine.port, self.engine.aet, [one("F")], tries=1) if self.engine.alive() else {}
                    died = not told and not self.engine.alive() or self.dead(told)
                    if not died:
                        self.engine.stop()
                    hit += died
                    self.engine.env = None
                    self.again(self.engine)
                    self.assertIn(self.sex(), ("F",) if told else ("M", "F"))
                    self.assertEqual(len(self.versions()), 1 if self.sex() == "F" else 0)
                    self.whole()
                    self.send(one("F"))
                    self.assertEqual((self.sex(), self.row()["version"], [v["number"] for v in self.versions()]), ("F", 2, [1]))
                    self.whole()
                    self.engine.stop()
                    shutil.rmtree(self.engine.data)
        print(f"# died {hit} times")
        self.assertGreaterEqual(hit, 12)

    def dead(self, told):
        """A sender that got no answer was cut off by a death that may not be seen yet; with an answer it may come behind it."""
        if told:
            return not self.engine.alive()
        self.wait("the engine to die", lambda: not self.engine.alive())
        self.assertEqual(self.engine.process.wait(), -signal.SIGKILL)
        return True

    def test_random_kills_while_instances_come_again_lose_no_header_that_was_acknowledged(self):
        seed = random.randrange(1 << 32)
        print(f"# seed {seed}")
        chance = random.Random(seed)
        self.engine_with()
        made = [[instance(uid=f"{UID}.{u}", study=f"{STUDY}.{u}", sex=sex) for sex in "MFO"] for u in range(12)]
        header = {one_.data: hashlib.sha256(one_.data[:-512]).digest() for row in made for one_ in row}
        acknowledged, lock = set(), threading.Lock()
        for _ in range(100 if LONG else 5):
            if not self.engine.alive():
                self.again(self.engine)

            def run(mine, stop):
                for one_ in mine:
                    if stop.is_set():
                        return
                    if send(self.engine.port, self.engine.aet, [one_], tries=1).get(one_.uid) == 0:
                        with lock:
                            acknowledged.add((one_.uid, header[one_.data]))

            stop = threading.Event()
            shares = [[chance.choice(chance.choice(made)) for _ in range(40)] for _ in range(4)]
            threads = [threading.Thread(target=run, args=(share, stop)) for share in shares]
            for t in threads:
                t.start()
            goal = len(acknowledged) + chance.randrange(1, 20)
            until = time.monotonic() + chance.random() * 2
            while time.monotonic() < until and len(acknowledged) < goal:
                time.sleep(0.002)
            self.engine.kill(signal.SIGKILL)
            stop.set()
            for t in threads:
                t.join()
            self.again(self.engine)
            here = {(r["received_sop_uid"], r["received_hash"]) for t in ("instances", "versions")
                    for r in self.catalog.rows(f"SELECT received_sop_uid, received_hash FROM {t}")}
            self.assertEqual(acknowledged - here, set(), f"acknowledged, and lost (seed {seed})")
            self.whole()
        self.assertGreater(len(acknowledged), 5)
        self.assertGreater(self.catalog.count("versions"), 0)

    def test_the_catalog_made_again_has_the_same_in_force_and_the_same_versions(self):
        self.engine_with(header_changed="newest")
        other = instance(study=STUDY)
        self.send(one("M"), other)
        self.send(one("F"))
        self.send(one("O"))
        self.engine.cli("versions", "restore", self.versions()[0]["id"])
        self.send(one(side=20), instance(uid=other.uid, study=STUDY, patient="MERGED"))
        self.engine.cli("quarantine", "accept", "--study", STUDY, "--rule", "intake/conflict")
        before = (self.row()["path"], self.row()["received_hash"], sorted((v["path"], v["received_hash"]) for v in self.versions()),
                  self.catalog.rows("SELECT study_uid, patient_id, instance_count FROM studies"))
        self.assertEqual(len(before[2]), 5)
        self.whole()
        self.engine.stop()
        for lost in (False, True):
            if lost:
                for p in self.engine.data.glob("catalog.db*"):
                    p.unlink()
            done = self.cli("catalog", "rebuild", "--data", self.engine.data)
            self.assertEqual(done.returncode, 0, done.stderr)
            after = (self.row()["path"], self.row()["received_hash"], sorted((v["path"], v["received_hash"]) for v in self.versions()),
                     self.catalog.rows("SELECT study_uid, patient_id, instance_count FROM studies"))
            self.assertEqual(after, before)
        self.begin(self.engine)
        self.whole()

    def test_rows_that_a_power_cut_took_come_back_as_what_they_were(self):
        self.engine_with(header_changed="first")
        self.send(one("M"))
        self.send(one("F"))
        self.engine.kill(signal.SIGKILL)
        db = sqlite3.connect(self.catalog.path)
        db.execute("DELETE FROM versions")
        db.execute("UPDATE counters SET value = 0 WHERE name = 'versions'")
        db.commit()
        db.close()
        self.again(self.engine)
        self.assertEqual(self.sex(), "M")
        self.assertEqual([(v["number"], v["replaced_by"], v["class"]) for v in self.versions()], [(2, 0, "header changed")])
        self.whole()


class AgainOnPostgres(Scenario):
    """The same statements on the other engine; by the command line alone."""

    def test_versions_conflicts_restore_and_rebuild_are_the_same_on_postgresql(self):
        server = Postgres(tempfile.mktemp(prefix="drover-pg-", dir="/tmp"))
        self.addCleanup(server.remove)
        server.start()
        engine = Drover(self.folder, options=["--set", "database=" + server.dsn])
        self.begin(engine)
        for one_ in (one("M"), one("F"), one("F"), one(side=20), instance(uid=UID, study=STUDY + ".77", patient="P9"), instance(study=STUDY, patient="P3")):
            self.assertEqual(set(send(engine.port, engine.aet, [one_]).values()), {0})
        self.assertEqual([(v["number"], v["state"]) for v in engine.json("versions", UID)], [(1, "replaced"), (2, "in force")])
        held = engine.json("quarantine", "list")
        self.assertEqual([h["class"] for h in held], ["conflict"] * 3)
        engine.cli("quarantine", "accept", held[1]["id"])
        self.assertEqual({s["study_uid"]: s["patient_id"] for s in engine.json("studies")}, {STUDY + ".77": "P9"})
        engine.cli("quarantine", "accept", held[2]["id"])
        versions = engine.json("versions", UID)
        self.assertEqual([v.get("class") for v in versions], ["header changed", "conflict", None])
        engine.cli("versions", "restore", versions[0]["id"])
        now = engine.json("versions", UID)
        self.assertEqual([(v["number"], v["state"]) for v in now], [(1, "replaced"), (2, "replaced"), (3, "replaced"), (4, "in force")])
        self.assertEqual({s["study_uid"]: (s["patient_id"], s["instances"]) for s in engine.json("studies")}, {STUDY: ("P1", 2)})
        status = engine.json("status")
        self.assertEqual((status["versions"], status["instances"], status["studies"], status["patients"]), (3, 2, 1, 1))
        engine.cli("verify")
        engine.stop()
        server.sql("CREATE DATABASE again")
        into = server.dsn.replace("dbname=postgres", "dbname=again")
        (engine.data / "drover.lua").write_text(f'database = "{server.dsn}"\n')
        done = self.cli("catalog", "rebuild", "--data", engine.data, "--into", into)
        self.assertEqual(done.returncode, 0, done.stderr)
        sql = "SELECT string_agg(encode(received_hash, 'hex') || path, ' ' ORDER BY path) FROM "
        for table in ("instances", "versions"):
            self.assertEqual(server.sql(sql + table, into), server.sql(sql + table))
