"""part10.py: as much of a DICOM file as the scenarios compare, read by other means than the engine's.

Explicit little endian only, which is what drover synth writes and what Orthanc hands on unchanged.
"""
LONG = {b"OB", b"OW", b"OF", b"OD", b"OL", b"OV", b"SQ", b"UC", b"UN", b"UR", b"UT", b"SV", b"UV"}


def elements(data):
    """Top-level elements of a Part 10 file's dataset: (group, element) -> bytes of the value; sequences as they stand."""
    assert data[128:132] == b"DICM", "no Part 10 file"
    at, out = 132, {}
    while at + 8 <= len(data):
        tag = (int.from_bytes(data[at:at + 2], "little"), int.from_bytes(data[at + 2:at + 4], "little"))
        long = data[at + 4:at + 6] in LONG
        size = int.from_bytes(data[at + 8:at + 12] if long else data[at + 6:at + 8], "little")
        at += 12 if long else 8
        if size == 0xFFFFFFFF:
            end = sequence_end(data, at)
            out[tag] = data[at:end]
            at = end
            continue
        out[tag] = data[at:at + size]
        at += size
    return out


def sequence_end(data, at):
    """Where a sequence or item of undefined length ends, its delimiter included; depth is what these files have."""
    depth = 1
    while depth:
        tag = data[at:at + 4]
        size = int.from_bytes(data[at + 4:at + 8], "little")
        if tag in (b"\xfe\xff\xdd\xe0", b"\xfe\xff\x0d\xe0"):
            depth -= 1
            at += 8
        elif tag == b"\xfe\xff\x00\xe0":
            at += 8
            if size == 0xFFFFFFFF:
                depth += 1
            else:
                at += size
        else:
            long = data[at + 4:at + 6] in LONG
            size = int.from_bytes(data[at + 8:at + 12] if long else data[at + 6:at + 8], "little")
            at += 12 if long else 8
            if size == 0xFFFFFFFF:
                depth += 1
            else:
                at += size
    return at


def text(fields, group, element):
    return fields.get((group, element), b"").rstrip(b"\0 ").decode("latin-1")


def pixels(fields):
    return fields.get((0x7FE0, 0x0010))


def sop_uid(fields):
    return text(fields, 0x0008, 0x0018)


def files_below(folder):
    """SOP Instance UID -> (path, elements) of every file below FOLDER."""
    out = {}
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            fields = elements(path.read_bytes())
            out[sop_uid(fields)] = (path, fields)
    return out
