"""Synthetic studies: what they are, and that real readers take them."""
import subprocess

from lib import part10
from lib.scenario import Scenario


class Synth(Scenario):
    def test_twelve_studies_of_five_modalities_have_the_faults_of_legacy_archives(self):
        files = part10.files_below(self.synth())
        self.assertGreaterEqual(len(files), 300)
        studies = {part10.text(f, 0x20, 0x0D): f for _, f in files.values()}
        self.assertGreaterEqual(len(studies), 12)
        self.assertEqual({part10.text(f, 8, 0x60) for f in studies.values()}, {"CT", "MR", "CR", "US", "MG"})
        seen = set()
        for f in studies.values():
            declared, name = part10.text(f, 8, 5), f.get((0x10, 0x10), b"")
            seen |= {"no accession"} if not part10.text(f, 8, 0x50) else set()
            seen |= {"sex"} if part10.text(f, 0x10, 0x40) not in ("M", "F", "O") else set()
            seen |= {"dotted date"} if "." in part10.text(f, 8, 0x20) else set()
            seen |= {"comma name"} if b"," in name else set()
            seen |= {"trailing carets"} if name.rstrip(b" ").endswith(b"^") else set()
            seen |= {"undeclared"} if not declared and not name.isascii() else set()
            if declared == "ISO_IR 100" and not name.isascii():
                try:
                    name.decode("utf-8")
                    seen.add("UTF-8 as Latin-1")
                except UnicodeDecodeError:
                    seen.add("honest Latin-1")
        self.assertEqual(seen, {"no accession", "sex", "dotted date", "comma name", "trailing carets", "undeclared", "UTF-8 as Latin-1",
                                "honest Latin-1"})

    def test_the_same_seed_makes_the_same_files_and_another_seed_others(self):
        options = ("--studies", 3, "--instances-per-study", 3)
        a, b, c = self.synth("a", *options), self.synth("b", *options), self.synth("c", *options, "--seed", 2)
        self.assertEqual(subprocess.run(["diff", "-r", a, b]).returncode, 0)
        self.assertFalse(part10.files_below(a).keys() & part10.files_below(c).keys())

    def test_dcmtk_reads_every_file(self):
        folder = self.synth("s", "--instances-per-study", 8, "--size", "normal")
        done = subprocess.run(["dcmdump", "-q", "+sd", "+r", folder], capture_output=True, timeout=120)
        self.assertEqual((done.returncode, done.stderr), (0, b""))

    def test_files_are_never_mixed_with_those_of_others(self):
        (self.folder / "mine").mkdir()
        (self.folder / "mine" / "note.txt").write_text("keep")
        done = self.cli("synth", self.folder / "mine")
        self.assertEqual(done.returncode, 5)
        self.assertIn("not empty", done.stderr)
