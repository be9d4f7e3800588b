#!/usr/bin/env python3
"""Compares `drover dump` with DCMTK on every DICOM file of a folder.

    compare_dcmtk.py DROVER DATA_FOLDER [PART_OF_A_NAME]

For each file: dcm2json and `drover dump --json` are compared element by element (tag, VR, value, nesting; binary values by their
bytes, numbers as numbers). dcm2json refuses compressed Pixel Data: then a copy without it (dcmodify) is compared, and the fragments
with dcmdump's listing. It also refuses character sets that its iconv lacks: then a copy that declares Latin-1 is compared where
its text is ASCII. What DCMTK cannot read at all must give a clear error or the better reading that is named below, never a crash.
A file of 100,000 nested items, made here, must be refused in constant stack.

Prints one line a failure; the last line is "N passed, N failed". Needs DCMTK's tools and Python 3's standard library.
"""
import base64
import json
import os
import re
import resource
import shutil
import struct
import subprocess
import sys
import tempfile

# Where drover and dcm2json differ on purpose: (end of the file's name, tag path or "*"): reason.
EXCEPTIONS = {
    ("", "].00080005"): "dcm2json leaves the SpecificCharacterSet of items as received, beside text that is UTF-8 now",
    ("charset/chrSQEncoding.dcm", "00321064[1].00100010"): "dcm2json does not convert items with a character set of their own",
    ("dwv/bbmri.dcmdir", "*"): "values padded with NUL in place of a blank: dcm2json shows the NUL",
    ("dwv/gdcm-CT-MONO2-8-abdo.dcm", "0020000E"): "a UID with blanks in it, 'REM SAMPLES 1': dcm2json drops them",
}

# Files that dcm2json cannot convert even without Pixel Data and character set: what drover must do.
#   an error's word: exit code other than 0 and that word on stderr;  "read": exit code 0, because of the reason.
REJECTED = {
    "pydicom/MR_truncated.dcm": "the data end inside the value of: (7FE0,0010)",
    "pydicom/rtplan_truncated.dcm": "the data end inside the value of: (300A,012C)",
    "pydicom-data/emri_small_jpeg_2k_lossless_too_short.dcm": "the data end inside a sequence",
    "pydicom/SC_rgb_jpeg.dcm": "read: explicit VR is declared, the data are implicit",
    "pydicom/no_meta.dcm": "it is no DICOM file",
}

# Files that dcm2json converts and drover refuses on purpose: words of the error. (Reason beside it.)
REFUSED = {
    # The last item declares 24 bytes more than its sequence, and the file, have: no way to tell it from a cut file.
}

# Names that the files of charset/ are known to have (PS3.5 annexes H to K, pydicom's charset_files).
NAMES = {
    "chrArab": "قباني^لنزار", "chrFren": "Buc^Jérôme", "chrFrenMulti": "Buc^Jérôme", "chrGerm": "Äneas^Rüdiger",
    "chrGreek": "Διονυσιος", "chrH31": "Yamada^Tarou=山田^太郎=やまだ^たろう", "chrH32": "ﾔﾏﾀﾞ^ﾀﾛｳ=山田^太郎=やまだ^たろう",
    "chrHbrw": "שרון^דבורה", "chrI2": "Hong^Gildong=洪^吉洞=홍^길동", "chrJapMulti": "やまだ^たろう",
    "chrJapMultiExplicitIR6": "やまだ^たろう", "chrKoreanMulti": "김희중", "chrRuss": "Люкceмбypг",
    "chrSQEncoding1": "ﾔﾏﾀﾞ^ﾀﾛｳ=山田^太郎=やまだ^たろう", "chrX1": "Wang^XiaoDong=王^小東", "chrX2": "Wang^XiaoDong=王^小东",
    "chrSQEncoding": "ﾔﾏﾀﾞ^ﾀﾛｳ=山田^太郎=やまだ^たろう",  # in an item, which has a character set of its own
}

ENVIRONMENT = dict(os.environ, DCMDICTPATH=os.environ.get("DCMDICTPATH", ""), LC_ALL="C.UTF-8")
if not ENVIRONMENT["DCMDICTPATH"]:
    del ENVIRONMENT["DCMDICTPATH"]


def run(*command):
    """Exit code (negative: died of that signal), stdout, stderr."""
    try:
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=120, env=ENVIRONMENT)
    except subprocess.TimeoutExpired:
        return -1, b"", b"ran for 120 s"
    return done.returncode, done.stdout, done.stderr.decode("utf-8", "replace")


def parse(text):
    text = text.decode("utf-8", "surrogateescape")
    try:
        return json.loads(text)
    except ValueError:  # dcm2json prints DS as they stand: "5." is no JSON number
        return json.loads(re.sub(r"(?<=[\[,0-9])(-?[0-9]+)\.(?=[,\]eE])", r"\1", text))


def reference(path, folder):
    """dcm2json's reading of PATH: (JSON or None, without pixels, without character set, its last words)."""
    code, out, err = run("dcm2json", "-fc", path)
    if code == 0:
        return parse(out), False, False, ""
    copy = os.path.join(folder, "copy.dcm")
    pixels = "compressed pixel data" in err
    charset = "character" in err
    for _ in range(2):
        if not pixels and not charset:
            break
        shutil.copyfile(path, copy)
        os.chmod(copy, 0o600)
        edits = ["-e", "(7fe0,0010)"] if pixels else []
        edits += ["-e", "(0008,0005)", "-i", "(0008,0005)=ISO_IR 100"] if charset else []  # has every byte
        code, out, err = run("dcmodify", "-nb", *edits, copy)
        if code == 0:
            code, out, err = run("dcm2json", "-fc", copy)
        if code == 0:
            return parse(out), pixels, charset, ""
        if "compressed pixel data" not in err or pixels:
            break
        pixels = True
    return None, pixels, charset, err.strip().splitlines()[-1] if err.strip() else "exit code %d" % code


def plain(value):
    """Text that reads the same in every character set."""
    return all("\x20" <= c < "\x7f" for c in json.dumps(value, ensure_ascii=False))


def number(vr, a, b):
    if isinstance(a, (int, float)) and isinstance(b, (int, float)):
        if vr in ("FL", "OF"):
            try:
                if struct.pack("<f", a) == struct.pack("<f", b):
                    return True
            except OverflowError:
                pass
            return abs(a - b) <= 1e-6 * max(abs(a), abs(b))
        if vr == "FD":
            return abs(a - b) <= 1e-14 * max(abs(a), abs(b))
    return a == b


def compare(ours, theirs, where, only_plain, differ):
    """Calls DIFFER(path, what) for each difference."""
    for tag in sorted(set(ours) | set(theirs)):
        path = where + tag
        if tag not in ours or tag not in theirs:
            differ(path, "only in " + ("drover" if tag in ours else "dcm2json"))
            continue
        a, b = ours[tag], theirs[tag]
        if a["vr"] != b["vr"]:
            differ(path, "VR %s, dcm2json %s" % (a["vr"], b["vr"]))
        elif a["vr"] == "SQ":
            x, y = a.get("Value", []), b.get("Value", [])
            if len(x) != len(y):
                differ(path, "%d items, dcm2json %d" % (len(x), len(y)))
            for i, (p, q) in enumerate(zip(x, y)):
                compare(p, q, "%s[%d]." % (path, i + 1), only_plain, differ)
        elif "InlineBinary" in a or "InlineBinary" in b:
            p, q = (base64.b64decode(e.get("InlineBinary", "")) for e in (a, b))
            if p != q and not (len(p) % 2 and p + b"\0" == q):  # dcm2json pads what came with an odd length
                differ(path, "other bytes")
        else:
            x, y = a.get("Value", []), b.get("Value", [])
            if only_plain and not (plain(y) and plain(x)):
                continue
            if len(x) != len(y) or not all(number(a["vr"], p, q) for p, q in zip(x, y)):
                differ(path, "%s, dcm2json %s" % (str(x)[:60], str(y)[:60]))


def fragments(drover, path):
    """Lengths of Pixel Data's items: (drover's, dcmdump's)."""
    _, ours, _ = run(drover, "dump", path)
    _, theirs, _ = run("dcmdump", "-q", "+L", path)
    a = re.findall(r"^ +\(FFFE,E000\) +(?:offset table|fragment \d+) +# (\d+)$", ours.decode("utf-8", "replace"), re.M)
    b = re.findall(r"^ +\(fffe,e000\) pi .*# +(\d+),", theirs.decode("utf-8", "replace"), re.M)
    return [int(n) for n in a], [int(n) for n in b]


def patient_name(data):
    """The first PatientName, wherever it stands, with its groups joined."""
    for tag, element in data.items():
        if tag == "00100010" and element.get("Value"):
            name = element["Value"][0]
            groups = [name.get(k, "") for k in ("Alphabetic", "Ideographic", "Phonetic")]
            return "=".join(groups).rstrip("=")
        if element["vr"] == "SQ":
            for item in element.get("Value", []):
                found = patient_name(item)
                if found:
                    return found
    return None


def excused(relative, path):
    for (name, where), reason in EXCEPTIONS.items():
        if relative.endswith(name) and (where == "*" or path.endswith(where)):
            return reason
    return None


def check(drover, path, relative, folder):
    """Failures of one file, as sentences."""
    faults = []
    theirs, pixels, charset, words = reference(path, folder)
    code, out, err = run(drover, "dump", "--json", *(["--no-pixel-data"] if pixels else []), path)
    if code < 0 or code > 128 or "Sanitizer" in err:
        return ["died: %s" % (err.strip().splitlines() or ["exit code %d" % code])[0]]
    if theirs is None:
        wanted = next((w for name, w in REJECTED.items() if relative.endswith(name)), None)
        if wanted is None:
            return ["dcm2json says '%s', drover %s; decide in REJECTED" % (words, "reads it" if code == 0 else err.strip())]
        if wanted.startswith("read"):
            return [] if code == 0 else ["should be read (%s): %s" % (wanted, err.strip())]
        return [] if code != 0 and wanted in err and relative in err.replace(os.sep, "/") else ["'%s' expected, got: %s" % (wanted, err.strip())]
    refused = next((words for name, words in REFUSED.items() if relative.endswith(name)), None)
    if refused and code != 0:
        return [] if refused in err else ["'%s' expected, got: %s" % (refused, err.strip())]
    if code != 0:
        return ["dcm2json reads it: " + err.strip()]
    ours = json.loads(out)  # strict: what we print must be JSON

    def differ(where, what):
        if not excused(relative, where):
            faults.append("%s: %s" % (where, what))

    if pixels or charset:
        ours.pop("FFFCFFFC", None)  # Data Set Trailing Padding, which dcmodify does not copy
    compare(ours, theirs, "", charset, differ)
    if pixels:
        a, b = fragments(drover, path)
        if a != b:
            faults.append("7FE00010: fragments of %s bytes, dcmdump %s" % (a[:6], b[:6]))
    known = NAMES.get(os.path.splitext(os.path.basename(path))[0]) if "charset" in relative.split("/") else None
    if known and patient_name(ours) != known:
        faults.append("00100010: '%s' should be '%s'" % (patient_name(ours), known))
    return faults


def report(name, faults):
    for fault in faults[:5]:
        print("FAIL %s: %s" % (name, fault))
    if len(faults) > 5:
        print("FAIL %s: and %d more" % (name, len(faults) - 5))


def nested_items(drover, folder):
    """100,000 nested items, which every dcmdata parser dies of, are refused by name, in a stack of 512 KB."""
    path = os.path.join(folder, "nested.dcm")
    meta = b"\2\0\x10\0UI\x14\0" + b"1.2.840.10008.1.2.1\0"
    with open(path, "wb") as out:
        out.write(b"\0" * 128 + b"DICM" + b"\2\0\0\0UL\4\0" + struct.pack("<I", len(meta)) + meta)
        out.write((b"\x40\0\x30\xa7SQ\0\0\xff\xff\xff\xff" + b"\xfe\xff\0\xe0\xff\xff\xff\xff") * 100000)
    faults = []
    for options in ([], ["--json"]):
        done = subprocess.run([drover, "dump", *options, path], stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=ENVIRONMENT,
                              preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_STACK, (512 * 1024, 512 * 1024)))
        err = done.stderr.decode("utf-8", "replace").strip()
        if done.returncode != 7 or "nested in each other more than" not in err:
            faults.append("exit code %d: %s" % (done.returncode, err[:200]))
    return faults


def main():
    if len(sys.argv) < 3:
        sys.exit(__doc__.split("\n\n")[1].strip())
    drover, data = os.path.abspath(sys.argv[1]), sys.argv[2]
    part = sys.argv[3] if len(sys.argv) > 3 else ""
    for tool in ("dcm2json", "dcmdump", "dcmodify"):
        if not shutil.which(tool):
            sys.exit("%s is not installed (package dcmtk)" % tool)
    passed = failed = 0
    with tempfile.TemporaryDirectory(prefix="drover-compare-") as folder:
        for root, folders, files in sorted(os.walk(data)):
            folders.sort()
            for name in sorted(files):
                path = os.path.join(root, name)
                relative = os.path.relpath(path, data).replace(os.sep, "/")
                if part not in relative:
                    continue
                faults = check(drover, path, relative, folder)
                report(relative, faults)
                failed += bool(faults)
                passed += not faults
        faults = nested_items(drover, folder)
        report("100,000 nested items", faults)
        failed += bool(faults)
        passed += not faults
    print("%d passed, %d failed" % (passed, failed))
    sys.exit(failed > 0)


if __name__ == "__main__":
    main()
