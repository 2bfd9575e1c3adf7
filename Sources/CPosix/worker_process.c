#define _GNU_SOURCE
#include "worker_process.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stddef.h>
#include <sys/pidfd.h>
#include <sys/wait.h>
#include <unistd.h>

int cposix_spawn_worker(
    const char *path, char *const arguments[], int input, int output, int contents, pid_t *pid, int *life) {
  // Swift's crash reporter would hold a crashed worker for minutes.
  char *const environment[] = {"SWIFT_BACKTRACE=enable=no", "LC_ALL=C.UTF-8", NULL};
  posix_spawn_file_actions_t actions;
  posix_spawnattr_t attributes;
  int status = posix_spawn_file_actions_init(&actions);
  if (status) return status;
  status = posix_spawnattr_init(&attributes);
  if (status) {
    posix_spawn_file_actions_destroy(&actions);
    return status;
  }
  sigset_t all, none;
  sigfillset(&all);
  sigemptyset(&none);
  if (!status) status = posix_spawn_file_actions_adddup2(&actions, input, 0);
  if (!status) status = posix_spawn_file_actions_adddup2(&actions, output, 1);
  if (!status) status = posix_spawn_file_actions_addopen(&actions, 2, "/dev/null", O_WRONLY, 0);
  // The last of them: until here 3 may be one of the other two.
  if (!status && contents >= 0) status = posix_spawn_file_actions_adddup2(&actions, contents, 3);
  if (!status) status = posix_spawn_file_actions_addclosefrom_np(&actions, contents >= 0 ? 4 : 3);
  if (!status) status = posix_spawnattr_setsigdefault(&attributes, &all);
  if (!status) status = posix_spawnattr_setsigmask(&attributes, &none);
  if (!status) status = posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK);
  if (!status) status = posix_spawn(pid, path, &actions, &attributes, arguments, environment);
  posix_spawnattr_destroy(&attributes);
  posix_spawn_file_actions_destroy(&actions);
  if (status) return status;
  *life = pidfd_open(*pid, 0);
  if (*life >= 0) return 0;
  status = errno;
  kill(*pid, SIGKILL);
  while (waitpid(*pid, NULL, 0) < 0 && errno == EINTR) {
  }
  return status;
}

int cposix_pipe(int *reading, int *writing, int capacity) {
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) < 0) return -1;
  // A smaller pipe than asked for (the kernel's limit for this user) still works.
  (void)fcntl(ends[1], F_SETPIPE_SZ, capacity);
  *reading = ends[0];
  *writing = ends[1];
  return 0;
}

int cposix_wait_zombie(pid_t pid) {
  siginfo_t information;
  int status;
  do status = waitid(P_PID, (id_t)pid, &information, WEXITED | WNOWAIT);
  while (status < 0 && errno == EINTR);
  return status;
}

int cposix_reap(pid_t pid, cposix_end *end, int *value) {
  int status;
  pid_t got;
  do got = waitpid(pid, &status, 0);
  while (got < 0 && errno == EINTR);
  if (got < 0) return -1;
  if (WIFSIGNALED(status)) {
    *end = cposix_signalled;
    *value = WTERMSIG(status);
  } else {
    *end = cposix_exited;
    *value = WEXITSTATUS(status);
  }
  return 0;
}

int cposix_poll_pair(int reading, int writing, int timeout_ms) {
  struct pollfd ends[2] = {{.fd = reading, .events = POLLIN}, {.fd = writing, .events = POLLOUT}};
  int count = poll(ends, 2, timeout_ms);
  if (count < 0) return errno == EINTR ? 0 : -1;
  return (ends[0].revents ? 1 : 0) | (ends[1].revents ? 2 : 0);
}
