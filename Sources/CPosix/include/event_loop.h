// epoll, eventfd, Unix sockets and peer credentials.
#pragma once
#include <stdint.h>
#include <stddef.h>
#include <sys/types.h>

// Events as epoll reports them, without its packed structure.
typedef struct {
  uint32_t events;
  uint64_t token;
} cposix_event;

extern const uint32_t cposix_event_in;
extern const uint32_t cposix_event_out;
extern const uint32_t cposix_event_hangup;  // EPOLLHUP | EPOLLERR

// All return -1 and leave errno set on failure.
int cposix_epoll_create(void);
int cposix_epoll_add(int epoll, int descriptor, uint32_t events, uint64_t token);
int cposix_epoll_modify(int epoll, int descriptor, uint32_t events, uint64_t token);
int cposix_epoll_remove(int epoll, int descriptor);
// Waits without limit when timeout_ms is negative; fills at most `capacity` (<= 256) events. EINTR reads as 0 events.
int cposix_epoll_wait(int epoll, cposix_event *events, int capacity, int timeout_ms);

int cposix_eventfd(void);

// Accepts a connection, non-blocking and close-on-exec.
int cposix_accept(int listener);
int cposix_peer_credentials(int descriptor, uint32_t *uid, uint32_t *gid, int32_t *pid);

// The peer's supplementary groups: their number, or -1 with ERANGE and the number needed in *capacity.
int cposix_peer_groups(int descriptor, uint32_t *groups, int32_t *capacity);

// A listening Unix stream socket at `path`: bound under a temporary name in the same directory, given `mode` and
// (if gid >= 0) the group, then renamed into place, so that it is never wider than `mode` at any instant. Takes the place
// of a socket that nobody serves any more; EADDRINUSE when somebody does, EEXIST when `path` is any other file.
int cposix_listen_unix(const char *path, mode_t mode, int64_t gid, int backlog);
// A blocking connection; ENAMETOOLONG when the path does not fit.
int cposix_connect_unix(const char *path);
// A non-blocking one; EAGAIN where the listener has as many waiting as it takes.
int cposix_connect_unix_nonblocking(const char *path);

int cposix_set_nonblocking(int descriptor);
// send(2) with MSG_NOSIGNAL.
ssize_t cposix_send(int descriptor, const void *bytes, size_t count);

// open(2) with a mode, which is variadic.
int cposix_open(const char *path, int flags, mode_t mode);
int cposix_not_dumpable(void);
// Gives the free pages of all heaps back to the system.
void cposix_trim_memory(void);
// Bounds what is free at the end of each heap and is kept, which trimming leaves alone in all heaps but the first. By itself the C
// library keeps twice as much as the largest block that was ever freed. 0, or -1 where it refuses.
int cposix_bound_kept_memory(size_t bytes);
// Names the calling thread (15 bytes are kept).
int cposix_name_thread(const char *name);
// `environ`, which Swift 6 does not let be read as a global.
char **cposix_environment(void);
