/* again.h: an instance whose SOP Instance UID was here before (M01).
 *
 *   identical        header and body as received           acknowledged, counted, not stored
 *   header changed   same body                             by policy
 *   re-encoded       another transfer syntax, same kind    by policy
 *                    and size of image (no pixel is decoded)
 *   conflict         other pixels, study or patient        held; a person accepts or deletes it
 *
 *   policy newest    objects/ NEW, in force      versions/ OLD          newcomer's row takes the old one's place in one transaction
 *          first     objects/ OLD, in force      versions/ NEW
 *          hold      objects/ OLD, in force      quarantine/ NEW
 *
 * Where the file lies tells what it is, so the catalog can be made again. Order of "newest": the newcomer is durable in objects/, one
 * transaction changes the rows, the old file moves to versions/, its row says so. A kill between leaves two files in objects/, one of them
 * without a row, or a version that waits to be moved: recovery goes on from there. Of two in objects/ the newer one is in force.
 *
 * Nothing of this runs for an instance that comes the first time.
 * Threads   shared; one SOP Instance UID is settled by one thread at a time. */
#ifndef DV_INGEST_AGAIN_H
#define DV_INGEST_AGAIN_H

#include "catalog/versions.h"
#include "ingest/ingest.h"

enum { DV_AGAIN_LOCKS = 16 };

typedef enum dv_again_policy { DV_AGAIN_HOLD, DV_AGAIN_FIRST, DV_AGAIN_NEWEST } dv_again_policy;
typedef struct dv_again_policies {
    dv_again_policy header_changed, reencoded; /* a peer's settings of these names win */
} dv_again_policies;

/* "newest" "first" "hold"; CONFIG names KEY when WORD is none. */
bool dv_again_policy_of(const char *key, const char *word, dv_again_policy *out, dv_error *err);
/* Before the first intake; else all is held. */
void dv_ingest_policies(dv_ingest *ingest, dv_again_policies policies);
/* Files of versions that wait for their move to versions/ (a kill or an error left them). */
bool dv_ingest_tidy(dv_ingest *ingest, dv_error *err);

/* ---- between the files of ingest/ ---- */

typedef enum dv_course {
    DV_COURSE_STORE,   /* nothing stands against it */
    DV_COURSE_KNOWN,   /* identical */
    DV_COURSE_REPLACE, /* objects/ */
    DV_COURSE_BESIDE,  /* versions/ */
    DV_COURSE_HOLD     /* quarantine/ */
} dv_course;

/* A finished, or nearly finished, object and what is known of it. */
typedef struct dv_newcomer {
    const dv_instance *row; /* clash TAKE: accepted by a person */
    const dv_dataset *received;
    bool rebuild; /* as dv_ingest_rebuild */
} dv_newcomer;

/* What is to become of N by what stands now. */
bool dv_again_course(dv_ingest *ingest, const dv_newcomer *n, dv_standing *standing, dv_course *course, dv_error *err);
/* The area of a course's object. */
dv_area dv_again_area(dv_course course);
/* Counts one more of a version that is equal to ROW; *ID 0: there is none. */
bool dv_again_repeat(dv_ingest *ingest, const dv_instance *row, int64_t *id, dv_error *err);
/* Reason (in TEXT) and rule of what is held for STANDING. */
void dv_again_describe(const dv_standing *standing, dv_quarantined *held, char text[256]);
/* Gives the finished object its place and row, whatever area it is in by now. What has a row already is not kept twice. */
bool dv_again_settle(dv_ingest *ingest, const dv_newcomer *n, const dv_stored *done, dv_receipt *out, dv_error *err);

#endif
