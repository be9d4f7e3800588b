/* Any line on the control socket: answered by JSON lines, the last of them end or error. Verbs that would read other files, call peers or wait
 * are left out. */
#include "web/control.c" /* its serve_connection, without a thread */

#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char *const safe[] = {"status", "peers.list", "peers.add", "peers.remove", "studies", "instances", "audit", "audit.by_rule", "verify",
                                   "quarantine.list", "quarantine.show", "quarantine.delete", "catalog.info", "rules.history", "migrate.list",
                                   "migrate.show", "migrate.jobs", "migrate.job"};

static dv_site site;
static listener l;

static void close_all(void)
{
    char folder[4096];
    snprintf(folder, sizeof folder, "%s", site.folder);
    dv_site_close(&site);
    dv_remove_tree(folder, NULL);
}

static void open_all(void)
{
    char folder[] = "/dev/shm/drover-fuzz-XXXXXX";
    dv_error err;
    dv_log_setup(open("/dev/null", O_WRONLY | O_CLOEXEC), false, DV_LOG_ERROR);
    if (!mkdtemp(folder) || !dv_site_open(&site, folder, NULL, &err)) {
        fprintf(stderr, "%s\n", err.message);
        exit(1);
    }
    l.site = &site;
    pthread_mutex_init(&l.lock, NULL);
    pthread_cond_init(&l.idle, NULL);
    atexit(close_all);
}

static bool is_safe(const char *verb)
{
    bool good = !verb || !find_route(verb);
    for (size_t i = 0; i < sizeof safe / sizeof *safe && !good; i++)
        good = strcmp(verb, safe[i]) == 0;
    return good;
}

static bool no_line(void *user, const char *kind, const cJSON *body)
{
    (void)user, (void)body;
    return *kind != 'x';
}

/* The answer as the asking side reads it. */
static void check(const dv_buffer *answer)
{
    dv_error err = {0};
    bool ended = false, ok = true;
    dv_text line;
    for (dv_text rest = dv_buffer_as_text(answer); rest.at && rest.len && ok && !ended;) {
        line = dv_text_split(rest, '\n', &rest);
        ok = take_line(line.at, line.len, no_line, NULL, &ended, &err);
    }
    if (!ended && (ok || err.code == DV_ERR_INTERNAL || !err.message[0]))
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    int two[2], most = 1 << 20;
    if (!site.catalog)
        open_all();
    /* Answers of the engine are foreign bytes too, to the one who asks. */
    dv_error err;
    bool ended = false;
    take_line((const char *)data, size, no_line, NULL, &ended, &err);
    cJSON *request = size < 60000 ? cJSON_ParseWithLength((const char *)data, size) : NULL;
    bool good = size > 0 && size < 60000 && (!request || is_safe(dv_args_text(request, "verb")));
    cJSON_Delete(request);
    if (!good)
        return 0;
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, two) != 0)
        abort();
    setsockopt(two[0], SOL_SOCKET, SO_SNDBUF, &most, sizeof most);
    connection *c = malloc(sizeof *c);
    *c = (connection){&l, two[0]};
    l.running = 1;
    if (send(two[1], data, size, 0) != (ssize_t)size || (data[size - 1] != '\n' && send(two[1], "\n", 1, 0) != 1))
        abort();
    serve_connection(c);
    dv_buffer answer = {0};
    char piece[65536];
    for (ssize_t n; (n = recv(two[1], piece, sizeof piece, MSG_DONTWAIT)) > 0;)
        dv_buffer_add(&answer, piece, (size_t)n);
    close(two[1]);
    check(&answer);
    dv_buffer_free(&answer);
    return 0;
}
