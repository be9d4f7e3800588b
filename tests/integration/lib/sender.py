"""sender.py: a C-STORE sender of the standard library alone, whose data sets are made while they are sent.

    with Sender(drover.port) as s:
        s.store(header("1.2.3", rows=64, columns=64), pixels(8192))      the status; b"".join of the pieces is the data set

Unlike storescu it can stop in the middle, send what no disk holds, and stay silent. Explicit little endian, one presentation context.
"""
import socket
import struct

CT = "1.2.840.10008.5.1.4.1.1.2"
MULTIFRAME = "1.2.840.10008.5.1.4.1.1.7.3"  # multi-frame grayscale word secondary capture
EXPLICIT = "1.2.840.10008.1.2.1"
JPEG = "1.2.840.10008.1.2.4.50"
ZEROS = bytes(1 << 20)
LONG = {b"OB", b"OW", b"SQ", b"UN", b"UT"}


class Aborted(Exception):
    """The peer aborted, or closed the connection."""


def element(group, number, vr, value):
    if isinstance(value, str):
        value = value.encode()
    if isinstance(value, int):
        value = struct.pack("<H", value)
    if len(value) % 2:
        value += b"\0" if vr in (b"UI", b"OB") else b" "
    return struct.pack("<HH", group, number) + vr + (struct.pack("<xxI", len(value)) if vr in LONG else struct.pack("<H", len(value))) + value


def header(uid, study=None, sop_class=CT, rows=512, columns=512, frames=1, patient="SENDER-1"):
    """The data set up to Pixel Data."""
    study = study or uid + ".1"
    out = [element(8, 0x16, b"UI", sop_class), element(8, 0x18, b"UI", uid), element(8, 0x20, b"DA", "20260101"),
           element(8, 0x30, b"TM", "101112"), element(8, 0x50, b"SH", "A1"), element(8, 0x60, b"CS", "CT"), element(8, 0x90, b"PN", ""),
           element(0x10, 0x10, b"PN", "SENDER^TEST"), element(0x10, 0x20, b"LO", patient), element(0x10, 0x30, b"DA", "19700101"),
           element(0x10, 0x40, b"CS", "O"), element(0x20, 0xD, b"UI", study), element(0x20, 0xE, b"UI", study + ".1"),
           element(0x20, 0x10, b"SH", "1"), element(0x20, 0x11, b"IS", "1"), element(0x20, 0x13, b"IS", "1"),
           element(0x28, 2, b"US", 1), element(0x28, 4, b"CS", "MONOCHROME2")]
    if frames > 1:
        out.append(element(0x28, 8, b"IS", str(frames)))
    out += [element(0x28, 0x10, b"US", rows), element(0x28, 0x11, b"US", columns), element(0x28, 0x100, b"US", 16),
            element(0x28, 0x101, b"US", 16), element(0x28, 0x102, b"US", 15), element(0x28, 0x103, b"US", 0)]
    return b"".join(out)


def zeros(n):
    while n > 0:
        yield ZEROS[:min(n, len(ZEROS))]
        n -= len(ZEROS)


def pixels(size):
    """Pixel Data of SIZE zeros, native."""
    yield struct.pack("<HH2sxxI", 0x7FE0, 0x10, b"OW", size)
    yield from zeros(size)


def fragments(count, size):
    """Pixel Data of undefined length: an empty offset table, COUNT fragments of SIZE zeros behind a JPEG's first bytes."""
    yield struct.pack("<HH2sxxI", 0x7FE0, 0x10, b"OB", 0xFFFFFFFF) + struct.pack("<HHI", 0xFFFE, 0xE000, 0)
    for _ in range(count):
        yield struct.pack("<HHI", 0xFFFE, 0xE000, size) + b"\xff\xd8\xff\xe0\x00\x10JFIF\0\1"[:12]
        yield from zeros(size - 12)
    yield struct.pack("<HHI", 0xFFFE, 0xE0DD, 0)


def command_element(number, value):
    value = struct.pack("<H", value) if isinstance(value, int) else value.encode() + b"\0" * (len(value) % 2)
    return struct.pack("<HHI", 0, number, len(value)) + value


class Sender:
    def __init__(self, port, called="DROVER", calling="SENDER", sop_class=CT, syntax=EXPLICIT, timeout=600):
        self.sop_class, self.message = sop_class, 0
        self.socket = socket.create_connection(("127.0.0.1", port), timeout)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        item = lambda kind, value: struct.pack(">BxH", kind, len(value)) + value
        context = bytes([1, 0, 0, 0]) + item(0x30, sop_class.encode()) + item(0x40, syntax.encode())
        user = item(0x51, struct.pack(">I", 131072)) + item(0x52, b"1.2.3.4.5")
        body = (struct.pack(">Hxx16s16s32x", 1, called.encode().ljust(16), calling.encode().ljust(16)) +
                item(0x10, b"1.2.840.10008.3.1.1.1") + item(0x20, context) + item(0x50, user))
        self.socket.sendall(struct.pack(">BxI", 1, len(body)) + body)
        kind, body = self.pdu()
        if kind != 2:
            raise Aborted(f"no association: PDU type {kind}, {body.hex()}")
        at, self.max_pdu = 68, 16384
        while at + 4 <= len(body):
            kind, size = struct.unpack_from(">BxH", body, at)
            if kind == 0x21 and body[at + 6]:
                raise Aborted(f"the presentation context was refused: {body[at + 6]}")
            if kind == 0x50:
                inner = at + 4
                while inner + 4 <= at + 4 + size:
                    sub, length = struct.unpack_from(">BxH", body, inner)
                    if sub == 0x51:
                        self.max_pdu = struct.unpack_from(">I", body, inner + 4)[0] or 131072
                    inner += 4 + length
            at += 4 + size

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def exactly(self, n):
        out = bytearray()
        while len(out) < n:
            try:
                got = self.socket.recv(n - len(out))
            except ConnectionError as e:
                raise Aborted(str(e)) from e
            if not got:
                raise Aborted("the connection was closed")
            out += got
        return bytes(out)

    def pdu(self):
        kind, size = struct.unpack(">BxI", self.exactly(6))
        body = self.exactly(size)
        if kind == 7:
            raise Aborted(f"A-ABORT source {body[2]} reason {body[3]}")
        return kind, body

    def send(self, is_command, last, data):
        flags = (1 if is_command else 0) | (2 if last else 0)
        try:
            self.socket.sendall(struct.pack(">BxIIBB", 4, len(data) + 6, len(data) + 2, 1, flags) + data)
        except ConnectionError as e:
            raise Aborted(str(e)) from e

    def begin(self, uid):
        self.message += 1
        body = (command_element(2, self.sop_class) + command_element(0x100, 1) + command_element(0x110, self.message) +
                command_element(0x700, 0) + command_element(0x800, 0) + command_element(0x1000, uid))
        self.send(True, True, struct.pack("<HHII", 0, 0, 4, len(body)) + body)

    def data(self, pieces, last=False):
        """Every piece in PDUs as long as the peer takes them; an iterator, so nothing is held."""
        most, waiting = self.max_pdu - 6, bytearray()
        for piece in pieces:
            waiting += piece
            while len(waiting) > most:
                self.send(False, False, bytes(waiting[:most]))
                del waiting[:most]
        self.send(False, last, bytes(waiting))

    def answer(self):
        """The status of the C-STORE-RSP."""
        _, body = self.pdu()
        at, rsp = 0, body[6:]
        while at + 8 <= len(rsp):
            group, number, size = struct.unpack_from("<HHI", rsp, at)
            if (group, number) == (0, 0x900):
                return struct.unpack_from("<H", rsp, at + 8)[0]
            at += 8 + size
        raise Aborted("an answer without a status")

    def store(self, uid, *parts):
        """PARTS: bytes, or iterators of them."""
        self.begin(uid)
        self.data((p for part in parts for p in ([part] if isinstance(part, bytes) else part)), last=True)
        return self.answer()

    def release(self):
        self.socket.sendall(struct.pack(">BxII", 5, 4, 0))
        kind, _ = self.pdu()
        self.socket.close()
        return kind == 6
