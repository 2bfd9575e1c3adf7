#define _GNU_SOURCE
#include "service_life.h"

#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <stdlib.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/xattr.h>
#include <unistd.h>

int cposix_send_datagram(const char *path, const void *bytes, size_t count) {
  struct sockaddr_un to = {.sun_family = AF_UNIX};
  size_t length = strlen(path);
  if (length < 2 || length >= sizeof to.sun_path || (path[0] != '/' && path[0] != '@')) {
    errno = EINVAL;
    return -1;
  }
  memcpy(to.sun_path, path, length);
  // An abstract name begins with a NUL and has no other; one in the file system ends with it.
  socklen_t size = offsetof(struct sockaddr_un, sun_path) + length + (path[0] == '/');
  if (path[0] == '@') to.sun_path[0] = 0;
  int descriptor = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (descriptor < 0) return -1;
  ssize_t sent;
  do sent = sendto(descriptor, bytes, count, MSG_NOSIGNAL | MSG_DONTWAIT, (struct sockaddr *)&to, size);
  while (sent < 0 && errno == EINTR);
  int saved = errno;
  close(descriptor);
  errno = saved;
  return sent < 0 ? -1 : 0;
}

int cposix_set_close_on_exec(int descriptor) {
  int flags = fcntl(descriptor, F_GETFD);
  return flags < 0 ? -1 : fcntl(descriptor, F_SETFD, flags | FD_CLOEXEC);
}

static int is_option(int descriptor, int option, int wanted) {
  int value;
  socklen_t size = sizeof value;
  return getsockopt(descriptor, SOL_SOCKET, option, &value, &size) == 0 && value == wanted;
}

int cposix_take_listener(int descriptor) {
  if (cposix_set_close_on_exec(descriptor) < 0) return -1;
  if (!is_option(descriptor, SO_DOMAIN, AF_UNIX) || !is_option(descriptor, SO_TYPE, SOCK_STREAM) ||
      !is_option(descriptor, SO_ACCEPTCONN, 1)) {
    errno = EINVAL;
    return -1;
  }
  int flags = fcntl(descriptor, F_GETFL);
  return flags < 0 ? -1 : fcntl(descriptor, F_SETFL, flags | O_NONBLOCK);
}

int cposix_bound_path(int descriptor, char *path, size_t capacity) {
  struct sockaddr_un at;
  socklen_t size = sizeof at;
  if (getsockname(descriptor, (struct sockaddr *)&at, &size) < 0) return -1;
  size_t length = size > offsetof(struct sockaddr_un, sun_path) ? size - offsetof(struct sockaddr_un, sun_path) : 0;
  if (length + 1 > capacity) {
    errno = ERANGE;
    return -1;
  }
  // An abstract name is shown as it is written elsewhere, with '@' for its first NUL.
  memcpy(path, at.sun_path, length);
  path[length] = 0;
  if (length > 0 && path[0] == 0) path[0] = '@';
  return 0;
}

// POSIX access lists as the kernel takes them (linux/posix_acl_xattr.h), little-endian.
struct acl_entry {
  uint16_t tag, permissions;
  uint32_t id;
};
enum { user_obj = 0x01, user = 0x02, group_obj = 0x04, group = 0x08, mask = 0x10, other = 0x20 };
static const char *const acl_name = "system.posix_acl_access";

static struct acl_entry entry(int tag, unsigned permissions, uint32_t id) {
  return (struct acl_entry){htole16(tag), htole16(permissions), htole32(id)};
}

int cposix_set_access(const char *path, mode_t mode, const cposix_acl *acl) {
  // A list goes first: while there is one, the group's bits of the mode mean its mask.
  if (removexattr(path, acl_name) < 0 && errno != ENODATA && errno != EOPNOTSUPP) return -1;
  if (chmod(path, mode) < 0) return -1;
  size_t named = acl->user_count + acl->group_count;
  if (named == 0) return 0;
  size_t size = sizeof(uint32_t) + (4 + named) * sizeof(struct acl_entry);
  unsigned char *value = malloc(size);
  if (!value) return -1;
  uint32_t version = htole32(2);
  memcpy(value, &version, sizeof version);
  struct acl_entry *entries = (struct acl_entry *)(value + sizeof version);
  size_t count = 0;
  const unsigned read_write = 6;
  entries[count++] = entry(user_obj, (mode >> 6) & 7, UINT32_MAX);
  for (size_t i = 0; i < acl->user_count; i++) entries[count++] = entry(user, read_write, acl->users[i]);
  entries[count++] = entry(group_obj, (mode >> 3) & 7, UINT32_MAX);
  for (size_t i = 0; i < acl->group_count; i++) entries[count++] = entry(group, read_write, acl->groups[i]);
  entries[count++] = entry(mask, read_write, UINT32_MAX);
  entries[count++] = entry(other, mode & 7, UINT32_MAX);
  int result = setxattr(path, acl_name, value, size, 0);
  int saved = errno;
  free(value);
  errno = saved;
  return result;
}

// Calls `ask` with a buffer that grows until the entry fits.
#define LOOK_UP(type, ask, field)                                                         \
  struct type found, *result = NULL;                                                      \
  for (size_t size = 4096; size <= 1 << 20; size *= 4) {                                   \
    char *buffer = malloc(size);                                                          \
    if (!buffer) return -1;                                                               \
    int status = ask(name, &found, buffer, size, &result);                                \
    if (status == 0 && result) *id = found.field;                                         \
    free(buffer);                                                                         \
    if (status == 0 && result) return 0;                                                  \
    if (status != ERANGE && status != EINTR) {                                            \
      errno = status == 0 || status == ESRCH || status == EBADF || status == EPERM ? ENOENT : status; \
      return -1;                                                                          \
    }                                                                                     \
  }                                                                                       \
  errno = ERANGE;                                                                         \
  return -1;

int cposix_user_id(const char *name, uint32_t *id) { LOOK_UP(passwd, getpwnam_r, pw_uid) }

int cposix_group_id(const char *name, uint32_t *id) { LOOK_UP(group, getgrnam_r, gr_gid) }
