"""Migration over DICOM TLS both ways: questions and retrieves to an Orthanc that speaks TLS only, instances back to our TLS listener, or over our own
association by C-GET."""
import json
import pathlib
import shutil

from lib.catalog import Catalog
from lib.scenario import Drover, Orthanc, Scenario, free_port
from test_dimse_tls import Authority
import test_dimse_peers as peers


class MigrateTls(Scenario):
    def setUp(self):
        super().setUp()
        if not shutil.which("openssl"):
            self.skipTest("openssl is not installed")
        home = self.home = pathlib.Path(self.folder)
        self.ours = Authority(home, "hospital")
        self.archive = self.ours.issue("archive", "DNS:localhost,IP:127.0.0.1")
        self.pacs = self.ours.issue("pacs", "DNS:localhost,IP:127.0.0.1")
        self.tls_port = free_port()

    def source(self, authority=None):
        corpus, sent = self.home / "corpus", {}
        self.sent = sent
        corpus.mkdir()
        for s in range(2):
            for i in range(5):
                uid, data = peers.instance(corpus / f"{s}-{i}.dcm", f"2.25.66{s}", i + 1, 128)
                sent[uid] = data
        legacy = Orthanc("legacy", self.folder)
        path = self.home / "legacy" / "orthanc.json"
        settings = json.loads(path.read_text())
        settings.update({
            "DicomTlsEnabled": True, "DicomTlsCertificate": str(self.pacs[0]), "DicomTlsPrivateKey": str(self.pacs[1]),
            "DicomTlsTrustedCertificates": str((authority or self.ours).ca),
            "DicomModalities": {"DROVER": {"AET": "DROVER", "Host": "localhost", "Port": self.tls_port, "UseDicomTls": True}}})
        path.write_text(json.dumps(settings))
        self.begin(legacy)
        legacy.load(corpus)
        return legacy

    def engine_for(self, legacy, settings="{}", tls=True):
        data = self.home / "drover-data"
        data.mkdir()
        (data / "drover.lua").write_text(
            f'dimse = {{ listeners = "{self.tls_port} DROVER tls", tls_cert = "{self.archive[0]}", tls_key = "{self.archive[1]}", tls_ca = "{self.ours.ca}" }}\n'
            "migrate = { backoff_ms = 1, tries = 2 }\n")
        engine = self.drover()
        engine.cli("peers", "add", "legacy", "--aet", legacy.aet, "--host", "localhost", "--port", legacy.port, "--direction", "SourceOnly",
                   "--settings", settings, *(["--tls"] if tls else []))
        return engine

    def complete(self, engine):
        stored = Catalog(engine.data).instances()
        self.assertEqual(stored.keys(), self.sent.keys())
        for uid, row in stored.items():
            self.assertTrue((engine.data / row["path"]).read_bytes().endswith(self.sent[uid][-4000:]))
        self.assertEqual({j["state"] for j in Catalog(engine.data).rows("SELECT state FROM jobs")}, {"complete"})
        engine.cli("verify")

    def test_studies_come_by_c_move_to_our_tls_listener(self):
        engine = self.engine_for(self.source())
        engine.cli("echo", "legacy")
        engine.cli("migrate", "--source", "legacy", "--all")
        self.complete(engine)

    def test_studies_come_by_c_get_over_our_tls_association(self):
        engine = self.engine_for(self.source(), '{"retrieve":"get","tls_only":true}')
        engine.cli("migrate", "--source", "legacy", "--all")
        self.complete(engine)

    def test_a_source_that_trusts_another_authority_brings_nothing_and_says_why(self):
        other = Authority(self.home, "elsewhere")
        engine = self.engine_for(self.source(other))
        engine.run("migrate", "--source", "legacy", "--all", "--detach")
        self.wait("the reason", lambda: [e for e in Catalog(engine.data).rows("SELECT error FROM entries") if "TLS" in (e["error"] or "")])
        self.assertEqual(Catalog(engine.data).instances(), {})

    def test_a_source_of_tls_that_is_called_without_it_is_named(self):
        engine = self.engine_for(self.source(), tls=False)
        engine.run("migrate", "--source", "legacy", "--all", "--detach")
        self.wait("the reason", lambda: [e for e in Catalog(engine.data).rows("SELECT error FROM entries") if e["error"]])
        self.assertEqual(Catalog(engine.data).instances(), {})
