#include "sandbox.h"

#include <signal.h>
#include <sys/prctl.h>

int cposix_no_new_privileges(void) { return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); }

int cposix_die_with_parent(void) { return prctl(PR_SET_PDEATHSIG, SIGKILL); }
