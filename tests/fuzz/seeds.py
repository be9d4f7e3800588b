#!/usr/bin/env python3
"""seeds.py DATA OUT: beginnings for the fuzz targets of the real files in DATA (shared/data), a folder a target below OUT.

tests/run.sh calls it; what each target wants in its first bytes stands in its source."""
import json, pathlib, struct, sys

MOST = 40000  # a longer seed slows all of them


def dataset(raw):
    """(first byte for index and write, syntax, dataset) of a Part 10 file."""
    if raw[128:132] != b"DICM":
        return None
    at, syntax = 132, "1.2.840.10008.1.2"
    while raw[at : at + 2] == b"\2\0":
        long = raw[at + 4 : at + 6] in (b"OB", b"UN", b"OW")
        n = struct.unpack("<I", raw[at + 8 : at + 12])[0] if long else struct.unpack("<H", raw[at + 6 : at + 8])[0]
        value = raw[at + (12 if long else 8) :][:n]
        if raw[at : at + 4] == b"\2\0\x10\0":
            syntax = value.rstrip(b"\0 ").decode("ascii", "replace")
        at += (12 if long else 8) + n
    implicit, big = syntax == "1.2.840.10008.1.2", syntax == "1.2.840.10008.1.2.2"
    return (1 if implicit else 2 if big else 0), syntax, raw[at:]


def pdu(context, control, data):
    return b"\4\0" + struct.pack(">II", len(data) + 6, len(data) + 2) + bytes([context, control]) + data


def command(field, *elements):
    body = b"".join(struct.pack("<HHI", 0, e, len(v)) + v for e, v in elements)
    head = struct.pack("<HHIH", 0, 0x100, 2, field)
    parts = [x for x in elements if x[0] < 0x100]
    before = b"".join(struct.pack("<HHI", 0, e, len(v)) + v for e, v in parts)
    body = before + head + body[len(before) :]
    return struct.pack("<HHII", 0, 0, 4, len(body)) + body


def u16(v):
    return struct.pack("<H", v)


def main():
    data, out = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2])
    number = 0

    def put(target, *pieces):
        nonlocal number
        folder = out / target
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{number:05}").write_bytes(b"".join(pieces)[:MOST])
        number += 1

    ct = b"1.2.840.10008.5.1.4.1.1.2\0"
    request = command(1, (2, ct), (0x110, u16(1)), (0x700, u16(0)), (0x800, u16(1)), (0x1000, b"1.2.3.4\0"))
    for path in sorted(data.glob("dicom/**/*")):
        raw = path.read_bytes() if path.is_file() else b""
        if len(raw) < 140:
            continue
        put("dicom_part10", raw)
        found = dataset(raw)
        if not found:
            continue
        first, syntax, body = found
        put("dicom_index", bytes([first + 4]), body)
        put("dicom_write", bytes([first, 3, 0, 0, 1, 4, 10, 2, 3, 4, 5]), body)
        context = {"1.2.840.10008.1.2": 0, "1.2.840.10008.1.2.2": 4, "1.2.840.10008.1.2.1.99": 6}.get(syntax, 2)
        put("ingest_stream", bytes([1 + context + 0x80]), body[:30000])
        put("ingest_stream", bytes([0]), pdu(context + 1, 3, request), pdu(context + 1, 0, body[:800]), pdu(context + 1, 2, body[800:3000]))
        for line in raw.split(b"\\")[:3]:
            put("dicom_charset", b"\0" + b"ISO_IR 100\n" + line[:200])
            put("dicom_values", b"\5", line[:64])
    echo = command(0x30, (2, b"1.2.840.10008.1.1\0"), (0x110, u16(1)), (0x800, u16(0x101)))
    put("ingest_stream", b"\0", pdu(9, 3, echo), b"\5\0\0\0\0\4\0\0\0\0")
    put("ingest_stream", b"\0", pdu(9, 3, echo)[:20], b"\7\0\0\0\0\4\0\0\0\0")
    for body in (echo, request):
        put("dimse_command", body)
    # answers
    identifier = b"\x08\0\x05\0CS\x0a\0ISO_IR 100" + b"\x10\0\x10\0PN\x08\0DOE^JOHN" + b"\x20\0\x0d\0UI\x06\0001.2.3\0"
    def answer(field, context, status, *more):
        c = command(field | 0x8000, (2, b"1.2\0"), (0x120, u16(1)), (0x800, u16(1 if more else 0x101)), (0x900, u16(status)))
        return pdu(context, 3, c) + b"".join(pdu(context, 2, m) for m in more)
    put("dimse_answers", b"\0", answer(0x30, 1, 0))
    put("dimse_answers", b"\1", answer(0x20, 3, 0xFF00, identifier), answer(0x20, 3, 0xFF00, identifier), answer(0x20, 3, 0))
    put("dimse_answers", b"\x09", answer(0x20, 3, 0xFF00, identifier), answer(0x20, 3, 0xFE00))
    put("dimse_answers", b"\2", answer(0x21, 5, 0xFF00), answer(0x21, 5, 0xB000, b"\x08\0\x58\0UI\x06\0001.2.3\0"))
    put("dimse_answers", b"\3", answer(0x01, 7, 0))
    put("dimse_answers", b"\4", bytes([3, 0, 0, 0, 0, 4, 0, 1, 1, 3]))
    item = lambda kind, value: bytes([kind, 0]) + struct.pack(">H", len(value)) + value
    for kind, result in ((1, None), (2, 0)):
        contexts = b""
        for i, sop in enumerate((b"1.2.840.10008.1.1", b"1.2.840.10008.5.1.4.1.2.2.1", b"1.2.840.10008.5.1.4.1.2.2.2", ct[:-1])):
            part = bytes([2 * i + 1, 0, 0, 0]) + (item(0x30, sop) if kind == 1 else b"") + item(0x40, b"1.2.840.10008.1.2.1")
            contexts += item(0x20 if kind == 1 else 0x21, part + (item(0x40, b"1.2.840.10008.1.2") if kind == 1 else b""))
        user = item(0x50, item(0x51, b"\0\0\x40\0") + item(0x52, b"1.2.3") + item(0x54, struct.pack(">H", 3) + b"1.2\0\1") + item(0x55, b"TEST"))
        body = b"\0\1\0\0" + b"DROVER          PEER            " + bytes(32) + item(0x10, b"1.2.840.10008.3.1.1.1") + contexts + user
        whole = bytes([kind, 0]) + struct.pack(">I", len(body)) + body
        if kind == 1:
            put("dimse_associate", whole)
            put("dimse_associate", whole, pdu(1, 3, echo), b"\5\0\0\0\0\4\0\0\0\0")
            put("dimse_command", whole)
        else:
            put("dimse_answers", b"\4", whole, answer(0x30, 1, 0))
    # rules, paths, lines, notes
    here = pathlib.Path(__file__).resolve().parents[2]
    for path in sorted([*here.glob("rules/*.lua"), *here.glob("tests/rules/**/*.lua"), *here.glob("examples/**/*.lua")]):
        text = path.read_bytes()
        put("rules_generation", text)
        put("rules_file", b"\0", text[:4000])
        for piece in text.split(b"\n\n"):
            put("rules_generation", piece[:3000])
        for word in text.split(b'"')[1::2]:
            if len(word) < 80:
                put("dicom_path", word)
    for path in ("PatientID", '(0019,"ACME_CT_01",20)', "RequestAttributesSequence[1].AccessionNumber", "Seq[CodeValue=T-D1100].X", "**.PatientID",
                 "ImageType[3]", "ContentSequence[last].ContentSequence[*].TextValue", "OtherPatientIDsSequence[+].PatientID", "(0010,0020)[2]"):
        put("dicom_path", path.encode())
    for verb, args in (("status", {}), ("peers.list", {}), ("peers.remove", {"slug": "a"}), ("instances", {"uid": "1.2"}), ("audit", {"uid": "1.2"}),
                       ("peers.add", {"slug": "a", "aet": "A", "host": "h", "port": 104, "direction": "both", "settings": {"x": 1}, "replace": True}),
                       ("studies", {"patient_name": "DOE*", "study_date": "20200101-20201231", "limit": 5, "after": "x"}), ("verify", {"uid": "1.2.3"}),
                       ("quarantine.list", {"state": "held", "limit": 3, "after": 9}), ("quarantine.show", {"id": 1}), ("catalog.info", {}),
                       ("rules.history", {"limit": 2}), ("migrate.list", {"after": 1e300, "limit": -1}), ("migrate.jobs", {"batch": 1, "state": "queued"})):
        put("web_control", json.dumps({"verb": verb, "args": args}).encode(), b"\n")
    put("web_control", b'{"row":{"a":1}}')
    put("web_control", b'{"error":{"code":"NOT_FOUND","message":"x"}}')
    put("ingest_note", json.dumps({"received_at": 1, "generation": 2, "job": 3, "verdict": "hold", "source": "s", "reason": "r", "stage": "x", "line": 4,
                                   "edits": [{"kind": "changed", "path": "PatientID", "before": "a", "after": "b", "stage": "s", "rule": "r"}],
                                   "findings": [{"kind": "flag", "rule": "r", "path": "p", "message": "m"}]}).encode())
    print(number, "seeds")


if __name__ == "__main__":
    main()
