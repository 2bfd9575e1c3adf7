// What a worker process gives up before it looks at hostile bytes.
#pragma once

// Both return -1 and leave errno set on failure.
// No program that is started from here on gains privileges.
int cposix_no_new_privileges(void);
// The kernel kills this process when the thread that started it ends.
int cposix_die_with_parent(void);
