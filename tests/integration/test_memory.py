"""Memory does not follow the size of what is sent: sixteen objects of 500 MB at once, and one of 4 GB (--all; 13 GB of disk, removed after)."""
import pathlib
import re
import shutil
import threading
import unittest

from lib import scenario
from lib.scenario import LONG, RELEASE, Drover, Scenario
from lib.sender import JPEG, MULTIFRAME, Sender, fragments, header, pixels

MB = 1 << 20
PATIENCE = 900


@unittest.skipUnless(LONG, "--all sends 16 GB")
class Memory(Scenario):
    def setUp(self):
        super().setUp()
        if scenario.SANITIZED and not RELEASE.exists():
            self.skipTest("needs the optimised build: AddressSanitizer keeps what is freed")
        free = shutil.disk_usage(self.folder).free
        if free < 16 << 30:
            self.skipTest(f"only {free >> 30} GB are free; 16 are needed")
        self.engine = Drover(self.folder, options=["--set", "dimse.max_associations=20"])
        if scenario.SANITIZED:
            self.engine.argv[0] = str(RELEASE)
        self.begin(self.engine)

    def kb(self, field):
        return int(re.search(rf"{field}:\s+(\d+) kB", pathlib.Path(f"/proc/{self.engine.pid}/status").read_text())[1])

    def idle(self):
        """Resident now, after what the first instance of all brings: rules, the catalog's pages."""
        with Sender(self.engine.port) as s:
            self.assertEqual(s.store("1.2.3.1", header("1.2.3.1", rows=64, columns=64), pixels(8192)), 0)
        self.wait("the association to end", lambda: "released" in self.engine.said() or "after 1 stores" in self.engine.said())
        return self.kb("VmRSS")

    def above(self, idle, what):
        mb = (self.kb("VmHWM") - idle) / 1024
        print(f"# {what}: at most {mb:.1f} MB above the {idle / 1024:.1f} MB of idle")
        return mb

    def test_sixteen_associations_with_500_mb_each_take_at_most_64_mb_more_than_idle(self):
        idle, side, frames = self.idle(), 1024, 250  # 2 MB a frame
        together, told = threading.Barrier(16), {}

        def send(n):
            uid = f"1.2.826.0.1.3680043.9.600.{n}"
            body = pixels(side * side * 2 * frames)
            with Sender(self.engine.port, calling=f"S{n}", sop_class=MULTIFRAME, timeout=PATIENCE) as s:
                s.begin(uid)
                s.data([header(uid, sop_class=MULTIFRAME, rows=side, columns=side, frames=frames), *(next(body) for _ in range(250))])
                together.wait(PATIENCE)  # all sixteen are in the middle
                s.data(body, last=True)
                told[uid] = s.answer()

        threads = [threading.Thread(target=send, args=(n,)) for n in range(16)]
        for t in threads:
            t.start()
        for t in threads:
            t.join(PATIENCE)
        self.assertEqual(sorted(told.values()), [0] * 16)
        self.assertEqual(sum(p.stat().st_size > side * side * 2 * frames for p in self.engine.objects()), 16)
        self.assertLessEqual(self.above(idle, "16 associations with 500 MB each"), 64)

    def one(self, uid, syntax, *parts):
        with Sender(self.engine.port, sop_class=MULTIFRAME, syntax=syntax, timeout=PATIENCE) as s:
            self.assertEqual(s.store(uid, *parts), 0)

    def test_one_object_of_4_gb_takes_no_more_than_a_small_one(self):
        idle, side, frames = self.idle(), 1024, 2047
        uid = "1.2.826.0.1.3680043.9.701"
        self.one(uid, "1.2.840.10008.1.2.1", header(uid, sop_class=MULTIFRAME, rows=side, columns=side, frames=frames), pixels(side * side * 2 * frames))
        self.assertEqual([p.stat().st_size > 4292870144 for p in self.engine.objects() if p.stat().st_size > MB], [True])
        self.assertLessEqual(self.above(idle, "4 GB, native"), 16)

    def test_one_object_of_4_gb_in_fragments_of_undefined_length_takes_no_more_than_a_small_one(self):
        idle, side, count, size = self.idle(), 1024, 5, 900 * MB
        uid = "1.2.826.0.1.3680043.9.702"
        self.one(uid, JPEG, header(uid, sop_class=MULTIFRAME, rows=side, columns=side, frames=count), fragments(count, size))
        self.assertEqual([p.stat().st_size > count * size for p in self.engine.objects() if p.stat().st_size > MB], [True])
        self.assertLessEqual(self.above(idle, "4.4 GB, five fragments"), 16)
        self.engine.cli("verify")
        self.assertLessEqual(self.above(idle, "and verified"), 16)
