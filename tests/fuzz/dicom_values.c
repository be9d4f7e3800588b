/* Any bytes as a value of any VR, a date, a time, a name, a UID. What is a right DA is a date, a right TM a time, a
 * right UI a UID. */
#include "dicom/values.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const names = "AEASATCSDADSDTFDFLISLOLTOBPNSHSLSSSTSVTMUCUIULURUSUTUV";
    if (size < 1)
        return 0;
    size_t i = data[0] % 27;
    dv_vr vr = DV_VR(names[2 * i], names[2 * i + 1]);
    dv_text t = {(const char *)data + 1, size - 1};
    dv_date date;
    dv_time time;
    dv_name name;
    char buf[5], uid[65];
    bool right = dv_value_check(vr, t, NULL);
    bool is_date = dv_date_parse(t, &date), is_time = dv_time_parse(t, &time), is_name = dv_name_parse(t, &name);
    if (is_date) {
        dv_date_days(date);
        dv_age_compute(date, (dv_date){2026, 11, 24}, buf);
    }
    dv_uid_from(t, uid, NULL);
    if (t.len > 0 && right &&
        ((vr == DV_VR_DA && !is_date) || (vr == DV_VR_TM && !is_time) || (vr == DV_VR_PN && !is_name) ||
         (vr == DV_VR_UI && !dv_uid_check(t))))
        abort();
    return 0;
}
