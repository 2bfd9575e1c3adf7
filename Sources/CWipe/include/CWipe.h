// Memory that is given back is wiped: what the process no longer needs of a secret is not there to be read, whoever held
// it: our own strings, libcurl, nghttp2, OpenSSL, protobuf-c. Linking this takes the place of the C library's `free`
// and `realloc` for the whole process; builds with a sanitizer, which brings its own, are left alone.
//
// What is not reached: memory in use, stacks, and what the kernel holds.
#pragma once
#include <stdbool.h>

// Whether freed memory is wiped in this process: asked at its start, for a linker may have dropped the functions.
bool cwipe_works(void);
