/* pattern.h: the two matchers that rules have.
 *
 *   string.find match gmatch gsub   Lua patterns, by a matcher of ours with a step budget and bounded recursion
 *   native.regex_*                  PCRE2 in UTF mode, JIT with a bounded stack and a match limit; for trusted scripts
 *
 *   native.regex_compile(pattern) -> re | nil, "missing closing parenthesis at offset 3"     the same pattern gives the
 * same object native.regex_find(re, text)   -> first, last, capture... | nil      found anywhere; captures are strings,
 * false when unset native.regex_test(re, text)   -> boolean native.regex_replace(re, text, replacement) -> text, count
 * every match; $1 ${1} ${name} $0 $& and $$ in the replacement native.regex_check(re, replacement) -> nil | "there is
 * no group 2"   for the loader Where RE is asked for a string does too (it is compiled; a bad one raises). A match that
 * takes too many steps raises. Bytes that are no UTF-8 match nothing; they never fail. */
#ifndef DV_RULES_PATTERN_H
#define DV_RULES_PATTERN_H

#include <lua.h>

/* Adds the regex_ functions to the table on top of the stack (lang's `native`). May raise. */
void dv_regex_open(lua_State *L);

#endif
