"""What kill -9 cannot show: the order of link, fsync, commit and response, read from a trace of the system calls."""
import re
import shutil
import subprocess

from lib import trace
from lib.catalog import Catalog
from lib.scenario import RELEASE, Scenario, Drover

CALLS = "linkat,fsync,fdatasync,write,pwrite64,writev,pwritev,sendto,sendmsg"


class Durable(Scenario):
    def test_no_response_leaves_before_its_instance_is_linked_synced_and_committed(self):
        if not shutil.which("strace"):
            self.skipTest("strace is not installed")
        source = self.synth("synth", "--studies", 4, "--modalities", "CT,MR", "--instances-per-study", 50, "--defects", "dates,sex")
        log = self.folder / "trace"
        # -D: the engine is our child and the tracer is not, so that signals go where they are meant to. Leak checks do not work under
        # a tracer; the release binary is what matters.
        engine = Drover(self.folder, wrapper=["strace", "-D", "-f", "-y", "-xx", "-s", "5000", "-e", f"trace={CALLS}", "-o", log],
                        env={"ASAN_OPTIONS": "detect_leaks=0"})
        if RELEASE.exists():
            engine.argv[engine.argv.index("serve") - 1] = str(RELEASE)
        self.begin(engine)
        # Four associations at once, so that commits are shared.
        senders = [subprocess.Popen(["storescu", "-q", "-aec", engine.aet, "+sd", "+r", "127.0.0.1", str(engine.port), str(study)])
                   for study in sorted(source.iterdir())]
        self.assertEqual([s.wait(300) for s in senders], [0, 0, 0, 0])
        self.assertEqual(Catalog(engine.data).count("instances"), 200)
        engine.stop()
        self.wait("the tracer to have written all", lambda: re.search(rf"^{engine.pid} +\+\+\+ exited", log.read_text(errors="replace")[-4000:], re.M))
        with open(log, encoding="ascii", errors="replace") as f:
            lines = f.readlines()
        checked, faults = trace.check(lines)
        self.assertEqual(faults[:5], [])
        self.assertEqual(checked, 200)
        print(f"# {checked} responses, {sum(' fsync(' in l for l in lines)} fsyncs, {len(lines)} calls")

        # The checker can fail: without its syncs, its links, its rows the same trace does not pass.
        for word in ("fsync(", "linkat(", "catalog.db-wal"):
            hidden = word if word[-1] == "(" else "".join(f"\\x{ord(c):02x}" for c in word)
            kept = [l for l in lines if hidden not in l and word not in l]
            self.assertEqual(len(trace.check(kept)[1]), 200, f"the checker does not miss {word}")
