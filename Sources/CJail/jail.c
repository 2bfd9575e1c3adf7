#define _GNU_SOURCE
#include "CJail.h"

#include <errno.h>
#include <grp.h>
#include <linux/capability.h>
#include <malloc.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#if defined(__x86_64__)
const uint32_t cjail_architecture = AUDIT_ARCH_X86_64;
#elif defined(__aarch64__)
const uint32_t cjail_architecture = AUDIT_ARCH_AARCH64;
#else
const uint32_t cjail_architecture = 0;
#endif

int cjail_threads(void) {
  struct stat tasks;
  if (stat("/proc/self/task", &tasks) < 0) return -1;
  // A directory has a link from each one in it, and two of its own.
  return (int)tasks.st_nlink - 2;
}

int cjail_one_heap(void) {
  if (mallopt(M_ARENA_MAX, 1)) return 0;
  errno = EINVAL;
  return -1;
}

int cjail_close_from(unsigned first) { return (int)syscall(__NR_close_range, first, ~0U, 0); }

int cjail_lead_session(void) { return getsid(0) == getpid() || setsid() >= 0 ? 0 : -1; }

int cjail_leave_network(int in_user_namespace) {
  return unshare(CLONE_NEWNET | CLONE_NEWIPC | (in_user_namespace ? CLONE_NEWUSER : 0));
}

int cjail_become(uid_t user, gid_t group) {
  if (setgroups(0, NULL) < 0 || setresgid(group, group, group) < 0 || setresuid(user, user, user) < 0) return -1;
  // There must be no way back.
  if (setresuid(0, 0, 0) == 0) {
    errno = EPERM;
    return -1;
  }
  return 0;
}

int cjail_no_capabilities(void) {
  struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
  const struct __user_cap_data_struct none[_LINUX_CAPABILITY_U32S_3] = {{0}};
  return (int)syscall(__NR_capset, &header, none);
}

int cjail_not_dumpable(void) { return prctl(PR_SET_DUMPABLE, 0); }

int cjail_die_with_parent(int output) {
  if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0) return -1;
  struct pollfd reader = {.fd = output};
  if (poll(&reader, 1, 0) < 0) return -1;
  if (reader.revents & POLLERR) {
    errno = ESRCH;
    return -1;
  }
  return 0;
}

int cjail_no_new_privileges(void) { return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); }

// As of version 6 of Landlock; the C library's headers may know less.
struct ruleset {
  uint64_t files;    // from version 1
  uint64_t network;  // from version 4
  uint64_t scopes;   // from version 6
};
enum { ask_version = 1 };

int cjail_landlock_abi(void) { return (int)syscall(__NR_landlock_create_ruleset, NULL, 0, ask_version); }

int cjail_landlock_deny(int abi, uint64_t files, uint64_t network, uint64_t scopes) {
  const struct ruleset all = {files, network, scopes};
  size_t size = abi < 4 ? offsetof(struct ruleset, network) : abi < 6 ? offsetof(struct ruleset, scopes) : sizeof all;
  int rules = (int)syscall(__NR_landlock_create_ruleset, &all, size, 0);
  if (rules < 0) return -1;
  int status = (int)syscall(__NR_landlock_restrict_self, rules, 0);
  int saved = errno;
  close(rules);
  errno = saved;
  return status;
}

int cjail_filter(const struct sock_filter *program, unsigned short count) {
  const struct sock_fprog whole = {.len = count, .filter = (struct sock_filter *)program};
  return (int)syscall(__NR_seccomp, SECCOMP_SET_MODE_FILTER, 0, &whole);
}
