"""The manual pages are the help's text, and roff that no formatter complains about."""
import re
import shutil
import subprocess
import tempfile
import pathlib
import unittest

from lib.scenario import BINARY


def said(*words):
    return subprocess.run([BINARY, *words], capture_output=True, text=True, check=True).stdout


class ManualPages(unittest.TestCase):
    def setUp(self):
        self.folder = pathlib.Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, self.folder)
        said("man", "--out", str(self.folder), "--date", "2026-11-25")
        self.verbs = re.findall(r"^  ([a-z]+) +\S", said("--help"), re.M)

    def test_every_verb_of_the_help_has_a_page_with_every_option_of_its_help(self):
        self.assertGreater(len(self.verbs), 10)
        pages = {p.name for p in self.folder.iterdir()}
        self.assertEqual(pages, {"drover.1"} | {f"drover-{v}.1" for v in self.verbs})
        for verb in self.verbs:
            page = (self.folder / f"drover-{verb}.1").read_text().replace("\\-", "-")
            for option in re.findall(r"^  (--[a-z0-9-]+)", said(verb, "--help"), re.M):
                self.assertIn(f"\\fB{option}\\fR", page, verb)
            self.assertEqual(said("man", verb, "--date", "2026-11-25"), (self.folder / f"drover-{verb}.1").read_text())

    def test_no_formatter_has_a_warning_about_a_page(self):
        if not shutil.which("mandoc"):
            self.skipTest("mandoc is not installed")
        done = subprocess.run(["mandoc", "-Tlint", "-W", "warning", *map(str, sorted(self.folder.iterdir()))], capture_output=True, text=True)
        self.assertEqual(done.stdout + done.stderr, "")
        self.assertEqual(done.returncode, 0)

    def test_what_stands_in_the_help_is_not_taken_for_roff(self):
        """serve's text has $DROVER_DATA_DIR, peers' a lone backslash in quotes."""
        if not shutil.which("mandoc"):
            self.skipTest("mandoc is not installed")
        shown = subprocess.run(["mandoc", "-Tutf8", str(self.folder / "drover-peers.1")], capture_output=True, text=True, check=True).stdout
        self.assertIn("separated by '\\'", shown.replace("\b", ""))

    def test_a_verb_that_is_none_is_refused(self):
        done = subprocess.run([BINARY, "man", "nonsense"], capture_output=True, text=True)
        self.assertEqual(done.returncode, 2)
        self.assertIn("'nonsense'", done.stderr)


if __name__ == "__main__":
    unittest.main()
