"""The Debian package: what is in it, its service, and a life with it on a bare system: installed, run, removed, purged."""
import os
import pathlib
import re
import shutil
import subprocess
import tempfile
import time
import unittest

from lib.scenario import LONG, PATIENCE, RELEASE, ROOT, free_port
from lib.sender import Aborted, Sender, header, pixels

SERVICE = ROOT / "engine/ops/debian/drover.service"


def run(*words, check=True, **options):
    done = subprocess.run([str(w) for w in words], capture_output=True, text=True, stdin=subprocess.DEVNULL, **options)
    if check and done.returncode:
        raise AssertionError(f"{' '.join(map(str, words))} ended with {done.returncode}:\n{done.stdout}{done.stderr}")
    return done.stdout + done.stderr


class Package(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        if not RELEASE.exists() or not shutil.which("dpkg-deb") or not (RELEASE.parent / "CPackConfig.cmake").exists():
            raise unittest.SkipTest("no release build to be packed, or no dpkg")
        cls.folder = pathlib.Path(tempfile.mkdtemp(prefix="drover-deb-", dir=os.environ.get("DROVER_TMP", "/var/tmp")))
        cls.addClassCleanup(shutil.rmtree, cls.folder, ignore_errors=True)
        os.chmod(cls.folder, 0o755)
        run("cpack", "--config", RELEASE.parent / "CPackConfig.cmake", "-B", cls.folder / "cpack", cwd=cls.folder)
        (cls.deb,) = (cls.folder / "cpack").glob("drover_*.deb")
        run("dpkg-deb", "-x", cls.deb, cls.folder / "tree")
        run("dpkg-deb", "-e", cls.deb, cls.folder / "control")

    def test_the_package_has_program_rules_manual_pages_service_and_configuration_owned_by_root(self):
        rows = [line.split(maxsplit=5) for line in run("dpkg-deb", "-c", self.deb).splitlines()]
        files = {r[5].split(" -> ")[0].removeprefix("."): r[0] for r in rows}
        self.assertEqual({r[1] for r in rows}, {"root/root"})
        self.assertEqual([f for f, mode in files.items() if mode[0] != "l" and (mode[5] == "w" or mode[8] == "w")], [])
        verbs = re.findall(r"^  ([a-z]+) +\S", run(RELEASE, "--help"), re.M)
        for path in ("/usr/bin/drover", "/usr/share/drover/rules/validation.lua", "/usr/share/drover/scripts/validation.lua",
                     "/lib/systemd/system/drover.service", "/etc/drover/drover.lua", "/usr/share/doc/drover/guide.md",
                     "/usr/share/doc/drover/copyright", "/usr/share/doc/drover/changelog.Debian.gz", "/usr/share/man/man1/drover.1.gz",
                     *(f"/usr/share/man/man1/drover-{v}.1.gz" for v in verbs)):
            self.assertIn(path, files)
        self.assertEqual((self.folder / "control/conffiles").read_text().split(), ["/etc/drover/drover.lua"])
        self.assertEqual((self.folder / "tree/etc/drover/drover.lua").read_text(), run(RELEASE, "config", "template"))
        self.assertNotIn(b"/" + str(ROOT).encode().lstrip(b"/") + b"/engine", (self.folder / "tree/usr/bin/drover").read_bytes(), "not stripped")

    def test_its_dependencies_are_those_of_its_libraries(self):
        fields = run("dpkg-deb", "-f", self.deb)
        for name in ("adduser", "libc6", "libdcmtk17", "liblua5.4-0", "libsqlite3-0", "libpq5", "libssl3", "libpcre2-8-0", "libcjson1"):
            self.assertRegex(fields, rf"(?m)^Depends:.*\b{re.escape(name)}\b")
        self.assertRegex(fields, r"(?m)^Version: \d+\.\d+\.\d+-1$")

    def test_lintian_has_nothing_but_that_it_closes_no_bug(self):
        if not shutil.which("lintian"):
            self.skipTest("lintian is not installed")
        said = run("lintian", "--allow-root", "--no-tag-display-limit", self.deb, check=False)
        self.assertEqual([t for t in re.findall(r"^[EW]: .*", said, re.M) if "initial-upload-closes-no-bugs" not in t], [])

    def test_systemd_reads_its_service_and_finds_it_little_exposed(self):
        if not shutil.which("systemd-analyze"):
            self.skipTest("systemd-analyze is not installed")
        # The program is where the unit says only when it is installed; that and the manual are left out.
        place = self.folder / "drover.service"
        place.write_text(SERVICE.read_text().replace("/usr/bin/drover", str(self.folder / "tree/usr/bin/drover")))
        said = run("systemd-analyze", "verify", "--man=no", place, check=False)
        self.assertEqual([line for line in said.splitlines() if "drover.service" in line], [])
        said = run("systemd-analyze", "security", "--offline=yes", "--threshold=20", place, check=False)
        level = re.search(r"exposure level for drover.service: ([0-9.]+)", said)
        self.assertIsNotNone(level, said)
        print(f"# systemd-analyze security: {level[1]} of 10")
        self.assertLessEqual(float(level[1]), 2.0)

    def test_the_program_finds_its_rules_beside_itself_wherever_it_is_unpacked_and_as_nobody(self):
        data = self.folder / "data"
        binary = self.folder / "tree/usr/bin/drover"
        data.mkdir(exist_ok=True)
        words = [binary, "rules", "check", "--data", data]
        if os.getuid() == 0:
            os.chown(data, 65534, 65534)
            words = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--no-new-privs", "--bounding-set=-all", *words]
        said = run(*words, env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"}, cwd="/")
        self.assertIn("validation/", said)

    def test_rules_run_where_no_memory_may_be_made_executable_after_writing(self):
        """MemoryDenyWriteExecute: PCRE2's compiler has no place for its code then; matches are interpreted."""
        deny = "import ctypes, os, sys; r = ctypes.CDLL(None).prctl(65, 1, 0, 0, 0); sys.exit(77) if r else os.execv(sys.argv[1], sys.argv[1:])"
        done = subprocess.run(["python3", "-c", deny, str(RELEASE), "rules", "test"], capture_output=True, text=True, cwd=self.folder)
        if done.returncode == 77:
            self.skipTest("this kernel has no PR_SET_MDWE")
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)

    @unittest.skipUnless(LONG, "--all installs it on a bare system")
    def test_on_a_bare_system_it_is_installed_runs_as_its_user_in_a_cage_and_a_purge_leaves_the_archive(self):
        if os.getuid() != 0 or not shutil.which("mmdebstrap"):
            self.skipTest("a chroot needs root and mmdebstrap")
        work = self.folder / "bare"
        work.mkdir()
        root = work / "root"
        run("bash", "-c", '. tests/bare_root.sh; bare_root "$1" util-linux', "bash", work, cwd=ROOT)
        shutil.copy(self.deb, root / "drover.deb")
        enter = lambda mounts: (
            "unshare", "--mount", "--pid", "--fork", "--kill-child", "sh", "-c",
            f'mount --make-rprivate / && {mounts} && mount -t proc proc "$1/proc" && mount --rbind /dev "$1/dev" && exec chroot "$@"',
            "sh", root, "env", "-i", "PATH=/usr/sbin:/usr/bin:/sbin:/bin", "DEBIAN_FRONTEND=noninteractive")
        inside = enter("true")
        run(*inside, "apt-get", "-qq", "update")
        run(*inside, "apt-get", "-qq", "-y", "-o", "Dpkg::Use-Pty=0", "install", "--no-install-recommends", "/drover.deb")
        look = lambda text: run(*inside, "sh", "-ec", text).strip()
        self.assertEqual(look("stat -c '%U:%G %a' /var/lib/drover /etc/drover/drover.lua"), "drover:drover 750\nroot:drover 640")
        self.assertEqual(look("readlink /var/lib/drover/drover.lua"), "/etc/drover/drover.lua")
        self.assertEqual(look("getent passwd drover | cut -d: -f6,7"), "/var/lib/drover:/usr/sbin/nologin")
        self.assertEqual(look("dpkg-query -W -f '${db:Status-Status}' drover; dpkg -V drover"), "installed")
        self.assertTrue(os.path.lexists(root / "etc/systemd/system/multi-user.target.wants/drover.service"), "it starts at boot")

        # As the service runs it: its user, no capability, all of the system read-only but its own folder.
        port = free_port()
        cage = enter('mount --bind "$1" "$1" && mount --bind "$1/var/lib/drover" "$1/var/lib/drover" && mount -o remount,bind,ro "$1" && '
                     'mount -t tmpfs tmpfs "$1/tmp"')
        start = ("setpriv --reuid=drover --regid=drover --clear-groups --no-new-privs --bounding-set=-all --inh-caps=-all "
                 f"env DROVER_DATA_DIR=/var/lib/drover /usr/bin/drover serve --allow-any --dicom-port {port}")
        with open(work / "log", "wb") as log:
            engine = subprocess.Popen([str(w) for w in (*cage, "sh", "-ec", "exec " + start)],
                                      stdout=log, stderr=log, stdin=subprocess.DEVNULL, start_new_session=True)
        self.addCleanup(lambda: engine.poll() is None and engine.kill())
        deadline, uid = time.monotonic() + PATIENCE, "1.2.826.0.1.3680043.9.901"
        while b"serve: ready" not in (work / "log").read_bytes():
            self.assertTrue(engine.poll() is None and time.monotonic() < deadline, (work / "log").read_text())
            time.sleep(0.05)
        with Sender(port, timeout=PATIENCE) as s:
            self.assertEqual(s.store(uid, header(uid, rows=64, columns=64), pixels(8192)), 0)
        as_user = "setpriv --reuid=drover --regid=drover --clear-groups "
        self.assertIn("SENDER", look(as_user + "drover studies"), "without any option, from another working directory")
        look(as_user + "drover verify")
        look("useradd --groups drover radiographer")
        self.assertIn("SENDER", look("setpriv --reuid=radiographer --regid=radiographer --init-groups drover studies"), "who is in its group")
        look("useradd stranger")
        self.assertNotIn("SENDER", look("setpriv --reuid=stranger --regid=stranger --init-groups drover studies 2>&1 || true"))
        (pid,) = run("pgrep", "-u", look("id -u drover"), "-f", f"^/usr/bin/drover serve .*{port}").split()
        os.kill(int(pid), 15)
        self.assertEqual(engine.wait(PATIENCE), 0, (work / "log").read_text())
        with self.assertRaises((Aborted, ConnectionError)):
            Sender(port, timeout=PATIENCE)
        objects = look("find /var/lib/drover/objects -type f")
        self.assertTrue(objects)
        look(as_user + "drover verify")

        run(*inside, "dpkg", "-r", "drover")
        self.assertFalse((root / "usr/bin/drover").exists())
        self.assertTrue((root / "etc/drover/drover.lua").exists(), "a conffile stays until the purge")
        run(*inside, "dpkg", "-P", "drover")
        self.assertFalse((root / "etc/drover").exists())
        self.assertFalse(os.path.lexists(root / "var/lib/drover/drover.lua"))
        self.assertEqual(look("find /var/lib/drover/objects -type f"), objects)
        run(*inside, "apt-get", "-qq", "-y", "-o", "Dpkg::Use-Pty=0", "install", "--no-install-recommends", "/drover.deb")
        look(as_user + "drover verify")  # the archive is found again


if __name__ == "__main__":
    unittest.main()
