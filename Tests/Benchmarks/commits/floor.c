// One put of 200 bytes per full-sync commit of LMDB: what a durable change costs at least.
//
//   floor FILE COUNT
//
// Prints commits a second, and the median and 99th percentile of the time of one in microseconds. FILE is made if it is
// missing, and goes on from what it holds.
#include <lmdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static void check(int status, const char *what) {
  if (status == 0) return;
  fprintf(stderr, "%s: %s\n", what, mdb_strerror(status));
  exit(1);
}

static double now(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return time.tv_sec + time.tv_nsec * 1e-9;
}

static int by_size(const void *one, const void *other) {
  double left = *(const double *)one, right = *(const double *)other;
  return (left > right) - (left < right);
}

int main(int argc, char **argv) {
  if (argc != 3) return 2;
  long count = atol(argv[2]);
  double *times = calloc(count, sizeof *times);
  MDB_env *environment;
  check(mdb_env_create(&environment), "create");
  check(mdb_env_set_mapsize(environment, (size_t)4 << 30), "map");
  check(mdb_env_open(environment, argv[1], MDB_NOSUBDIR | MDB_NOTLS, 0600), "open");
  MDB_txn *transaction;
  MDB_dbi table;
  MDB_stat held;
  check(mdb_txn_begin(environment, NULL, 0, &transaction), "begin");
  check(mdb_dbi_open(transaction, NULL, 0, &table), "table");
  check(mdb_stat(transaction, table, &held), "stat");
  check(mdb_txn_commit(transaction), "commit");
  unsigned char key[8], value[200];
  memset(value, 'x', sizeof value);
  double start = now(), time = start;
  for (long i = 0; i < count; i++) {
    unsigned long number = held.ms_entries + i;
    for (int j = 0; j < 8; j++) key[j] = number >> (56 - 8 * j);
    MDB_val k = {sizeof key, key}, v = {sizeof value, value};
    check(mdb_txn_begin(environment, NULL, 0, &transaction), "begin");
    check(mdb_put(transaction, table, &k, &v, 0), "put");
    check(mdb_txn_commit(transaction), "commit");
    double next = now();
    times[i] = next - time;
    time = next;
  }
  qsort(times, count, sizeof *times, by_size);
  printf("%.1f %.1f %.1f\n", count / (time - start), times[count / 2] * 1e6, times[(long)(count * 0.99)] * 1e6);
}
