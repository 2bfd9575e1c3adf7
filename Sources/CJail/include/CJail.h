// The system calls that confine a process, one small function each: GNU extensions, calls that the C library has no name
// for, and structures that change with the kernel. Which of them are made, and in which order, is Sources/Jail.
//
// All return -1 and leave errno set on failure, and bind the calling thread: it must be the process's only one.
#pragma once
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stdint.h>
#include <sys/types.h>
#include <asm/unistd.h>

// How many threads this process has.
int cjail_threads(void);
// Memory comes from one heap whatever happens: that of a second one is given back by way of a file in /proc.
int cjail_one_heap(void);
// Closes `first` and all descriptors above.
int cjail_close_from(unsigned first);
// Makes this process the leader of a session of its own, without a terminal, unless it is already.
int cjail_lead_session(void);

// Leaves the network and the System V and POSIX queues of the system for new and empty ones. `in_user_namespace`: in a
// user namespace of its own, which is how a process without privileges may.
int cjail_leave_network(int in_user_namespace);
// Takes the user and group for good, with no other groups.
int cjail_become(uid_t user, gid_t group);
// Gives up all capabilities, in the process's user namespace too.
int cjail_no_capabilities(void);

// Nobody without privileges looks into this process, and no core is written.
int cjail_not_dumpable(void);
// The kernel kills this process when the thread that started it ends. ESRCH when nobody reads from `output` any more: that
// thread has ended already.
int cjail_die_with_parent(int output);
int cjail_no_new_privileges(void);

// Landlock's version in this kernel.
int cjail_landlock_abi(void);
// Denies all the actions named (bits of linux/landlock.h) everywhere. What kernels below `abi` do not know is left out.
int cjail_landlock_deny(int abi, uint64_t files, uint64_t network, uint64_t scopes);

// From here on the kernel asks the program about every system call.
int cjail_filter(const struct sock_filter *program, unsigned short count);

// The architecture that system calls of this program's kind come from, for the filter; 0 on one that is not known.
extern const uint32_t cjail_architecture;
