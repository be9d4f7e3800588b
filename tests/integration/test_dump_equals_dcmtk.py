"""`drover dump` against dcm2json and dcmdump on every real file; compare_dcmtk.py says how, and prints the same by hand."""
import os
import pathlib
import tempfile
import unittest

import compare_dcmtk

ROOT = pathlib.Path(__file__).resolve().parents[2]
DROVER = os.environ.get("DROVER_BIN", str(ROOT / "build/dev/drover"))
DATA = pathlib.Path(os.environ.get("DROVER_DATA", ROOT / "../shared/data")) / "dicom"


class DumpEqualsDcmtk(unittest.TestCase):
    def setUp(self):
        self.scratch = tempfile.TemporaryDirectory(prefix="drover-compare-")
        self.addCleanup(self.scratch.cleanup)

    def test_every_real_file_reads_as_dcmtk_reads_it(self):
        if not DATA.is_dir():
            if os.environ.get("DROVER_REQUIRE_DATA") == "1":
                self.fail(f"{DATA} is not there")
            self.skipTest(f"{DATA} is not there")
        files = sorted(p for p in DATA.rglob("*") if p.is_file())
        self.assertGreater(len(files), 0)
        faults = []
        for path in files:
            relative = path.relative_to(DATA).as_posix()
            found = compare_dcmtk.check(DROVER, str(path), relative, self.scratch.name)
            faults += [f"{relative}: {fault}" for fault in found[:5]]
        self.assertEqual(faults, [], "\n".join(faults))

    def test_a_hundred_thousand_nested_items_are_refused_in_a_small_stack(self):
        self.assertEqual(compare_dcmtk.nested_items(DROVER, self.scratch.name), [])
