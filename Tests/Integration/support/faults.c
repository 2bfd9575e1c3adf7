// Preloaded into a program, this makes its disk fail: while the file named by TEST_FAULTS exists, what that file says fails
// with EIO, for the state environment alone.
//   sync  fdatasync
//   meta  the write of a meta page, 120 bytes on a synchronous descriptor
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { META_BYTES = 120 };

static int fails(const char *what, int descriptor) {
  const char *control = getenv("TEST_FAULTS");
  char link[64], path[4096], text[64];
  if (!control) return 0;
  int file = open(control, O_RDONLY | O_CLOEXEC);
  if (file < 0) return 0;
  ssize_t count = read(file, text, sizeof text - 1);
  close(file);
  if (count < 0) return 0;
  text[count] = 0;
  if (!strstr(text, what)) return 0;
  snprintf(link, sizeof link, "/proc/self/fd/%d", descriptor);
  count = readlink(link, path, sizeof path - 1);
  if (count < 0) return 0;
  path[count] = 0;
  const char *name = strrchr(path, '/');
  return name && !strcmp(name, "/state.mdb");
}

int fdatasync(int descriptor) {
  if (fails("sync", descriptor)) {
    errno = EIO;
    return -1;
  }
  return (int)syscall(SYS_fdatasync, descriptor);
}

ssize_t pwrite(int descriptor, const void *bytes, size_t count, off_t place) {
  if (count == META_BYTES && fcntl(descriptor, F_GETFL) & O_DSYNC && fails("meta", descriptor)) {
    errno = EIO;
    return -1;
  }
  return syscall(SYS_pwrite64, descriptor, bytes, count, place);
}
