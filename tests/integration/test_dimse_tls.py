"""Several listeners and DICOM TLS (PS3.15 BCP 195) against DCMTK's tools and openssl: engine/dimse by way of dimse_tool.c."""
import shutil
import socket
import subprocess

from lib.scenario import PATIENCE, Actor, free_port
import test_dimse_peers as peers


class Authority:
    """A certificate authority in a folder; certificates by openssl(1)."""

    def __init__(self, folder, name):
        self.folder, self.name = folder, name
        self.ca = folder / f"{name}.ca.pem"
        self.key = folder / f"{name}.ca.key"
        self.run("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "30", "-subj", f"/CN={name} authority", "-keyout", self.key, "-out", self.ca)

    def run(self, *words):
        subprocess.run(["openssl", *map(str, words)], check=True, capture_output=True)

    def issue(self, name, san, days=30):
        key, request, cert, ext = (self.folder / f"{self.name}.{name}.{x}" for x in ("key", "csr", "pem", "ext"))
        ext.write_text(f"subjectAltName={san}\n")
        self.run("req", "-newkey", "rsa:2048", "-nodes", "-subj", f"/CN={name}", "-keyout", key, "-out", request)
        dates = ("-days", str(days)) if days > 0 else ("-not_before", "20200101000000Z", "-not_after", "20200201000000Z")
        try:
            self.run("x509", "-req", "-in", request, "-CA", self.ca, "-CAkey", self.key, "-CAcreateserial", *dates, "-extfile", ext, "-out", cert)
        except subprocess.CalledProcessError:  # openssl before 3.4 takes no dates here, but days in the past
            self.run("x509", "-req", "-in", request, "-CA", self.ca, "-CAkey", self.key, "-CAcreateserial", "-days", "-1", "-extfile", ext, "-out", cert)
        return cert, key


class DimseTls(peers.DimsePeers):
    def setUp(self):
        super().setUp()
        if not shutil.which("openssl"):
            self.skipTest("openssl is not installed")
        self.ours = Authority(self.home, "hospital")
        self.server = self.ours.issue("server", "DNS:localhost,IP:127.0.0.1")
        self.client = self.ours.issue("modality", "DNS:modality")

    def secure(self, clients="require"):
        k = self.keeper(LISTENERS="0 DROVER tls; 127.0.0.1:0 ARCHIVE", TLS_CERT=str(self.server[0]), TLS_KEY=str(self.server[1]),
                        TLS_CA=str(self.ours.ca), TLS_CLIENTS=clients)
        k.port, k.tls, k.archive = k.ports
        return k

    def flags(self, pair, ca=None):
        return ["+tls", pair[1], pair[0], "+cf", ca or self.ours.ca]

    def test_storescu_with_a_certificate_stores_over_tls_bit_for_bit(self):
        corpus, sent = self.make(count=6, side=512)
        k = self.secure()
        self.call("storescu", *self.flags(self.client), "-xe", "+sd", "127.0.0.1", k.tls, corpus)
        self.assertEqual(k.kept(), sent)
        self.call("echoscu", "127.0.0.1", k.port)
        self.call("echoscu", "127.0.0.1", k.archive)

    def test_only_those_whom_our_authority_knows_get_in(self):
        k = self.secure()
        other = Authority(self.home, "elsewhere")
        stranger = other.issue("stranger", "DNS:stranger")
        expired = self.ours.issue("old", "DNS:old", days=-1)
        self.call("echoscu", *self.flags(stranger), "127.0.0.1", k.tls, ok=False)
        self.call("echoscu", *self.flags(expired), "127.0.0.1", k.tls, ok=False)
        self.call("echoscu", "+tla", "+cf", self.ours.ca, "127.0.0.1", k.tls, ok=False)  # without a certificate
        self.call("echoscu", "127.0.0.1", k.tls, ok=False)                              # without TLS
        self.call("echoscu", *self.flags(self.client), "127.0.0.1", k.port, ok=False)    # TLS to a plain port
        self.call("echoscu", *self.flags(self.client), "127.0.0.1", k.tls)
        log = (self.home / "keeper.log").read_text()
        for words in ("signed by an authority that is not known here", "has expired", "showed no certificate", "speaks no TLS to a port that has it",
                      "speaks TLS to a port without it"):
            self.assertIn(words, log)

    def test_without_asking_for_certificates_anyone_gets_in_by_tls(self):
        k = self.secure(clients="ignore")
        self.call("echoscu", "+tla", "+cf", self.ours.ca, "127.0.0.1", k.tls)

    def test_old_protocols_are_refused_and_new_ones_are_not(self):
        k = self.secure(clients="ignore")

        def handshake(*words):
            return subprocess.run(["openssl", "s_client", "-connect", f"127.0.0.1:{k.tls}", "-CAfile", str(self.ours.ca), *words], input=b"",
                                  capture_output=True, timeout=PATIENCE)
        for new in ("-tls1_2", "-tls1_3"):
            self.assertEqual(handshake(new, "-verify_return_error").returncode, 0, new)
        for old in (("-tls1_1", "-cipher", "ALL:@SECLEVEL=0"), ("-tls1", "-cipher", "ALL:@SECLEVEL=0"), ("-tls1_2", "-cipher", "AES128-SHA"),
                    ("-tls1_2", "-cipher", "ECDHE-RSA-AES128-SHA256")):
            self.assertNotEqual(handshake(*old).returncode, 0, old)

    def test_a_handshake_that_stops_ends_by_our_deadline_and_delays_nobody(self):
        k = self.secure()
        with socket.create_connection(("127.0.0.1", k.tls)) as half:
            half.sendall(b"\x16\x03\x01\x02\x00\x01")
            self.call("echoscu", *self.flags(self.client), "127.0.0.1", k.tls)
            half.settimeout(PATIENCE)
            try:
                self.assertEqual(half.recv(100), b"")
            except ConnectionResetError:
                pass

    def test_one_limit_counts_the_associations_of_all_listeners(self):
        k = self.keeper(MAX="1", LISTENERS="0 ARCHIVE")
        held = subprocess.Popen(["storescu", "-xe", "+sd", "--repeat", "100000", "127.0.0.1", str(k.port), self.make()[0]], stderr=subprocess.DEVNULL)
        self.addCleanup(held.wait)
        self.addCleanup(held.kill)
        self.wait("the first association", lambda: any(k.folder.iterdir()))
        self.assertIn("Local Limit Exceeded", self.call("echoscu", "127.0.0.1", k.ports[1], ok=False))

    def test_we_call_over_tls_and_check_whom_we_got(self):
        corpus, sent = self.make(count=1, side=512)
        uid, data = next(iter(sent.items()))
        (self.home / "x.raw").write_bytes(data)
        got = self.home / "got"
        got.mkdir()
        port = free_port()
        begin = ["storescp", *self.flags(self.server), "-od", got, "--fork", port]
        actor = Actor("storescp", begin, self.home)
        actor.ready = lambda: socket.socket().connect_ex(("127.0.0.1", port)) == 0
        self.begin(actor)
        tls = dict(TLS="1", TLS_CA=str(self.ours.ca), TLS_CERT=str(self.client[0]), TLS_KEY=str(self.client[1]))
        for host in ("127.0.0.1", "localhost"):
            self.assertIn("status 0000", self.call(peers.TOOL, "store", host, port, "ANY", peers.CT, uid, "1.2.840.10008.1.2.1", self.home / "x.raw", **tls))
        stored = next(got.iterdir())
        self.assertTrue(stored.read_bytes().endswith(data))
        other = Authority(self.home, "elsewhere")
        self.assertIn("signed by an authority that is not known here",
                      self.call(peers.TOOL, "echo", "127.0.0.1", port, "ANY", ok=False, **{**tls, "TLS_CA": str(other.ca)}))
        self.call(peers.TOOL, "echo", "127.0.0.1", port, "ANY", **{**tls, "TLS_CA": str(other.ca), "TLS": "insecure"})
        self.assertIn("is for another host than 127.0.0.2", self.call(peers.TOOL, "echo", "127.0.0.2", port, "ANY", ok=False, **tls))
        self.call(peers.TOOL, "echo", "127.0.0.1", port, "ANY", ok=False)  # plain to TLS
        self.assertRegex(self.call(peers.TOOL, "echo", "127.0.0.1", port, "ANY", ok=False, **{**tls, "TLS_CERT": "", "TLS_KEY": ""}), "error NETWORK .*certificate")

    def test_a_peer_that_speaks_plain_or_shows_an_old_certificate_is_told_so(self):
        k = self.keeper()
        tls = dict(TLS="1", TLS_CA=str(self.ours.ca))
        self.assertRegex(self.call(peers.TOOL, "echo", "127.0.0.1", k.port, "ANY", ok=False, **tls), "does it speak TLS|does not speak TLS")
        old = self.ours.issue("expired", "IP:127.0.0.1", days=-1)
        shutil.rmtree(k.folder)
        k.close()
        k = self.keeper(LISTENERS="0 DROVER tls", TLS_CERT=str(old[0]), TLS_KEY=str(old[1]), TLS_CLIENTS="ignore")
        self.assertIn("has expired", self.call(peers.TOOL, "echo", "127.0.0.1", k.ports[1], "DROVER", ok=False, **tls))

    def test_our_client_and_server_talk_in_tls_and_keep_the_association(self):
        k = self.secure()
        tls = dict(TLS="1", TLS_CA=str(self.ours.ca), TLS_CERT=str(self.client[0]), TLS_KEY=str(self.client[1]))
        self.assertIn("alive 1", self.call(peers.TOOL, "echo", "localhost", k.tls, "DROVER", **tls))


class EngineTls(DimseTls):
    def test_the_engine_takes_and_calls_over_tls_as_its_settings_say(self):
        corpus, sent = self.make(count=3)
        data, tls_port, echo_port = self.home / "drover-data", free_port(), free_port()
        data.mkdir()
        (data / "drover.lua").write_text(
            f'dimse = {{ listeners = "127.0.0.1:{tls_port} SECURE tls", tls_cert = "{self.server[0]}", tls_key = "{self.server[1]}", '
            f'tls_ca = "{self.ours.ca}" }}\n')
        engine = self.drover()
        self.call("storescu", *self.flags(self.client), "-xe", "-aec", "SECURE", "+sd", "127.0.0.1", tls_port, corpus)
        self.assertEqual(len(engine.objects()), 3)
        self.assertIn("Called AE Title Not Recognized",
                      self.call("echoscu", *self.flags(self.client), "-aec", "DROVER", "127.0.0.1", tls_port, ok=False))
        secure = Actor("storescp", ["storescp", *self.flags(self.server), "-od", self.home, "--fork", echo_port], self.home)
        secure.ready = lambda: socket.socket().connect_ex(("127.0.0.1", echo_port)) == 0
        self.begin(secure)
        engine.cli("peers", "add", "secure", "--aet", "ANY", "--host", "localhost", "--port", echo_port, "--tls")
        self.assertIn("secure", engine.cli("echo", "secure"))
        engine.cli("peers", "add", "secure", "--replace", "--aet", "ANY", "--host", "127.0.0.2", "--port", echo_port, "--tls")
        self.assertIn("is for another host than 127.0.0.2", engine.run("echo", "secure").stderr)
        engine.cli("peers", "add", "secure", "--replace", "--aet", "ANY", "--host", "127.0.0.2", "--port", echo_port, "--tls", "--tls-insecure")
        engine.cli("echo", "secure")
        engine.cli("peers", "add", "secure", "--replace", "--aet", "ANY", "--host", "localhost", "--port", echo_port, "--tls", "--tls-ca", self.home / "none")
        self.assertIn("cannot use the file of authorities", engine.run("echo", "secure").stderr)

    def test_a_peer_with_tls_only_is_rejected_without_it(self):
        data, tls_port = self.home / "drover-data", free_port()
        data.mkdir()
        (data / "drover.lua").write_text(
            f'dimse = {{ listeners = "{tls_port} DROVER tls", tls_cert = "{self.server[0]}", tls_key = "{self.server[1]}", tls_ca = "{self.ours.ca}" }}\n')
        engine = self.drover()
        engine.cli("peers", "add", "modality", "--aet", "ECHOSCU", "--host", "127.0.0.1", "--settings", '{"tls_only":true}')
        self.call("echoscu", *self.flags(self.client), "-aec", "DROVER", "127.0.0.1", tls_port)
        self.assertIn("Calling AE Title Not Recognized", self.call("echoscu", "-aec", "DROVER", "127.0.0.1", engine.port, ok=False))
        self.assertNotEqual(engine.run("peers", "add", "x", "--aet", "X", "--host", "h", "--settings", '{"tls":"yes"}').returncode, 0)


# The base classes' own tests run in their own place.
for _name in [n for n in vars(peers.DimsePeers) if n.startswith("test_")]:
    setattr(DimseTls, _name, None)
for _name in [n for n in vars(DimseTls) if n.startswith("test_") and n not in vars(EngineTls)]:
    setattr(EngineTls, _name, None)
