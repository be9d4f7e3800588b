/* Manual pages from the table that --help prints: a page can not say anything else than the help does.
 *
 *   drover(1)          what it is, the verbs, exit codes, files, environment
 *   drover-VERB(1)     a verb's help
 *
 * The text of a help is prose at 78 columns, empty lines between paragraphs, and lists "word   what it means" whose further lines are
 * indented; roff is made of just that. man(7) macros. */
#include "base/buffer.h"
#include "cmd/verbs.h"

#include <errno.h>
#include <stdio.h>
#include <unistd.h>

static const dv_option options[] = {
    {"out", "DIR", "write every page into this folder, as drover.1 and drover-VERB.1"},
    {"date", "YYYY-MM-DD", "the date in the pages' foot (default: none)"},
    {0},
};

/* Text of a line: no character of it is roff's. A dash is typed, not a hyphen, so that options can be copied. */
static void words(dv_buffer *out, dv_text t, bool line_begins)
{
    for (size_t i = 0; i < t.len; i++) {
        if (line_begins && i == 0 && (*t.at == '.' || *t.at == '\''))
            dv_buffer_string(out, "\\&");
        switch (t.at[i]) {
        case '\\':
            dv_buffer_string(out, "\\e");
            break;
        case '-':
            dv_buffer_string(out, "\\-");
            break;
        case '\'':
            dv_buffer_string(out, "\\(aq");
            break;
        case '^':
            dv_buffer_string(out, "\\(ha");
            break;
        case '~':
            dv_buffer_string(out, "\\(ti");
            break;
        default:
            dv_buffer_add(out, &t.at[i], 1);
        }
    }
}

static void line(dv_buffer *out, const char *text)
{
    words(out, dv_text_of(text), true);
    dv_buffer_string(out, "\n");
}

/* ".TP", the term in bold and behind it, in italics, what follows; then the text. */
static void term(dv_buffer *out, const char *dashes, dv_text name, const char *argument, dv_text text)
{
    dv_buffer_string(out, ".TP\n\\fB");
    words(out, dv_text_of(dashes), false);
    words(out, name, false);
    dv_buffer_string(out, "\\fR");
    if (argument) {
        dv_buffer_string(out, " \\fI");
        words(out, dv_text_of(argument), false);
        dv_buffer_string(out, "\\fR");
    }
    dv_buffer_string(out, "\n");
    words(out, text, true);
    dv_buffer_string(out, "\n");
}

/* Where the first word of a list's line ends: behind it are two blanks. 0: it is prose. */
static size_t list_word(dv_text t)
{
    const char *gap = t.len > 2 && *t.at != ' ' ? memmem(t.at, t.len < 24 ? t.len : 24, "  ", 2) : NULL;
    size_t n = gap ? (size_t)(gap - t.at) : 0;
    return gap && !memchr(t.at, ' ', n) ? n : 0;
}

static void prose(dv_buffer *out, const char *text)
{
    bool listing = false, begun = false,
         gap = false; /* a paragraph's macro stands before text only, not before a list */
    for (dv_text rest = dv_text_of(text); rest.at;) {
        dv_text t = dv_text_split(rest, '\n', &rest);
        size_t n = list_word(t);
        if (dv_text_trim(t).len == 0) {
            gap = begun;
            continue;
        }
        if (n) {
            term(out, "", (dv_text){t.at, n}, NULL, dv_text_trim((dv_text){t.at + n, t.len - n}));
        } else {
            if (gap || (listing && *t.at != ' '))
                dv_buffer_string(out, ".PP\n");
            words(out, dv_text_trim(t), true);
            dv_buffer_string(out, "\n");
        }
        listing = n || (listing && *t.at == ' ');
        begun = true;
        gap = false;
    }
}

static void literal(dv_buffer *out, const char *text)
{
    dv_buffer_string(out, ".nf\n");
    for (dv_text rest = dv_text_of(text); rest.at;) {
        words(out, dv_text_trim(dv_text_split(rest, '\n', &rest)), true);
        dv_buffer_string(out, "\n");
    }
    dv_buffer_string(out, ".fi\n");
}

static void title(dv_buffer *out, const char *name, const char *date)
{
    dv_buffer_string(out, ".TH ");
    for (const char *c = name; *c; c++)
        dv_buffer_printf(out, "%c", *c >= 'a' && *c <= 'z' ? *c - 'a' + 'A' : *c);
    dv_buffer_printf(out, " 1 \"%s\" \"drover %s\" \"Drover\"\n.SH NAME\n", date, DROVER_VERSION);
}

/* "7 a limit, 8 a wrong path, ..." as it stands in the help, and the last two sections. */
static void codes(dv_buffer *out)
{
    dv_buffer_string(out, ".SH EXIT STATUS\n");
    dv_text rest, first = dv_text_split(dv_text_of(dv_exit_codes), ':', &rest);
    (void)first;
    for (; rest.at;) {
        dv_text t = dv_text_trim(dv_text_split(rest, '\n', &rest));
        if (t.len) {
            words(out, t, true);
            dv_buffer_string(out, "\n");
        }
    }
}

static void page_of(dv_buffer *out, const dv_verb *verb, const char *date)
{
    char name[64];
    snprintf(name, sizeof name, "drover-%s", verb->name);
    title(out, name, date);
    dv_buffer_printf(out, "drover\\-%s \\- ", verb->name);
    words(out, dv_text_of(verb->summary), false);
    dv_buffer_printf(out, "\n.SH SYNOPSIS\n\\fBdrover %s\\fR", verb->name);
    if (verb->options && verb->options[0].name)
        dv_buffer_string(out, " [\\fIOPTIONS\\fR]");
    if (*verb->arguments) {
        dv_buffer_string(out, " ");
        words(out, dv_text_of(verb->arguments), false);
    }
    dv_buffer_string(out, "\n.SH DESCRIPTION\n");
    if (verb->text) {
        prose(out, verb->text);
    } else {
        char first = verb->summary[0];
        dv_buffer_printf(out, "%c", first >= 'a' && first <= 'z' ? first - 'a' + 'A' : first);
        words(out, dv_text_of(verb->summary + 1), false);
        dv_buffer_string(out, ".\n");
    }
    dv_buffer_string(out, ".SH OPTIONS\n");
    for (const dv_option *o = verb->options; o && o->name; o++)
        term(out, "--", dv_text_of(o->name), o->argument, dv_text_of(o->help));
    term(out, "--", DV_TEXT("help"), NULL, DV_TEXT("print this text"));
    codes(out);
    if (verb->example) {
        dv_buffer_string(out, ".SH EXAMPLES\n");
        literal(out, verb->example);
    }
    dv_buffer_string(out, ".SH SEE ALSO\n.BR drover (1)\n");
}

static void overview(dv_buffer *out, const char *date)
{
    title(out, "drover", date);
    dv_buffer_string(out, "drover \\- DICOM migration with rules you can edit while it runs\n.SH SYNOPSIS\n"
                          "\\fBdrover\\fR \\fIVERB\\fR [\\fIOPTIONS\\fR] [\\fIARGUMENTS\\fR]\n.SH DESCRIPTION\n");
    line(out, "Moves studies out of an old picture archive, repairs their attributes by rules on the way, keeps them "
              "as plain");
    line(out, "DICOM files with a catalog, and proves that nothing is missing. 'drover serve' is the engine; every "
              "other verb");
    line(out, "asks the engine that runs on the same data directory, or does the work itself when none runs.");
    dv_buffer_string(out, ".SH VERBS\nEach has a page of its own, \\fBdrover\\-\\fIVERB\\fR(1), and the same text with "
                          "\\fB\\-\\-help\\fR.\n");
    for (int i = 0; dv_verbs[i]; i++)
        term(out, "", dv_text_of(dv_verbs[i]->name), NULL, dv_text_of(dv_verbs[i]->summary));
    codes(out);
    dv_buffer_string(out, ".SH FILES\n");
    term(out, "", DV_TEXT("DATA/drover.lua"), NULL,
         DV_TEXT("the settings, commented; 'drover config show' says what is in force"));
    term(out, "", DV_TEXT("DATA/rules/"), NULL, DV_TEXT("the site's own rules"));
    term(out, "", DV_TEXT("DATA/objects/"), NULL, DV_TEXT("the archive: DICOM files by day and minute of arrival"));
    term(out, "", DV_TEXT("DATA/quarantine/"), NULL, DV_TEXT("what was rejected, held or excluded, as received"));
    term(out, "", DV_TEXT("DATA/catalog.db"), NULL,
         DV_TEXT("the catalog, unless the setting 'database' names another"));
    dv_buffer_string(out, ".SH ENVIRONMENT\n");
    term(out, "", DV_TEXT("DROVER_DATA_DIR"), NULL, DV_TEXT("the data directory when --data is not given"));
    term(out, "", DV_TEXT("DROVER_SHARE"), NULL,
         DV_TEXT("where scripts and shipped rules are (default: share/drover beside the program's folder)"));
    dv_buffer_string(out, ".SH SEE ALSO\n");
    for (int i = 0; dv_verbs[i]; i++)
        dv_buffer_printf(out, ".BR drover\\-%s (1)%s\n", dv_verbs[i]->name, dv_verbs[i + 1] ? "," : "");
}

static bool write_page(const char *folder, const dv_verb *verb, const char *date, dv_error *err)
{
    char path[4200];
    dv_buffer page = {0};
    if (verb)
        page_of(&page, verb, date);
    else
        overview(&page, date);
    snprintf(path, sizeof path, "%s/drover%s%s.1", folder, verb ? "-" : "", verb ? verb->name : "");
    FILE *f = fopen(path, "we");
    bool ok = f && !page.failed && fwrite(page.at, 1, page.len, f) == page.len;
    if (f && fclose(f) != 0)
        ok = false;
    if (!ok)
        dv_fail_errno(err, "cannot write %s", path);
    dv_buffer_free(&page);
    return ok;
}

static int run(const dv_args *args)
{
    const char *folder = dv_arg(args, "out"), *date = dv_arg_or(args, "date", "");
    const char *name = args->count ? args->value[0] : NULL;
    const dv_verb *verb = NULL;
    dv_error err = {0};
    if (args->count > 1 || (folder && name))
        return dv_usage(args, "'%s' is too much", args->value[args->count - 1]);
    for (int i = 0; dv_verbs[i]; i++) {
        if (name && strcmp(dv_verbs[i]->name, name) == 0)
            verb = dv_verbs[i];
        if (folder && !write_page(folder, dv_verbs[i], date, &err))
            return dv_complain(args, &err);
    }
    if (folder)
        return write_page(folder, NULL, date, &err) ? 0 : dv_complain(args, &err);
    if (name && !verb)
        return dv_usage(args, "there is no verb '%s'", name);
    dv_buffer page = {0};
    if (verb)
        page_of(&page, verb, date);
    else
        overview(&page, date);
    bool ok = !page.failed || dv_fail(&err, DV_ERR_MEMORY, "out of memory");
    if (ok)
        fwrite(page.at, 1, page.len, stdout);
    dv_buffer_free(&page);
    return ok ? 0 : dv_complain(args, &err);
}

const dv_verb dv_verb_man = {"man",
                             "[VERB]",
                             "print the manual page of drover or of a verb",
                             "The page is made from the help's own text, as roff. Installing Drover installs all of\n"
                             "them: 'man drover', 'man drover-serve'.",
                             options,
                             "drover man serve | man -l -",
                             run};
