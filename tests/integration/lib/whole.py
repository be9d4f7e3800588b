"""whole.py: sender's view, catalog and disk agree.

    whole(test, engine, catalog, told)     TOLD: SOP Instance UID -> lib.cstore.Instance of what was acknowledged; ENGINE runs or not

Every acknowledged instance is there, readable by other means than the engine's, with the bytes that were sent, and catalogued once, as an
instance or in quarantine; nothing else is in the catalog, in objects/ or in quarantine/; the counters say the same.
"""
import hashlib
import os
import sqlite3

from lib import part10


def _files(data, area):
    return {str(p.relative_to(data)) for p in (data / area).rglob("*") if not p.is_dir()}


def whole(test, engine, catalog, told, only=None, verify=True):
    """ONLY: UIDs that may be there without having been acknowledged; None: whatever was sent. VERIFY: by the engine too."""
    rows = catalog.rows("SELECT path, received_sop_uid FROM instances")
    kept = catalog.rows("SELECT path, received_sop_uid FROM quarantine WHERE state <> 'unreadable'")
    bad = catalog.rows("SELECT path FROM quarantine WHERE state = 'unreadable'")
    here = [r["received_sop_uid"] for r in rows]
    held = {r["received_sop_uid"]: r["path"] for r in kept}
    test.assertEqual(len(here), len(set(here)), "an instance has two rows")
    test.assertEqual(len(kept), len(held), "an instance is in quarantine twice")
    test.assertEqual(set(told) - set(here) - set(held), set(), "acknowledged, and lost")
    if only is not None:
        test.assertEqual((set(here) | set(held)) - set(told) - set(only), set(), "never sent, and there")
    test.assertEqual(_files(engine.data, "objects"), {r["path"] for r in rows}, "objects and rows differ")
    test.assertEqual(_files(engine.data, "quarantine"), {r["path"] for r in kept + bad}, "quarantine and its rows differ")
    counted = {r["name"]: r["n"] for r in catalog.rows("SELECT name, sum(value) AS n FROM counters GROUP BY name")}
    test.assertEqual(int(counted.get("instances", 0)), len(rows), "the counter of instances")
    sums = catalog.rows("SELECT (SELECT coalesce(sum(instance_count), 0) FROM studies) AS studies, (SELECT coalesce(sum(instance_count), 0) FROM series) AS series")
    test.assertEqual({int(v) for v in sums[0].values()}, {len(rows)}, "what studies and series count")
    at = {r["received_sop_uid"]: r["path"] for r in rows}
    for uid, one in told.items():
        fields = part10.elements((engine.data / (at.get(uid) or held[uid])).read_bytes())
        test.assertEqual(part10.sop_uid(fields), uid)
        body = fields.get((0x7FE0, 0x10)) or fields.get((0x42, 0x11))
        test.assertEqual(hashlib.sha256(body).digest(), one.body, f"{uid} is not what was sent")
    if verify:
        engine.cli("verify")


def deleted(engine):
    """Unnamed files that ENGINE holds open: none when no instance is under way."""
    out = []
    for fd in os.listdir(f"/proc/{engine.pid}/fd"):
        try:
            path = os.readlink(f"/proc/{engine.pid}/fd/{fd}")
        except FileNotFoundError:
            continue
        if path.endswith("(deleted)") and path.startswith(str(engine.data.resolve())):
            out.append(path)
    return out


def forget(data, count):
    """Takes the last COUNT instances out of the stopped catalog, as if their transactions had never been; gives what their rows said."""
    db = sqlite3.connect(data / "catalog.db")
    db.row_factory = sqlite3.Row
    gone = [dict(r) for r in db.execute("SELECT i.*, s.study FROM instances i JOIN series s ON s.id = i.series ORDER BY i.id DESC LIMIT ?", (count,))]
    for r in gone:
        for table in ("edits", "findings"):
            n = db.execute(f"DELETE FROM {table} WHERE instance = ?", (r["id"],)).rowcount
        db.execute("UPDATE studies SET instance_count = instance_count - 1, bytes = bytes - ?, finding_count = finding_count - ? WHERE id = ?",
                   (r["bytes"], n, r["study"]))
        db.execute("UPDATE series SET instance_count = instance_count - 1 WHERE id = ?", (r["series"],))
        db.execute("UPDATE counters SET value = value - 1 WHERE name = 'instances'")
        db.execute("UPDATE counters SET value = value - ? WHERE name = 'bytes'", (r["bytes"],))
        db.execute("DELETE FROM instances WHERE id = ?", (r["id"],))
    for table, name, below in (("series", "series", None), ("studies", "studies", "study_modalities")):
        if below:
            db.execute(f"DELETE FROM {below} WHERE study IN (SELECT id FROM studies WHERE instance_count = 0)")
        n = db.execute(f"DELETE FROM {table} WHERE instance_count = 0").rowcount
        db.execute("UPDATE counters SET value = value - ? WHERE name = ?", (n, name))
    db.execute("UPDATE studies SET series_count = (SELECT count(*) FROM series WHERE study = studies.id)")
    db.commit()
    db.close()
    return gone
