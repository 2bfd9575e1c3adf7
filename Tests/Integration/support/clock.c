// Preloaded into a program, this sets its clock of the day ahead by TEST_CLOCK_AHEAD seconds. Clocks that measure spans of
// time, and all waiting, stay as they are.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdlib.h>
#include <sys/time.h>
#include <time.h>

static int (*real)(clockid_t, struct timespec *);
static time_t ahead;

__attribute__((constructor)) static void begin(void) {
  const char *seconds = getenv("TEST_CLOCK_AHEAD");
  ahead = seconds ? atoll(seconds) : 0;
  *(void **)&real = dlsym(RTLD_NEXT, "clock_gettime");
}

int clock_gettime(clockid_t clock, struct timespec *now) {
  if (!real) begin();  // asked before the constructors have run
  int result = real(clock, now);
  if (!result && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE)) now->tv_sec += ahead;
  return result;
}

int gettimeofday(struct timeval *restrict now, void *restrict zone) {
  (void)zone;
  struct timespec found;
  int result = clock_gettime(CLOCK_REALTIME, &found);
  *now = (struct timeval){found.tv_sec, found.tv_nsec / 1000};
  return result;
}

time_t time(time_t *result) {
  struct timespec found;
  clock_gettime(CLOCK_REALTIME_COARSE, &found);
  if (result) *result = found.tv_sec;
  return found.tv_sec;
}
