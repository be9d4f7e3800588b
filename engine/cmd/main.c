/* drover: the command line. This file is the table of verbs and the one reader of options. */
#include "cmd/cmd.h"

#include <stdio.h>
#include <stdlib.h>

static const dv_option none[] = {{0}};

static void print_overview(FILE *out)
{
    fprintf(out,
            "drover %s: DICOM migration with rules you can edit while it runs\n\nusage: drover VERB [OPTIONS] "
            "[ARGUMENTS]\n\n",
            DROVER_VERSION);
    for (int i = 0; dv_verbs[i]; i++)
        fprintf(out, "  %-11s %s\n", dv_verbs[i]->name, dv_verbs[i]->summary);
    fprintf(out, "\n'drover VERB --help' says more, with an example.\n%s", dv_exit_codes);
}

static void print_help(const dv_verb *verb)
{
    printf("drover %s: %s\n\nusage: drover %s %s%s\n", verb->name, verb->summary, verb->name,
           verb->options && verb->options[0].name ? "[OPTIONS] " : "", verb->arguments);
    if (verb->text)
        printf("\n%s\n", verb->text);
    if (verb->options && verb->options[0].name)
        printf("\noptions:\n");
    for (const dv_option *o = verb->options; o && o->name; o++) {
        char left[48];
        snprintf(left, sizeof left, "--%s%s%s", o->name, o->argument ? " " : "", o->argument ? o->argument : "");
        printf("  %-22s %s\n", left, o->help);
    }
    printf("  %-22s %s\n", "--help", "this text");
    if (verb->example)
        printf("\nexample:\n  %s\n", verb->example);
    printf("\n%s", dv_exit_codes);
}

static const dv_verb *find_verb(const char *name)
{
    for (int i = 0; dv_verbs[i]; i++)
        if (strcmp(dv_verbs[i]->name, name) == 0)
            return dv_verbs[i];
    return NULL;
}

static int unknown_verb(const char *name)
{
    const char *nearest = NULL;
    unsigned best = 4;
    for (int i = 0; dv_verbs[i]; i++) {
        unsigned d = dv_text_distance(dv_text_of(name), dv_text_of(dv_verbs[i]->name), 3);
        if (d < best) {
            best = d;
            nearest = dv_verbs[i]->name;
        }
    }
    fprintf(stderr, "drover: there is no verb '%s'%s%s%s; 'drover --help' lists them\n", name,
            nearest ? "; did you mean '" : "", nearest ? nearest : "", nearest ? "'?" : "");
    return 2;
}

static int unknown_option(const dv_args *args, const char *name)
{
    const char *nearest = NULL;
    unsigned best = 4;
    for (const dv_option *o = args->verb->options; o && o->name; o++) {
        unsigned d = dv_text_distance(dv_text_of(name), dv_text_of(o->name), 3);
        if (d < best) {
            best = d;
            nearest = o->name;
        }
    }
    return nearest ? dv_usage(args, "there is no option --%s; did you mean --%s?", name, nearest)
                   : dv_usage(args, "there is no option --%s", name);
}

static int run_verb(const dv_verb *verb, int argc, char **argv)
{
    const dv_option *options = verb->options ? verb->options : none;
    int option_count = 0;
    while (options[option_count].name)
        option_count++;
    dv_args args = {.verb = verb};
    args.value = calloc((size_t)argc + 1, sizeof *args.value);
    args.given = calloc((size_t)option_count + 1, sizeof *args.given);
    int code = args.value && args.given ? -1 : dv_error_lookup(DV_ERR_MEMORY)->exit_code;
    bool only_values = false;
    for (int i = 0; code < 0 && i < argc; i++) {
        const char *word = argv[i];
        if (only_values || strncmp(word, "--", 2) != 0) {
            args.value[args.count++] = word;
            continue;
        }
        if (word[2] == '\0') {
            only_values = true;
            continue;
        }
        const char *equals = strchr(word, '=');
        size_t length = equals ? (size_t)(equals - word - 2) : strlen(word + 2);
        if (length == 4 && strncmp(word + 2, "help", 4) == 0) {
            print_help(verb);
            code = 0;
            break;
        }
        int found = -1;
        for (int k = 0; k < option_count; k++)
            if (strlen(options[k].name) == length && strncmp(options[k].name, word + 2, length) == 0)
                found = k;
        if (found < 0) {
            char name[64];
            dv_text_copy((dv_text){word + 2, length}, name, sizeof name);
            code = unknown_option(&args, name);
        } else if (!options[found].argument && equals) {
            code = dv_usage(&args, "--%s takes no value", options[found].name);
        } else if (!options[found].argument) {
            args.given[found] = "";
        } else if (equals) {
            args.given[found] = equals + 1;
        } else if (i + 1 < argc) {
            args.given[found] = argv[++i];
        } else {
            code = dv_usage(&args, "--%s needs a value: --%s %s", options[found].name, options[found].name,
                            options[found].argument);
        }
    }
    if (code < 0)
        code = verb->run(&args);
    /* A full disk or closed pipe behind stdout is not a success. */
    if (fflush(stdout) != 0 && code == 0) {
        perror("drover: cannot write the output");
        code = dv_error_lookup(DV_ERR_IO)->exit_code;
    }
    free(args.value);
    free(args.given);
    return code;
}

int main(int argc, char **argv)
{
    if (argc < 2 || strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0 || strcmp(argv[1], "help") == 0) {
        if (argc > 2 && find_verb(argv[2])) {
            print_help(find_verb(argv[2]));
            return 0;
        }
        print_overview(argc < 2 ? stderr : stdout);
        return argc < 2 ? 2 : 0;
    }
    const char *name = strcmp(argv[1], "--version") == 0 ? "version" : argv[1];
    const dv_verb *verb = find_verb(name);
    return verb ? run_verb(verb, argc - 2, argv + 2) : unknown_verb(argv[1]);
}
