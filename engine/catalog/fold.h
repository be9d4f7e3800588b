/* fold.h: text as the catalog compares it: without case, accents, and differences of blanks.
 *
 *   "MÜLLER^Hans  Peter^^"  ->  "muller hans peter"        "Иванов^Пётр"  ->  "иванов петр"        "ＹＡＭＡＤＡ^Tarō"
 * ->  "yamada taro" Letters of Latin (Latin-1, Extended-A, Vietnamese) lose their accents, Greek and Cyrillic their
 * case and the accents that a search leaves out, wide forms become plain ones, combining marks go. Carets and blanks
 * become one blank, none at the ends. Everything else stays. Bytes that are no UTF-8 become U+FFFD. No locale has a
 * say, so that two hosts agree; both sides of a comparison are folded. Threads   pure functions. */
#ifndef DV_CATALOG_FOLD_H
#define DV_CATALOG_FOLD_H

#include "base/arena.h"

/* In A; absent becomes empty. at == NULL when memory is out. */
dv_text dv_fold(dv_arena *a, dv_text t);
/* The longest result is this much longer than the text: a wrong byte becomes three. */
enum { DV_FOLD_GROWTH = 3 };
/* The same into BUF, which holds at least DV_FOLD_GROWTH * T.len bytes. Returns the length. */
size_t dv_fold_into(dv_text t, char *buf);

#endif
