/* setup.cc: DCMTK's process-wide state, set in this one place.
 *
 * 1. Every global is written before any other thread of ours runs; afterwards only dcmExternalSocketHandle changes,
 *    under a lock of upper.cc.
 * 2. DCMTK never times anything: its socket time-outs are off, the deadlines are the wire's (its own count wall-clock
 *    seconds).
 * 3. It never resolves names, never reads a dictionary file, never asks the TCP wrapper. */
#include "dcmtk/config/osconfig.h"
#include "dcmtk/dcmnet/assoc.h"
#include "dcmtk/dcmnet/dcmtrans.h"
#include "dcmtk/dcmnet/dul.h"
#include "dcmtk/ofstd/ofstd.h"
#include "dcmtk/oflog/appender.h"
#include "dcmtk/oflog/logger.h"
#include "dcmtk/oflog/spi/logevent.h"

#include "dimse/upper.h"
#include "dimse/upper_internal.h"

extern "C" {
#include "base/log.h"
}

#include <csignal>
#include <cstdio>
#include <mutex>

T_ASC_Network *dv_acceptor_network, *dv_requestor_network;

namespace
{
/* DCMTK's complaints are about peers: they are warnings to us, whatever it calls them. */
class to_our_log : public dcmtk::log4cplus::Appender
{
  public:
    ~to_our_log() override
    {
        destructorImpl();
    }
    void close() override
    {
    }

  protected:
    void append(const dcmtk::log4cplus::spi::InternalLoggingEvent &event) override
    {
        const auto &text = event.getMessage();
        int n = text.size() > 400 ? 400 : static_cast<int>(text.size());

        dv_log(DV_LOG_WARN, "dcmtk", "%.*s", n, text.c_str());
    }
};

bool initialize(char *why, size_t size)
{
    auto root = dcmtk::log4cplus::Logger::getRoot();

    root.removeAllAppenders();
    root.addAppender(dcmtk::log4cplus::SharedAppenderPtr(new to_our_log));
    root.setLogLevel(dcmtk::log4cplus::WARN_LOG_LEVEL); /* INFO would format strings for every PDU */
    OFStandard::initializeNetwork();
    signal(SIGPIPE, SIG_IGN);

    dcmDisableGethostbyaddr.set(OFTrue);
    dcmConnectionTimeout.set(5); /* only to our own stand-in listener, upper.cc */
    dcmSocketReceiveTimeout.set(0);
    dcmSocketSendTimeout.set(0);
    dcmAssociatePDUSizeLimit.set(1024 * 1024);

    dcmExternalSocketHandle.set(0); /* an acceptor network without a listening socket */
    OFCondition cond = ASC_initializeNetwork(NET_ACCEPTOR, 0, 30, &dv_acceptor_network);
    dcmExternalSocketHandle.set(-1);
    if (cond.good())
        cond = ASC_initializeNetwork(NET_REQUESTOR, 0, 30, &dv_requestor_network);
    if (cond.good())
        cond = ASC_setTransportLayer(dv_acceptor_network, new dv_layer, 1);
    if (cond.good())
        cond = ASC_setTransportLayer(dv_requestor_network, new dv_layer, 1);
    if (cond.bad()) {
        snprintf(why, size, "%s", cond.text());
        return false;
    }
    return dv_stand_in_open(why, size);
}
} // namespace

bool dv_upper_setup(char *why, size_t size)
{
    static std::once_flag once;
    static bool worked;

    snprintf(why, size, "an earlier attempt failed");
    std::call_once(once, [&] { worked = initialize(why, size); });
    return worked;
}
