#!/usr/bin/env python3
"""files.py DROVER WORK [--quick]: what `drover verify` and `drover ingest` cost beside sha256sum and cp.

Three sets of files: 200 of 0.5 MB, 20 of 50 MB, 2000 of 10 KB. Seven rounds, and in each, in turn:
  cp       cp -r of the set, then sync of its file system
  ingest   drover ingest of the set, by an engine that runs on a new data directory: default rules, durable, with its rows
  sha256   sha256sum of the stored objects
  verify   drover verify, by that engine
Printed: medians, and the ratios of each round: their median and their range. Everything stands in the page cache, so it is the work that is
measured and not the disk; each is a whole process, its start included."""
import contextlib, pathlib, random, shutil, socket, statistics, struct, subprocess, sys, time

SETS = (("200 x 0.5 MB", 200, 500_000), ("20 x 50 MB", 20, 50_000_000), ("2000 x 10 KB", 2000, 10_000))
GOALS = {"ingest": ("cp", 2.0), "verify": ("sha256", 1.3)}


def element(group, number, vr, value):
    value += b"" if len(value) % 2 == 0 else b"\0" if vr == b"UI" else b" "
    head = struct.pack("<HH", group, number) + vr
    return head + (struct.pack("<HI", 0, len(value)) if vr in (b"OW", b"OB") else struct.pack("<H", len(value))) + value


def instance(study, series, number, size):
    uid = f"2.25.{study}.{series}.{number}".encode()
    sop_class = b"1.2.840.10008.5.1.4.1.1.2"
    meta = (element(2, 1, b"OB", b"\0\1") + element(2, 2, b"UI", sop_class) + element(2, 3, b"UI", uid) + element(2, 0x10, b"UI", b"1.2.840.10008.1.2.1"))
    head = b"".join((
        element(8, 5, b"CS", b"ISO_IR 100"), element(8, 0x16, b"UI", sop_class), element(8, 0x18, b"UI", uid), element(8, 0x20, b"DA", b"20240101"),
        element(8, 0x50, b"SH", b"A%d" % study), element(8, 0x60, b"CS", b"CT"), element(8, 0x70, b"LO", b"BENCH"), element(8, 0x90, b"PN", b"REFER^R"),
        element(0x10, 0x10, b"PN", b"DOE^J%d" % study), element(0x10, 0x20, b"LO", b"P%d" % study), element(0x10, 0x30, b"DA", b"19700101"),
        element(0x10, 0x40, b"CS", b"F"), element(0x20, 0xD, b"UI", f"2.25.{study}".encode()), element(0x20, 0xE, b"UI", f"2.25.{study}.{series}".encode()),
        element(0x20, 0x10, b"SH", b"1"), element(0x20, 0x11, b"IS", b"%d" % series), element(0x20, 0x13, b"IS", b"%d" % number),
        element(0x28, 2, b"US", b"\1\0"), element(0x28, 4, b"CS", b"MONOCHROME2"), element(0x28, 0x10, b"US", b"\1\0"), element(0x28, 0x11, b"US", b"\1\0"),
        element(0x28, 0x100, b"US", b"\x10\0"), element(0x28, 0x101, b"US", b"\x10\0"), element(0x28, 0x102, b"US", b"\x0f\0"), element(0x28, 0x103, b"US", b"\0\0")))
    pixels = random.Random(study * 100000 + number).randbytes((size - 900) // 2 * 2)
    return bytes(128) + b"DICM" + element(2, 0, b"UL", struct.pack("<I", len(meta))) + meta + head + element(0x7FE0, 0x10, b"OW", pixels)


def make(folder, count, size):
    for i in range(count):
        study = 1 + i * 10 // count
        place = folder / f"{study:02}"
        place.mkdir(parents=True, exist_ok=True)
        (place / f"{i:05}.dcm").write_bytes(instance(study, 1, i, size))


def timed(*command):
    start = time.monotonic()
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    took = time.monotonic() - start
    if done.returncode:
        sys.exit(f"{' '.join(map(str, command))[:300]}: {done.stdout.decode()[-2000:]}")
    return took


@contextlib.contextmanager
def engine(drover, data):
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port = s.getsockname()[1]
    process = subprocess.Popen([drover, "serve", "--data", data, "--dicom-port", str(port), "--log-level", "warn"])
    deadline = time.monotonic() + 20
    while not (data / "drover.sock").exists():
        if process.poll() is not None or time.monotonic() > deadline:
            sys.exit("the engine does not start")
        time.sleep(0.01)
    try:
        yield
    finally:
        process.terminate()
        process.wait()


def round_of(drover, work, files, count):
    took = {}
    data, copy = work / "data", work / "copy"
    for folder in (data, copy):
        shutil.rmtree(folder, ignore_errors=True)
    subprocess.run(["sync", "-f", work])
    took["cp"] = timed("sh", "-c", 'cp -r "$0" "$1" && sync -f "$1"', files, copy)
    shutil.rmtree(copy)
    subprocess.run(["sync", "-f", work])
    with engine(drover, data):
        took["ingest"] = timed(drover, "ingest", files, "--data", data)
        objects = [str(p) for p in (data / "objects").rglob("*.dcm")]
        if len(objects) != count:
            sys.exit(f"{len(objects)} of {count} files were stored")
        took["sha256"] = timed("sha256sum", *objects)
        took["verify"] = timed(drover, "verify", "--data", data)
    return took


def main():
    quick = "--quick" in sys.argv
    drover, work = pathlib.Path(sys.argv[1]).resolve(), pathlib.Path(sys.argv[2])
    print(f"{'':14} {'':8} {'median s':>9} {'of':>8} {'ratio':>7} (range)")
    for name, count, size in SETS:
        files = work / "files"
        shutil.rmtree(files, ignore_errors=True)
        make(files, count, size)
        rounds = []
        for i in range(-1, 3 if quick else 7):  # the first warms up
            took = round_of(drover, work, files, count)
            rounds += [took] if i >= 0 else []
        for what in ("cp", "ingest", "sha256", "verify"):
            line = f"{name:14} {what:8} {statistics.median(r[what] for r in rounds):9.3f}"
            if what in GOALS:
                other, goal = GOALS[what]
                ratio = sorted(r[what] / r[other] for r in rounds)
                line += f" {other:>8} {statistics.median(ratio):7.2f} ({ratio[0]:.2f} to {ratio[-1]:.2f}); goal {goal}"
            print(line, flush=True)
    shutil.rmtree(work / "files")
    shutil.rmtree(work / "data")


if __name__ == "__main__":
    main()
