#include "dimse/connection.h"

#include "dcmtk/dcmnet/cond.h"
#include "dcmtk/dcmnet/dul.h"

#include <cerrno>
#include <new>
#include <unistd.h>

thread_local dv_handoff dv_next_wire;

OFCondition dv_connection::serverSideHandshake()
{
    return EC_Normal;
}

OFCondition dv_connection::clientSideHandshake()
{
    return EC_Normal;
}

OFCondition dv_connection::renegotiate(const char *)
{
    return EC_Normal;
}

ssize_t dv_connection::read(void *bytes, size_t n)
{
    bool (*before)(dv_wire *) = wire->before;
    ssize_t got;

    wire->before = nullptr;
    got = !before || before(wire) ? dv_wire_read(wire, bytes, n) : -1;
    if (got < 0)
        errno = EIO; /* never EINTR: DCMTK would call again */
    return got;
}

ssize_t dv_connection::write(void *bytes, size_t n)
{
    ssize_t sent = dv_wire_write(wire, bytes, n);

    if (sent < 0)
        errno = EIO;
    return sent;
}

/* DCMTK closes when a read failed; when that was our impatience, the peer gets an A-ABORT first. */
void dv_connection::close()
{
    if (wire->state == DV_WIRE_TIMEOUT || wire->state == DV_WIRE_CANCELLED)
        wire->reset = true;
    dv_wire_close(wire, false);
    setSocket(-1);
}

void dv_connection::closeTransportConnection()
{
    close();
}

unsigned long dv_connection::getPeerCertificateLength()
{
    return 0;
}

unsigned long dv_connection::getPeerCertificate(void *, unsigned long)
{
    return 0;
}

/* DCMTK's timers count wall-clock seconds; the wire's own deadline is the one that rules. */
OFBool dv_connection::networkDataAvailable(int)
{
    if (dv_wire_wait(wire) != DV_WIRE_TIMEOUT)
        return OFTrue; /* also when it ended: the read says so */
    wire->reset = true;
    return OFFalse;
}

OFBool dv_connection::isTransparentConnection()
{
    return OFTrue;
}

OFString &dv_connection::dumpConnectionParameters(OFString &text)
{
    text = wire->tls ? "Transport connection: TLS." : "Transport connection: TCP/IP, unencrypted.";
    return text;
}

DcmTransportConnection *dv_layer::createConnection(DcmNativeSocketType fd, OFBool)
{
    dv_handoff to = dv_next_wire;

    dv_next_wire = dv_handoff();
    if (to.taken)
        to.taken();
    if (!to.wire)
        return nullptr;
    if (fd != to.wire->fd) { /* outbound: FD is a stand-in, the real connection takes its number (upper.cc) */
        if (dup2(to.wire->fd, fd) < 0)
            return nullptr;
        ::close(to.wire->fd);
        dv_wire_moved(to.wire, fd);
    }
    DcmTransportConnection *made = new (std::nothrow) dv_connection(to.wire);
    if (!made)
        to.wire->fd = -1; /* DCMTK closes it */
    return made;
}
