/* faults.cc: preloaded into the engine, it makes the n-th call of a kind fail, whoever makes it: the engine, SQLite, Lua, cJSON, OpenSSL,
 * libpq, DCMTK. lib/faults.py compiles it, and tells it what and when through a shared page while the engine runs.
 *
 *   kind     calls                                                             how they fail
 *   write    write writev pwrite ftruncate on regular files, not the log       ENOSPC
 *   fsync    fsync fdatasync                                                   EIO
 *   link     linkat rename                                                     EIO
 *   open     open openat                                                       EMFILE
 *   mkdir    mkdir mkdirat                                                     ENOSPC
 *   malloc   malloc calloc realloc posix_memalign strdup, C++'s new            ENOMEM; new throws
 *   sql      sqlite3_prepare_v3 sqlite3_step sqlite3_exec; libpq's PQexec      an I/O error; PostgreSQL's connection breaks
 *            PQprepare PQsendPrepare PQsendQueryPrepared
 *
 * Works with and without AddressSanitizer. Threads: any; the counters are atomic. */
#include <atomic>
#include <cerrno>
#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <dlfcn.h>
#include <fcntl.h>
#include <malloc.h>
#include <new>
#include <pthread.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

enum kind { NONE, WRITE, FSYNC, LINK, OPEN, MKDIR, MALLOC, SQL, KINDS };

/* lib/faults.py has the same layout. */
struct page {
    std::atomic<long> kind;  /* that is to fail, NONE: nothing */
    std::atomic<long> left;  /* the call that makes it 0 fails */
    std::atomic<long> burst; /* and so many behind it */
    std::atomic<long> failed;
    std::atomic<long> seen[KINDS];
};

static page *shared;

__attribute__((constructor)) static void attach()
{
    const char *path = getenv("DROVER_FAULTS_PAGE");
    int fd = path ? open(path, O_RDWR | O_CLOEXEC) : -1;
    void *at = fd < 0 ? MAP_FAILED : mmap(nullptr, sizeof(page), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (fd >= 0)
        close(fd);
    if (at != MAP_FAILED)
        shared = static_cast<page *>(at);
}

/* AddressSanitizer allocates in it when a thread begins, and asserts that it is given. No lazy TLS: that would allocate. */
static thread_local bool exempt __attribute__((tls_model("initial-exec")));

static bool due(kind k)
{
    page *p = shared;
    if (!p || exempt)
        return false;
    p->seen[k].fetch_add(1, std::memory_order_relaxed);
    if (p->kind.load(std::memory_order_relaxed) != k)
        return false;
    long left = p->left.fetch_sub(1) - 1;
    if (left > 0 || left <= -p->burst.load())
        return false;
    p->failed.fetch_add(1);
    return true;
}

template <typename F> static F next(const char *name)
{
    return reinterpret_cast<F>(dlsym(RTLD_NEXT, name));
}

/* The function behind ours, looked up once. */
#define REAL(name)                                                                                                     \
    ([] {                                                                                                              \
        static auto real = next<decltype(&::name)>(#name);                                                             \
        return real;                                                                                                   \
    }())

static bool is_file(int fd)
{
    struct stat st;
    return fd > 2 && fstat(fd, &st) == 0 && S_ISREG(st.st_mode);
}

template <typename T> static T failed(int number, T value)
{
    errno = number;
    return value;
}

extern "C" {

ssize_t write(int fd, const void *at, size_t n)
{
    return is_file(fd) && due(WRITE) ? failed<ssize_t>(ENOSPC, -1) : REAL(write)(fd, at, n);
}

ssize_t writev(int fd, const struct iovec *parts, int n)
{
    return is_file(fd) && due(WRITE) ? failed<ssize_t>(ENOSPC, -1) : REAL(writev)(fd, parts, n);
}

ssize_t pwrite(int fd, const void *at, size_t n, off_t to)
{
    return is_file(fd) && due(WRITE) ? failed<ssize_t>(ENOSPC, -1) : REAL(pwrite)(fd, at, n, to);
}
ssize_t pwrite64(int, const void *, size_t, off64_t) __attribute__((alias("pwrite")));

int ftruncate(int fd, off_t n) noexcept
{
    return is_file(fd) && due(WRITE) ? failed(ENOSPC, -1) : REAL(ftruncate)(fd, n);
}
int ftruncate64(int, off64_t) noexcept __attribute__((alias("ftruncate")));

int fsync(int fd)
{
    return due(FSYNC) ? failed(EIO, -1) : REAL(fsync)(fd);
}

int fdatasync(int fd)
{
    return due(FSYNC) ? failed(EIO, -1) : REAL(fdatasync)(fd);
}

int linkat(int from, const char *a, int to, const char *b, int flags) noexcept
{
    return due(LINK) ? failed(EIO, -1) : REAL(linkat)(from, a, to, b, flags);
}

int rename(const char *a, const char *b) noexcept
{
    return due(LINK) ? failed(EIO, -1) : REAL(rename)(a, b);
}

static mode_t mode_of(int flags, va_list args)
{
    return flags & (O_CREAT | __O_TMPFILE) ? va_arg(args, mode_t) : 0;
}

int open(const char *path, int flags, ...)
{
    va_list args;
    va_start(args, flags);
    mode_t mode = mode_of(flags, args);
    va_end(args);
    return due(OPEN) ? failed(EMFILE, -1) : REAL(open)(path, flags, mode);
}
int open64(const char *, int, ...) __attribute__((alias("open")));

int openat(int at, const char *path, int flags, ...)
{
    va_list args;
    va_start(args, flags);
    mode_t mode = mode_of(flags, args);
    va_end(args);
    return due(OPEN) ? failed(EMFILE, -1) : REAL(openat)(at, path, flags, mode);
}
int openat64(int, const char *, int, ...) __attribute__((alias("openat")));

int mkdir(const char *path, mode_t mode) noexcept
{
    return due(MKDIR) ? failed(ENOSPC, -1) : REAL(mkdir)(path, mode);
}

int mkdirat(int at, const char *path, mode_t mode) noexcept
{
    return due(MKDIR) ? failed(ENOSPC, -1) : REAL(mkdirat)(at, path, mode);
}

/* ---- memory: no dlsym here, which allocates; AddressSanitizer exports its functions under a second name ---- */

void *__interceptor_malloc(size_t) __attribute__((weak));
void *__interceptor_calloc(size_t, size_t) __attribute__((weak));
void *__interceptor_realloc(void *, size_t) __attribute__((weak));
int __interceptor_posix_memalign(void **, size_t, size_t) __attribute__((weak));
void *__libc_malloc(size_t);
void *__libc_calloc(size_t, size_t);
void *__libc_realloc(void *, size_t);
void *__libc_memalign(size_t, size_t);

static void *allocate(size_t n)
{
    return __interceptor_malloc ? __interceptor_malloc(n) : __libc_malloc(n);
}

void *malloc(size_t n) noexcept
{
    return due(MALLOC) ? failed<void *>(ENOMEM, nullptr) : allocate(n);
}

void *calloc(size_t n, size_t size) noexcept
{
    if (due(MALLOC))
        return failed<void *>(ENOMEM, nullptr);
    return __interceptor_calloc ? __interceptor_calloc(n, size) : __libc_calloc(n, size);
}

void *realloc(void *p, size_t n) noexcept
{
    /* to shrink never fails: Lua stands on it */
    if (n > malloc_usable_size(p) && due(MALLOC))
        return failed<void *>(ENOMEM, nullptr);
    return __interceptor_realloc ? __interceptor_realloc(p, n) : __libc_realloc(p, n);
}

int posix_memalign(void **p, size_t align, size_t n) noexcept
{
    if (due(MALLOC))
        return ENOMEM;
    if (__interceptor_posix_memalign)
        return __interceptor_posix_memalign(p, align, n);
    *p = __libc_memalign(align, n);
    return *p ? 0 : ENOMEM;
}

int pthread_getattr_np(pthread_t thread, pthread_attr_t *attr) noexcept
{
    exempt = true;
    int rc = REAL(pthread_getattr_np)(thread, attr);
    exempt = false;
    return rc;
}

/* AddressSanitizer's own would not come by malloc. */
char *strdup(const char *text) noexcept
{
    size_t n = strlen(text) + 1;
    char *copy = static_cast<char *>(malloc(n));
    if (copy)
        memcpy(copy, text, n);
    return copy;
}

/* ---- SQL ---- */

typedef struct sqlite3 sqlite3;
typedef struct sqlite3_stmt sqlite3_stmt;
typedef struct pg_conn PGconn;
typedef struct pg_result PGresult;
typedef unsigned Oid;
enum { SQLITE_IOERR = 10 };

int sqlite3_prepare_v3(sqlite3 *db, const char *sql, int n, unsigned flags, sqlite3_stmt **out, const char **rest)
{
    return due(SQL) ? SQLITE_IOERR : REAL(sqlite3_prepare_v3)(db, sql, n, flags, out, rest);
}

int sqlite3_step(sqlite3_stmt *stmt)
{
    return due(SQL) ? SQLITE_IOERR : REAL(sqlite3_step)(stmt);
}

int sqlite3_exec(sqlite3 *db, const char *sql, int (*each)(void *, int, char **, char **), void *user, char **err)
{
    return due(SQL) ? SQLITE_IOERR : REAL(sqlite3_exec)(db, sql, each, user, err);
}

static void break_if_due(PGconn *c)
{
    static auto socket_of = next<int (*)(PGconn *)>("PQsocket");
    if (due(SQL))
        shutdown(socket_of(c), SHUT_RDWR);
}

PGresult *PQexec(PGconn *c, const char *sql)
{
    break_if_due(c);
    return REAL(PQexec)(c, sql);
}

PGresult *PQprepare(PGconn *c, const char *name, const char *sql, int n, const Oid *types)
{
    break_if_due(c);
    return REAL(PQprepare)(c, name, sql, n, types);
}

int PQsendPrepare(PGconn *c, const char *name, const char *sql, int n, const Oid *types)
{
    break_if_due(c);
    return REAL(PQsendPrepare)(c, name, sql, n, types);
}

int PQsendQueryPrepared(PGconn *c, const char *name, int n, const char *const *values, const int *lengths,
                        const int *formats, int format)
{
    break_if_due(c);
    return REAL(PQsendQueryPrepared)(c, name, n, values, lengths, formats, format);
}
}

/* ---- C++ ---- */

void *operator new(size_t n)
{
    static auto real = next<void *(*)(size_t)>("_Znwm");
    if (due(MALLOC))
        throw std::bad_alloc();
    return real(n);
}

void *operator new[](size_t n)
{
    static auto real = next<void *(*)(size_t)>("_Znam");
    if (due(MALLOC))
        throw std::bad_alloc();
    return real(n);
}

void *operator new(size_t n, const std::nothrow_t &) noexcept
{
    static auto real = next<void *(*)(size_t, const std::nothrow_t &)>("_ZnwmRKSt9nothrow_t");
    return due(MALLOC) ? nullptr : real(n, std::nothrow);
}
