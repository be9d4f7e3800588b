"""catalog.py: the engine's catalog, read beside it. The tables are engine/catalog/schema.c's."""
import sqlite3


class Catalog:
    def __init__(self, data):
        self.path = data / "catalog.db"

    def rows(self, sql, *values):
        db = sqlite3.connect(f"file:{self.path}?mode=ro", uri=True, timeout=30)
        try:
            db.row_factory = sqlite3.Row
            return [dict(r) for r in db.execute(sql, values)]
        finally:
            db.close()

    def count(self, table):
        if not self.path.exists():
            return 0
        try:
            return self.rows(f"SELECT count(*) AS n FROM {table}")[0]["n"]
        except sqlite3.OperationalError:  # not made yet
            return 0

    def instances(self):
        """Received SOP Instance UID -> row."""
        return {r["received_sop_uid"]: r for r in self.rows("SELECT * FROM instances")}

    def jobs(self, batch):
        return self.rows("SELECT j.* FROM jobs j JOIN batches b ON b.id = j.batch WHERE b.name = ?", batch)

    def unfinished(self):
        """Jobs and entries that are not at an end."""
        return (self.rows("SELECT state FROM jobs WHERE state IN ('queued', 'preflight', 'retrieving', 'staging', 'verifying')") +
                self.rows("SELECT state FROM entries WHERE state = 'waiting'"))
