"""Wrong input at every door: the message names the value and the way out, and nothing is lost."""
import socket

from lib.catalog import Catalog
from lib.scenario import Scenario, free_port


class WrongInput(Scenario):
    def fails(self, done, code, *words):
        """DONE ended with CODE and said all of WORDS, in one line that is no debris."""
        self.assertEqual(done.returncode, code, f"{done.args[1:]}: {done.stdout}{done.stderr}")
        for word in words:
            self.assertIn(word.lower(), done.stderr.lower(), done.args[1:])
        self.assertNotIn("AddressSanitizer", done.stderr)

    # ---- files

    def test_a_file_that_is_not_dicom_is_named_with_what_it_looks_like(self):
        path = self.folder / "report.pdf"
        path.write_bytes(b"%PDF-1.4\n" + b"0" * 500)
        self.fails(self.cli("dump", path), 6, "report.pdf", "pdf")
        self.fails(self.cli("dump", self.folder / "nothing.dcm"), 10, "nothing.dcm", "no such file")

    def test_ingest_counts_and_names_what_it_cannot_take_and_takes_the_rest(self):
        folder = self.synth("in", "--studies", 1, "--modalities", "CR", "--defects", "none")
        (folder / "notes.txt").write_text("call Mrs Miller back\n" * 20)
        whole = next(folder.rglob("*.dcm")).read_bytes()
        (folder / "cut.dcm").write_bytes(whole[:len(whole) // 2])
        (folder / "stub.dcm").write_bytes(whole[:300])
        engine = self.drover()
        done = engine.run("ingest", folder)
        self.assertIn("notes.txt", done.stdout + done.stderr)
        catalog = Catalog(engine.data)
        self.assertEqual(catalog.count("instances"), 2)
        kept = catalog.count("quarantine")
        said = (done.stdout + done.stderr)
        self.assertTrue(kept >= 1 or "cut.dcm" in said, f"cut.dcm is neither kept nor named: {said}")

    # ---- peers

    def test_a_peer_that_is_not_known_is_named_with_the_way_to_add_it(self):
        engine = self.drover()
        self.fails(engine.run("echo", "nobody"), 4, "nobody", "peers")
        self.fails(engine.run("migrate", "--source", "nobody", "--all"), 4, "nobody", "peers")

    def test_a_peer_that_is_down_is_named_with_host_and_port(self):
        engine = self.drover()
        port = free_port()
        engine.cli("peers", "add", "gone", "--aet", "GONE", "--host", "127.0.0.1", "--port", port)
        self.fails(engine.run("echo", "gone"), 13, f"127.0.0.1:{port}")

    def test_a_peer_that_hangs_up_during_a_migration_leaves_an_open_batch_that_says_so(self):
        engine = self.drover()
        port = free_port()
        engine.cli("peers", "add", "gone", "--aet", "GONE", "--host", "127.0.0.1", "--port", port)
        engine.cli("migrate", "--source", "gone", "--study", "1.2.3.4", "--name", "down", "--detach")
        catalog = Catalog(engine.data)
        self.wait("the error to be kept", lambda: any(str(port) in r["error"] for r in catalog.rows("SELECT error FROM entries UNION ALL SELECT error FROM jobs")))
        self.assertIn("down", engine.cli("batches", "list"))

    def test_a_peer_with_a_wrong_port_or_title_is_refused(self):
        engine = self.drover()
        self.fails(engine.run("peers", "add", "x", "--aet", "X", "--host", "h", "--port", "70000"), 2, "70000", "65535")
        done = engine.run("peers", "add", "x", "--aet", "A_TITLE_THAT_IS_TOO_LONG", "--host", "h", "--port", "104")
        self.assertNotEqual(done.returncode, 0)
        self.assertIn("16", done.stderr)

    # ---- start

    def test_a_port_that_is_taken_is_named(self):
        with socket.socket() as taken:
            taken.bind(("", 0))
            taken.listen()
            port = taken.getsockname()[1]
            self.fails(self.cli("serve", "--data", self.folder / "d", "--dicom-port", port, "--aet", "DROVER"), 13, str(port), "taken")

    def test_a_folder_that_cannot_be_written_is_named(self):
        (self.folder / "file").write_text("")
        done = self.cli("serve", "--data", self.folder / "file" / "data", "--dicom-port", free_port(), "--aet", "DROVER")
        self.assertNotEqual(done.returncode, 0)
        self.assertIn(str(self.folder / "file"), done.stderr)

    def test_a_second_engine_on_one_data_directory_is_refused(self):
        engine = self.drover()
        self.fails(self.cli("serve", "--data", engine.data, "--dicom-port", free_port(), "--aet", "DROVER"), 18, str(engine.data))

    def test_a_misspelt_setting_is_refused_with_the_nearest_right_one(self):
        data = self.folder / "d"
        data.mkdir()
        (data / "drover.lua").write_text("dimse = {\n  max_pduu = 16384,\n}\n")
        self.fails(self.cli("serve", "--data", data, "--dicom-port", free_port(), "--aet", "DROVER"), 3, "max_pduu", "max_pdu")
        (data / "drover.lua").write_text("dimse = {\n")
        self.fails(self.cli("serve", "--data", data, "--dicom-port", free_port(), "--aet", "DROVER"), 3, "drover.lua:")

    def test_a_misspelt_verb_or_option_is_refused_with_the_nearest_right_one(self):
        self.fails(self.cli("migrat"), 2, "migrat", "migrate")
        self.fails(self.cli("serve", "--dicom-prot", "1"), 2, "--dicom-prot", "--dicom-port")
        self.fails(self.cli("synth", self.folder / "s", "--modalities", "CT,XX"), 2, "XX", "MG")
        self.fails(self.cli("synth", self.folder / "s", "--studies", "many"), 2, "many")

    # ---- rules

    def test_a_rule_that_does_not_load_is_named_with_file_and_line(self):
        rules = self.folder / "rules"
        rules.mkdir()
        broken = rules / "broken.lua"
        broken.write_text('mapping "x" {\n  actions = { { "PatientID", "set", "1" }\n')
        self.fails(self.cli("rules", "check", "--site", rules), 16, "broken.lua:")
        broken.write_text('mapping "x" {\n  actions = { { "PatientIDD", "set", "1" } },\n}\n')
        self.fails(self.cli("rules", "check", "--site", rules), 16, "broken.lua:", "PatientIDD", "PatientID")
        broken.write_text('maping "x" {\n  actions = { { "PatientID", "set", "1" } },\n}\n')
        self.fails(self.cli("rules", "check", "--site", rules), 16, "broken.lua:1", "maping", "mapping")
        broken.write_text('mapping "x" {\n  action = { { "PatientID", "set", "1" } },\n}\n')
        self.fails(self.cli("rules", "check", "--site", rules), 16, "broken.lua:", "action", "actions")

    # ---- the DICOM port

    def test_what_is_no_dicom_on_the_dicom_port_does_not_disturb_others(self):
        engine = self.drover()
        for noise in (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b"\x01\x00\xff\xff\xff\xff" + b"\0" * 100, b"\x16\x03\x01\x02\x00", b""):
            with socket.create_connection(("127.0.0.1", engine.port), timeout=10) as s:
                s.sendall(noise)
        silent = [socket.create_connection(("127.0.0.1", engine.port), timeout=10) for _ in range(20)]
        engine.cli("peers", "add", "self", "--aet", engine.aet, "--host", "127.0.0.1", "--port", engine.port)
        engine.cli("echo", "self")
        for s in silent:
            s.close()
        self.assertTrue(engine.alive())
