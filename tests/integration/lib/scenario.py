"""scenario.py: the one form of an integration test.

    class Migration(Scenario):
        def test_every_study_arrives_once(self):
            legacy = self.orthanc(knows=drover)            actors have a name, free ports and a folder of their own
            self.wait("12 studies", lambda: ... == 12)     a condition with a deadline, never a sleep
            drover.cli("verify")                           a CLI call that must succeed; cli_fails(code, ...) for one that must not

Everything is below self.folder; what was started is stopped by its pid when the test ends, and the logs of the actors are shown
when it failed.
"""
import contextlib
import http.client
import json
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import unittest
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parents[3]
BINARY = os.environ.get("DROVER_BIN", str(ROOT / "build/dev/drover"))
# The optimised build, for what AddressSanitizer would distort; tests/run.sh makes it.
RELEASE = ROOT / "build/release/drover"
SANITIZED = os.path.exists(BINARY) and b"__asan_init" in pathlib.Path(BINARY).read_bytes()
LONG = os.environ.get("DROVER_ALL") == "1"
# An ASan binary under load is some ten times slower than the real one.
PATIENCE = float(os.environ.get("DROVER_PATIENCE", "60"))


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Actor:
    """A process with a log. Stopped with SIGTERM, and if that does not help with SIGKILL."""

    def __init__(self, name, argv, folder, env=None):
        self.name, self.argv, self.env = name, [str(a) for a in argv], env
        self.log = pathlib.Path(folder) / f"{name}.log"
        self.process = None

    def start(self):
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(self.argv, stdout=log, stderr=log, stdin=subprocess.DEVNULL,
                                            env={**os.environ, **(self.env or {})})
        return self

    @property
    def pid(self):
        return self.process.pid

    def alive(self):
        return self.process is not None and self.process.poll() is None

    def kill(self, how=signal.SIGKILL):
        self.process.send_signal(how)
        return self.process.wait(PATIENCE)

    def stop(self):
        if not self.alive():
            return self.process.returncode if self.process else None
        try:
            return self.kill(signal.SIGTERM)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(f"{self.name} (pid {self.pid}) did not end within {PATIENCE:.0f} s of SIGTERM")

    def said(self):
        return self.log.read_text(errors="replace") if self.log.exists() else ""


class Orthanc(Actor):
    """A legacy PACS: Debian's Orthanc with a configuration of its own. It sends to the AE titles of KNOWS."""

    def __init__(self, name, folder, knows=()):
        home = pathlib.Path(folder) / name
        home.mkdir()
        self.aet, self.port, self.http = "LEGACY", free_port(), free_port()
        settings = {
            "Name": name, "StorageDirectory": str(home / "db"), "IndexDirectory": str(home / "db"), "DicomAet": self.aet,
            "DicomPort": self.port, "HttpPort": self.http, "RemoteAccessAllowed": False, "AuthenticationEnabled": False,
            "DicomAlwaysAllowStore": True, "DicomAlwaysAllowFind": True, "DicomCheckModalityHost": False, "Plugins": [],
            "LuaScripts": [], "SyncStorageArea": False, "StableAge": 3600, "DefaultEncoding": "Latin1",
            "DicomModalities": {d.aet: [d.aet, "127.0.0.1", d.port] for d in knows},
        }
        (home / "orthanc.json").write_text(json.dumps(settings))
        super().__init__(name, [shutil.which("Orthanc", path="/usr/sbin:/usr/bin"), home / "orthanc.json"], folder)

    def get(self, path, raw=False):
        with urllib.request.urlopen(f"http://127.0.0.1:{self.http}{path}", timeout=PATIENCE) as answer:
            body = answer.read()
        return body if raw else json.loads(body)

    def ready(self):
        with contextlib.suppress(OSError):
            return "Version" in self.get("/system")

    def load(self, folder):
        """Gives it every file below FOLDER, whatever its transfer syntax."""
        link = http.client.HTTPConnection("127.0.0.1", self.http, timeout=PATIENCE)
        for path in sorted(p for p in pathlib.Path(folder).rglob("*") if p.is_file()):
            link.request("POST", "/instances", path.read_bytes())
            answer = link.getresponse()
            if (answer.read(), answer.status)[1] != 200:
                raise AssertionError(f"Orthanc refused {path} with {answer.status}")
        link.close()

    def studies(self):
        """Study Instance UID -> SOP Instance UIDs."""
        out = {}
        for study in self.get("/studies?expand"):
            uid = study["MainDicomTags"]["StudyInstanceUID"]
            out[uid] = {i["MainDicomTags"]["SOPInstanceUID"] for i in self.get(f"/studies/{study['ID']}/instances")}
        return out

    def instances(self):
        """SOP Instance UID -> Orthanc's id."""
        return {i["MainDicomTags"]["SOPInstanceUID"]: i["ID"] for i in self.get("/instances?expand")}

    def file(self, orthanc_id):
        return self.get(f"/instances/{orthanc_id}/file", raw=True)


class Drover(Actor):
    """`drover serve` on a data directory, and the CLI on the same."""

    def __init__(self, folder, name="drover", data=None, options=(), wrapper=(), env=None):
        self.data = pathlib.Path(data or pathlib.Path(folder) / f"{name}-data")
        self.aet, self.port = "DROVER", free_port()
        argv = [*wrapper, BINARY, "serve", "--data", self.data, "--dicom-port", self.port, "--aet", self.aet, "--allow-any", *options]
        super().__init__(name, argv, folder, env)

    def ready(self):
        return self.alive() and self.said().count("serve: ready") >= self.starts

    starts = 0

    def start(self):
        self.starts = self.said().count("serve: ready") + 1
        return super().start()

    def run(self, verb, *words):
        """The finished `drover VERB --data DATA WORDS`."""
        return subprocess.run([BINARY, verb, "--data", str(self.data), *map(str, words)], capture_output=True, text=True,
                              timeout=10 * PATIENCE, stdin=subprocess.DEVNULL)

    def cli(self, verb, *words):
        done = self.run(verb, *words)
        if done.returncode != 0:
            raise AssertionError(f"drover {verb} {' '.join(map(str, words))} ended with {done.returncode}:\n{done.stdout}{done.stderr}")
        return done.stdout

    def json(self, verb, *words):
        return rows(self.cli(verb, *words, "--json"))

    def knows(self, peer, slug="legacy"):
        self.cli("peers", "add", slug, "--aet", peer.aet, "--host", "127.0.0.1", "--port", peer.port, "--direction", "SourceOnly")

    def objects(self):
        """Stored files, by name."""
        return sorted(p for p in (self.data / "objects").rglob("*") if p.is_file())


def fail_points(test):
    """Every named fail point that is compiled in."""
    done = subprocess.run([BINARY, "version", "--fail-points"], capture_output=True, text=True)
    if done.returncode:
        test.skipTest(f"{BINARY} has no fail points: build the preset dev")
    return done.stdout.split()


def rows(text):
    """A JSON document, or one JSON value a line."""
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return [json.loads(line) for line in text.splitlines() if line.strip()]


class Scenario(unittest.TestCase):
    maxDiff = None

    def setUp(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="drover-test-", dir=os.environ.get("DROVER_TMP", "/var/tmp")))
        self.actors = []
        # Runs last to first: actors are stopped, then the folder goes.
        self.addCleanup(shutil.rmtree, self.folder, ignore_errors=True)
        self.addCleanup(self._stop_all)

    def _stop_all(self):
        failed = not self._outcome.success  # unittest tells it nowhere else
        for actor in reversed(self.actors):
            with contextlib.suppress(AssertionError):
                actor.stop()
            if failed:
                print(f"# --- {actor.name} said last:")
                print("\n".join("# " + line for line in actor.said().splitlines()[-25:]))
        for actor in self.actors:
            said = actor.said()
            for alarm in ("ERROR: AddressSanitizer", "ERROR: LeakSanitizer", "runtime error:"):
                self.assertNotIn(alarm, said, f"{actor.name}: a sanitizer's report, see above")

    def wait(self, what, condition, seconds=None):
        """The first true answer of CONDITION; fails naming WHAT after SECONDS."""
        end = time.monotonic() + (seconds or PATIENCE)
        while True:
            answer = condition()
            if answer:
                return answer
            if time.monotonic() > end:
                self.fail(f"waited {seconds or PATIENCE:.0f} s in vain for {what}")
            time.sleep(0.02)  # between looks, not instead of one

    def begin(self, actor):
        self.actors.append(actor)
        actor.start()
        self.wait(f"{actor.name} to listen", lambda: actor.ready() or self._still(actor))
        return actor

    def again(self, actor):
        """Starts an actor that has ended once more, on the same ports and folder."""
        actor.start()
        self.wait(f"{actor.name} to listen again", lambda: actor.ready() or self._still(actor))

    def _still(self, actor):
        if not actor.alive():
            self.fail(f"{actor.name} ended with {actor.process.returncode}:\n{actor.said()[-2000:]}")

    def drover(self, **options):
        return self.begin(Drover(self.folder, **options))

    def orthanc(self, name="legacy", knows=()):
        return self.begin(Orthanc(name, self.folder, knows))

    def cli(self, *words):
        return subprocess.run([BINARY, *map(str, words)], capture_output=True, text=True, timeout=10 * PATIENCE, stdin=subprocess.DEVNULL)

    def synth(self, name="synth", *options):
        """Synthetic studies in a folder of that name."""
        out = self.folder / name
        done = self.cli("synth", out, *options)
        self.assertEqual(done.returncode, 0, done.stderr)
        return out
