"""The first command of README.md."""
import pathlib
import re
import subprocess
import time

from lib.scenario import ROOT, Scenario


class Quickstart(Scenario):
    def test_the_quickstart_migrates_what_drover_makes_and_leaves_nothing_running(self):
        start = time.monotonic()
        done = subprocess.run([ROOT / "examples/quickstart.sh"], capture_output=True, text=True, timeout=600, stdin=subprocess.DEVNULL,
                              cwd="/")
        self.assertEqual(done.returncode, 0, done.stdout[-3000:] + done.stderr[-3000:])
        self.assertLess(time.monotonic() - start, 180)
        said = done.stdout
        rows = {name: (int(a), int(b)) for name, a, b in re.findall(r"^ *(at the source|here|held|rejected) +(\d+) +(\d+)", said, re.M)}
        self.assertGreaterEqual(rows["at the source"], (12, 300))
        self.assertEqual(rows["here"], rows["at the source"])
        self.assertRegex(said, r"\d+ objects read again, .*, 0 damaged")
        self.assertIn("->", said)
        folder = re.search(r"^ *folder +(\S+)", said, re.M)[1]
        running = [p for p in pathlib.Path("/proc").glob("[0-9]*/cmdline") if folder.encode() in self.read(p)]
        self.assertEqual(running, [])

    def test_the_quickstart_takes_a_folder_of_ones_own(self):
        mine = self.synth("mine", "--studies", 2, "--modalities", "CR", "--defects", "none")
        (mine / "readme.txt").write_text("not an image\n")
        done = subprocess.run([ROOT / "examples/quickstart.sh", mine], capture_output=True, text=True, timeout=600, stdin=subprocess.DEVNULL)
        self.assertEqual(done.returncode, 0, done.stdout[-3000:] + done.stderr[-3000:])
        self.assertRegex(done.stdout, r"at the source +2 +4\n")

    def test_a_folder_that_is_not_there_is_named(self):
        done = subprocess.run([ROOT / "examples/quickstart.sh", self.folder / "nothing"], capture_output=True, text=True, timeout=60)
        self.assertEqual(done.returncode, 2)
        self.assertIn("nothing", done.stderr)

    def read(self, path):
        try:
            return path.read_bytes()
        except OSError:
            return b""
