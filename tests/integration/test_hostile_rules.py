"""Rules that hang, bomb or reach out: the dataset is held naming rule, file and line, and the engine goes on."""
import pathlib
import subprocess
import time

from lib.catalog import Catalog
from lib.scenario import LONG, RELEASE, SANITIZED, Scenario

# DESIGN's list of what hangs a hook-limited Lua for ever, and what a rule has no business with. Each stands on line 3 of its file.
BOMBS = {
    "empty-rep": 'string.rep("", 1 << 62)',
    "long-rep": 'string.rep("x", 1 << 40)',
    "table-move": "table.move({}, 1, math.maxinteger - 1, 2)",
    "insert-len": "table.insert(setmetatable({}, {__len = function() return 1 << 60 end}), 1, 1)",
    "remove-len": "table.remove(setmetatable({}, {__len = function() return 1 << 60 end}), 1)",
    "pattern": '("a"):rep(300):find((".-"):rep(8) .. "b")',
    "gc": "setmetatable({}, {__gc = function() while true do end end})",
    "pcall-loop": "while true do pcall(function() while true do end end) end",
    "coroutine": "coroutine.wrap(function() while true do pcall(function() while true do end end) end end)()",
    "compare": 'local a = ("a"):rep(1 << 20) while true do local _ = a .. "b" < a .. "c" end',
    "loop": "while true do end",
    "recursion": "local function f() return 1 + f() end f()",
    "memory": "local t = {} for i = 1, 1e9 do t[i] = i end",
    "execute": 'os.execute("touch /tmp/drover-was-here")',
    "open": 'io.open("/etc/passwd")',
    "debug": "debug.getregistry()",
    "load": 'load("return 1")()',
    "require": 'require("os")',
}
# The 100 ms that a dataset's rules have, twice; an ASan build gets more.
SECONDS = 1.5 if SANITIZED else 0.2


def rule(name, code):
    return f'mapping "{name}" {{\n  run = function(ds, ctx)\n    {code}\n  end,\n}}\n'


class Hostile(Scenario):
    def setUp(self):
        super().setUp()
        source = self.synth("synth", "--studies", 1, "--modalities", "CR", "--defects", "none")
        self.files = sorted(source.rglob("*.dcm"))
        self.engine = self.drover()
        self.catalog = Catalog(self.engine.data)
        self.rules = self.engine.data / "rules"
        self.rules.mkdir(exist_ok=True)

    def publish(self, name, code):
        for old in self.rules.glob("*.lua"):
            old.unlink()
        if name:
            (self.rules / f"{name}.lua").write_text(rule(name, code))
        return self.engine.run("rules", "publish")

    def send(self, *files):
        return subprocess.run(["storescu", "-aec", self.engine.aet, "127.0.0.1", str(self.engine.port), *map(str, files)],
                              capture_output=True, text=True, timeout=60)

    def test_each_bomb_holds_its_dataset_naming_rule_file_and_line(self):
        held = 0
        for name, code in BOMBS.items():
            with self.subTest(name):
                published = self.publish(name, code)
                if published.returncode != 0:
                    # Refused at load is as good, if it says where.
                    self.assertRegex(published.stderr, rf"{name}\.lua:\d+")
                    continue
                start = time.monotonic()
                sent = self.send(self.files[0])
                took = time.monotonic() - start
                self.assertTrue(self.engine.alive(), f"{name} ended the engine")
                self.assertEqual(sent.returncode, 0, sent.stderr)
                self.assertLess(took, SECONDS + 0.5, f"{name} took {took:.2f} s, association and all")
                self.assertEqual(self.catalog.count("quarantine"), held + 1, f"{name} did not hold its dataset")
                row = self.catalog.rows("SELECT * FROM quarantine ORDER BY id DESC LIMIT 1")[0]
                self.assertEqual((row["state"], row["rule"]), ("held", f"mapping/{name}"), row["reason"])
                self.assertTrue(row["file"].endswith(f"{name}.lua"), row["file"])
                self.assertEqual(row["line"], 3, row["reason"])
                held += 1
        self.assertGreater(held, len(BOMBS) // 2)
        self.assertFalse(pathlib.Path("/tmp/drover-was-here").exists())
        self.assertEqual(self.catalog.count("instances"), 0, "something was stored past a rule that did not run")
        # And on it goes, with the rules mended.
        self.assertEqual(self.publish(None, None).returncode, 0)
        self.assertEqual(self.send(*self.files).returncode, 0)
        self.assertEqual(self.catalog.count("instances"), len(self.files))

    def test_what_was_held_is_stored_by_a_retry_once_the_rule_is_mended(self):
        self.publish("loop", BOMBS["loop"])
        self.send(self.files[0])
        row = self.catalog.rows("SELECT id FROM quarantine")[0]
        self.assertEqual(self.publish(None, None).returncode, 0)
        self.engine.cli("quarantine", "retry", row["id"])
        self.assertEqual(self.catalog.count("instances"), 1)
        self.assertEqual(self.catalog.count("quarantine"), 0)

    def test_many_bombs_in_a_row_leave_memory_flat(self):
        if not RELEASE.exists():
            self.skipTest("build/release/drover is not built, and AddressSanitizer keeps what is freed")
        self.engine.stop()
        self.engine.argv[0] = str(RELEASE)
        self.again(self.engine)
        count = 1000 if LONG else 200
        many = self.synth("many", "--studies", 1, "--modalities", "CT", "--instances-per-study", count)
        files = sorted(many.rglob("*.dcm"))
        self.publish("memory", BOMBS["memory"].replace("1e9", "1e5") + ' local s = ("x"):rep(1 << 40)')
        self.send(*files[:count // 4])
        before = self.memory()
        self.send(*files[count // 4:])
        after = self.memory()
        self.assertEqual(self.catalog.count("quarantine"), count)
        self.assertLess(after - before, 8 * 1024, f"{before} KB before, {after} KB after")

    def memory(self):
        for line in pathlib.Path(f"/proc/{self.engine.pid}/status").read_text().splitlines():
            if line.startswith("VmRSS"):
                return int(line.split()[1])
