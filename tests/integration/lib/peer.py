"""peer.py: a DICOM peer of the standard library alone, which calls or is called, and says exactly what it is told to say.

    with Peer.call(drover.port, [(COMMITMENT, [EXPLICIT])], calling="PACS") as p:
        p.send(n_action(...), dataset)         command: {element: int or text}
        command, data = p.receive()            one whole message; None at the end of the association

    with Listener() as l:                      a port of its own; the associations that come are accepted as they are offered
        p = l.accept()
"""
import socket
import struct

from lib.scenario import PATIENCE
from lib.sender import EXPLICIT, Aborted, command_element, element

IMPLICIT = "1.2.840.10008.1.2"
VERIFICATION = "1.2.840.10008.1.1"
COMMITMENT, COMMITMENT_INSTANCE = "1.2.840.10008.1.20.1", "1.2.840.10008.1.20.1.1"
RELEASE_RQ, RELEASE_RP, ABORT = 5, 6, 7
NUMBERS = {0x100, 0x110, 0x120, 0x700, 0x800, 0x900, 0x1002, 0x1008, 0x1020, 0x1021, 0x1022, 0x1023, 0x1031}


def item(kind, value):
    return struct.pack(">BxH", kind, len(value)) + value


def items(body):
    at = 0
    while at + 4 <= len(body):
        kind, size = struct.unpack_from(">BxH", body, at)
        yield kind, body[at + 4:at + 4 + size]
        at += 4 + size


def associate(contexts, called, calling, roles=(), max_pdu=16384):
    """The body of an A-ASSOCIATE-RQ. CONTEXTS: (class, syntaxes); ids 1, 3, 5 ... ROLES: (class, scu, scp)."""
    out = struct.pack(">Hxx16s16s32x", 1, called.encode().ljust(16), calling.encode().ljust(16)) + item(0x10, b"1.2.840.10008.3.1.1.1")
    for i, (sop_class, syntaxes) in enumerate(contexts):
        out += item(0x20, bytes([2 * i + 1, 0, 0, 0]) + item(0x30, sop_class.encode()) + b"".join(item(0x40, s.encode()) for s in syntaxes))
    user = item(0x51, struct.pack(">I", max_pdu)) + item(0x52, b"1.2.3.4.5")
    for sop_class, scu, scp in roles:
        user += item(0x54, struct.pack(">H", len(sop_class)) + sop_class.encode() + bytes([scu, scp]))
    return out + item(0x50, user + item(0x55, b"RAWPEER"))


class Peer:
    def __init__(self, link):
        self.socket, self.messages = link, 0
        self.results, self.syntaxes, self.roles, self.calling = {}, {}, {}, ""
        self.socket.settimeout(PATIENCE)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    @classmethod
    def call(cls, port, contexts, called="DROVER", calling="PEER", roles=(), max_pdu=16384):
        p = cls(socket.create_connection(("127.0.0.1", port), PATIENCE))
        p.pdu(1, associate(contexts, called, calling, roles, max_pdu))
        kind, body = p.next()
        if kind == 3:
            raise Aborted(f"rejected: result {body[1]} source {body[2]} reason {body[3]}")
        if kind != 2:
            raise Aborted(f"no association: PDU {kind}, {body.hex()}")
        for kind, value in items(body[68:]):
            if kind == 0x21:  # result: 0 accepted, 3 abstract syntax, 4 transfer syntaxes not supported
                p.results[value[0]] = value[2]
                p.syntaxes[value[0]] = dict(items(value[4:])).get(0x40, b"").decode().rstrip("\0")
            if kind == 0x50:
                for sub, v in items(value):
                    if sub == 0x54:
                        n = struct.unpack_from(">H", v)[0]
                        p.roles[v[2:2 + n].decode()] = tuple(v[2 + n:4 + n])
        return p

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def raw(self, data):
        self.socket.sendall(data)

    def pdu(self, kind, body):
        self.raw(struct.pack(">BxI", kind, len(body)) + body)

    def exactly(self, n):
        out = b""
        while len(out) < n:
            try:
                got = self.socket.recv(n - len(out))
            except ConnectionError as e:
                raise Aborted(str(e)) from e
            if not got:
                raise Aborted("the connection was closed")
            out += got
        return out

    def next(self):
        kind, size = struct.unpack(">BxI", self.exactly(6))
        return kind, self.exactly(size)

    @staticmethod
    def pdv(context, is_command, last, data):
        return struct.pack(">IBB", len(data) + 2, context, (1 if is_command else 0) | (2 if last else 0)) + data

    @staticmethod
    def command(elements):
        body = b"".join(command_element(n, elements[n]) for n in sorted(elements))
        return struct.pack("<HHII", 0, 0, 4, len(body)) + body

    def send(self, command, data=None, context=1):
        self.pdu(4, self.pdv(context, True, True, self.command({0x800: 0x0101 if data is None else 1, **command})))
        for at in range(0, len(data), 16000) if data else [0] if data is not None else []:
            self.pdu(4, self.pdv(context, False, at + 16000 >= len(data), data[at:at + 16000]))

    def receive(self):
        """(command, data) of the next message; None when the peer releases (answered) or closes."""
        command, data, want = b"", b"", True
        while want:
            try:
                kind, body = self.next()
            except Aborted:
                return None
            if kind == RELEASE_RQ:
                self.pdu(RELEASE_RP, bytes(4))
                return None
            if kind != 4:
                return None
            at = 0
            while at < len(body):
                size, context, flags = struct.unpack_from(">IBB", body, at)
                piece = body[at + 6:at + 4 + size]
                at += 4 + size
                self.context = context
                if flags & 1:
                    command += piece
                else:
                    data += piece
                if flags & 2:
                    want = bool(flags & 1) and parse(command).get(0x800) != 0x0101
        return parse(command), data

    def release(self):
        self.pdu(RELEASE_RQ, bytes(4))
        try:
            while self.next()[0] != RELEASE_RP:
                pass
            return True
        except Aborted:
            return False
        finally:
            self.socket.close()


def parse(command):
    out, at = {}, 0
    while at + 8 <= len(command):
        _, number, size = struct.unpack_from("<HHI", command, at)
        value = command[at + 8:at + 8 + size]
        out[number] = struct.unpack("<H", value)[0] if number in NUMBERS else value.rstrip(b"\0 ").decode("latin1")
        at += 8 + size
    return out


class Listener:
    def __init__(self):
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.port = self.socket.getsockname()[1]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def accept(self, seconds=PATIENCE, roles=True):
        """The next association, with all its contexts accepted in their first syntax, and roles granted as they are asked for."""
        self.socket.settimeout(seconds)
        p = Peer(self.socket.accept()[0])
        kind, body = p.next()
        if kind != 1:
            raise Aborted(f"PDU {kind} where an association request was due")
        p.called, p.calling = body[4:20].decode().strip(), body[20:36].decode().strip()
        answer, user = body[:68] + item(0x10, b"1.2.840.10008.3.1.1.1"), item(0x51, struct.pack(">I", 16384)) + item(0x52, b"1.2.3.4.6")
        p.classes = {}
        for kind, value in items(body[68:]):
            if kind == 0x20:
                parts = list(items(value[4:]))
                syntax = next(v for k, v in parts if k == 0x40)
                p.classes[value[0]] = next(v for k, v in parts if k == 0x30).decode().rstrip("\0")
                p.syntaxes[value[0]] = syntax.decode().rstrip("\0")
                answer += item(0x21, bytes([value[0], 0, 0, 0]) + item(0x40, syntax))
            if kind == 0x50:
                for sub, v in items(value):
                    if sub == 0x54:
                        n = struct.unpack_from(">H", v)[0]
                        p.roles[v[2:2 + n].decode()] = tuple(v[2 + n:4 + n])
                        if roles:
                            user += item(0x54, v)
        p.pdu(2, answer + item(0x50, user))
        return p


# ---- storage commitment (PS3.4 J) ----

def sequence(group, number, rows):
    body = b"".join(struct.pack("<HHI", 0xFFFE, 0xE000, len(r)) + r for r in rows)
    return struct.pack("<HH2sxxI", group, number, b"SQ", len(body)) + body


def commitment(transaction, references):
    """A request's data set, explicit: REFERENCES are (class, instance)."""
    return (element(8, 0x1195, b"UI", transaction) +
            sequence(8, 0x1199, [element(8, 0x1150, b"UI", c) + element(8, 0x1155, b"UI", i) for c, i in references]))


def n_action(message=1):
    return {3: COMMITMENT, 0x100: 0x130, 0x110: message, 0x1001: COMMITMENT_INSTANCE, 0x1008: 1}


def report_answer(command, status=0):
    return {2: COMMITMENT, 0x100: 0x8100, 0x120: command[0x110], 0x900: status, 0x1000: COMMITMENT_INSTANCE, 0x1002: command[0x1002]}


def read_report(data):
    """(transaction, {instance: reason}) of a report's data set, explicit with defined lengths; reason 0: committed."""
    transaction, out = "", {}

    def elements(body):
        at = 0
        while at + 8 <= len(body):
            group, number, vr = struct.unpack_from("<HH2s", body, at)
            long = vr in (b"SQ", b"OB", b"UN")
            size = struct.unpack_from("<I", body, at + 8)[0] if long else struct.unpack_from("<H", body, at + 6)[0]
            at += 12 if long else 8
            yield (group, number), body[at:at + size]
            at += size

    for tag, value in elements(data):
        if tag == (8, 0x1195):
            transaction = value.rstrip(b"\0").decode()
        if tag in ((8, 0x1198), (8, 0x1199)):
            at = 0
            while at + 8 <= len(value):
                size = struct.unpack_from("<I", value, at + 4)[0]
                one = dict(elements(value[at + 8:at + 8 + size]))
                reason = struct.unpack("<H", one[(8, 0x1197)])[0] if (8, 0x1197) in one else 0
                out[one[(8, 0x1155)].rstrip(b"\0").decode()] = reason
                at += 8 + size
    return transaction, out
