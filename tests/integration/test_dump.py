"""drover dump at the command line: several files, wrong options, a reader that goes away."""
import json
import subprocess

from lib.scenario import BINARY, Scenario

META = b"\2\0\x10\0UI\x14\0" + b"1.2.840.10008.1.2.1\0"
DATASET = b"\x08\0\x60\0CS\2\0CT" + b"\x10\0\x10\0PN\4\0A^B "
SEAL = b"\2\0\0\1UI\6\x002.25.7" + b"\2\0\2\1OB\0\0\4\0\0\0seal"


class Dump(Scenario):
    def file(self, name, data):
        path = self.folder / name
        path.write_bytes(data)
        return path

    def setUp(self):
        super().setUp()
        self.good = self.file("good.dcm", b"\0" * 128 + b"DICM" + META + DATASET)

    def test_a_bad_file_among_good_ones_sets_the_exit_code_and_stops_nothing(self):
        bad = self.file("bad.dcm", b"%PDF-1.4")
        done = self.cli("dump", "--json", self.good, bad, self.good)
        self.assertEqual(done.returncode, 6)
        self.assertIn("bad.dcm", done.stderr)
        self.assertIn("a PDF", done.stderr)
        lines = [json.loads(line) for line in done.stdout.splitlines()]
        self.assertEqual(lines[1]["error"]["code"], "NOT_DICOM")
        self.assertEqual([line["00100010"]["Value"] for line in lines if "error" not in line], [[{"Alphabetic": "A^B"}]] * 2)

    def test_options_of_json_are_refused_without_it(self):
        for option in "--pretty", "--meta", "--no-pixel-data":
            self.assertEqual(self.cli("dump", option, self.good).returncode, 2)
        self.assertEqual(self.cli("dump").returncode, 2)

    def test_meta_is_in_the_json_only_when_asked_and_in_each_listing(self):
        sealed = self.file("sealed.dcm", b"\0" * 128 + b"DICM" + META + SEAL + DATASET)
        self.assertNotIn("00020010", json.loads(self.cli("dump", "--json", sealed).stdout))
        asked = json.loads(self.cli("dump", "--json", "--meta", "--pretty", sealed).stdout)
        self.assertEqual(asked["00020102"]["InlineBinary"], "c2VhbA==")
        listing = self.cli("dump", sealed).stdout
        self.assertIn("(0002,0102) OB 73\\65\\61\\6c", listing)
        self.assertIn("(0008,0060) CS [CT]", listing)

    def test_what_was_read_past_is_said_on_stderr(self):
        bare = self.file("bare.dcm", DATASET)
        done = self.cli("dump", bare)
        self.assertEqual(done.returncode, 0)
        self.assertIn("no File Meta group", done.stderr)
        wrong = self.file("wrong.dcm", b"\0" * 128 + b"DICM" + META + b"\x08\0\x60\0\2\0\0\0CT" + b"\x10\0\x10\0\4\0\0\0A^B ")
        done = self.cli("dump", wrong)
        self.assertEqual(done.returncode, 0)
        self.assertIn("read as 1.2.840.10008.1.2", done.stderr)

    def test_output_that_cannot_be_written_is_an_error(self):
        with open("/dev/full", "w") as full:
            done = subprocess.run([BINARY, "dump", str(self.good)], stdout=full, stderr=subprocess.PIPE, text=True)
        self.assertEqual(done.returncode, 10)
        self.assertIn("No space left", done.stderr)
