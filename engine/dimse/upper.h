/* upper.h: what setup.cc and upper.cc share. C++ only, dimse/ only. */
#ifndef DV_DIMSE_UPPER_H
#define DV_DIMSE_UPPER_H

#include "dimse/connection.h"

#include "dcmtk/dcmnet/assoc.h"

/* Set once by dv_upper_setup, only read afterwards. */
extern T_ASC_Network *dv_acceptor_network, *dv_requestor_network;
/* The listener on the loopback that DCMTK's own connect() goes to; see dv_upper_request. */
bool dv_stand_in_open(char *why, size_t size);

#endif
