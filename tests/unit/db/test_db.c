/* The database interface, over SQLite and over PostgreSQL (engine.h): parameters by number, statements kept, errors by kind, transactions. */
#include "db/db.h"
#include "base/file.h"
#include "engine.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

static char folder[64], path[DSN_SIZE];
static dv_error err;

static int make_folder(void **state)
{
    (void)state;
    snprintf(folder, sizeof folder, "/tmp/dv-db-XXXXXX");
    if (!mkdtemp(folder))
        return -1;
    char file[96];
    snprintf(file, sizeof file, "%s/t.db", folder);
    return new_database(file, path) ? 0 : -1;
}

static int drop_folder(void **state)
{
    (void)state;
    return drop_database(path) && dv_remove_tree(folder, NULL) ? 0 : -1;
}

static dv_db *fresh(void)
{
    dv_db *db = dv_db_open(path, DV_DB_CREATE, &err);
    assert_non_null(db);
    assert_true(
        dv_db_script(db,
                     "CREATE TABLE t (id INTEGER PRIMARY KEY, a TEXT UNIQUE, b BLOB, n BIGINT, d DOUBLE PRECISION);"
                     "CREATE TABLE u (x BIGINT);",
                     &err));
    return db;
}

static int64_t number(dv_db *db, const char *sql)
{
    int64_t n = -1;
    assert_true(dv_db_int(db, -1, &n, &err, sql, ""));
    return n;
}

static void parameters_are_bound_by_their_number_not_by_first_appearance(void **state)
{
    (void)state;
    dv_db *db = fresh();
    for (int i = 0; i < 3; i++) {
        dv_rows *r = dv_db_query(db, &err, "SELECT $2, $1, $2, $3", "iss", (int64_t)7, "two", NULL);
        assert_true(dv_rows_next(r));
        assert_true(dv_text_is(dv_rows_text(r, 0), "two"));
        assert_int_equal(dv_rows_int(r, 1), 7);
        assert_true(dv_text_is(dv_rows_text(r, 2), "two"));
        assert_true(dv_rows_is_null(r, 3));
        assert_null(dv_rows_text(r, 3).at);
        assert_int_equal(dv_rows_columns(r), 4);
        assert_false(dv_rows_next(r));
        assert_false(dv_rows_next(r));
        assert_true(dv_rows_close(r, &err));
    }
    assert_false(dv_db_exec(db, &err, "INSERT INTO u VALUES ($1)", ""));
    assert_int_equal(err.code, DV_ERR_INTERNAL);
    assert_non_null(strstr(err.message, "0 parameters given, 1 wanted"));
    dv_db_close(db);
}

static void every_type_comes_back_as_it_went(void **state)
{
    (void)state;
    dv_db *db = fresh();
    dv_text blob = {"\0\1\2", 3}, empty = {"", 0}, absent = {NULL, 0};
    assert_true(dv_db_exec(db, &err, "INSERT INTO t (a, b, n, d) VALUES ($1, $2, $3, $4)", "tbid",
                           DV_TEXT("M\xc3\xbcller"), blob, (int64_t)INT64_MIN, 0.5));
    assert_int_equal(dv_db_changes(db), 1);
    assert_true(dv_db_exec(db, &err, "INSERT INTO t (a, b, n, d) VALUES ($1, $2, $3, $4)", "tbnn", empty, empty));
    assert_true(dv_db_exec(db, &err, "INSERT INTO t (a, b) VALUES ($1, $2)", "tb", absent, absent));
    dv_rows *r = dv_db_query(db, &err, "SELECT a, b, n, d FROM t ORDER BY id", "");
    assert_true(dv_rows_next(r));
    assert_true(dv_text_is(dv_rows_text(r, 0), "M\xc3\xbcller"));
    assert_true(dv_text_equal(dv_rows_text(r, 1), blob));
    assert_true(dv_rows_int(r, 2) == INT64_MIN);
    assert_true(dv_rows_double(r, 3) == 0.5);
    assert_string_equal(dv_rows_name(r, 2), "n");
    assert_true(dv_rows_next(r));
    assert_non_null(dv_rows_text(r, 0).at);
    assert_int_equal(dv_rows_text(r, 0).len, 0);
    assert_non_null(dv_rows_text(r, 1).at);
    assert_true(dv_rows_next(r));
    assert_null(dv_rows_text(r, 0).at);
    assert_null(dv_rows_text(r, 1).at);
    assert_true(dv_rows_close(r, &err));
    dv_db_close(db);
}

static void a_text_built_anew_at_the_same_address_is_not_mistaken_for_the_old_one(void **state)
{
    (void)state;
    dv_db *db = fresh();
    char sql[64];
    for (int i = 0; i < 50; i++) {
        snprintf(sql, sizeof sql, "SELECT %d", i);
        assert_int_equal(number(db, sql), i);
    }
    /* and many addresses do not pile up for ever */
    char *many[1500];
    for (int i = 0; i < 1500; i++) {
        many[i] = malloc(32);
        snprintf(many[i], 32, "SELECT %d", i);
        assert_int_equal(number(db, many[i]), i);
    }
    for (int i = 0; i < 1500; i++)
        free(many[i]);
    dv_db_close(db);
}

static void a_result_that_is_still_open_is_not_handed_out_twice(void **state)
{
    (void)state;
    dv_db *db = fresh();
    static const char sql[] = "SELECT 1";
    dv_rows *r = dv_db_query(db, &err, sql, "");
    assert_non_null(r);
    assert_null(dv_db_query(db, &err, sql, ""));
    assert_int_equal(err.code, DV_ERR_INTERNAL);
    assert_true(dv_rows_close(r, &err));
    assert_int_equal(number(db, sql), 1);
    dv_db_close(db);
}

static void errors_say_what_kind_they_are_in_the_databases_words(void **state)
{
    (void)state;
    dv_db *db = fresh();
    assert_false(dv_db_exec(db, &err, "SELEKT 1", ""));
    assert_int_equal(err.code, DV_ERR_DB);
    assert_non_null(strstr(err.message, "syntax error"));
    assert_true(dv_db_exec(db, &err, "INSERT INTO t (a) VALUES ($1)", "s", "x"));
    assert_false(dv_db_exec(db, &err, "INSERT INTO t (a) VALUES ($1)", "s", "x"));
    assert_int_equal(err.code, DV_ERR_EXISTS);
    assert_false(dv_rows_close(NULL, &err));
    assert_int_equal(err.code, DV_ERR_EXISTS);
    dv_db_close(db);
    assert_null(dv_db_open("/nonexistent/folder/x.db", DV_DB_CREATE, &err));
    assert_non_null(strstr(err.message, "/nonexistent/folder/x.db"));
    assert_null(dv_db_open("", DV_DB_WRITE, &err));
    char text[96];
    snprintf(text, sizeof text, "%s/text.db", folder);
    assert_true(dv_file_replace(text,
                                DV_TEXT("this is no database at all, but long enough to be looked at as one by SQLite, "
                                        "which reads a hundred bytes of header first"),
                                0600, &err));
    assert_null(dv_db_open(text, DV_DB_WRITE, &err));
    assert_non_null(strstr(err.message, "not a database"));
}

static void a_reader_reads_and_cannot_write(void **state)
{
    (void)state;
    dv_db *db = fresh(), *reader = dv_db_open(path, DV_DB_READ, &err);
    assert_non_null(reader);
    assert_true(dv_db_begin(db, false, &err));
    assert_true(dv_db_exec(db, &err, "INSERT INTO u VALUES (5)", ""));
    assert_int_equal(number(reader, "SELECT count(*) FROM u"), 0);
    assert_true(dv_db_commit(db, &err));
    assert_int_equal(number(reader, "SELECT count(*) FROM u"), 1);
    assert_false(dv_db_exec(reader, &err, "INSERT INTO u VALUES (6)", ""));
    assert_int_equal(err.code, DV_ERR_DB);
    dv_db_close(reader);
    dv_db_close(db);
}

static void a_member_is_rolled_back_alone(void **state)
{
    (void)state;
    dv_db *db = fresh();
    assert_false(dv_db_in_transaction(db));
    assert_true(dv_db_begin(db, false, &err));
    assert_true(dv_db_savepoint(db, &err));
    assert_true(dv_db_exec(db, &err, "INSERT INTO u VALUES (1)", ""));
    assert_true(dv_db_release(db, &err));
    assert_true(dv_db_savepoint(db, &err));
    assert_true(dv_db_exec(db, &err, "INSERT INTO u VALUES (2)", ""));
    assert_true(dv_db_rollback_to(db));
    assert_true(dv_db_in_transaction(db));
    assert_true(dv_db_commit(db, &err));
    assert_int_equal(number(db, "SELECT sum(x) FROM u"), 1);
    assert_true(dv_db_begin(db, false, &err));
    assert_true(dv_db_exec(db, &err, "DELETE FROM u", ""));
    dv_db_rollback(db);
    assert_int_equal(number(db, "SELECT sum(x) FROM u"), 1);
    assert_false(dv_db_rollback_to(db));
    dv_db_close(db);
}

static void full_is_in_force_for_the_transaction_that_asked_and_not_for_the_next(void **state)
{
    (void)state;
    dv_db *db = fresh();
    assert_true(dv_db_begin(db, true, &err));
    assert_int_equal(number(db, "PRAGMA synchronous"), 2);
    assert_true(dv_db_commit(db, &err));
    assert_true(dv_db_begin(db, false, &err));
    assert_int_equal(number(db, "PRAGMA synchronous"), 1);
    assert_true(dv_db_commit(db, &err));
    dv_db_close(db);
}

static void a_second_writer_is_told_that_it_is_locked(void **state)
{
    (void)state;
    dv_db *db = fresh(), *other = dv_db_open(path, DV_DB_WRITE, &err);
    assert_non_null(other);
    assert_true(dv_db_script(other, "PRAGMA busy_timeout=1", &err));
    assert_true(dv_db_begin(db, false, &err));
    assert_false(dv_db_begin(other, false, &err));
    assert_int_equal(err.code, DV_ERR_LOCKED);
    dv_db_rollback(db);
    assert_true(dv_db_begin(other, false, &err));
    dv_db_rollback(other);
    dv_db_close(other);
    dv_db_close(db);
}

static void a_checkpoint_empties_the_log_and_says_what_a_reader_held_back(void **state)
{
    (void)state;
    dv_db *db = fresh(), *reader = dv_db_open(path, DV_DB_READ, &err);
    assert_true(dv_db_exec(db, &err, "INSERT INTO u VALUES (1)", ""));
    assert_true(dv_db_log_bytes(db) > 0);
    int64_t left = -1;
    assert_true(dv_db_checkpoint(db, &left, &err));
    assert_int_equal(left, 0);
    dv_rows *held = dv_db_query(reader, &err, "SELECT x FROM u", "");
    assert_true(dv_rows_next(held));
    assert_true(dv_db_exec(db, &err, "INSERT INTO u VALUES (2)", ""));
    assert_true(dv_db_checkpoint(db, &left, &err));
    assert_true(left > 0);
    assert_true(dv_rows_close(held, &err));
    assert_true(dv_db_checkpoint(db, &left, &err));
    assert_int_equal(left, 0);
    dv_db_close(reader);
    dv_db_close(db);
}

static void a_table_is_found_by_its_name(void **state)
{
    (void)state;
    dv_db *db = fresh();
    bool has = false;
    assert_true(dv_db_has_table(db, "u", &has, &err));
    assert_true(has);
    assert_true(dv_db_has_table(db, "nothing", &has, &err));
    assert_false(has);
    dv_db_close(db);
}

/* A disk that fills up in a transaction makes SQLite roll all of it back, not the member alone. */
static void a_full_disk_is_told_and_takes_the_whole_transaction(void **state)
{
    (void)state;
    dv_db *db = fresh();
    assert_true(dv_db_script(db, "PRAGMA max_page_count=20", &err));
    assert_true(dv_db_begin(db, false, &err));
    assert_true(dv_db_savepoint(db, &err));
    assert_false(dv_db_exec(db, &err, "INSERT INTO t (b) VALUES (zeroblob(1000000))", ""));
    assert_int_equal(err.code, DV_ERR_DISK_FULL);
    bool there = dv_db_rollback_to(db);
    assert_true(there == dv_db_in_transaction(db));
    dv_db_rollback(db);
    assert_true(dv_db_exec(db, &err, "INSERT INTO u VALUES (1)", ""));
    dv_db_close(db);
}

/* ---- PostgreSQL alone ---- */

static void without_a_server_nothing_is_opened_and_no_password_is_shown(void **state)
{
    (void)state;
    assert_null(dv_db_open("postgres://drover:sesame@localhost:1/dv?connect_timeout=2", DV_DB_WRITE, &err));
    assert_int_equal(err.code, DV_ERR_DB);
    assert_non_null(strstr(err.message, "postgresql://drover@localhost:1/dv"));
    assert_null(strstr(err.message, "sesame"));
    assert_null(dv_db_open("postgres://drover:ses@me:x@localhost:12345678/dv", DV_DB_WRITE, &err));
    assert_null(strstr(err.message, "ses"));
    assert_null(dv_db_open("host=localhost password=sesame port", DV_DB_WRITE, &err));
    assert_int_equal(err.code, DV_ERR_CONFIG);
    assert_null(strstr(err.message, "sesame"));
}

static void synchronous_commit_is_on_for_the_transaction_that_asked_only(void **state)
{
    (void)state;
    dv_db *db = fresh();
    static const char sql[] = "SELECT CASE current_setting('synchronous_commit') WHEN 'off' THEN 0 ELSE 1 END";
    assert_int_equal(number(db, sql), 0);
    assert_true(dv_db_begin(db, true, &err));
    assert_int_equal(number(db, sql), 1);
    assert_true(dv_db_commit(db, &err));
    assert_true(dv_db_begin(db, false, &err));
    assert_int_equal(number(db, sql), 0);
    assert_true(dv_db_commit(db, &err));
    int64_t left = -1;
    assert_true(dv_db_checkpoint(db, &left, &err));
    assert_int_equal(left, 0);
    dv_db_close(db);
}

/* The server ends our connection, as it does when it is restarted. */
static void cut(dv_db *db)
{
    char sql[80];
    dv_db *admin = dv_db_open(path, DV_DB_WRITE, &err);
    assert_non_null(admin);
    snprintf(sql, sizeof sql, "SELECT pg_terminate_backend(%d, 5000)", (int)number(db, "SELECT pg_backend_pid()"));
    assert_int_equal(number(admin, sql), 1);
    dv_db_close(admin);
}

static void a_lost_connection_fails_its_transaction_and_the_next_one_has_a_new_connection(void **state)
{
    (void)state;
    dv_db *db = fresh();
    assert_true(dv_db_begin(db, false, &err));
    assert_true(dv_db_savepoint(db, &err));
    assert_true(dv_db_exec(db, &err, "INSERT INTO u VALUES ($1)", "i", (int64_t)1));
    cut(db);
    assert_false(dv_db_exec(db, &err, "INSERT INTO u VALUES ($1)", "i", (int64_t)2));
    assert_int_equal(err.code, DV_ERR_DB);
    assert_false(dv_db_rollback_to(db));
    assert_false(dv_db_in_transaction(db));
    assert_false(
        dv_db_exec(db, &err, "INSERT INTO u VALUES ($1)", "i", (int64_t)3)); /* not on its own, outside what began */
    assert_false(dv_db_commit(db, &err));
    assert_true(dv_db_begin(db, false, &err));
    assert_true(dv_db_exec(db, &err, "INSERT INTO u VALUES ($1)", "i", (int64_t)4)); /* prepared anew */
    assert_true(dv_db_commit(db, &err));
    assert_int_equal(dv_db_reconnects(db), 1);
    cut(db);
    assert_int_equal(number(db, "SELECT sum(x) FROM u"), 4);
    assert_int_equal(dv_db_reconnects(db), 2);
    dv_db_close(db);
}

static void a_failed_statement_that_was_ignored_is_not_committed_as_if_all_were_well(void **state)
{
    (void)state;
    dv_db *db = fresh();
    assert_true(dv_db_begin(db, false, &err));
    assert_true(dv_db_exec(db, &err, "INSERT INTO u VALUES (1)", ""));
    assert_false(dv_db_exec(db, &err, "SELEKT", ""));
    assert_false(dv_db_commit(db, &err));
    assert_false(dv_db_in_transaction(db));
    assert_int_equal(number(db, "SELECT count(*) FROM u"), 0);
    dv_db_close(db);
}

/* ---- both ---- */

static void a_failing_member_leaves_the_others_of_its_transaction(void **state)
{
    (void)state;
    dv_db *db = fresh();
    assert_true(dv_db_begin(db, false, &err));
    for (int i = 0; i < 20; i++) {
        assert_true(dv_db_savepoint(db, &err));
        if (i % 2) {
            assert_false(dv_db_exec(db, &err, "INSERT INTO nowhere VALUES (1)", ""));
            assert_true(dv_db_rollback_to(db));
        } else {
            assert_true(dv_db_exec(db, &err, "INSERT INTO u VALUES ($1)", "i", (int64_t)i));
            assert_true(dv_db_release(db, &err));
        }
    }
    assert_true(dv_db_commit(db, &err));
    assert_int_equal(number(db, "SELECT sum(x) FROM u"), 90);
    dv_db_close(db);
}

static void order_and_prefixes_go_by_bytes_whatever_the_locale(void **state)
{
    (void)state;
    dv_db *db = fresh();
    static const char *const words[] = {"b", "B", "a", "\xc3\xa4", "Z", "a b", "ab", "_"};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        assert_true(dv_db_exec(db, &err, "INSERT INTO t (a) VALUES ($1)", "s", words[i]));
    static const char *const sorted[] = {"B", "Z", "_", "a", "a b", "ab", "b", "\xc3\xa4"};
    dv_rows *r = dv_db_query(db, &err, "SELECT a FROM t ORDER BY a", "");
    for (size_t i = 0; i < sizeof sorted / sizeof *sorted; i++) {
        assert_true(dv_rows_next(r));
        assert_string_equal(dv_rows_text(r, 0).at, sorted[i]);
    }
    assert_true(dv_rows_close(r, &err));
    assert_int_equal(number(db, "SELECT count(*) FROM t WHERE a >= 'a' AND a < 'a\xf4\x8f\xbf\xbf'"), 3);
    dv_db_close(db);
}

static void another_statement_may_run_while_a_result_is_open(void **state)
{
    (void)state;
    dv_db *db = fresh();
    for (int64_t i = 1; i <= 300; i++)
        assert_true(dv_db_exec(db, &err, "INSERT INTO u VALUES ($1)", "i", i));
    int64_t sum = 0, inner = 0;
    dv_rows *r = dv_db_query(db, &err, "SELECT x FROM u ORDER BY x", "");
    for (int64_t n = 0; dv_rows_next(r); n++) {
        sum += dv_rows_int(r, 0);
        if (n % 100 == 5)
            inner += number(db, "SELECT count(*) FROM u");
    }
    assert_true(dv_rows_close(r, &err));
    assert_int_equal(sum, 45150);
    assert_int_equal(inner, 900);
    r = dv_db_query(db, &err, "SELECT x FROM u ORDER BY x", ""); /* closed half-way: the connection is free again */
    assert_true(dv_rows_next(r) && dv_rows_next(r));
    assert_int_equal(dv_rows_int(r, 0), 2);
    assert_true(dv_rows_close(r, &err));
    assert_int_equal(number(db, "SELECT max(x) FROM u"), 300);
    dv_db_close(db);
}

/* What stands in old headers is not always text: the row must go in all the same. */
static void text_that_is_none_does_not_stop_a_row(void **state)
{
    (void)state;
    dv_db *db = fresh();
    dv_text odd = {"a\0b\xff\xed\xa0\x80z", 8};
    assert_true(dv_db_exec(db, &err, "INSERT INTO t (a) VALUES ($1)", "t", odd));
    dv_rows *r = dv_db_query(db, &err, "SELECT a FROM t WHERE a = $1", "t", odd);
    assert_true(dv_rows_next(r));
    if (on_postgres())
        assert_string_equal(dv_rows_text(r, 0).at, "a\xef\xbf\xbd"
                                                   "b\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbdz");
    else
        assert_true(dv_text_equal(dv_rows_text(r, 0), odd));
    assert_true(dv_rows_close(r, &err));
    dv_db_close(db);
}

static void what_is_posted_is_there_with_the_next_answer_and_its_failure_fails_its_member_only(void **state)
{
    (void)state;
    dv_db *db = fresh();
    assert_true(
        dv_db_post(db, &err, "INSERT INTO u VALUES ($1)", "i", (int64_t)1000)); /* outside a transaction: at once */
    assert_int_equal(number(db, "SELECT sum(x) FROM u"), 1000);
    assert_true(dv_db_begin(db, false, &err));
    for (int member = 0; member < 4; member++) {
        assert_true(dv_db_savepoint(db, &err));
        bool ok = true;
        for (int i = 0; ok && i < 300; i++)
            ok = dv_db_post(db, &err, "INSERT INTO u VALUES ($1)", "i", (int64_t)1);
        if (member == 1) /* twice the same key: the second one fails, sooner or later */
            for (int i = 0; ok && i < 2; i++)
                ok = dv_db_post(db, &err, "INSERT INTO t (a) VALUES ($1)", "s", "x");
        if (member == 2) {
            assert_int_equal(number(db, "SELECT sum(x) FROM u"), 1600);
            assert_int_equal(number(db, "SELECT count(*) FROM t"), 0);
        }
        ok = ok && dv_db_release(db, &err);
        assert_true(ok == (member != 1));
        if (!ok) {
            assert_int_equal(err.code, DV_ERR_EXISTS);
            assert_true(dv_db_rollback_to(db));
        }
    }
    assert_true(dv_db_commit(db, &err));
    assert_int_equal(number(db, "SELECT sum(x) FROM u"), 1900);
    assert_true(dv_db_begin(db, false, &err));
    assert_true(dv_db_post(db, &err, "INSERT INTO u VALUES ($1)", "i", (int64_t)5)); /* the commit waits for it */
    assert_true(dv_db_commit(db, &err));
    assert_int_equal(number(db, "SELECT sum(x) FROM u"), 1905);
    dv_db_close(db);
}

static void a_duplicate_key_inside_a_transaction_takes_its_member_only(void **state)
{
    (void)state;
    dv_db *db = fresh();
    assert_true(dv_db_begin(db, false, &err));
    assert_true(dv_db_savepoint(db, &err));
    assert_true(dv_db_exec(db, &err, "INSERT INTO t (a) VALUES ($1)", "s", "x"));
    assert_true(dv_db_release(db, &err));
    assert_true(dv_db_savepoint(db, &err));
    assert_false(dv_db_exec(db, &err, "INSERT INTO t (a) VALUES ($1)", "s", "x"));
    assert_int_equal(err.code, DV_ERR_EXISTS);
    assert_true(dv_db_rollback_to(db));
    assert_true(dv_db_commit(db, &err));
    assert_int_equal(number(db, "SELECT count(*) FROM t"), 1);
    dv_db_close(db);
}

/* Log lines are made of these messages; a value may be a patient's name. */
static void no_message_quotes_a_value(void **state)
{
    (void)state;
    dv_db *db = fresh();
    assert_true(dv_db_exec(db, &err, "INSERT INTO t (a) VALUES ($1)", "s", "Secret^Name"));
    assert_false(dv_db_exec(db, &err, "INSERT INTO t (a) VALUES ($1)", "s", "Secret^Name"));
    assert_int_equal(err.code, DV_ERR_EXISTS);
    assert_null(strstr(err.message, "Secret"));
    if (on_postgres()) { /* SQLite takes it as 0 */
        assert_false(dv_db_exec(db, &err, "INSERT INTO u (x) VALUES (CAST($1 AS BIGINT))", "s", "Secret^Name"));
        assert_null(strstr(err.message, "Secret"));
        assert_non_null(strstr(err.message, "22P02"));
    }
    dv_db_close(db);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, make_folder, drop_folder)
    const struct CMUnitTest tests[] = {
        T(parameters_are_bound_by_their_number_not_by_first_appearance),
        T(every_type_comes_back_as_it_went),
        T(a_text_built_anew_at_the_same_address_is_not_mistaken_for_the_old_one),
        T(a_result_that_is_still_open_is_not_handed_out_twice),
        T(errors_say_what_kind_they_are_in_the_databases_words),
        T(a_reader_reads_and_cannot_write),
        T(a_member_is_rolled_back_alone),
        T(a_table_is_found_by_its_name),
        T(without_a_server_nothing_is_opened_and_no_password_is_shown),
        T(a_failing_member_leaves_the_others_of_its_transaction),
        T(order_and_prefixes_go_by_bytes_whatever_the_locale),
        T(another_statement_may_run_while_a_result_is_open),
        T(text_that_is_none_does_not_stop_a_row),
        T(what_is_posted_is_there_with_the_next_answer_and_its_failure_fails_its_member_only),
        T(a_duplicate_key_inside_a_transaction_takes_its_member_only),
        T(no_message_quotes_a_value),
    };
    const struct CMUnitTest sqlite[] = {
        T(full_is_in_force_for_the_transaction_that_asked_and_not_for_the_next),
        T(a_second_writer_is_told_that_it_is_locked),
        T(a_checkpoint_empties_the_log_and_says_what_a_reader_held_back),
        T(a_full_disk_is_told_and_takes_the_whole_transaction),
    };
    const struct CMUnitTest postgres[] = {
        T(synchronous_commit_is_on_for_the_transaction_that_asked_only),
        T(a_lost_connection_fails_its_transaction_and_the_next_one_has_a_new_connection),
        T(a_failed_statement_that_was_ignored_is_not_committed_as_if_all_were_well),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    return failed +
           (on_postgres() ? cmocka_run_group_tests(postgres, NULL, NULL) : cmocka_run_group_tests(sqlite, NULL, NULL));
}
