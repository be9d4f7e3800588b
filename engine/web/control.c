#include "web/control.h"
#include "base/buffer.h"
#include "base/file.h"
#include "base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

enum { LINE_MOST = 64 * 1024 * 1024 }; /* a batch of a million accession numbers fits */

struct dv_reply {
    int fd;              /* -1: in-process */
    dv_on_line *on_line; /* in-process only */
    void *user;
    const atomic_bool *stopping; /* may be NULL */
    bool gone;
};

typedef struct dv_control_listener {
    dv_site *site;
    int fd;
    char path[4200];
    pthread_t thread;
    atomic_bool stopping;
    pthread_mutex_t lock; /* guards `running` and `fds` */
    pthread_cond_t idle;
    int running;
} listener;

/* ---- arguments ---- */

const char *dv_args_text(const cJSON *args, const char *name)
{
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(args, name);
    return cJSON_IsString(item) ? item->valuestring : NULL;
}

int64_t dv_args_int(const cJSON *args, const char *name, int64_t otherwise)
{
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(args, name);
    return cJSON_IsNumber(item) ? dv_int64_of(item->valuedouble) : otherwise;
}

bool dv_args_bool(const cJSON *args, const char *name)
{
    return cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(args, name));
}

/* ---- the answer's lines ---- */

static bool send_line(int fd, const char *kind, cJSON *body)
{
    cJSON *line = cJSON_CreateObject();
    char *text = NULL;
    bool ok = line && cJSON_AddItemToObject(line, kind, body);
    if (!ok)
        cJSON_Delete(body);
    else
        text = cJSON_PrintUnformatted(line);
    cJSON_Delete(line);
    size_t len = text ? strlen(text) : 0;
    if (text)
        text[len++] = '\n'; /* over the terminator: only LEN bytes are sent */
    for (size_t done = 0; text && done < len;) {
        ssize_t n = send(fd, text + done, len - done, MSG_NOSIGNAL);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0) {
            ok = false;
            break;
        }
        done += (size_t)n;
    }
    ok = ok && text;
    cJSON_free(text);
    return ok;
}

static bool send_part(dv_reply *reply, const char *kind, cJSON *body, dv_error *err)
{
    if (!body)
        return dv_fail(err, DV_ERR_MEMORY, "no memory for an answer");
    bool ok;
    if (reply->fd < 0) {
        ok = reply->on_line(reply->user, kind, body);
        cJSON_Delete(body);
    } else {
        ok = send_line(reply->fd, kind, body);
    }
    if (!ok)
        reply->gone = true;
    return ok || dv_fail(err, DV_ERR_CANCELLED, "nobody reads the answer");
}

bool dv_reply_row(dv_reply *reply, cJSON *row, dv_error *err)
{
    return send_part(reply, "row", row, err);
}

bool dv_reply_progress(dv_reply *reply, cJSON *progress, dv_error *err)
{
    return send_part(reply, "progress", progress, err);
}

bool dv_reply_cancelled(dv_reply *reply)
{
    if (reply->stopping && atomic_load(reply->stopping))
        return true;
    if (reply->fd >= 0 && !reply->gone) {
        struct pollfd p = {.fd = reply->fd, .events = POLLRDHUP};
        reply->gone = poll(&p, 1, 0) > 0 && (p.revents & (POLLRDHUP | POLLHUP | POLLERR));
    }
    return reply->gone;
}

/* ---- one request ---- */

static const dv_route *find_route(const char *verb)
{
    for (const dv_route *r = dv_routes; r->verb; r++)
        if (strcmp(r->verb, verb) == 0)
            return r;
    return NULL;
}

static bool check_args(const dv_route *route, const cJSON *args, dv_error *err)
{
    const cJSON *item;
    cJSON_ArrayForEach(item, args)
    {
        bool known = false;
        for (dv_text rest = dv_text_of(route->args); rest.at && !known;)
            known = dv_text_is(dv_text_split(rest, ' ', &rest), item->string);
        if (!known)
            return dv_fail(err, DV_ERR_USAGE, "%s takes no '%s'; it takes: %s", route->verb, item->string, route->args);
    }
    return true;
}

static bool run_route(dv_site *site, const char *verb, const cJSON *args, dv_reply *reply, dv_error *err)
{
    const dv_route *route = verb ? find_route(verb) : NULL;
    if (!route)
        return dv_fail(err, DV_ERR_NOT_FOUND, "the engine knows no '%s'; is it of another version?",
                       verb ? verb : "(nothing)");
    if (route->serving && !atomic_load(&site->migrate))
        return dv_fail(err, DV_ERR_CONFIG, "%s needs a running engine: start 'drover serve --data %s'", verb,
                       site->folder);
    return check_args(route, args, err) && route->handler(site, args, reply, err);
}

typedef struct connection {
    listener *l;
    int fd;
} connection;

static bool read_line(int fd, dv_buffer *line, const atomic_bool *stopping)
{
    char piece[65536];
    while (!atomic_load(stopping)) {
        struct pollfd p = {.fd = fd, .events = POLLIN};
        int ready = poll(&p, 1, 500);
        if (ready < 0 && errno != EINTR)
            return false;
        if (ready <= 0)
            continue;
        ssize_t n = recv(fd, piece, sizeof piece, 0);
        if (n <= 0 || line->len + (size_t)n > LINE_MOST || !dv_buffer_add(line, piece, (size_t)n))
            return false;
        if (piece[n - 1] == '\n')
            return true;
    }
    return false;
}

static void end_with_error(int fd, const dv_error *err)
{
    cJSON *body = cJSON_CreateObject();
    cJSON_AddStringToObject(body, "code", dv_error_lookup(err->code)->name);
    cJSON_AddStringToObject(body, "message", err->message);
    send_line(fd, "error", body); /* nobody to tell when that fails too */
}

static void *serve_connection(void *user)
{
    connection *c = user;
    listener *l = c->l;
    dv_buffer line = {0};
    if (read_line(c->fd, &line, &l->stopping)) {
        dv_error err = {0};
        dv_reply reply = {.fd = c->fd, .stopping = &l->stopping};
        cJSON *request = cJSON_ParseWithLength(line.at, line.len);
        bool ok = request || dv_fail(&err, DV_ERR_USAGE, "the request is no JSON");
        ok = ok && run_route(l->site, dv_args_text(request, "verb"), cJSON_GetObjectItemCaseSensitive(request, "args"),
                             &reply, &err);
        if (ok)
            send_line(c->fd, "end", cJSON_CreateObject());
        else
            end_with_error(c->fd, &err);
        cJSON_Delete(request);
    }
    dv_buffer_free(&line);
    close(c->fd);
    free(c);
    pthread_mutex_lock(&l->lock);
    if (--l->running == 0)
        pthread_cond_broadcast(&l->idle);
    pthread_mutex_unlock(&l->lock);
    return NULL;
}

/* Root, our user, and whoever is in our group, as the socket's mode says too. */
static bool allowed(int fd)
{
    struct ucred who;
    gid_t groups[1024];
    socklen_t n = sizeof who, bytes = sizeof groups;
    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &n) != 0)
        return false;
    bool ours = who.uid == 0 || who.uid == geteuid() || who.gid == getegid();
    if (!ours && getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, groups, &bytes) == 0)
        for (size_t i = 0; i < bytes / sizeof *groups; i++)
            ours = ours || groups[i] == getegid();
    return ours;
}

static void *listen_loop(void *user)
{
    listener *l = user;
    while (!atomic_load(&l->stopping)) {
        int fd = accept4(l->fd, NULL, NULL, SOCK_CLOEXEC);
        if (fd < 0) {
            if (errno == EINTR || errno == ECONNABORTED)
                continue;
            if (errno != EMFILE && errno != ENFILE && errno != ENOMEM && errno != ENOBUFS)
                break;                                                     /* dv_control_stop shut the socket down */
            nanosleep(&(struct timespec){.tv_nsec = 100 * 1000000}, NULL); /* until somebody has closed one */
            continue;
        }
        connection *c = allowed(fd) ? malloc(sizeof *c) : NULL;
        pthread_t thread;
        if (!c) {
            close(fd);
            continue;
        }
        *c = (connection){l, fd};
        pthread_mutex_lock(&l->lock);
        l->running++;
        pthread_mutex_unlock(&l->lock);
        if (pthread_create(&thread, NULL, serve_connection, c) != 0) {
            pthread_mutex_lock(&l->lock);
            l->running--;
            pthread_mutex_unlock(&l->lock);
            close(fd);
            free(c);
            continue;
        }
        pthread_detach(thread);
    }
    return NULL;
}

/* A Unix address holds 107 bytes: a longer path is reached through its folder's descriptor. *DIR is to be closed, or -1. */
static bool socket_address(const char *folder, struct sockaddr_un *a, int *dir, dv_error *err)
{
    *a = (struct sockaddr_un){.sun_family = AF_UNIX};
    *dir = -1;
    if (snprintf(a->sun_path, sizeof a->sun_path, "%s/drover.sock", folder) < (int)sizeof a->sun_path)
        return true;
    *dir = open(folder, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (*dir < 0)
        return dv_fail_errno(err, "cannot open %s", folder);
    snprintf(a->sun_path, sizeof a->sun_path, "/proc/self/fd/%d/drover.sock", *dir);
    return true;
}

struct dv_control_listener *dv_control_start(dv_site *site, dv_error *err)
{
    struct sockaddr_un a;
    int dir;
    listener *l = calloc(1, sizeof *l);
    if (!l) {
        dv_fail(err, DV_ERR_MEMORY, "no memory for the control socket");
        return NULL;
    }
    l->site = site;
    pthread_mutex_init(&l->lock, NULL);
    pthread_cond_init(&l->idle, NULL);
    snprintf(l->path, sizeof l->path, "%s/drover.sock", site->folder);
    l->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    bool ok = l->fd >= 0 || dv_fail_errno(err, "cannot make a socket");
    if (ok && (ok = socket_address(site->folder, &a, &dir, err))) {
        unlink(l->path); /* a dead engine's: the lock says that we are the only one */
        mode_t old = umask(0117);
        if (bind(l->fd, (struct sockaddr *)&a, sizeof a) != 0 || listen(l->fd, 64) != 0)
            ok = dv_fail_errno(err, "cannot listen on %s", l->path);
        umask(old);
        if (dir >= 0)
            close(dir);
    }
    if (ok && pthread_create(&l->thread, NULL, listen_loop, l) != 0)
        ok = dv_fail(err, DV_ERR_MEMORY, "cannot start the control thread");
    if (ok)
        return l;
    if (l->fd >= 0)
        close(l->fd);
    free(l);
    return NULL;
}

void dv_control_stop(struct dv_control_listener *l)
{
    if (!l)
        return;
    atomic_store(&l->stopping, true);
    shutdown(l->fd, SHUT_RDWR);
    pthread_join(l->thread, NULL);
    close(l->fd);
    unlink(l->path);
    pthread_mutex_lock(&l->lock);
    while (l->running)
        pthread_cond_wait(&l->idle, &l->lock);
    pthread_mutex_unlock(&l->lock);
    pthread_cond_destroy(&l->idle);
    pthread_mutex_destroy(&l->lock);
    free(l);
}

/* ---- the asking side ---- */

/* -1: no engine listens there. */
static int reach_engine(const char *folder)
{
    struct sockaddr_un a;
    int dir, fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || !socket_address(folder, &a, &dir, NULL)) {
        if (fd >= 0)
            close(fd);
        return -1;
    }
    if (connect(fd, (struct sockaddr *)&a, sizeof a) != 0) {
        close(fd);
        fd = -1;
    }
    if (dir >= 0)
        close(dir);
    return fd;
}

static bool take_line(const char *text, size_t len, dv_on_line *on_line, void *user, bool *ended, dv_error *err)
{
    cJSON *line = cJSON_ParseWithLength(text, len);
    const cJSON *body = line ? line->child : NULL;
    bool ok;
    if (!body) {
        ok = dv_fail(err, DV_ERR_INTERNAL, "the engine's answer is no JSON");
    } else if (strcmp(body->string, "end") == 0) {
        *ended = true;
        ok = true;
    } else if (strcmp(body->string, "error") == 0) {
        const char *code = dv_args_text(body, "code"), *message = dv_args_text(body, "message");
        ok = dv_fail(err, dv_error_code(code ? code : ""), "%s", message ? message : "the engine failed");
    } else {
        ok = on_line(user, body->string, body) || dv_fail(err, DV_ERR_CANCELLED, "interrupted");
    }
    cJSON_Delete(line);
    return ok;
}

/* Without SIGPIPE: an engine that hangs up is told in words. */
static bool send_all(int fd, const char *at, size_t n, dv_error *err)
{
    while (n) {
        ssize_t done = send(fd, at, n, MSG_NOSIGNAL);
        if (done < 0 && errno == EINTR)
            continue;
        if (done < 0)
            return dv_fail(err, DV_ERR_NETWORK, "the engine hung up before it was asked (%s); its log says why",
                           strerror(errno));
        at += done;
        n -= (size_t)done;
    }
    return true;
}

static bool ask_engine(int fd, const char *verb, const cJSON *args, dv_on_line *on_line, void *user, dv_error *err)
{
    cJSON *request = cJSON_CreateObject();
    cJSON_AddStringToObject(request, "verb", verb);
    cJSON_AddItemReferenceToObject(request, "args", (cJSON *)(uintptr_t)args);
    char *text = cJSON_PrintUnformatted(request);
    cJSON_Delete(request);
    if (!text)
        return dv_fail(err, DV_ERR_MEMORY, "no memory for a request");
    size_t len = strlen(text);
    text[len++] = '\n';
    bool ok = send_all(fd, text, len, err), ended = false;
    cJSON_free(text);
    dv_buffer in = {0};
    while (ok && !ended) {
        char piece[65536];
        ssize_t n = recv(fd, piece, sizeof piece, 0);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0) {
            ok = dv_fail(err, DV_ERR_NETWORK, "the engine ended before it had answered");
            break;
        }
        ok = dv_buffer_add(&in, piece, (size_t)n) || dv_fail(err, DV_ERR_MEMORY, "no memory for an answer");
        size_t done = 0;
        const char *newline;
        while (ok && !ended && (newline = memchr(in.at + done, '\n', in.len - done))) {
            ok = take_line(in.at + done, (size_t)(newline - in.at) - done, on_line, user, &ended, err);
            done = (size_t)(newline - in.at) + 1;
        }
        memmove(in.at, in.at + done, in.len - done);
        in.len -= done;
    }
    dv_buffer_free(&in);
    return ok;
}

bool dv_call(const char *folder, const char *verb, const cJSON *args, bool local, dv_on_line *on_line, void *user,
             dv_error *err)
{
    int fd = reach_engine(folder);
    if (fd >= 0) {
        bool ok = ask_engine(fd, verb, args, on_line, user, err);
        close(fd);
        return ok;
    }
    if (!local)
        return dv_fail(err, DV_ERR_CONFIG, "no engine runs on %s; start it with 'drover serve --data %s'", folder,
                       folder);
    struct stat st;
    if (stat(folder, &st) != 0)
        return dv_fail(err, DV_ERR_NOT_FOUND, "there is no data directory %s; 'drover serve --data %s' makes one",
                       folder, folder);
    dv_log_setup(2, false, DV_LOG_WARN); /* a verb prints its result, not how the directory was opened */
    dv_site site;
    bool ok = dv_site_open(&site, folder, NULL, err);
    dv_reply reply = {.fd = -1, .on_line = on_line, .user = user};
    ok = ok && run_route(&site, verb, args, &reply, err);
    dv_site_close(&site);
    return ok;
}
