// Worker processes and the pipes to them.
#pragma once
#include <stdint.h>
#include <sys/types.h>

// Starts the program at `path` (with the words in `arguments`, which ends in NULL and begins with the program's own name) with
// `input` and `output` as its descriptors 0 and 1, 2 on /dev/null, `contents` as 3 unless it is -1, nothing else open, default
// signal handling and an environment of its own. `life` gets a close-on-exec descriptor that can be read from when it has
// ended. Returns 0 or an errno.
int cposix_spawn_worker(
    const char *path, char *const arguments[], int input, int output, int contents, pid_t *pid, int *life);

// A close-on-exec pipe of about `capacity` bytes (as near as the kernel allows); -1 with errno on failure.
int cposix_pipe(int *reading, int *writing, int capacity);

typedef enum {
  cposix_exited = 0,
  cposix_signalled = 1,
} cposix_end;

// Waits until a child has ended and leaves it a zombie, so that its number stays its own. -1 with errno on failure.
int cposix_wait_zombie(pid_t pid);
// Reaps a child. `value` gets its exit status or signal. -1 with errno on failure.
int cposix_reap(pid_t pid, cposix_end *end, int *value);

// Waits until `reading` has something to read or `writing` takes something (either may be -1); bit 0: reading, bit 1:
// writing. -1 with errno on failure; EINTR reads as 0.
int cposix_poll_pair(int reading, int writing, int timeout_ms);
