"""Peers that lie, stop, break off, or are no peers at all. Meanwhile a good one stores: after each, every instance that was acknowledged
is there, readable and catalogued once, nothing else is, and the engine has as many descriptors and as much memory as before."""
import contextlib
import os
import random
import socket
import struct
import threading
import time

from lib.catalog import Catalog
from lib.peer import COMMITMENT, IMPLICIT, VERIFICATION, Peer, associate
from lib.scenario import BINARY, PATIENCE, RELEASE, SANITIZED, Drover, Scenario
from lib.sender import CT, EXPLICIT, JPEG, Aborted, Sender, header, pixels

GIGABYTE = 1 << 30
STORE = {2: CT, 0x100: 1, 0x110: 1, 0x700: 0}


class Good(threading.Thread):
    """Stores small instances one by one until it is stopped; `acknowledged` are those with status 0000."""

    def __init__(self, port, prefix):
        super().__init__(daemon=True)
        self.port, self.prefix, self.acknowledged, self.failed, self.go_on = port, prefix, [], [], True
        self.start()

    def run(self):
        number = 0
        while self.go_on:
            try:
                with Sender(self.port, calling="GOOD", timeout=PATIENCE) as s:
                    while self.go_on and number % 20 < 19:
                        number += 1
                        uid = f"{self.prefix}.{number}"
                        status = s.store(uid, header(uid, rows=8, columns=8), pixels(128))
                        (self.acknowledged if status == 0 else self.failed).append(uid)
                    number += 1
                    s.release()
            except (Aborted, OSError) as e:
                self.failed.append(str(e))
                return

    def stop(self):
        self.go_on = False
        self.join(PATIENCE)
        return set(self.acknowledged)


class Hostile(Scenario):
    def engine(self, release=False, **settings):
        settings = {"max_associations": 400, "pdu_s": 1, "idle_s": 600, **settings}
        data = self.folder / "data"
        data.mkdir()
        (data / "drover.lua").write_text("dimse = { " + ", ".join(f"{k} = {v}" for k, v in settings.items()) + " }\n")
        d = Drover(self.folder, data=data)
        if release and RELEASE.exists():
            d.argv = [str(RELEASE) if a == BINARY else a for a in d.argv]
        return self.begin(d)

    def descriptors(self, d):
        """Open ones without the catalog's: SQLite keeps those of ended threads for a while and takes them again."""
        count = 0
        for fd in os.listdir(f"/proc/{d.pid}/fd"):
            with contextlib.suppress(OSError):
                count += "catalog.db" not in os.readlink(f"/proc/{d.pid}/fd/{fd}")
        return count

    def memory(self, d):
        """Resident bytes."""
        with open(f"/proc/{d.pid}/statm") as f:
            return int(f.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    def quiet(self, d):
        self.wait("no association", lambda: d.json("status")["associations"] == 0)

    def sound(self, d, acknowledged, before):
        """What must hold after whatever happened; BEFORE: descriptors."""
        self.assertTrue(d.alive(), d.said()[-2000:])
        self.quiet(d)
        self.assertEqual(set(Catalog(d.data).instances()), acknowledged)
        self.assertEqual(len(d.objects()), len(acknowledged))
        d.cli("verify")
        # Connections that are waited out may close a little later; readers of the catalog come and go with their threads.
        self.wait("as many descriptors as before", lambda: self.descriptors(d) <= before + 2)
        with Peer.call(d.port, [(VERIFICATION, [IMPLICIT])]) as p:
            p.send({2: VERIFICATION, 0x100: 0x30, 0x110: 1})
            self.assertEqual(p.receive()[0][0x900], 0)
            p.release()

    def ends(self, link):
        """The engine ends it by itself, whatever it says before that."""
        link.settimeout(PATIENCE)
        with contextlib.suppress(ConnectionError):
            while link.recv(65536):
                pass

    def connect(self, d):
        link = socket.create_connection(("127.0.0.1", d.port), PATIENCE)
        self.addCleanup(link.close)
        return link

    def associated(self, d, contexts=((CT, [EXPLICIT]),)):
        p = Peer.call(d.port, list(contexts), calling="LIAR")
        self.addCleanup(p.socket.close)
        return p

    def while_a_good_one_stores(self, d, *lies):
        before = self.descriptors(d)
        good = Good(d.port, "1.2.826.0.1.3680043.8.498.1")
        try:
            for lie in lies:
                with self.subTest(lie=lie.__doc__ or lie.__name__):
                    lie(d)
            self.wait("some good instances", lambda: len(good.acknowledged) > 20 or good.failed)
        finally:
            acknowledged = good.stop()
        self.assertEqual(good.failed, [])
        self.sound(d, acknowledged, before)
        self.assertEqual(d.json("quarantine", "list"), [])

    # ---- silence ----

    def test_half_of_something_and_then_silence_is_ended(self):
        request = struct.pack(">BxI", 1, 500) + associate([(CT, [EXPLICIT])], "DROVER", "LIAR")

        def first_bytes(d):
            "four bytes of an association request"
            self.ends_of(d, request[:4])

        def half_request(d):
            "half an association request"
            self.ends_of(d, request[:100])

        def half_head(d):
            "three bytes of a PDU's head"
            p = self.associated(d)
            p.raw(b"\4\0\0")
            self.ends(p.socket)

        def half_command(d):
            "half a command"
            p = self.associated(d)
            command = p.command({**STORE, 0x800: 1, 0x1000: "1.2.3"})
            p.pdu(4, p.pdv(1, True, False, command[:40]))
            self.ends(p.socket)

        def half_data(d):
            "half a PDU of data"
            p = self.associated(d)
            p.pdu(4, p.pdv(1, True, True, p.command({**STORE, 0x800: 1, 0x1000: "1.2.3.4"})))
            p.raw(struct.pack(">BxIIBB", 4, 100006, 100002, 1, 0) + header("1.2.3.4"))
            self.ends(p.socket)

        def no_last(d):
            "data without its end"
            p = self.associated(d)
            p.pdu(4, p.pdv(1, True, True, p.command({**STORE, 0x800: 1, 0x1000: "1.2.3.4"})))
            p.pdu(4, p.pdv(1, False, False, header("1.2.3.4", rows=8, columns=8) + b"".join(pixels(128))))
            self.ends(p.socket)

        d = self.engine()
        self.while_a_good_one_stores(d, half_head, half_command, half_data, no_last, first_bytes, half_request)
        self.assertIn("asked for nothing", d.said())

    def ends_of(self, d, data):
        link = self.connect(d)
        link.sendall(data)
        self.ends(link)

    def test_bytes_that_drip_do_not_hold_an_association_open(self):
        d = self.engine()

        def drip(d):
            "a PDU a byte each tenth of a second"
            p = self.associated(d)
            p.pdu(4, p.pdv(1, True, True, p.command({**STORE, 0x800: 1, 0x1000: "1.2.3.4"})))
            p.raw(struct.pack(">BxIIBB", 4, 10006, 10002, 1, 0))
            began = time.monotonic()
            with contextlib.suppress(ConnectionError):
                while time.monotonic() - began < PATIENCE:
                    p.raw(b"\0")
                    p.socket.settimeout(0.1)
                    with contextlib.suppress(TimeoutError):
                        if not p.socket.recv(100):
                            break
            self.assertLess(time.monotonic() - began, PATIENCE / 2)
        self.while_a_good_one_stores(d, drip)

    # ---- breaking off ----

    def test_who_breaks_off_in_the_middle_leaves_nothing(self):
        d = self.engine(pdu_s=60)
        uid = "1.2.3.4.5"

        def begun(size):
            p = self.associated(d)
            p.pdu(4, p.pdv(1, True, True, p.command({**STORE, 0x800: 1, 0x1000: uid})))
            data = header(uid, rows=512, columns=512) + b"".join(pixels(512 * 512 * 2))
            for at in range(0, size, 16000):
                p.pdu(4, p.pdv(1, False, False, data[at:min(at + 16000, size)]))
            return p

        def abort(size):
            def lie(_):
                p = begun(size)
                p.pdu(7, bytes(4))
                self.ends(p.socket)
            lie.__doc__ = f"A-ABORT after {size} bytes"
            return lie

        def reset(size):
            def lie(_):
                p = begun(size)
                p.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                p.socket.close()
            lie.__doc__ = f"a reset after {size} bytes"
            return lie

        def release(size):
            def lie(_):
                p = begun(size)
                p.pdu(5, bytes(4))
                self.ends(p.socket)
            lie.__doc__ = f"a release after {size} bytes of data"
            return lie

        self.while_a_good_one_stores(d, *(kind(size) for kind in (abort, reset, release) for size in (0, 10, 400, 16000, 300000, 524288)))

    # ---- lies about lengths ----

    def test_lies_about_the_lengths_of_pdus_and_pdvs_end_the_association(self):
        d = self.engine()
        command = Peer.command({**STORE, 0x800: 1, 0x1000: "1.2.3.9"})
        good = header("1.2.3.9", rows=8, columns=8) + b"".join(pixels(128))

        def raw(name, *parts):
            def lie(_):
                p = self.associated(d)
                with contextlib.suppress(ConnectionError):
                    for part in parts:
                        p.raw(part)
                self.ends(p.socket)
            lie.__doc__ = name
            return lie

        def pdu(body, kind=4, size=None):
            return struct.pack(">BxI", kind, len(body) if size is None else size) + body

        pdv = Peer.pdv
        self.while_a_good_one_stores(
            d,
            raw("a PDU of 4 GB", struct.pack(">BxI", 4, 0xFFFFFFFF) + bytes(1000)),
            raw("a PDU of a gigabyte", struct.pack(">BxI", 4, GIGABYTE)),
            raw("a PDU over the maximum by one", struct.pack(">BxI", 4, 131072 + 7) + bytes(5000)),
            raw("an empty P-DATA", pdu(b""), pdu(command, kind=99)),
            raw("a PDU shorter than its PDV", pdu(pdv(1, True, True, command), size=20)),
            raw("a PDV longer than its PDU", pdu(struct.pack(">IBB", len(command) + 500, 1, 3) + command)),
            raw("a PDV of 4 GB", pdu(struct.pack(">IBB", 0xFFFFFFFF, 1, 3) + command)),
            raw("a PDV of length 0", pdu(struct.pack(">I", 0))),
            raw("a PDV of length 1", pdu(struct.pack(">IB", 1, 1))),
            raw("a PDV behind which three bytes are left", pdu(pdv(1, True, True, command) + b"\0\0\0")),
            raw("an unknown PDU", pdu(b"abcd", kind=9)),
            raw("an association request in an association", pdu(associate([(CT, [EXPLICIT])], "DROVER", "LIAR"), kind=1)),
            raw("an answer to an association request", pdu(associate([(CT, [EXPLICIT])], "DROVER", "LIAR"), kind=2)),
            raw("a context that was not accepted", pdu(pdv(77, True, True, command))),
            raw("data before any command", pdu(pdv(1, False, True, good))),
            raw("a command inside data", pdu(pdv(1, True, True, command)), pdu(pdv(1, False, False, good[:50])), pdu(pdv(1, True, True, command))),
            raw("a command element of 4 GB", pdu(pdv(1, True, True, struct.pack("<HHI", 0, 0x100, 0xFFFFFFFF) + bytes(20)))),
            raw("a command of a megabyte", *(pdu(pdv(1, True, False, bytes(60000))) for _ in range(3))),
            raw("an answer nobody asked for", pdu(pdv(1, True, True, Peer.command({2: CT, 0x100: 0x8001, 0x120: 1, 0x800: 0x101, 0x900: 0})))))
        self.assertNotIn("out of memory", d.said())

    def test_lies_inside_the_data_set_are_never_acknowledged_as_whole(self):
        d = self.engine(pdu_s=60)
        before = self.descriptors(d)
        uid = "1.2.826.0.1.3680043.8.498.5"
        n, statuses = 0, {}

        def nested(depth):
            return struct.pack("<HH2sxxI", 0x40, 0x275, b"SQ", 0xFFFFFFFF) + (
                struct.pack("<HHI", 0xFFFE, 0xE000, 0xFFFFFFFF) + struct.pack("<HH2sxxI", 0x40, 0x275, b"SQ", 0xFFFFFFFF)) * depth

        good = lambda u: header(u, rows=8, columns=8)
        lies = {
            "an element of 3 GB in a small data set": lambda u: good(u) + struct.pack("<HH2sxxI", 0x29, 0x10, b"OB", 3 * GIGABYTE) + bytes(100),
            "a text of 64 KB of which 10 bytes come": lambda u: good(u) + struct.pack("<HH2sH", 0x40, 0x254, b"LO", 65534) + b"0123456789",
            "an item longer than its sequence": lambda u: good(u) + struct.pack("<HH2sxxI", 0x40, 0x275, b"SQ", 20) + struct.pack("<HHI", 0xFFFE, 0xE000, 5000) + bytes(12),
            "a hundred thousand nested items": lambda u: good(u) + nested(100000),
            "half an element's head": lambda u: good(u) + b"\x28\0\x30",
            "pixel data of 4 GB of which 128 bytes come": lambda u: good(u) + struct.pack("<HH2sxxI", 0x7FE0, 0x10, b"OW", 0xFFFFFFF0) + bytes(128),
            "nothing at all": lambda u: b"",
            "random bytes": lambda u: random.Random(7).randbytes(5000),
            "a data set of another instance": lambda u: header("1.2.3.99", rows=8, columns=8) + b"".join(pixels(128)),
        }
        for name, make in lies.items():
            n += 1
            with self.subTest(name), Sender(d.port, calling="LIAR", timeout=PATIENCE) as s:
                try:
                    statuses[name] = s.store(f"{uid}.{n}", make(f"{uid}.{n}"))
                    s.release()
                except Aborted:
                    statuses[name] = None
        self.quiet(d)
        rows = Catalog(d.data).instances()
        kept = {q["received_sop_uid"] for q in d.json("quarantine", "list")}
        for number, (name, status) in enumerate(statuses.items(), 1):
            with self.subTest(name):
                # What is in the archive was acknowledged and is whole; the rest is refused, or kept aside.
                self.assertNotIn(f"{uid}.{number}", rows, f"{name}: status {status}")
        self.assertEqual(rows, {})
        self.assertTrue(all(s is None or s != 0 or kept for s in statuses.values()), statuses)
        d.cli("verify")
        self.sound(d, set(), before)

    # ---- what is no peer ----

    def test_http_tls_and_noise_on_the_dicom_port_are_closed_and_the_first_ones_named(self):
        d = self.engine()
        seed = int(os.environ.get("DROVER_SEED", "20261125"))
        print(f"# DROVER_SEED={seed}", flush=True)
        dice = random.Random(seed)

        def http(_):
            "HTTP"
            self.ends_of(d, b"GET / HTTP/1.1\r\nHost: pacs\r\n\r\n")

        def tls(_):
            "a TLS handshake"
            self.ends_of(d, bytes.fromhex("16030100c8010000c40303") + bytes(190))

        def long_request(_):
            "an association request of a gigabyte"
            self.ends_of(d, struct.pack(">BxI", 1, GIGABYTE) + bytes(1000))

        def noise(_):
            "noise"
            for _ in range(60):
                self.ends_of(d, dice.randbytes(dice.randrange(1, 3000)))

        def bent_requests(_):
            "association requests with a few wrong bytes"
            for _ in range(60):
                body = bytearray(associate([(CT, [EXPLICIT, IMPLICIT]), (COMMITMENT, [IMPLICIT])], "DROVER", "LIAR", roles=[(CT, 1, 1)]))
                for _ in range(dice.randrange(1, 5)):
                    body[dice.randrange(68, len(body))] = dice.randrange(256)
                link = self.connect(d)
                link.sendall(struct.pack(">BxI", 1, len(body)) + body)
                link.settimeout(PATIENCE)
                with contextlib.suppress(ConnectionError):
                    link.recv(4096)
                link.close()

        def bent_commands(_):
            "commands with a few wrong bytes"
            for _ in range(60):
                p = self.associated(d)
                body = bytearray(Peer.command({**STORE, 0x800: 0x101, 0x1000: "1.2.3"}))
                for _ in range(dice.randrange(1, 5)):
                    body[dice.randrange(len(body))] = dice.randrange(256)
                with contextlib.suppress(ConnectionError):
                    p.pdu(4, p.pdv(1, True, True, bytes(body)))
                    p.pdu(7, bytes(4))
                self.ends(p.socket)

        self.while_a_good_one_stores(d, http, tls, long_request, noise, bent_requests, bent_commands)
        for words in ("speaks HTTP to the DICOM port", "speaks TLS to a port without it", "over 512 KB"):
            self.assertIn(words, d.said())

    # ---- crowds ----

    def time_of_echo(self, d):
        began = time.monotonic()
        with Peer.call(d.port, [(VERIFICATION, [IMPLICIT])]) as p:
            p.send({2: VERIFICATION, 0x100: 0x30, 0x110: 1})
            self.assertEqual(p.receive()[0][0x900], 0)
            took = time.monotonic() - began
            p.release()
        return took

    def test_five_hundred_connections_200_of_them_silent_delay_an_association_by_less_than_a_tenth_of_a_second(self):
        d = self.engine(release=True, max_associations=0, pdu_s=60)
        alone = sorted(self.time_of_echo(d) for _ in range(11))[5]
        self.quiet(d)
        before = self.descriptors(d)
        request = associate([(CT, [EXPLICIT])], "DROVER", "CROWD")
        request = struct.pack(">BxI", 1, len(request)) + request
        links = [self.connect(d) for _ in range(400)]
        for link in links[200:]:
            link.sendall(request[:60])  # these have begun to speak
        idle = [self.associated(d) for _ in range(100)]
        self.wait("all associations", lambda: d.json("status")["associations"] == 100)
        times = sorted(self.time_of_echo(d) for _ in range(21))
        print(f"# association, C-ECHO: {alone * 1000:.1f} ms alone, in the crowd {times[10] * 1000:.1f} ms, the slowest of 21 {times[-1] * 1000:.1f} ms",
              flush=True)
        self.assertLess(times[10] - alone, 0.1)
        good = Good(d.port, "1.2.826.0.1.3680043.8.498.2")
        self.wait("instances stored in the crowd", lambda: len(good.acknowledged) > 20 or good.failed)
        acknowledged = good.stop()
        self.assertEqual(good.failed, [])
        for p in idle:
            p.socket.close()
        for link in links:
            link.close()
        self.sound(d, acknowledged, before)

    def test_silent_connections_are_closed_after_ten_seconds_without_a_thread_each(self):
        d = self.engine()
        threads = len(os.listdir(f"/proc/{d.pid}/task"))
        links = [self.connect(d) for _ in range(200)]
        time_of = self.time_of_echo(d)
        self.assertLessEqual(len(os.listdir(f"/proc/{d.pid}/task")), threads + 2)
        self.assertLess(time_of, 5)
        for link in links:
            self.ends(link)
        self.sound(d, set(), self.descriptors(d))

    def test_memory_stays_flat_over_a_thousand_liars(self):
        d = self.engine(release=True, pdu_s=60)
        if SANITIZED and not RELEASE.exists():
            self.skipTest("the sanitizer keeps freed memory; build/release is not there")
        uid = "1.2.3.4.6"
        data = header(uid, rows=512, columns=512) + b"".join(pixels(524288))

        def round_of_lies():
            for lie in range(10):
                with contextlib.suppress(Aborted, ConnectionError, OSError):
                    p = Peer.call(d.port, [(CT, [EXPLICIT])], calling=f"LIAR{lie}")
                    p.pdu(4, p.pdv(1, True, True, p.command({**STORE, 0x800: 1, 0x1000: uid})))
                    if lie % 2:
                        p.pdu(4, p.pdv(1, False, False, data[:16000 * lie % 60000 + 100]))
                    if lie % 3 == 0:
                        p.raw(struct.pack(">BxI", 4, 0xFFFFFFF0))
                    elif lie % 3 == 1:
                        p.pdu(7, bytes(4))
                    p.socket.close()
        for _ in range(30):
            round_of_lies()
        self.quiet(d)
        before, first = self.descriptors(d), self.memory(d)
        for _ in range(100):
            round_of_lies()
        self.quiet(d)
        grown = self.memory(d) - first
        print(f"# {first >> 20} MB after 300 liars, {grown / 1048576:+.1f} MB after 1000 more", flush=True)
        self.assertLess(grown, 8 << 20)
        self.sound(d, set(), before)

    # ---- what legacy peers do (DEFECTS P9, P11, P12, P17) ----

    def test_several_pdvs_in_a_pdu_are_taken_and_ours_go_out_one_a_pdu(self):
        d = self.engine()
        uid = "1.2.826.0.1.3680043.8.498.9"
        data = header(uid, rows=8, columns=8) + b"".join(pixels(128))
        p = self.associated(d)
        command = p.command({**STORE, 0x800: 1, 0x1000: uid})
        p.pdu(4, p.pdv(1, True, False, command[:30]) + p.pdv(1, True, True, command[30:]) + p.pdv(1, False, False, data[:10]) +
              p.pdv(1, False, False, data[10:300]) + p.pdv(1, False, False, data[300:]) + p.pdv(1, False, True, b""))
        kind, body = p.next()
        self.assertEqual((kind, struct.unpack_from(">I", body)[0] + 4), (4, len(body)))  # one PDV fills the PDU
        self.assertTrue(p.release())
        self.sound(d, {uid}, self.descriptors(d))

    def test_the_senders_first_syntax_is_accepted_so_that_it_need_not_decompress(self):
        d = self.engine()
        with Peer.call(d.port, [(CT, [JPEG, EXPLICIT, IMPLICIT]), (CT, [IMPLICIT, JPEG]), ("1.2.840.113619.4.30", ["1.2.840.113619.5.2", EXPLICIT])]) as p:
            self.assertEqual(p.syntaxes, {1: JPEG, 3: IMPLICIT, 5: "1.2.840.113619.5.2"})
            p.release()

    def test_a_refused_context_says_whether_the_class_or_its_syntaxes_are_to_blame(self):
        d = self.drover()
        lists = ["--sop-classes", f"{CT}\\1.2.840.10008.5.1.4.1.1.4", "--transfer-syntaxes", f"{EXPLICIT}\\{JPEG}"]
        d.cli("peers", "add", "strict", "--aet", "STRICT", "--host", "127.0.0.1", "--port", 104, "--direction", "SourceOnly", *lists)
        contexts = [(CT, [IMPLICIT, JPEG, EXPLICIT]), (CT, [IMPLICIT]), ("1.2.840.10008.5.1.4.1.1.7", [EXPLICIT]), ("1.2.840.10008.5.1.4.1.2.2.1", [IMPLICIT]),
                    (VERIFICATION, [IMPLICIT]), (COMMITMENT, ["1.2.840.10008.1.2.2"])]
        with Peer.call(d.port, contexts, calling="STRICT") as p:
            self.assertEqual(p.results, {1: 0, 3: 4, 5: 3, 7: 3, 9: 0, 11: 4})
            self.assertEqual(p.syntaxes[1], JPEG)  # the sender's first that is allowed
            p.release()
        with Peer.call(d.port, contexts, calling="ANYBODY") as p:  # the lists are that peer's alone
            self.assertEqual((p.results[3], p.results[5], p.syntaxes[1]), (0, 0, IMPLICIT))
            p.release()

    def test_one_object_an_association_and_a_hundred_and_twenty_eight_contexts_are_taken(self):
        d = self.engine(pdu_s=60)
        before, stored = self.descriptors(d), set()
        for n in range(40):
            uid = f"1.2.826.0.1.3680043.8.498.3.{n}"
            with Sender(d.port, timeout=PATIENCE) as s:
                self.assertEqual(s.store(uid, header(uid, rows=8, columns=8), pixels(128)), 0)
                s.release()
            stored.add(uid)
        with Peer.call(d.port, [(f"1.2.840.10008.5.1.4.1.1.{n}", [EXPLICIT]) for n in range(1, 129)]) as p:
            self.assertEqual((len(p.results), set(p.results.values())), (128, {0}))
            p.release()
        self.sound(d, stored, before)

    def test_no_acceptable_context_is_said_at_once_and_the_association_stays_of_use(self):
        d = self.engine()
        with Peer.call(d.port, [("1.2.840.10008.5.1.4.1.2.2.1", [IMPLICIT])]) as p:
            self.assertEqual(p.results, {1: 3})
            self.assertTrue(p.release())
        self.assertIn("0 presentation contexts accepted", d.said())

    def test_inbound_associations_are_limited_by_the_setting_and_zero_is_no_limit(self):
        for limit, fit in ((3, 3), (0, 40)):
            with self.subTest(limit=limit):
                d = self.drover(name=f"limit{limit}", options=["--set", f"dimse.max_associations={limit}"])
                held = []
                for _ in range(fit):
                    held.append(Peer.call(d.port, [(VERIFICATION, [IMPLICIT])]))
                if limit:
                    with self.assertRaisesRegex(Aborted, "result 2 source 3 reason 2"):
                        Peer.call(d.port, [(VERIFICATION, [IMPLICIT])])
                    held.pop().release()
                    self.wait("room again", lambda: self.fits(d))
                for p in held:
                    self.assertTrue(p.release())

    def fits(self, d):
        try:
            Peer.call(d.port, [(VERIFICATION, [IMPLICIT])]).release()
            return True
        except Aborted:
            return False
