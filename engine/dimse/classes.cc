#include "dcmtk/config/osconfig.h"
#include "dcmtk/dcmdata/dcuid.h"

#include "dimse/classes.h"

size_t dv_storage_class_count(void)
{
    return static_cast<size_t>(numberOfDcmAllStorageSOPClassUIDs);
}

const char *dv_storage_class(size_t i)
{
    return dcmAllStorageSOPClassUIDs[i];
}

const char *dv_uid_name(const char *uid)
{
    return dcmFindNameOfUID(uid, uid);
}
