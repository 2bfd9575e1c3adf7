// The same as an enqueue, done by SQLite: a job with its two indexes (the one job of an image that has not ended, and the
// order of those that wait) and the event that tells of it. WAL, synchronous=FULL.
//
//   sqlite FILE one|threads|batch COUNT
//
// one: a transaction each, one after the other; threads: 16 threads with a connection each, a transaction each; batch: all
// in one transaction. Prints jobs a second. Threads take turns by a mutex: SQLite's own waiting for a lock sleeps.
#include <pthread.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { THREADS = 16 };

static const char *const schema =
    "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;"
    "CREATE TABLE IF NOT EXISTS jobs(id INTEGER PRIMARY KEY, integration INTEGER, repository TEXT, digest TEXT, tag TEXT,"
    " state INTEGER, priority INTEGER, enqueued INTEGER);"
    "CREATE UNIQUE INDEX IF NOT EXISTS active ON jobs(integration, repository, digest) WHERE state < 4;"
    "CREATE INDEX IF NOT EXISTS ready ON jobs(integration, priority, id) WHERE state = 1;"
    "CREATE TABLE IF NOT EXISTS events(id INTEGER PRIMARY KEY, time INTEGER, kind TEXT, job INTEGER, body BLOB);";

struct client {
  sqlite3 *database;
  sqlite3_stmt *begin, *job, *event, *commit;
};

static const char *file;
static pthread_mutex_t turn = PTHREAD_MUTEX_INITIALIZER;
static long first, next, end;

static void check(int status, sqlite3 *database, const char *what) {
  if (status == SQLITE_OK || status == SQLITE_DONE || status == SQLITE_ROW) return;
  fprintf(stderr, "%s: %s\n", what, database ? sqlite3_errmsg(database) : sqlite3_errstr(status));
  exit(1);
}

static double now(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return time.tv_sec + time.tv_nsec * 1e-9;
}

static void prepare(struct client *client, sqlite3_stmt **statement, const char *text) {
  check(sqlite3_prepare_v3(client->database, text, -1, SQLITE_PREPARE_PERSISTENT, statement, NULL), client->database, text);
}

static void open_client(struct client *client) {
  check(sqlite3_open(file, &client->database), client->database, "open");
  sqlite3_busy_timeout(client->database, 10000);
  check(sqlite3_exec(client->database, schema, NULL, NULL, NULL), client->database, "schema");
  prepare(client, &client->begin, "BEGIN IMMEDIATE");
  prepare(client, &client->commit, "COMMIT");
  prepare(client, &client->job, "INSERT INTO jobs VALUES(?, 1, ?, ?, '1.0', 1, 0, ?)");
  prepare(client, &client->event, "INSERT INTO events VALUES(?, ?, 'job.queued', ?, ?)");
}

static void step(struct client *client, sqlite3_stmt *statement) {
  check(sqlite3_step(statement), client->database, "step");
  sqlite3_reset(statement);
}

static void insert(struct client *client, long id) {
  char repository[32], digest[80], body[200];
  snprintf(repository, sizeof repository, "team-%ld/service-%ld", id % 20, id % 500);
  snprintf(digest, sizeof digest, "sha256:%064lx", id);
  memset(body, 'x', sizeof body);
  sqlite3_bind_int64(client->job, 1, id);
  sqlite3_bind_text(client->job, 2, repository, -1, SQLITE_TRANSIENT);
  sqlite3_bind_text(client->job, 3, digest, -1, SQLITE_TRANSIENT);
  sqlite3_bind_int64(client->job, 4, 1790000000000000000);
  step(client, client->job);
  sqlite3_bind_int64(client->event, 1, id);
  sqlite3_bind_int64(client->event, 2, 1790000000000000000);
  sqlite3_bind_int64(client->event, 3, id);
  sqlite3_bind_blob(client->event, 4, body, sizeof body, SQLITE_TRANSIENT);
  step(client, client->event);
}

static void *work(void *argument) {
  struct client *client = argument;
  for (;;) {
    pthread_mutex_lock(&turn);
    long id = next++;
    if (id < end) {
      step(client, client->begin);
      insert(client, id);
      step(client, client->commit);
    }
    pthread_mutex_unlock(&turn);
    if (id >= end) return NULL;
  }
}

int main(int argc, char **argv) {
  if (argc != 4) return 2;
  file = argv[1];
  int count = strcmp(argv[2], "threads") ? 1 : THREADS;
  struct client clients[THREADS];
  for (int i = 0; i < count; i++) open_client(clients + i);
  sqlite3_stmt *highest;
  prepare(clients, &highest, "SELECT coalesce(max(id), 0) FROM jobs");
  check(sqlite3_step(highest), clients[0].database, "highest");
  first = next = sqlite3_column_int64(highest, 0) + 1;
  sqlite3_finalize(highest);
  end = first + atol(argv[3]);
  double start = now();
  if (!strcmp(argv[2], "batch")) {
    step(clients, clients[0].begin);
    for (; next < end; next++) insert(clients, next);
    step(clients, clients[0].commit);
  } else {
    pthread_t threads[THREADS];
    for (int i = 0; i < count; i++) pthread_create(threads + i, NULL, work, clients + i);
    for (int i = 0; i < count; i++) pthread_join(threads[i], NULL);
  }
  printf("%.1f\n", (end - first) / (now() - start));
}
