"""What a service manager sees: ready, alive, stopping; the log as JSON and after logrotate."""
import json
import os
import signal
import socket
import subprocess
import tempfile
import unittest

from lib.scenario import BINARY, PATIENCE, free_port


class Service(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)
        self.path = self.folder.name
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(self.path + "/notify")
        self.socket.settimeout(PATIENCE)
        self.addCleanup(self.socket.close)

    def serve(self, **environment):
        os.makedirs(self.path + "/data", exist_ok=True)
        with open(self.path + "/data/drover.lua", "w") as f:
            f.write(f'log = {{ json = true, file = "{self.path}/log" }}\n')
        self.process = subprocess.Popen([BINARY, "serve", "--data", self.path + "/data", "--dicom-port", str(free_port())],
                                        env={**os.environ, "NOTIFY_SOCKET": self.path + "/notify", **environment})
        self.addCleanup(self.end)

    def end(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait(PATIENCE)

    def told(self):
        return self.socket.recv(100).decode()

    def test_a_service_manager_is_told_ready_alive_and_stopping(self):
        self.serve(WATCHDOG_USEC="400000")
        self.assertEqual(self.told(), "READY=1")
        self.assertEqual([self.told() for _ in range(3)], ["WATCHDOG=1"] * 3)
        self.process.send_signal(signal.SIGTERM)
        last = self.told()
        while last == "WATCHDOG=1":
            last = self.told()
        self.assertEqual(last, "STOPPING=1")
        self.assertEqual(self.process.wait(PATIENCE), 0)

    def test_after_logrotate_and_sighup_lines_go_to_the_new_file_and_each_is_json(self):
        self.serve()
        self.assertEqual(self.told(), "READY=1")
        os.rename(self.path + "/log", self.path + "/log.1")
        self.process.send_signal(signal.SIGHUP)
        self.process.send_signal(signal.SIGTERM)
        self.assertEqual(self.told(), "STOPPING=1")
        self.assertEqual(self.process.wait(PATIENCE), 0)
        for name, word in (("/log.1", "ready"), ("/log", "stopped")):
            with open(self.path + name) as f:
                lines = [json.loads(line) for line in f]
            self.assertTrue(any(word in line["message"] for line in lines), name)
            self.assertTrue(all({"time", "level", "part", "message"} <= line.keys() for line in lines))


if __name__ == "__main__":
    unittest.main()
