"""engine/dimse against real peers: DCMTK's tools, dcmqrscp and Orthanc, by way of dimse_tool.c (a server that keeps, a client)."""
import os
import pathlib
import re
import shutil
import signal
import subprocess
import time

from lib.scenario import BINARY, PATIENCE, Actor, Scenario, free_port

TOOL = os.environ.get("DIMSE_TOOL", str(pathlib.Path(BINARY).parent / "dimse_tool"))
CT = "1.2.840.10008.5.1.4.1.1.2"


def element(group, number, vr, value):
    value += b" " * (len(value) % 2) if vr != b"UI" else b"\0" * (len(value) % 2)
    head = group.to_bytes(2, "little") + number.to_bytes(2, "little") + vr
    long = vr in (b"OW", b"OB")
    return head + (b"\0\0" + len(value).to_bytes(4, "little") if long else len(value).to_bytes(2, "little")) + value


def instance(path, study, number, side=64):
    """A CT of SIDE x SIDE pixels as a Part 10 file; returns its UID and its dataset's bytes."""
    uid = f"{study}.1.{number}".encode()
    meta = (element(2, 1, b"OB", b"\0\1") + element(2, 2, b"UI", CT.encode()) + element(2, 3, b"UI", uid) +
            element(2, 0x10, b"UI", b"1.2.840.10008.1.2.1") + element(2, 0x12, b"UI", b"2.25.1"))
    data = (element(8, 0x16, b"UI", CT.encode()) + element(8, 0x18, b"UI", uid) + element(8, 0x20, b"DA", b"20260102") +
            element(8, 0x50, b"SH", b"A1") + element(8, 0x60, b"CS", b"CT") + element(0x10, 0x10, b"PN", b"TEST^PEER") +
            element(0x10, 0x20, b"LO", b"P1") + element(0x20, 0xD, b"UI", study.encode()) + element(0x20, 0xE, b"UI", study.encode() + b".1") +
            element(0x20, 0x10, b"SH", b"S1") + element(0x20, 0x13, b"IS", str(number).encode()) +
            element(0x28, 2, b"US", b"\1\0") + element(0x28, 4, b"CS", b"MONOCHROME2") +
            element(0x28, 0x10, b"US", side.to_bytes(2, "little")) + element(0x28, 0x11, b"US", side.to_bytes(2, "little")) +
            element(0x28, 0x100, b"US", b"\x10\0") + element(0x28, 0x101, b"US", b"\x10\0") + element(0x28, 0x102, b"US", b"\x0f\0") +
            element(0x28, 0x103, b"US", b"\0\0") + element(0x7FE0, 0x10, b"OW", bytes((number + i) % 251 for i in range(side)) * side * 2))
    path.write_bytes(bytes(128) + b"DICM" + element(2, 0, b"UL", len(meta).to_bytes(4, "little")) + meta + data)
    return uid.decode(), data


class Keeper:
    """dimse_tool serve: what it gets lies in `folder` as UID.raw; close() stops it and gives its last line."""
    aet = "DROVER"

    def __init__(self, folder, port=0, **env):
        self.folder = folder / "kept"
        self.folder.mkdir()
        self.process = subprocess.Popen([TOOL, "serve", str(port), str(self.folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        stderr=open(folder / "keeper.log", "wb"), text=True, env={**os.environ, **env})
        self.ports = [int(p) for p in self.process.stdout.readline().split()[1:]]
        self.port = self.ports[0]

    def kept(self):
        return {p.name.removesuffix(".raw"): p.read_bytes() for p in self.folder.iterdir()}

    def close(self):
        if self.process.poll() is None:
            self.process.stdin.close()
        last = self.process.stdout.read()
        self.process.wait(PATIENCE)
        self.process.stdout.close()
        return last


class DimsePeers(Scenario):
    def setUp(self):
        super().setUp()
        for tool in ("storescu", "echoscu", "findscu", "dcmqrscp"):
            if not shutil.which(tool):
                self.skipTest(f"{tool} (Debian's package dcmtk) is not installed")
        if not pathlib.Path(TOOL).exists():
            self.skipTest(f"{TOOL} is not built")
        self.home = pathlib.Path(self.folder)

    def keeper(self, **options):
        k = Keeper(self.home, **options)
        self.addCleanup(k.process.stdout.close)
        self.addCleanup(lambda: k.process.poll() is None and k.close())
        return k

    def call(self, *words, ok=True, **env):
        clean = {k: v for k, v in os.environ.items() if k != "TCP_NODELAY"}
        done = subprocess.run([str(w) for w in words], env={**clean, **env}, capture_output=True, text=True, timeout=PATIENCE * 2)
        if ok is not None:
            self.assertEqual(done.returncode == 0, ok, done.stdout + done.stderr)
        return done.stdout + done.stderr

    def make(self, studies=1, count=5, side=64):
        """UID -> dataset of what lies in home/corpus now."""
        corpus, out = self.home / "corpus", {}
        corpus.mkdir()
        for s in range(studies):
            for i in range(count):
                uid, data = instance(corpus / f"{s}-{i}.dcm", f"2.25.77{s}", i + 1, side)
                out[uid] = data
        return corpus, out

    def test_echoscu_is_answered_and_strangers_learn_why_not(self):
        k = self.keeper()
        self.call("echoscu", "127.0.0.1", k.port)
        self.assertIn("Calling AE Title Not Recognized", self.call("echoscu", "-aet", "NOBODY", "127.0.0.1", k.port, ok=False))
        self.assertIn("Called AE Title Not Recognized", self.call("echoscu", "-aec", "WRONG", "127.0.0.1", k.port, ok=False))
        self.assertIn("No Acceptable Presentation Contexts", self.call("findscu", "-S", "-k", "0008,0052=STUDY", "127.0.0.1", k.port, ok=False))

    def test_storescu_with_and_without_nagle_stores_bit_for_bit_and_alike_fast(self):
        corpus, sent = self.make(count=60, side=256)
        took = {}
        k = self.keeper()
        for name, env in (("nodelay", {"TCP_NODELAY": "1"}), ("stock", {})):
            for p in k.folder.iterdir():
                p.unlink()
            began = time.monotonic()
            self.call("storescu", "-xe", "+sd", "127.0.0.1", k.port, corpus, **env)
            took[name] = time.monotonic() - began
            self.assertEqual(k.kept(), sent)
        # Held up by delayed acknowledgements, 60 instances would take 2.4 s longer.
        self.assertLess(took["stock"], took["nodelay"] + 1.5)
        self.assertIn("stores 120 ", k.close())

    def test_a_sender_killed_in_the_middle_is_lost_and_others_are_not(self):
        corpus, sent = self.make(count=40, side=1024)
        k = self.keeper()
        sender = subprocess.Popen(["storescu", "-xe", "+sd", "127.0.0.1", str(k.port), corpus], stderr=subprocess.DEVNULL)
        self.wait("some instances", lambda: len(list(k.folder.iterdir())) > 3)
        sender.send_signal(signal.SIGKILL)
        sender.wait()
        self.call("storescu", "-xe", "+sd", "127.0.0.1", k.port, corpus)
        self.assertEqual(k.kept(), sent)

    def test_associations_over_the_limit_are_rejected_for_now(self):
        k = self.keeper(MAX="1")
        self.call(TOOL, "echo", "127.0.0.1", k.port, "DROVER")
        held = subprocess.Popen(["storescu", "-xe", "+sd", "--repeat", "100000", "127.0.0.1", str(k.port), self.make()[0]], stderr=subprocess.DEVNULL)
        self.addCleanup(held.wait)
        self.addCleanup(held.kill)
        self.wait("the first association", lambda: any(k.folder.iterdir()))
        self.assertIn("Local Limit Exceeded", self.call("echoscu", "127.0.0.1", k.port, ok=False))
        said = self.call(TOOL, "echo", "127.0.0.1", k.port, "DROVER", ok=False)
        self.assertRegex(said, "BUSY .*limit of associations")

    def test_orthanc_is_asked_searched_and_moved_from(self):
        corpus, sent = self.make(studies=3, count=4)
        k = self.keeper()
        legacy = self.orthanc(knows=[k])
        legacy.load(corpus)
        peer = ("127.0.0.1", legacy.port, legacy.aet)
        self.assertIn("alive 1", self.call(TOOL, "echo", *peer))
        self.assertEqual(sorted(re.findall("study (.*)", self.call(TOOL, "find", *peer))), ["2.25.770", "2.25.771", "2.25.772"])
        self.assertEqual(len(re.findall("study (.*)", self.call(TOOL, "find", *peer, CANCEL_AFTER="1"))), 1)
        for s in range(3):
            self.assertRegex(self.call(TOOL, "move", *peer, "DROVER", f"2.25.77{s}"), r"moved 0000 \S+ 4 0 0")
        self.wait("all instances", lambda: k.kept().keys() == sent.keys())
        self.assertEqual(k.kept(), sent)
        # Orthanc answers an unknown destination by a status or by an abort, as its version likes; what counts is that it is said.
        self.assertRegex(self.call(TOOL, "move", *peer, "UNKNOWN", "2.25.770", ok=None), r"moved (?!0000)|error (PEER|ABORTED|NETWORK)")

    def test_orthanc_gives_a_study_over_our_own_association_and_stops_when_told(self):
        corpus, sent = self.make(studies=1, count=20, side=256)
        legacy = self.orthanc(knows=[self.keeper()])  # it asks who may C-GET
        legacy.load(corpus)
        got = self.home / "got"
        got.mkdir()
        peer = ("127.0.0.1", legacy.port, legacy.aet)
        said = self.call(TOOL, "get", *peer, "2.25.770", got)
        self.assertRegex(said, r"roles [1-9]")
        self.assertRegex(said, r"got 0000 \S+ 20 0 0")
        self.assertIn("alive 1", said)
        self.assertEqual({p.name.removesuffix(".raw"): p.read_bytes() for p in got.iterdir()}, sent)
        said = self.call(TOOL, "get", *peer, "2.25.770", got, ok=False, CANCEL_AFTER="3")
        self.assertIn("error CANCELLED", said)
        self.assertRegex(said, "stores ([3-9]|1[0-9]|20) ")
        self.assertIn("lost 0", said)

    def test_orthanc_takes_what_we_send(self):
        corpus, sent = self.make(count=2, side=512)
        legacy = self.orthanc()
        for uid, data in sent.items():
            (self.home / "x.raw").write_bytes(data)
            self.assertIn("status 0000", self.call(TOOL, "store", "127.0.0.1", legacy.port, legacy.aet, CT, uid, "1.2.840.10008.1.2.1",
                                                   self.home / "x.raw"))
        self.assertEqual(legacy.instances().keys(), sent.keys())
        self.assertTrue(all(legacy.file(i).endswith(sent[uid]) for uid, i in legacy.instances().items()))

    def test_dcmqrscp_is_searched_and_moved_from_and_rejects_strangers(self):
        corpus, sent = self.make(studies=2, count=3)
        k = self.keeper()
        port, db = free_port(), self.home / "qr"
        db.mkdir()
        (self.home / "qr.cfg").write_text(
            f"NetworkTCPPort = {port}\nMaxPDUSize = 16384\nMaxAssociations = 4\nHostTable BEGIN\nus = (DROVER, 127.0.0.1, {k.port})\n"
            f"sender = (STORESCU, 127.0.0.1, 104)\nboth = us, sender\nHostTable END\nVendorTable BEGIN\nVendorTable END\nAETable BEGIN\n"
            f"PEER {db} RW (100, 100mb) both\nAETable END\n")
        actor = Actor("dcmqrscp", ["dcmqrscp", "-dhl", "-c", self.home / "qr.cfg"], self.home)
        actor.ready = lambda: subprocess.run(["echoscu", "-aec", "PEER", "-aet", "DROVER", "127.0.0.1", str(port)], capture_output=True).returncode == 0
        self.begin(actor)
        self.call("storescu", "-xe", "-aec", "PEER", "+sd", "127.0.0.1", port, corpus)
        peer = ("127.0.0.1", port, "PEER")
        self.assertEqual(sorted(re.findall("study (.*)", self.call(TOOL, "find", *peer))), ["2.25.770", "2.25.771"])
        for s in range(2):
            said = self.call(TOOL, "move", *peer, "DROVER", f"2.25.77{s}")
            self.assertRegex(said, r"moved 0000 \S+ 3 0 0")
            self.assertIn("moving ", said)
        self.assertEqual(k.kept(), sent)
        self.assertRegex(self.call(TOOL, "move", *peer, "NOWHERE", "2.25.770"), r"moved A801|moved a801")
        self.assertRegex(self.call(TOOL, "echo", "127.0.0.1", port, "OTHER", ok=False), "error REJECTED .*not called OTHER|error REJECTED")
