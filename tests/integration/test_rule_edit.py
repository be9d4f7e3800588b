"""Rules are edited while a migration runs: no association drops, a good edit counts from the next dataset on, a broken one is refused."""
import os
import re

from lib.catalog import Catalog
from lib.scenario import Scenario, Drover

GOOD = '''mapping "site-station" {
  description = "stations get the site's prefix",
  conditions = { { "StationName", "is_not_blank" } },
  actions = { { "StationName", "prepend", "SITE-" } },
  tests = { { given = { StationName = "CT01" }, expect = { StationName = "SITE-CT01" } }, { given = {}, expect = {} } },
}
'''
BROKEN = GOOD + '''
mapping "half" {
  actions = { { "StationName", "prepend"
'''


class RuleEdit(Scenario):
    def setUp(self):
        super().setUp()
        source = self.synth("synth", "--studies", 40, "--instances-per-study", 12)
        self.engine = Drover(self.folder)
        self.legacy = self.orthanc(knows=[self.engine])
        self.legacy.load(source)
        self.begin(self.engine)
        self.engine.knows(self.legacy)
        self.catalog = Catalog(self.engine.data)
        self.rules = self.engine.data / "rules"
        self.rules.mkdir(exist_ok=True)

    def save(self, name, text):
        """As an editor does: a new file, renamed over the old one."""
        beside = self.rules / f".{name}.swp"
        beside.write_text(text)
        os.rename(beside, self.rules / name)

    def generations(self):
        return [r["generation"] for r in self.catalog.rows("SELECT DISTINCT generation FROM instances ORDER BY generation")]

    def test_an_edit_counts_from_the_next_dataset_on_and_a_broken_one_is_refused(self):
        self.engine.cli("migrate", "--source", "legacy", "--all", "--name", "main", "--detach")
        self.wait("the first instances", lambda: self.catalog.count("instances") >= 20)
        first = self.generations()
        self.assertEqual(len(first), 1)
        self.save("site.lua", GOOD)
        self.wait("instances of the new generation", lambda: len(self.generations()) == 2)
        self.assertTrue(self.catalog.unfinished(), "the migration was over before the edit")
        self.save("site.lua", BROKEN)
        refusal = self.wait("the broken edit to be refused",
                            lambda: re.search(r"site\.lua:(\d+)", "\n".join(l for l in self.engine.said().splitlines() if " info " not in l)))
        self.assertGreaterEqual(int(refusal[1]), len(GOOD.splitlines()))
        self.wait("the migration to end", lambda: not self.catalog.unfinished(), 300)
        self.assertEqual({j["state"] for j in self.catalog.jobs("main")}, {"complete"})
        self.assertEqual(self.catalog.count("instances"), len(self.legacy.instances()))
        self.assertEqual(len(self.generations()), 2)
        # No association dropped: every study came at its first attempt, with nothing failed at the source.
        self.assertEqual(self.catalog.rows("SELECT * FROM attempts WHERE number > 1 OR failed > 0"), [])
        self.assertEqual([line for line in self.legacy.said().splitlines() if line.startswith("E")], [], "Orthanc met an error")
        # What each instance says is true of it: only those of the new generation carry the prefix.
        old, new = self.generations()
        edited = {r["generation"]: r["n"] for r in self.catalog.rows(
            "SELECT i.generation, count(*) AS n FROM edits e JOIN instances i ON i.id = e.instance WHERE e.rule = 'mapping/site-station'"
            " GROUP BY i.generation")}
        self.assertEqual(set(edited), {new})
        self.assertEqual(edited[new], self.catalog.rows("SELECT count(*) AS n FROM instances WHERE generation = ?", new)[0]["n"])

    def test_publishing_by_hand_says_file_and_line_of_what_is_wrong(self):
        self.save("site.lua", BROKEN)
        done = self.engine.run("rules", "publish")
        self.assertEqual(done.returncode, 16, done.stderr)
        self.assertRegex(done.stderr, r"site\.lua:\d+")
        self.save("site.lua", GOOD)
        self.engine.cli("rules", "publish")
