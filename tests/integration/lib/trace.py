#!/usr/bin/env python3
"""trace.py: reads a syscall trace of the engine and checks that no C-STORE-RSP left before its instance was safe.

    strace -f -y -xx -s 5000 -e trace=linkat,fsync,fdatasync,write,pwrite64,writev,pwritev,sendto,sendmsg -o FILE drover serve ...
    tests/integration/lib/trace.py FILE

For each C-STORE-RSP with a success status, named by its Affected SOP Instance UID, in the order in which the calls were made:

    the last write to the object's file  <  linkat of its name  <  fsync of that file returned 0      (the last two: fsync begins last)
    fsync returned  <  a page with that UID went to catalog.db-wal  <=  a commit frame went there  <  the response's write began

Threads do not matter: the file is tied to the response by the UID in its name, the calls to the file by the descriptor that was linked,
the row by the UID in the page. A commit frame is one whose header says how large the database is after it (SQLite file format, 4.1).
"""
import re
import sys

CALL = re.compile(r"^(\d+) +(?:<\.\.\. )?(\w+)(.*)$")
FD = re.compile(r"^\(?(\d+)<([^>]*)>")
HEX = re.compile(r'"((?:\\x[0-9a-f]{2})*)"')
RESULT = re.compile(r"\) += (-?\d+)[^=]*$")
GROUP_LENGTH = bytes.fromhex("0000000004000000")
STORED = {b"\x00\x00", b"\x00\xb0"}  # success, and the warning that elements were changed


class Call:
    def __init__(self, begin, name, text):
        self.begin, self.end, self.name, self.text = begin, None, name, text

    @property
    def result(self):
        found = RESULT.search(self.text)
        return int(found[1]) if found else None

    @property
    def fd(self):
        found = FD.search(self.text)
        return (int(found[1]), unhex_path(found[2])) if found else (None, "")

    @property
    def data(self):
        return b"".join(unhex(h) for h in HEX.findall(self.text))


def unhex(text):
    return bytes.fromhex(text.replace("\\x", ""))


def unhex_path(path):
    """-xx writes descriptors' paths in hex too."""
    return re.sub(r"\\x([0-9a-f]{2})", lambda m: chr(int(m[1], 16)), path)


def calls_of(lines):
    """The finished calls; begin and end are places in the trace, so what strace split in two keeps both."""
    waiting, out = {}, []
    for place, line in enumerate(lines):
        found = CALL.match(line.rstrip("\n"))
        if not found or found[2] in ("exit", "killed"):
            continue
        thread, name, rest = found.groups()
        if line[len(thread):].lstrip().startswith("<..."):
            call = waiting.pop(thread, None)
            if call is None:
                continue
            call.text += rest.split("resumed>", 1)[-1]
        else:
            call = Call(place, name, rest)
            if rest.endswith("<unfinished ...>"):
                call.text = rest.removesuffix("<unfinished ...>")
                waiting[thread] = call
                continue
        call.end = place
        out.append(call)
    return sorted(out, key=lambda c: c.begin)


def command_of(data):
    """The elements of a command set (PS3.7 6.3.1: group 0000, implicit little endian) that begins somewhere in DATA: element -> value."""
    at, out = data.find(GROUP_LENGTH), {}
    while 0 <= at and at + 8 <= len(data) and data[at:at + 2] == b"\0\0":
        size = int.from_bytes(data[at + 4:at + 8], "little")
        out[int.from_bytes(data[at + 2:at + 4], "little")] = data[at + 8:at + 8 + size]
        at += 8 + size
    return out


def check(lines):
    """(how many responses were checked, sentences about those that came too early)."""
    calls = calls_of(lines)
    faults, checked = [], 0
    writes = {}     # descriptor's path -> calls that wrote to it
    syncs = {}
    links = []      # (call, descriptor number, name)
    wal = []        # (call, data)
    responses = []  # (call, uid)
    for call in calls:
        if call.name == "linkat":
            names = [unhex(h).decode("utf-8", "replace") for h in HEX.findall(call.text)]
            # By /proc/self/fd/N, or by the descriptor itself with AT_EMPTY_PATH.
            numbers = re.findall(r"/proc/self/fd/(\d+)", " ".join(names)) or re.findall(r"^\((\d+)", call.text)
            if numbers and names:
                links.append((call, int(numbers[0]), names[-1]))
            continue
        number, path = call.fd
        if call.name in ("fsync", "fdatasync"):
            syncs.setdefault((number, path), []).append(call)
        elif "socket:" in path or path.startswith("TCP"):
            command = command_of(call.data)
            if command.get(0x0100) == b"\x01\x80" and command.get(0x0900) in STORED:
                responses.append((call, command.get(0x1000, b"").rstrip(b"\0 ").decode("ascii", "replace")))
        elif path.endswith("catalog.db-wal"):
            wal.append((call, call.data))
        else:
            writes.setdefault((number, path), []).append(call)
    for response, uid in responses:
        checked += 1
        fault = response_fault(response, uid, links, writes, syncs, wal)
        if fault:
            faults.append(f"{uid}: {fault} (the response is line {response.begin + 1} of the trace)")
    return checked, faults


def response_fault(response, uid, links, writes, syncs, wal):
    if not uid:
        return "the response names no instance"
    linked = [(c, n) for c, n, name in links if name.rsplit("/", 1)[-1].startswith(f"{uid}.") and c.result == 0 and c.end < response.begin]
    if not linked:
        return "no object of that name was linked before"
    link, number = linked[-1]
    # The file behind that descriptor at that time: what was last written through it before the link.
    files = [(calls, key) for key, calls in writes.items() if key[0] == number and any(c.begin < link.begin for c in calls)]
    if not files:
        return "nothing was written to the object that was linked"
    written, key = max(files, key=lambda f: max(c.begin for c in f[0] if c.begin < link.begin))
    written = [c for c in written if c.begin < response.begin]
    synced = [c for k, calls in syncs.items() if k[0] == number for c in calls
              if c.name == "fsync" and link.end < c.begin and c.end < response.begin]
    if not synced:
        return "no fsync of the object returned between its link and the response"
    sync = synced[0]
    if sync.result != 0:
        return f"its fsync gave {sync.result}"
    if max(c.end for c in written if c.begin < sync.end) > sync.begin:
        return "the object was written to after its fsync began"
    rows = [c for c, data in wal if uid.encode() in data]
    if not rows:
        return "no page with its row went to the write-ahead log"
    if rows[0].begin < sync.end:
        return "its row was written before its fsync had returned"
    # A frame is its header of 24 bytes and its page; written in one call or in two.
    for place, (call, data) in enumerate(wal):
        header = data[:24] if len(data) == 24 or len(data) > 4096 else None
        if header is None or int.from_bytes(header[4:8], "big") == 0:
            continue
        page = call if len(data) > 24 else (wal[place + 1][0] if place + 1 < len(wal) else None)
        if page is not None and page.begin >= rows[0].begin:
            return None if page.end < response.begin else "the response left before its row's transaction had committed"
    return "no commit followed its row"


def main():
    with open(sys.argv[1], encoding="ascii", errors="replace") as trace:
        checked, faults = check(trace.readlines())
    for fault in faults:
        print(fault)
    print(f"{checked} responses checked, {len(faults)} came too early")
    return 1 if faults or not checked else 0


if __name__ == "__main__":
    sys.exit(main())
