"""A PostgreSQL server of our own: its binaries, a private directory, a Unix socket, an unprivileged user. Never the system's cluster.

    server = Postgres(); server.start(); server.dsn; server.stop(); server.crash(); server.start(); server.remove()

As a program: `postgres.py start DIR` makes DIR, starts, prints the DSN; `postgres.py stop DIR` stops it and removes DIR.
Its locale is not C, so that order and prefix search are ours by the schema, not by luck.
"""
import glob, os, pwd, shutil, signal, subprocess, sys, time

BINARIES = sorted(glob.glob("/usr/lib/postgresql/*/bin/postgres"))


class Postgres:
    def __init__(self, folder):
        self.folder = str(folder)
        self.dsn = f"host={self.folder} port=5432 user=drover dbname=postgres"
        self.as_user = {}
        if os.getuid() == 0:  # initdb refuses root
            names = {p.pw_name: p for p in pwd.getpwall()}
            user = names.get("postgres") or names["nobody"]
            self.as_user = {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}

    def program(self, name):
        if not BINARIES:
            raise FileNotFoundError("PostgreSQL's binaries are not in /usr/lib/postgresql; install the package postgresql")
        return os.path.join(os.path.dirname(BINARIES[-1]), name)

    def make(self):
        os.makedirs(self.folder)
        if self.as_user:
            os.chown(self.folder, self.as_user["user"], self.as_user["group"])
        done = subprocess.run([self.program("initdb"), "-D", self.folder + "/data", "-U", "drover", "-A", "trust", "--encoding=UTF8",
                               "--locale=C.UTF-8", "--locale-provider=icu", "--icu-locale=en-US"], cwd=self.folder,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, **self.as_user)
        if done.returncode:
            raise RuntimeError("initdb: " + done.stdout)

    def pid(self):
        try:
            with open(self.folder + "/data/postmaster.pid") as f:
                return int(f.readline())
        except FileNotFoundError:
            return 0

    def start(self):
        if not os.path.isdir(self.folder + "/data"):
            self.make()
        log = os.open(self.folder + "/log", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
        self.process = subprocess.Popen([self.program("postgres"), "-D", self.folder + "/data", "-k", self.folder, "-c", "listen_addresses=",
                          "-c", "port=5432", "-c", "fsync=on", "-c", "max_connections=60"], cwd=self.folder, stdin=subprocess.DEVNULL,
                         stdout=log, stderr=log, start_new_session=True, **self.as_user)
        os.close(log)
        deadline = time.monotonic() + 30
        while subprocess.run([self.program("pg_isready"), "-q", "-h", self.folder, "-p", "5432"]).returncode:
            if time.monotonic() > deadline or self.process.poll() is not None:
                raise RuntimeError("PostgreSQL does not come up: " + open(self.folder + "/log").read()[-2000:])
            time.sleep(0.05)

    def end(self, how):
        pid = self.pid()
        if not pid:
            return
        os.kill(pid, how)
        deadline = time.monotonic() + 30
        while os.path.exists(f"/proc/{pid}") and time.monotonic() < deadline:
            if getattr(self, "process", None):
                self.process.poll()
            time.sleep(0.05)

    def stop(self):
        self.end(signal.SIGINT)

    def crash(self):
        """As a power cut of the server's process: nothing is written any more."""
        self.end(signal.SIGQUIT)

    def remove(self):
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def sql(self, text, dsn=None):
        return subprocess.run([self.program("psql"), "-XAtq", "-v", "ON_ERROR_STOP=1", "-d", dsn or self.dsn, "-c", text], check=True,
                              stdout=subprocess.PIPE, text=True).stdout.strip()


if __name__ == "__main__":
    if len(sys.argv) != 3 or sys.argv[1] not in ("start", "stop"):
        sys.exit(__doc__)
    server = Postgres(sys.argv[2])
    if sys.argv[1] == "start":
        server.start()
        print(server.dsn)
    else:
        server.remove()
