#include "base/config.h"
#include "cmd/ask.h"
#include "cmd/verbs.h"

#include <stdio.h>

static const dv_option options[] = {
    {"data", "DIR",
     "show: the data directory (default: $DROVER_DATA_DIR, ./drover-data, or the package's /var/lib/drover)"},
    {0}};

static int run(const dv_args *args)
{
    const char *what = args->count ? args->value[0] : "show";
    dv_buffer out = {0};
    dv_error err = {0};
    bool ok = true;
    if (args->count > 1)
        return dv_usage(args, "'%s' is too much", args->value[1]);
    if (strcmp(what, "template") == 0) {
        dv_config_template(&out);
    } else if (strcmp(what, "reference") == 0) {
        dv_config_reference(&out);
    } else if (strcmp(what, "show") == 0) {
        char path[4200];
        dv_config *config = dv_config_new();
        snprintf(path, sizeof path, "%s/drover.lua", dv_data_dir(args));
        ok = config && dv_config_load(config, path, &err) && dv_config_show(config, &out);
        dv_config_free(config);
    } else {
        return dv_usage(args, "'%s' is no action; show, template and reference are", what);
    }
    if (ok)
        fputs(out.at, stdout);
    dv_buffer_free(&out);
    return ok ? 0 : dv_complain(args, &err);
}

const dv_verb dv_verb_config = {
    "config",
    "show | template | reference",
    "settings: what is in force, a commented file, the reference",
    "show reads DIR/drover.lua and says for each key where its value comes from; a wrong key is named.\n"
    "template prints the file that a new data directory gets, reference the table of the docs.",
    options,
    "drover config show --data /srv/drover",
    run};
