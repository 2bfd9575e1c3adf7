#define _GNU_SOURCE
#include "event_loop.h"

#include "service_life.h"

#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

const uint32_t cposix_event_in = EPOLLIN;
const uint32_t cposix_event_out = EPOLLOUT;
const uint32_t cposix_event_hangup = EPOLLHUP | EPOLLERR;

int cposix_epoll_create(void) { return epoll_create1(EPOLL_CLOEXEC); }

static int control(int epoll, int operation, int descriptor, uint32_t events, uint64_t token) {
  struct epoll_event event = {.events = events, .data.u64 = token};
  return epoll_ctl(epoll, operation, descriptor, &event);
}

int cposix_epoll_add(int epoll, int descriptor, uint32_t events, uint64_t token) {
  return control(epoll, EPOLL_CTL_ADD, descriptor, events, token);
}

int cposix_epoll_modify(int epoll, int descriptor, uint32_t events, uint64_t token) {
  return control(epoll, EPOLL_CTL_MOD, descriptor, events, token);
}

int cposix_epoll_remove(int epoll, int descriptor) { return epoll_ctl(epoll, EPOLL_CTL_DEL, descriptor, NULL); }

int cposix_epoll_wait(int epoll, cposix_event *events, int capacity, int timeout_ms) {
  struct epoll_event ready[256];
  if (capacity > 256) capacity = 256;
  int count = epoll_wait(epoll, ready, capacity, timeout_ms);
  if (count < 0 && errno == EINTR) return 0;
  for (int i = 0; i < count; i++) events[i] = (cposix_event){.events = ready[i].events, .token = ready[i].data.u64};
  return count;
}

int cposix_eventfd(void) { return eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK); }

int cposix_accept(int listener) { return accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC); }

int cposix_peer_credentials(int descriptor, uint32_t *uid, uint32_t *gid, int32_t *pid) {
  struct ucred credentials;
  socklen_t size = sizeof credentials;
  if (getsockopt(descriptor, SOL_SOCKET, SO_PEERCRED, &credentials, &size) < 0) return -1;
  *uid = credentials.uid;
  *gid = credentials.gid;
  *pid = credentials.pid;
  return 0;
}

#ifndef SO_PEERGROUPS
#define SO_PEERGROUPS 59
#endif

int cposix_peer_groups(int descriptor, uint32_t *groups, int32_t *capacity) {
  socklen_t size = (socklen_t)*capacity * sizeof(uint32_t);
  int status = getsockopt(descriptor, SOL_SOCKET, SO_PEERGROUPS, groups, &size);
  *capacity = (int32_t)(size / sizeof(uint32_t));
  return status < 0 ? -1 : *capacity;
}

static int address(const char *path, struct sockaddr_un *address) {
  *address = (struct sockaddr_un){.sun_family = AF_UNIX};
  if (strlen(path) >= sizeof address->sun_path) {
    errno = ENAMETOOLONG;
    return -1;
  }
  strcpy(address->sun_path, path);
  return 0;
}

// Whether the name may be taken: 0 when nothing is there or a socket nobody listens on; -1 with EADDRINUSE for one that
// is served, EEXIST for any other file.
static int free_to_take(const char *path) {
  struct stat status;
  if (lstat(path, &status) < 0) return errno == ENOENT ? 0 : -1;
  if (!S_ISSOCK(status.st_mode)) {
    errno = EEXIST;
    return -1;
  }
  struct sockaddr_un at;
  if (address(path, &at) < 0) return -1;
  int probe = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (probe < 0) return -1;
  int dead = connect(probe, (struct sockaddr *)&at, sizeof at) < 0 && (errno == ECONNREFUSED || errno == ENOENT);
  close(probe);
  if (!dead) errno = EADDRINUSE;
  return dead ? 0 : -1;
}

int cposix_listen_unix(const char *path, mode_t mode, int64_t gid, int backlog) {
  const cposix_acl none = {0};
  int acl_errno;
  return cposix_listen_unix_acl(path, mode, gid, &none, backlog, &acl_errno);
}

int cposix_listen_unix_acl(
    const char *path, mode_t mode, int64_t gid, const cposix_acl *acl, int backlog, int *acl_errno) {
  *acl_errno = 0;
  char temporary[sizeof(((struct sockaddr_un *)0)->sun_path)];
  struct sockaddr_un at;
  int length = snprintf(temporary, sizeof temporary, "%s.%x", path, (unsigned)getpid());
  if (length < 0 || (size_t)length >= sizeof temporary) {
    errno = ENAMETOOLONG;
    return -1;
  }
  if (address(temporary, &at) < 0 || free_to_take(path) < 0) return -1;
  int descriptor = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (descriptor < 0) return -1;
  unlink(temporary);
  // The mode of a socket file comes from the descriptor's own mode at bind: fchmod first closes the window that
  // bind-then-chmod leaves, without touching the process-wide umask.
  if (fchmod(descriptor, 0600) < 0) goto failed;
  if (bind(descriptor, (struct sockaddr *)&at, sizeof at) < 0) goto failed;
  if (gid >= 0 && chown(temporary, (uid_t)-1, (gid_t)gid) < 0) goto unlink_failed;
  if (cposix_set_access(temporary, mode, acl) < 0) {
    if (errno != EOPNOTSUPP) goto unlink_failed;
    *acl_errno = errno;
  }
  if (listen(descriptor, backlog) < 0) goto unlink_failed;
  if (rename(temporary, path) < 0) goto unlink_failed;
  return descriptor;
unlink_failed: {
  int saved = errno;
  unlink(temporary);
  errno = saved;
}
failed: {
  int saved = errno;
  close(descriptor);
  errno = saved;
}
  return -1;
}

static int connect_unix(const char *path, int flags) {
  struct sockaddr_un at;
  if (address(path, &at) < 0) return -1;
  int descriptor = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | flags, 0);
  if (descriptor < 0) return -1;
  int status;
  // A Unix socket that was interrupted is not connecting: it may be asked again.
  do status = connect(descriptor, (struct sockaddr *)&at, sizeof at);
  while (status < 0 && errno == EINTR);
  if (status < 0) {
    int saved = errno;
    close(descriptor);
    errno = saved;
    return -1;
  }
  return descriptor;
}

int cposix_connect_unix(const char *path) { return connect_unix(path, 0); }

int cposix_connect_unix_nonblocking(const char *path) { return connect_unix(path, SOCK_NONBLOCK); }

int cposix_set_nonblocking(int descriptor) {
  int flags = fcntl(descriptor, F_GETFL);
  return flags < 0 ? -1 : fcntl(descriptor, F_SETFL, flags | O_NONBLOCK);
}

ssize_t cposix_send(int descriptor, const void *bytes, size_t count) {
  return send(descriptor, bytes, count, MSG_NOSIGNAL);
}

int cposix_open(const char *path, int flags, mode_t mode) { return open(path, flags, mode); }

void cposix_trim_memory(void) { malloc_trim(0); }

int cposix_bound_kept_memory(size_t bytes) {
  return mallopt(M_TRIM_THRESHOLD, (int)bytes) && mallopt(M_MMAP_THRESHOLD, (int)bytes) ? 0 : -1;
}

int cposix_not_dumpable(void) { return prctl(PR_SET_DUMPABLE, 0); }

int cposix_name_thread(const char *name) { return prctl(PR_SET_NAME, name); }

extern char **environ;
char **cposix_environment(void) { return environ; }
