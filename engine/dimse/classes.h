/* classes.h: SOP classes by name, and those that are storage, retired ones too, from DCMTK's table (PS3.6 A).
 * Threads   constant tables. */
#ifndef DV_DIMSE_CLASSES_H
#define DV_DIMSE_CLASSES_H

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

/* How many storage classes there are, and the I-th one's UID. */
size_t dv_storage_class_count(void);
const char *dv_storage_class(size_t i);
/* "CTImageStorage"; the UID itself when it has no name here. */
const char *dv_uid_name(const char *uid);

#ifdef __cplusplus
}
#endif

#endif
