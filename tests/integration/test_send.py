"""drover send: C-STORE of files and of what is stored, to storescp and Orthanc."""
import pathlib
import shutil
import socket

from lib import part10
from lib.catalog import Catalog
from lib.scenario import Actor, Scenario, free_port
import test_dimse_peers as peers


def compressed(path, study, number):
    """An instance whose pixel data lie in a fragment, labelled RLE Lossless."""
    uid, _ = peers.instance(path, study, number)
    plain = path.read_bytes()
    pixels = 64 * 64 * 2
    fragment = plain[-pixels:][:1000]
    item = lambda b: b"\xfe\xff\x00\xe0" + len(b).to_bytes(4, "little") + b
    path.write_bytes(plain[:-pixels - 12].replace(b"1.2.840.10008.1.2.1\0", b"1.2.840.10008.1.2.5\0") + b"\xe0\x7f\x10\0OB\0\0\xff\xff\xff\xff" +
                     item(b"") + item(fragment) + b"\xfe\xff\xdd\xe0\0\0\0\0")
    return uid


class Send(Scenario):
    def setUp(self):
        super().setUp()
        if not shutil.which("storescp"):
            self.skipTest("storescp (Debian's package dcmtk) is not installed")
        self.home = pathlib.Path(self.folder)
        self.engine = self.drover()

    def add(self, slug, port, aet="ANY", *more):
        self.engine.cli("peers", "add", slug, "--aet", aet, "--host", "127.0.0.1", "--port", port, *more)

    def storescp(self, *options):
        port, got = free_port(), self.home / f"got{len(self.actors)}"
        got.mkdir()
        actor = Actor(f"storescp{port}", ["storescp", *options, "--fork", "-od", got, port], self.home)
        actor.ready = lambda: socket.socket().connect_ex(("127.0.0.1", port)) == 0
        self.begin(actor)
        return port, got

    def corpus(self, count=6, side=64):
        folder, sent = self.home / "corpus", {}
        folder.mkdir()
        for i in range(count):
            uid, data = peers.instance(folder / f"{i}.dcm", "2.25.55", i + 1, side)
            sent[uid] = data
        return sorted(folder.iterdir()), sent

    def test_files_reach_storescp_bit_for_bit_over_one_association(self):
        files, sent = self.corpus(side=512)
        port, got = self.storescp("+B", "+xe")
        self.add("sink", port)
        said = self.engine.cli("send", "sink", *files)
        self.assertIn("6 instances: 6 sent, 0 warning, 0 refused, 0 failed", said)
        self.assertIn("1 associations", said)
        kept = {uid: next(f for f in got.iterdir() if f.name.endswith(uid)).read_bytes() for uid in sent}
        for uid, data in sent.items():
            self.assertTrue(kept[uid].endswith(data))

    def test_a_stored_study_reaches_orthanc_in_each_syntax_it_is_stored_in(self):
        source = self.synth()
        compressed(source / "rle.dcm", "2.25.56", 1)
        self.engine.cli("ingest", source, "--rules", "none")
        originals = part10.files_below(source)
        legacy = self.orthanc()
        self.add("new", legacy.port, legacy.aet)
        stored = Catalog(self.engine.data).instances()
        studies = {r["received_study_uid"] for r in Catalog(self.engine.data).rows("SELECT received_study_uid FROM studies")}
        for study in studies:
            self.engine.cli("send", "new", "--study", study)
        there = legacy.instances()
        self.assertEqual(there.keys(), stored.keys())
        syntaxes = set()
        for uid, i in there.items():
            fields = part10.elements(legacy.file(i))
            self.assertEqual(part10.text(fields, 2, 0x10), part10.text(originals[uid][1], 2, 0x10))
            self.assertEqual(part10.pixels(fields), part10.pixels(originals[uid][1]))
            syntaxes.add(part10.text(fields, 2, 0x10))
        self.assertGreater(len(syntaxes), 1)

    def test_what_the_peer_does_not_take_is_named_and_the_rest_is_sent(self):
        files, sent = self.corpus(count=3)
        other = self.home / "rle.dcm"
        compressed(other, "2.25.56", 1)
        nothing = self.home / "note.txt"
        nothing.write_text("no DICOM")
        port, got = self.storescp("+xe")
        self.add("sink", port)
        done = self.engine.run("send", "sink", *files, other, nothing, self.home / "absent.dcm")
        self.assertEqual(done.returncode, 20, done.stdout + done.stderr)
        self.assertIn("but not in transfer syntax 1.2.840.10008.1.2.5", done.stdout)
        self.assertRegex(done.stdout, "note.txt: failed")
        self.assertRegex(done.stdout, "absent.dcm: failed")
        self.assertIn("6 instances: 3 sent, 0 warning, 1 refused, 2 failed", done.stdout)
        self.assertEqual(len(list(got.iterdir())), 3)

    def test_an_instance_whose_association_breaks_is_sent_once_more_and_then_named(self):
        files, sent = self.corpus(count=8)
        port, got = self.storescp("+xe", "--abort-after")
        self.add("sink", port)
        done = self.engine.run("send", "sink", files[0])
        self.assertEqual(done.returncode, 20, done.stdout)  # it aborts every association after each data set
        self.assertIn("1 failed", done.stdout)
        self.assertIn("aborted", done.stdout)

    def test_wrong_requests_are_refused_in_words(self):
        self.add("in", 1, "X", "--direction", "SourceOnly")
        self.add("out", 1)
        self.assertIn("SourceOnly", self.engine.run("send", "in", "--study", "1.2").stderr)
        self.assertIn("nothing is stored under the UID 1.2", self.engine.run("send", "out", "--study", "1.2").stderr)
        self.assertIn("there is no peer 'none'", self.engine.run("send", "none", "--study", "1.2").stderr)
        self.assertEqual(self.engine.run("send", "out").returncode, 2)
        files, _ = self.corpus(count=1)
        self.assertIn("refuses the connection", self.engine.run("send", "out", files[0]).stderr)

    def test_it_works_without_a_running_engine_too(self):
        files, sent = self.corpus(count=2)
        port, got = self.storescp("+xe")
        self.add("sink", port)
        self.engine.stop()
        self.assertIn("2 sent", self.engine.cli("send", "sink", *files))
        self.assertEqual(len(list(got.iterdir())), 2)
