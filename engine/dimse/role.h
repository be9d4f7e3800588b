/* role.h: SCP/SCU role selection (PS3.7 D.3.3.4): what the one who asks for an association wants to be for a class. */
#ifndef DV_DIMSE_ROLE_H
#define DV_DIMSE_ROLE_H

typedef enum dv_role {
    DV_ROLE_SCU, /* nothing is said of roles: the default */
    DV_ROLE_SCP, /* C-GET's storage contexts, reports of storage commitment */
    DV_ROLE_BOTH
} dv_role;

#endif
