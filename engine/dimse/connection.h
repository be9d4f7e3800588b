/* connection.h: our DcmTransportConnection over a dv_wire, and the layer that makes it. C++ only, for the .cc files
 * of dimse/.
 *
 * DCMTK asks the layer for a connection inside ASC_receiveAssociation and ASC_requestAssociation, in the calling
 * thread; which wire it is for is said in `dv_handoff` just before. The wire is plain or TLS, its handshake done: DCMTK
 * knows nothing of it. */
#ifndef DV_DIMSE_CONNECTION_H
#define DV_DIMSE_CONNECTION_H

#include "dcmtk/config/osconfig.h"
#include "dcmtk/dcmnet/dcmlayer.h"
#include "dcmtk/dcmnet/dcmtrans.h"

#include "dimse/wire_internal.h"

struct dv_handoff {
    dv_wire *wire = nullptr;
    void (*taken)() = nullptr; /* called when the wire has its connection: DCMTK's global is free again */
};
extern thread_local dv_handoff dv_next_wire;

class dv_connection : public DcmTransportConnection
{
  public:
    explicit dv_connection(dv_wire *w) : DcmTransportConnection(w->fd), wire(w)
    {
    }
    ~dv_connection() override
    {
        closeTransportConnection();
    }
    OFCondition serverSideHandshake() override;
    OFCondition clientSideHandshake() override;
    OFCondition renegotiate(const char *suite) override;
    ssize_t read(void *bytes, size_t n) override;
    ssize_t write(void *bytes, size_t n) override;
    void close() override;
    void closeTransportConnection() override;
    unsigned long getPeerCertificateLength() override;
    unsigned long getPeerCertificate(void *bytes, unsigned long n) override;
    OFBool networkDataAvailable(int seconds) override;
    OFBool isTransparentConnection() override;
    OFString &dumpConnectionParameters(OFString &text) override;

  private:
    dv_wire *wire;
};

class dv_layer : public DcmTransportLayer
{
  public:
    DcmTransportConnection *createConnection(DcmNativeSocketType fd, OFBool secure) override;
};

#endif
