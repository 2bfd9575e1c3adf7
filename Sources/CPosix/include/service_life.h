// What a service needs of the system that starts it, and of the file system its socket lies in.
#pragma once
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

// All return -1 and leave errno set on failure.

// Sends one datagram to the Unix socket at `path`, abstract when it begins with '@'. Never waits.
int cposix_send_datagram(const char *path, const void *bytes, size_t count);

// Makes an inherited descriptor close-on-exec and non-blocking, if it is a listening Unix stream socket: EINVAL when it is
// anything else.
int cposix_take_listener(int descriptor);
int cposix_set_close_on_exec(int descriptor);
// The path that a socket is bound to, with its NUL: 0 for one without, ERANGE when `capacity` is too small.
int cposix_bound_path(int descriptor, char *path, size_t capacity);

// Users and groups that may read and write a file beside those its mode names.
typedef struct {
  const uint32_t *users;
  size_t user_count;
  const uint32_t *groups;
  size_t group_count;
} cposix_acl;

// Gives `path` a mode and a list, in place of those it had. EOPNOTSUPP where the file system knows no such lists; the
// mode holds then.
int cposix_set_access(const char *path, mode_t mode, const cposix_acl *acl);

// As cposix_listen_unix, with a list that holds before the socket is at its place. Where the file system knows no lists,
// *acl_errno gets the errno and the socket has none; else it gets 0.
int cposix_listen_unix_acl(
    const char *path, mode_t mode, int64_t gid, const cposix_acl *acl, int backlog, int *acl_errno);

// The number of a user or group by name; ENOENT when there is none.
int cposix_user_id(const char *name, uint32_t *id);
int cposix_group_id(const char *name, uint32_t *id);
