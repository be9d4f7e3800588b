"""faults.py: makes the n-th call of a kind fail in a running engine. What the kinds are stands in faults.cc, which is compiled here.

    faults = Faults(folder); engine = Drover(folder, env=faults.env)
    faults.arm("fsync", 3); ...; faults.disarm()        the 3rd fsync from now on fails; how many did is returned
    faults.seen("malloc")                               calls so far
"""
import functools
import mmap
import os
import pathlib
import struct
import subprocess
import tempfile

from lib.scenario import SANITIZED

SOURCE = pathlib.Path(__file__).with_suffix(".cc")
KINDS = ("none", "write", "fsync", "link", "open", "mkdir", "malloc", "sql")
BYTES = 8 * (4 + len(KINDS))


@functools.cache
def library():
    """The compiled library's path; it lives as long as this process."""
    folder = tempfile.TemporaryDirectory(prefix="drover-faults-")
    out = pathlib.Path(folder.name) / "faults.so"
    subprocess.run(["g++", "-shared", "-fPIC", "-O1", "-g", "-fno-omit-frame-pointer", "-Wall", "-Wextra", "-Werror", "-o", out, SOURCE], check=True)
    return out, folder


class Faults:
    def __init__(self, folder):
        path = pathlib.Path(folder) / "faults.page"
        path.write_bytes(bytes(BYTES))
        with open(path, "r+b") as f:
            self.page = mmap.mmap(f.fileno(), BYTES)
        self.env = {"LD_PRELOAD": str(library()[0]), "DROVER_FAULTS_PAGE": str(path)}
        if SANITIZED:
            # DCMTK leaks parts of an association request when it runs out of memory in the middle of reading it.
            (path.parent / "suppressed").write_text("leak:libdcmnet\n")
            self.env["LSAN_OPTIONS"] = f"suppressions={path.parent / 'suppressed'}"
            self.env["ASAN_OPTIONS"] = os.environ.get("ASAN_OPTIONS", "") + ":verify_asan_link_order=0:allocator_may_return_null=1"

    def _put(self, at, value):
        struct.pack_into("<q", self.page, 8 * at, value)

    def _get(self, at):
        return struct.unpack_from("<q", self.page, 8 * at)[0]

    def arm(self, kind, n, burst=1):
        for at, value in ((3, 0), (1, n), (2, burst), (0, KINDS.index(kind))):
            self._put(at, value)

    def disarm(self):
        self._put(0, 0)
        return self._get(3)

    def failed(self):
        return self._get(3)

    def seen(self, kind):
        return self._get(4 + KINDS.index(kind))
