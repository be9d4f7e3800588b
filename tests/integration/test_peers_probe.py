"""drover peers probe, show and check, against Orthanc, dcmqrscp, storescp and a peer that refuses what it is told to refuse."""
import contextlib
import json
import shutil
import socket
import struct
import subprocess
import threading

from lib.peer import Listener, Peer, item, items
from lib.scenario import Actor, Scenario, free_port

CT = "1.2.840.10008.5.1.4.1.1.2"


class Probe(Scenario):
    def setUp(self):
        super().setUp()
        for tool in ("storescp", "echoscu", "dcmqrscp", "storescu"):
            if not shutil.which(tool):
                self.skipTest(f"{tool} (Debian's package dcmtk) is not installed")

    def add(self, d, slug, aet, port, direction="Both", *more):
        d.cli("peers", "add", slug, "--aet", aet, "--host", "127.0.0.1", "--port", port, "--direction", direction, *more)

    def qrscp(self, name="qr", destination="DROVER", port=0):
        """A dcmqrscp called PEER that knows DESTINATION."""
        own, db = free_port(), self.folder / name
        db.mkdir()
        config = self.folder / f"{name}.cfg"
        config.write_text(
            f"NetworkTCPPort = {own}\nMaxPDUSize = 16384\nMaxAssociations = 8\nHostTable BEGIN\nus = ({destination}, 127.0.0.1, {port})\n"
            f"sender = (STORESCU, 127.0.0.1, 104)\nboth = us, sender\nHostTable END\nVendorTable BEGIN\n"
            f"VendorTable END\nAETable BEGIN\nPEER {db} RW (100, 100mb) {'both' if destination == 'DROVER' else 'ANY'}\nAETable END\n")
        actor = Actor(name, ["dcmqrscp", "-dhl", "-c", config], self.folder)
        actor.port, actor.aet = own, "PEER"
        actor.ready = lambda: subprocess.run(["echoscu", "-aec", "PEER", "-aet", "DROVER", "127.0.0.1", str(own)], capture_output=True).returncode == 0
        return self.begin(actor)

    def storescp(self, *options):
        port, out = free_port(), self.folder / "received"
        out.mkdir()
        actor = Actor("storescp", ["storescp", "-aet", "STORE", "-od", out, *options, port], self.folder)
        actor.port = port
        actor.ready = lambda: subprocess.run(["echoscu", "127.0.0.1", str(port)], capture_output=True).returncode == 0
        return self.begin(actor)

    def checks(self, d, *words, code=0):
        done = d.run("peers", "check", *words, "--json")
        self.assertEqual(done.returncode, code, done.stdout + done.stderr)
        return {r["check"]: r for r in json.loads(done.stdout)}

    # ---- probe ----

    def test_orthanc_is_probed_and_shown_with_its_date(self):
        d = self.drover()
        legacy = self.orthanc(knows=[d])
        self.add(d, "legacy", legacy.aet, legacy.port)
        self.assertIn("never", d.cli("peers", "show", "legacy"))
        found = d.json("peers", "probe", "legacy")
        services = {s["service"]: s["accepted"] for s in found["services"]}
        self.assertTrue(all(services[s] for s in ("verification", "study root FIND", "study root MOVE", "patient root FIND", "storage commitment")))
        self.assertFalse(services["modality worklist FIND"])
        self.assertEqual((found["max_pdu"], found["pdu_sent"]), (16384, 16384))
        self.assertIn("OFFIS_DCMTK", found["implementation"])
        self.assertGreater(len(found["storage"]["accepted"]), 100)
        ct = next(t for t in found["transfer_syntaxes"] if t["uid"] == CT)
        self.assertTrue({"LittleEndianExplicit", "JPEGBaseline", "JPEG2000", "RLELossless"} <= {s["name"] for s in ct["accepted"]})
        shown = d.json("peers", "show", "legacy")
        self.assertEqual(shown["probe"], found)
        self.assertEqual((shown["slug"], shown["port"]), ("legacy", legacy.port))
        text = d.cli("peers", "show", "legacy")
        self.assertIn(found["probed_at"], text)
        self.assertRegex(text, r"study root GET +accepted|study root GET +class not supported")
        d.cli("peers", "remove", "legacy")
        self.add(d, "legacy", legacy.aet, legacy.port)
        self.assertIsNone(d.json("peers", "show", "legacy")["probe"])  # it is another one

    def test_storescp_is_a_store_without_query_and_takes_the_syntaxes_it_was_started_with(self):
        d = self.drover()
        store = self.storescp("+xs")
        self.add(d, "store", "STORE", store.port, "DestinationOnly")
        found = d.json("peers", "probe", "store")
        services = {s["service"]: s["answer"] for s in found["services"]}
        self.assertEqual((services["verification"], services["study root FIND"]), ("accepted", "class not supported"))
        self.assertFalse(found["sends_by_get"])
        ct = next(t for t in found["transfer_syntaxes"] if t["uid"] == CT)
        self.assertIn("JPEGLossless:Non-hierarchical-1stOrderPrediction", {s["name"] for s in ct["accepted"]})
        self.assertNotIn("JPEG2000", {s["name"] for s in ct["accepted"]})
        self.assertNotIn("accepted", [c.get("answer") for c in found["storage"]["refused"]])

    def test_a_peer_that_refuses_many_contexts_at_once_is_asked_in_smaller_portions(self):
        d = self.drover()
        with Rejecting(40) as listener:
            self.add(d, "few", "FEW", listener.port)
            thread = threading.Thread(target=listener.serve, daemon=True)
            thread.start()
            found = d.json("peers", "probe", "few")
            self.assertEqual(len(found["storage"]["accepted"]), found["storage"]["offered"])
            self.assertTrue(any("presentation contexts at once" in n for n in found["notes"]), found["notes"])
            self.assertGreater(max(listener.seen), 40)

    def test_a_peer_that_is_not_there_is_said_and_no_probe_is_kept(self):
        d = self.drover()
        self.add(d, "dead", "DEAD", free_port())
        done = d.run("peers", "probe", "dead")
        self.assertEqual(done.returncode, 13)
        self.assertIn("nothing listens there", done.stderr)
        self.assertIsNone(d.json("peers", "show", "dead")["probe"])
        self.assertEqual(d.run("peers", "probe", "nobody").returncode, 4)

    # ---- check ----

    def test_a_good_source_is_proved_by_an_instance_that_comes(self):
        d = self.drover()
        legacy = self.orthanc(knows=[d])
        self.add(d, "legacy", legacy.aet, legacy.port, "SourceOnly")
        legacy.load(self.synth("s", "--studies", "1"))
        said = self.checks(d, "legacy")
        self.assertEqual({c: r["result"] for c, r in said.items() if r["result"] != "ok"}, {"C-MOVE to us": "warning"})
        said = self.checks(d, "legacy", "--move")
        self.assertEqual({r["result"] for r in said.values()}, {"ok"}, said)
        self.assertEqual(d.json("status")["instances"], 1)
        self.assertEqual(self.checks(d, "legacy", "--move")["C-MOVE to us"]["result"], "ok")  # also when it is here already
        self.assertIn("relational queries", said)
        text = d.cli("peers", "check", "legacy", "--move")
        self.assertIn("ok       legacy: C-MOVE to us: one instance was asked for, and came", text)

    def test_a_source_that_does_not_know_us_as_a_destination_or_sends_elsewhere_fails_and_says_what_to_enter(self):
        d = self.drover()
        corpus = self.synth("s", "--studies", "1")
        for name, destination, port in (("stranger", "SOMEONE", 1), ("astray", "DROVER", free_port())):
            with self.subTest(name):
                qr = self.qrscp(name, destination, port)
                subprocess.run(["storescu", "-xs", "-aec", "PEER", "+sd", "+r", "127.0.0.1", str(qr.port), corpus], capture_output=True, check=True)
                self.add(d, name, "PEER", qr.port, "SourceOnly")
                said = self.checks(d, name, "--move", code=20)["C-MOVE to us"]
                self.assertEqual(said["result"], "failed", said)
                self.assertRegex(said["detail"], "A801" if name == "stranger" else "A702|nothing came")
                self.assertIn("enter our AE title", said["advice"])
                d.cli("peers", "remove", name)

    def test_a_wrong_title_a_wrong_port_and_what_is_no_dicom_port_are_told_apart(self):
        d = self.drover()
        qr = self.qrscp(port=d.port)
        self.add(d, "title", "WRONG", qr.port)
        self.add(d, "port", "PEER", free_port())
        said = self.checks(d, "title", code=20)
        self.assertEqual((said["reachable"]["result"], said["AE titles"]["result"]), ("ok", "failed"))
        self.assertIn("not called WRONG", said["AE titles"]["detail"])
        said = self.checks(d, "port", code=20)
        self.assertEqual(said["reachable"]["result"], "failed")
        self.assertNotIn("AE titles", said)
        with socket.create_server(("127.0.0.1", 0)) as web:
            self.add(d, "web", "WEB", web.getsockname()[1])

            def answer():
                link, _ = web.accept()
                link.recv(1000)
                link.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
                link.close()
            threading.Thread(target=answer, daemon=True).start()
            self.assertEqual(self.checks(d, "web", code=20)["reachable"]["result"], "failed")

    def test_what_is_wrong_on_our_side_is_said_and_all_peers_are_checked_without_a_name(self):
        d = self.drover(options=["--set", "store.low_water_mb=100000000"])
        store = self.storescp()
        self.add(d, "one", "STORE", store.port, "DestinationOnly")
        self.add(d, "two", "STORE", store.port, "DestinationOnly")
        self.add(d, "off", "STORE", store.port, "DestinationOnly", "--disabled")
        said = self.checks(d, "two", code=20)
        self.assertEqual((said["our entry"]["result"], said["our disk"]["result"], said["storage"]["result"]), ("warning", "failed", "ok"))
        self.assertIn("'one' has the same AE title", said["our entry"]["detail"])
        self.assertEqual(self.checks(d, "off", code=20)["our entry"]["result"], "failed")
        done = d.run("peers", "check")
        self.assertIn(" one: our entry", done.stdout)
        self.assertIn(" two: our entry", done.stdout)
        self.assertNotIn(" off: our entry", done.stdout)

    def test_tls_is_reported_and_a_certificate_for_another_name_fails(self):
        if not shutil.which("openssl"):
            self.skipTest("openssl is not installed")
        key, cert = self.folder / "key.pem", self.folder / "cert.pem"
        subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", key, "-out", cert, "-days", "2",
                        "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"], check=True, capture_output=True)
        port, out = free_port(), self.folder / "received"
        out.mkdir()
        actor = Actor("storescp", ["storescp", "+tls", key, cert, "-ic", "-aet", "STORE", "-od", out, port], self.folder)
        def ready():
            with contextlib.suppress(OSError):
                socket.create_connection(("127.0.0.1", port), 1).close()
                return True
        actor.ready = ready
        self.begin(actor)
        d = self.drover()
        for slug, host, code in (("good", "localhost", 0), ("other", "127.0.0.1", 20)):
            with self.subTest(host):
                d.cli("peers", "add", slug, "--aet", "STORE", "--host", host, "--port", port, "--direction", "DestinationOnly", "--tls", "--tls-ca", cert)
                said = self.checks(d, slug, code=code)
                if code == 0:
                    self.assertIn("certificate is good for localhost", said["TLS"]["detail"])
                else:
                    self.assertEqual(said["reachable"]["result"], "failed", said)
                    self.assertIn("127.0.0.1", said["reachable"]["detail"])


class Rejecting(Listener):
    """Aborts an association request with more than MOST contexts before it has answered; answers C-ECHO."""

    def __init__(self, most):
        super().__init__()
        self.most, self.seen = most, []

    def serve(self):
        while True:
            try:
                self.socket.settimeout(30)
                link = self.socket.accept()[0]
            except OSError:
                return
            threading.Thread(target=self.one, args=(link,), daemon=True).start()

    def one(self, link):
        with Peer(link) as p:
            kind, body = p.next()
            contexts = [(v[0], next(x for k, x in items(v[4:]) if k == 0x40)) for k, v in items(body[68:]) if k == 0x20]
            self.seen.append(len(contexts))
            if len(contexts) > self.most:
                p.pdu(7, bytes([0, 0, 2, 0]))
                return
            answer = body[:68] + item(0x10, b"1.2.840.10008.3.1.1.1")
            for number, syntax in contexts:
                answer += item(0x21, bytes([number, 0, 0, 0]) + item(0x40, syntax))
            p.pdu(2, answer + item(0x50, item(0x51, struct.pack(">I", 16384)) + item(0x52, b"1.2.3.4.6")))
            while (message := p.receive()):
                p.send({2: "1.2.840.10008.1.1", 0x100: 0x8030, 0x120: message[0][0x110], 0x900: 0}, context=p.context)
