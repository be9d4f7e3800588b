"""Disks that are full: no success is told that is not true, the engine lives, and takes up by itself when there is room again."""
import os
import subprocess

from lib.catalog import Catalog
from lib.cstore import instance, send
from lib.scenario import Scenario, Drover
from lib.whole import deleted, whole


class Disk(Scenario):
    def small(self, name, options):
        """A tmpfs of its own."""
        at = self.folder / name
        at.mkdir()
        done = subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", at], capture_output=True, text=True)
        if done.returncode:
            self.skipTest(f"a tmpfs cannot be mounted here: {done.stderr.strip()}")
        self.addCleanup(subprocess.run, ["umount", "-l", at], check=False)
        return at

    def engine(self, data, database=None):
        engine = Drover(self.folder, data=data)
        data.mkdir(exist_ok=True)
        # The mark below which senders get A700 anyway is a gigabyte: off, so that the disk itself says no.
        (data / "drover.lua").write_text("store = { low_water_mb = 0 }\n" + (f'database = "{database}"\n' if database else ""))
        return self.begin(engine)

    def send(self, engine, instances, told):
        by_uid = {one.uid: one for one in instances}
        answers = send(engine.port, engine.aet, instances)
        self.assertLessEqual(set(answers.values()), {0, 0xA700})
        self.assertTrue(engine.alive(), engine.said()[-2000:])
        told |= {u: by_uid[u] for u, status in answers.items() if status == 0}
        return answers

    def full_and_freed(self, engine, fill, free, catalog, size=64):
        told, sent = {}, [instance(side=size) for _ in range(60)]
        self.assertEqual(set(self.send(engine, sent[:10], told).values()), {0})
        fill()
        answers = self.send(engine, sent[10:40], told)
        self.assertIn(0xA700, answers.values(), "the disk did not get full")
        self.assertNotEqual(engine.run("status").returncode, -6)
        good = len(told)
        free()
        self.wait("instances to be taken again", lambda: set(self.send(engine, [sent[40]], told).values()) == {0})
        self.assertEqual(set(self.send(engine, sent, told).values()), {0})
        self.assertEqual(len(told), len(sent))
        self.wait("no unnamed file", lambda: not deleted(engine))
        self.assertEqual(engine.stop(), 0)
        self.again(engine)
        whole(self, engine, catalog, told, only=told)
        print(f"# {good} of 40 were taken before it was full")

    def test_a_full_disk_costs_nothing_acknowledged_and_is_used_again_when_freed(self):
        at = self.small("small", "size=16m")
        engine = self.engine(at / "data")
        filler = at / "filler"

        def fill():
            free = os.statvfs(at).f_bavail * os.statvfs(at).f_bsize
            filler.write_bytes(bytes(max(0, free - 150000)))

        self.full_and_freed(engine, fill, filler.unlink, Catalog(engine.data))

    def test_a_full_disk_of_the_catalog_alone_costs_nothing_and_is_used_again(self):
        at = self.small("small", "size=24m")
        engine = self.engine(self.folder / "data", database=at / "catalog.db")
        catalog = Catalog(at)
        filler = at / "filler"

        def fill():
            free = os.statvfs(at).f_bavail * os.statvfs(at).f_bsize
            filler.write_bytes(bytes(max(0, free - 60000)))

        self.full_and_freed(engine, fill, filler.unlink, catalog)

    def test_a_disk_without_inodes_costs_nothing_and_is_used_again(self):
        at = self.small("small", "size=64m,nr_inodes=400")
        engine = self.engine(at / "data")
        fillers = []

        def fill():
            while os.statvfs(at).f_favail > 12:
                fillers.append(at / f"filler{len(fillers)}")
                fillers[-1].touch()

        self.full_and_freed(engine, fill, lambda: [f.unlink() for f in fillers], Catalog(engine.data))
