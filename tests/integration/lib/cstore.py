"""cstore.py: the least of a C-STORE sender, so that a test knows the status of each instance (storescu stops at the first failure), and of
what it sends: datasets that are a few lines.

    one = instance(uid, study, patient="HOLD", pixels=512)     explicit little endian, CT
    told = send(port, aet, [one, ...])                         SOP Instance UID -> status; what got no answer is not in it
"""
import hashlib
import itertools
import socket
import struct
import threading

CT = b"1.2.840.10008.5.1.4.1.1.2"
PDF = b"1.2.840.10008.5.1.4.1.1.104.1"
EXPLICIT = b"1.2.840.10008.1.2.1"
LONG_FORM = ("OB", "OW", "SQ", "UN")
numbers = itertools.count(1)


class Instance:
    def __init__(self, uid, study, sop_class, data, body):
        self.uid, self.study, self.sop_class, self.syntax, self.data = uid, study, sop_class, EXPLICIT, data
        self.body = hashlib.sha256(body).digest()  # of Pixel Data's or the document's value, which no rule touches


def _data(group, element, vr, value):
    value = value.encode() if isinstance(value, str) else value
    value += (b"\0" if vr in ("UI", "OB", "OW") else b" ") * (len(value) % 2)
    head = struct.pack("<HH2s", group, element, vr.encode())
    return head + (struct.pack("<HI", 0, len(value)) if vr in LONG_FORM else struct.pack("<H", len(value))) + value


def instance(uid=None, study=None, patient="P1", sex="M", side=16, document=0):
    """A CT image of SIDE x SIDE, or an encapsulated document of DOCUMENT bytes. UIDs are new ones unless given."""
    n = next(numbers)
    root = "1.2.826.0.1.3680043.10.1511"
    study = study or f"{root}.1.{n}"
    uid = uid or f"{root}.2.{n}.{len(patient)}{side}{document}"
    body = hashlib.shake_128(uid.encode()).digest(document or side * side * 2)
    u16 = lambda v: struct.pack("<H", v)
    sop_class = PDF if document else CT
    parts = [(8, 0x16, "UI", sop_class), (8, 0x18, "UI", uid), (8, 0x20, "DA", "20240102"), (8, 0x30, "TM", "101112"), (8, 0x50, "SH", f"A{n}"),
             (8, 0x60, "CS", "OT" if document else "CT"), (8, 0x90, "PN", "REF^ERER"), (0x10, 0x10, "PN", "FAULT^INJECTED"),
             (0x10, 0x20, "LO", patient), (0x10, 0x30, "DA", "19700101"), (0x10, 0x40, "CS", sex), (0x20, 0x0D, "UI", study),
             (0x20, 0x0E, "UI", study + ".1"), (0x20, 0x10, "SH", "1"), (0x20, 0x11, "IS", "1"), (0x20, 0x13, "IS", str(n))]
    if document:
        parts += [(0x42, 0x10, "ST", "REPORT"), (0x42, 0x11, "OB", body), (0x42, 0x12, "LO", "application/pdf")]
    else:
        parts += [(0x28, 2, "US", u16(1)), (0x28, 4, "CS", "MONOCHROME2"), (0x28, 0x10, "US", u16(side)), (0x28, 0x11, "US", u16(side)),
                  (0x28, 0x100, "US", u16(16)), (0x28, 0x101, "US", u16(16)), (0x28, 0x102, "US", u16(15)), (0x28, 0x103, "US", u16(0)),
                  (0x7FE0, 0x10, "OW", body)]
    return Instance(uid, study, sop_class, b"".join(_data(*p) for p in parts), body)


# ---- the wire: PS3.8 for PDUs, PS3.7 for commands ----

def _item(kind, body):
    return struct.pack(">BBH", kind, 0, len(body)) + body


def _command(number, value):
    value += b"\0" * (len(value) % 2)
    return struct.pack("<HHI", 0, number, len(value)) + value


class Association:
    def __init__(self, port, aet, contexts, timeout=60):
        self.socket = socket.create_connection(("127.0.0.1", port), timeout)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.ids = {pair: 2 * i + 1 for i, pair in enumerate(contexts)}
        body = struct.pack(">HH16s16s32x", 1, 0, aet.encode().ljust(16), b"FAULTS".ljust(16)) + _item(0x10, b"1.2.840.10008.3.1.1.1")
        for (sop_class, syntax), number in self.ids.items():
            body += _item(0x20, bytes((number, 0, 0, 0)) + _item(0x30, sop_class) + _item(0x40, syntax))
        body += _item(0x50, _item(0x51, struct.pack(">I", 65536)) + _item(0x52, b"1.2.3.4"))
        self.pdu(1, body)
        if self.answer()[0] != 2:
            self.close()
            raise ConnectionError("the association was refused")

    def pdu(self, kind, body):
        self.socket.sendall(struct.pack(">BBI", kind, 0, len(body)) + body)

    def exactly(self, n):
        out = b""
        while len(out) < n:
            more = self.socket.recv(n - len(out))
            if not more:
                raise ConnectionError("the peer is gone")
            out += more
        return out

    def answer(self):
        kind, _, n = struct.unpack(">BBI", self.exactly(6))
        return kind, self.exactly(n)

    def store(self, one):
        """The status of one C-STORE."""
        context = self.ids[one.sop_class, one.syntax]
        command = (_command(2, one.sop_class) + _command(0x100, b"\1\0") + _command(0x110, b"\1\0") + _command(0x700, b"\0\0") +
                   _command(0x800, b"\1\0") + _command(0x1000, one.uid.encode()))
        command = _command(0, struct.pack("<I", len(command))) + command
        self.pdu(4, struct.pack(">IBB", len(command) + 2, context, 3) + command)
        for at in range(0, len(one.data), 16000):
            part = one.data[at:at + 16000]
            self.pdu(4, struct.pack(">IBB", len(part) + 2, context, 2 if at + 16000 >= len(one.data) else 0) + part)
        kind, body = self.answer()
        if kind != 4:
            raise ConnectionError(f"PDU {kind} instead of an answer")
        at = 6
        while at < len(body):
            group, element, n = struct.unpack_from("<HHI", body, at)
            if (group, element) == (0, 0x900):
                return struct.unpack_from("<H", body, at + 8)[0]
            at += 8 + n
        raise ConnectionError("an answer without a status")

    def release(self):
        self.pdu(5, bytes(4))
        self.answer()

    def close(self):
        self.socket.close()


def send(port, aet, instances, tries=3, stop=None, answered=lambda: None):
    """Sends on one association after another: a new one when the peer ends one; gives up when TRIES ended in a row. ANSWERED: called each time."""
    told, link, ended = {}, None, 0
    for one in instances:
        if stop and stop.is_set():
            break
        try:
            if not link:
                link = Association(port, aet, [(CT, EXPLICIT), (PDF, EXPLICIT)])
            told[one.uid] = link.store(one)
            answered()
            ended = 0
        except OSError:
            if link:
                link.close()
            link, ended = None, ended + 1
            if ended == tries:
                break
    if link:
        try:
            link.release()
        except OSError:
            pass
        link.close()
    return told


class Senders:
    """COUNT associations that send INSTANCES, each its share, in threads of their own."""

    def __init__(self, port, aet, instances, count=4):
        self.told, self.lock, self.stop, self.answers = {}, threading.Lock(), threading.Event(), 0
        self.threads = [threading.Thread(target=self._run, args=(port, aet, instances[i::count])) for i in range(count)]
        for t in self.threads:
            t.start()

    def _run(self, port, aet, share):
        told = send(port, aet, share, stop=self.stop, answered=self._answered)
        with self.lock:
            self.told.update(told)

    def _answered(self):
        with self.lock:
            self.answers += 1

    def running(self):
        return any(t.is_alive() for t in self.threads)

    def join(self):
        for t in self.threads:
            t.join()
        return self.told
