"""Migration by C-GET: studies come over the association that asked for them, and take the way of everything that arrives."""
import collections
import json
import os
import pathlib
import shutil
import subprocess
import threading

from lib import part10
from lib.catalog import Catalog
from lib.scenario import Actor, Drover, Orthanc, Scenario, free_port
import test_dimse_peers as peers

GET = json.dumps({"retrieve": "get"})


class Get(Scenario):
    def engine_for(self, peer, settings=GET, **options):
        engine = self.drover(**options)
        engine.cli("peers", "add", "legacy", "--aet", peer.aet, "--host", "127.0.0.1", "--port", peer.port, "--direction", "SourceOnly",
                   "--settings", settings)
        return engine

    def orthanc_with(self, folder, knows_us=True, **settings):
        """It lists us for C-GET only: our port is one where nobody listens, so that nothing can come by C-MOVE."""
        us = type("us", (), {"aet": "DROVER", "port": free_port()})
        legacy = Orthanc("legacy", self.folder, [us] if knows_us else [])
        path = pathlib.Path(self.folder) / "legacy" / "orthanc.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), **settings}))
        self.begin(legacy)
        if folder:
            legacy.load(folder)
        return legacy

    def qr(self, corpus, config="", aet="DROVER"):
        """dcmqrscp with CORPUS in it; it knows no port of ours."""
        port, db = free_port(), pathlib.Path(self.folder) / "qr"
        db.mkdir()
        (db.parent / "qr.cfg").write_text(
            f"NetworkTCPPort = {port}\nMaxPDUSize = 16384\nMaxAssociations = 8\nHostTable BEGIN\nus = ({aet}, 127.0.0.1, {free_port()})\n"
            f"sender = (STORESCU, 127.0.0.1, 104)\nboth = us, sender\nHostTable END\nVendorTable BEGIN\nVendorTable END\nAETable BEGIN\n"
            f"PEER {db} RW (100, 100mb) both\nAETable END\n")
        actor = Actor("dcmqrscp", ["dcmqrscp", "-dhl", "-c", db.parent / "qr.cfg"], self.folder)
        actor.aet, actor.port = "PEER", port
        actor.ready = lambda: subprocess.run(["echoscu", "-aec", "PEER", "-aet", "DROVER", "127.0.0.1", str(port)], capture_output=True).returncode == 0
        self.begin(actor)
        done = subprocess.run(["storescu", "-xe", "-aec", "PEER", "+sd", "127.0.0.1", str(port), str(corpus)], capture_output=True, text=True)
        self.assertEqual(done.returncode, 0, done.stderr)
        return actor

    def corpus(self, studies=2, count=4, side=64):
        folder, sent = pathlib.Path(self.folder) / "corpus", {}
        folder.mkdir()
        for s in range(studies):
            for i in range(count):
                uid, data = peers.instance(folder / f"{s}-{i}.dcm", f"2.25.88{s}", i + 1, side)
                sent[uid] = data
        return folder, sent

    def stored(self, engine):
        return Catalog(engine.data).instances()

    def test_every_instance_of_orthanc_comes_over_our_own_association_with_its_pixels_and_syntax(self):
        originals = part10.files_below(source := self.synth())
        legacy = self.orthanc_with(source)
        engine = self.engine_for(legacy)
        said = engine.cli("migrate", "--source", "legacy", "--all")
        stored = self.stored(engine)
        self.assertEqual(collections.Counter(stored.keys()), collections.Counter(set(legacy.instances())), said)
        for uid, row in stored.items():
            fields = part10.elements((engine.data / row["path"]).read_bytes())
            self.assertEqual(part10.text(fields, 2, 0x10), part10.text(originals[uid][1], 2, 0x10), f"transfer syntax of {uid}")
            self.assertEqual(part10.pixels(fields), part10.pixels(originals[uid][1]), f"pixels of {uid}")
            self.assertEqual(row["source"], "legacy")
        jobs = Catalog(engine.data).rows("SELECT * FROM jobs")
        self.assertEqual({j["state"] for j in jobs}, {"complete"})
        self.assertTrue(all(r["job"] for r in stored.values()))
        evidence = json.loads(jobs[0]["evidence"])
        self.assertEqual((evidence["D"]["status"], evidence["stands_on"]), ("0000", "A"))
        engine.cli("verify")
        engine.cli("migrate", "--source", "legacy", "--all", "--name", "again")
        self.assertEqual({j["state"] for j in Catalog(engine.data).jobs("again")}, {"skipped"})

    def test_rules_see_what_a_c_get_brings_as_they_see_a_c_store(self):
        legacy = self.orthanc_with(self.synth())
        engine = self.engine_for(legacy)
        engine.cli("migrate", "--source", "legacy", "--all")
        edits = Catalog(engine.data).rows("SELECT * FROM edits")
        self.assertTrue(any(e["rule"] and e["path"] == "PatientSex" for e in edits))

    def test_dcmqrscp_gives_its_studies_and_each_is_verified(self):
        if not shutil.which("dcmqrscp"):
            self.skipTest("dcmqrscp (Debian's package dcmtk) is not installed")
        corpus, sent = self.corpus()
        engine = self.engine_for(self.qr(corpus))
        engine.cli("migrate", "--source", "legacy", "--all")
        stored = self.stored(engine)
        self.assertEqual(stored.keys(), sent.keys())
        for uid, row in stored.items():
            self.assertTrue((engine.data / row["path"]).read_bytes().endswith(sent[uid][-1000:]))
        self.assertEqual({j["state"] for j in Catalog(engine.data).rows("SELECT state FROM jobs")}, {"complete"})

    def test_a_study_of_more_classes_than_one_association_carries_is_complete(self):
        """Twelve classes, of which our first proposal has room for seven with all their syntaxes; one is known to nobody."""
        folder = pathlib.Path(self.folder) / "many"
        folder.mkdir()
        classes = ["2", "4", "1", "1.1", "6.1", "7", "1.2", "12.1", "12.2", "20", "128", "88.33", "77.1.4.1"]
        uids = set()
        for i, c in enumerate(classes):
            uid, _ = peers.instance(folder / f"{i}.dcm", "2.25.990", i + 1)
            path = folder / f"{i}.dcm"
            fields = path.read_bytes()
            old = peers.CT.encode()
            new = f"1.2.840.10008.5.1.4.1.1.{c}".encode()
            pad = lambda u: u + b"\0" * (len(u) % 2)
            head = len(pad(old)).to_bytes(2, "little") + pad(old)
            put = len(pad(new)).to_bytes(2, "little") + pad(new)
            fields = fields.replace(head, put)
            group = 132 + 8
            grown = 1 * (len(pad(new)) - len(pad(old)))
            length = int.from_bytes(fields[group:group + 4], "little") + grown
            path.write_bytes(fields[:group] + length.to_bytes(4, "little") + fields[group + 4:])
            uids.add(uid)
        legacy = self.orthanc_with(folder)
        engine = self.engine_for(legacy)
        engine.cli("migrate", "--source", "legacy", "--all")
        self.assertEqual(self.stored(engine).keys(), uids)
        self.assertEqual([j["state"] for j in Catalog(engine.data).rows("SELECT state FROM jobs")], ["complete"])

    def test_a_study_killed_half_way_is_complete_after_the_next_start_and_nothing_is_stored_twice(self):
        corpus, sent = self.corpus(studies=1, count=150, side=256)
        legacy = self.orthanc_with(corpus)
        engine = self.engine_for(legacy)
        waiting = threading.Thread(target=engine.run, args=("migrate", "--source", "legacy", "--all"))
        waiting.start()
        self.wait("some of the study", lambda: 20 < len(engine.objects()))
        before = len(engine.objects())
        engine.kill()
        waiting.join()
        self.assertLess(before, 150)
        self.again(engine)
        self.wait("the rest of it", lambda: not Catalog(engine.data).unfinished())
        self.assertEqual(self.stored(engine).keys(), sent.keys())
        self.assertEqual(len(engine.objects()), 150)
        for uid, row in self.stored(engine).items():
            self.assertTrue((engine.data / row["path"]).read_bytes().endswith(sent[uid][-1000:]))
        self.assertEqual([j["state"] for j in Catalog(engine.data).rows("SELECT state FROM jobs")], ["complete"])
        engine.cli("verify")

    def test_an_engine_that_is_stopped_in_a_c_get_ends_soon_and_goes_on_later(self):
        corpus, sent = self.corpus(studies=1, count=150, side=256)
        legacy = self.orthanc_with(corpus)
        engine = self.engine_for(legacy)
        waiting = threading.Thread(target=engine.run, args=("migrate", "--source", "legacy", "--all"))
        waiting.start()
        self.wait("some of the study", lambda: 5 < len(engine.objects()))
        self.assertEqual(engine.stop(), 0)
        waiting.join()
        self.assertLess(len(engine.objects()), 150)
        self.again(engine)
        self.wait("the rest of it", lambda: not Catalog(engine.data).unfinished())
        self.assertEqual(self.stored(engine).keys(), sent.keys())
        self.assertEqual([a["status"] for a in Catalog(engine.data).rows("SELECT status FROM attempts ORDER BY id")], ["interrupted", "complete"])

    def test_a_source_that_refuses_the_scp_role_is_told_so(self):
        """Our own engine knows no C-GET; dcmqrscp without it is made by asking storescp, which takes storage classes in the SCU role only."""
        if not shutil.which("dcmqrscp"):
            self.skipTest("dcmqrscp (Debian's package dcmtk) is not installed")
        corpus, sent = self.corpus(studies=1, count=1)
        source = self.qr(corpus)
        proxy = RoleStripper(source.port)
        self.addCleanup(proxy.close)
        proxy.aet = "PEER"
        engine = self.engine_for(proxy)
        done = engine.run("migrate", "--source", "legacy", "--all")
        job = Catalog(engine.data).rows("SELECT state, error FROM jobs")[0]
        self.assertEqual(job["state"], "failed", done.stdout + done.stderr)
        self.assertIn("refuses us the SCP role", job["error"])
        self.assertIn("retrieve", job["error"])

    def test_a_source_without_c_get_is_told_so(self):
        corpus, _ = self.corpus(studies=1, count=1)
        legacy = self.orthanc_with(corpus, knows_us=False)
        engine = self.engine_for(legacy, options=("--set", "migrate.backoff_ms=1"))
        engine.run("migrate", "--source", "legacy", "--all", "--detach")
        # Orthanc aborts the association of one who is not listed.
        self.wait("the job's error", lambda: any("C-GET at legacy" in (j["error"] or "") for j in Catalog(engine.data).rows("SELECT error FROM jobs")))

    def test_unknown_settings_and_words_of_a_peer_are_refused_with_the_known_ones(self):
        engine = self.drover()
        add = ("peers", "add", "x", "--aet", "X", "--host", "127.0.0.1", "--settings")
        done = engine.run(*add, '{"retreive":"get"}')
        self.assertNotEqual(done.returncode, 0)
        self.assertIn("no peer setting 'retreive'", done.stderr)
        self.assertIn("retrieve find_timeout_s", done.stderr)
        self.assertIn("it is one of: move get", engine.run(*add, '{"retrieve":"push"}').stderr)
        engine.cli(*add, GET)
        self.assertEqual(engine.json("peers", "list")[0]["settings"], {"retrieve": "get"})
        self.assertRegex(engine.cli("peers", "show", "x"), "retrieve +get|retrieve.*get")
        self.assertIn("move get", engine.cli("peers", "settings"))


class RoleStripper:
    """A proxy before a source that takes the SCP/SCU Role Selection items (54H) out of its A-ASSOCIATE-AC: a peer that knows no roles."""

    def __init__(self, target):
        import socket
        self.target = target
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def close(self):
        self.listener.close()

    def accept(self):
        import socket
        while True:
            try:
                near, _ = self.listener.accept()
            except OSError:
                return
            far = socket.create_connection(("127.0.0.1", self.target))
            threading.Thread(target=self.pump, args=(near, far, False), daemon=True).start()
            threading.Thread(target=self.pump, args=(far, near, True), daemon=True).start()

    @staticmethod
    def exactly(s, n):
        out = b""
        while len(out) < n:
            some = s.recv(n - len(out))
            if not some:
                return None
            out += some
        return out

    def pump(self, a, b, strip):
        try:
            while True:
                head = self.exactly(a, 6)
                if head is None:
                    break
                body = self.exactly(a, int.from_bytes(head[2:6], "big"))
                if strip and head[0] == 2:
                    body = self.without_roles(body)
                    head = head[:2] + len(body).to_bytes(4, "big")
                b.sendall(head + body)
        except (OSError, TypeError):
            pass
        for s in (a, b):
            try:
                s.shutdown(2)
            except OSError:
                pass

    @staticmethod
    def without_roles(body):
        out, at = body[:68], 68
        while at < len(body):
            size = int.from_bytes(body[at + 2:at + 4], "big")
            item = body[at:at + 4 + size]
            if item[0] == 0x50:
                kept, k = b"", 4
                while k < len(item):
                    sub = item[k:k + 4 + int.from_bytes(item[k + 2:k + 4], "big")]
                    kept += b"" if sub[0] == 0x54 else sub
                    k += len(sub)
                item = item[:2] + len(kept).to_bytes(2, "big") + kept
            out += item
            at += 4 + size
        return out
