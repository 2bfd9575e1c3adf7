#define _GNU_SOURCE
#include "CWipe.h"

#include <dlfcn.h>
#include <malloc.h>
#include <stdlib.h>
#include <string.h>

#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define CWIPE_SANITIZED 1
#endif
#endif

#ifdef CWIPE_SANITIZED

bool cwipe_works(void) { return true; }

#else

// glibc's own, which it exports for those who stand in front of it.
extern void __libc_free(void *pointer);
extern void *__libc_malloc(size_t size);

void free(void *pointer) {
  if (!pointer) return;
  explicit_bzero(pointer, malloc_usable_size(pointer));
  __libc_free(pointer);
}

// glibc's would give the old block back without asking `free`.
void *realloc(void *old, size_t size) {
  if (!old) return __libc_malloc(size);
  if (size == 0) {
    free(old);
    return NULL;
  }
  size_t has = malloc_usable_size(old);
  if (size <= has && size >= has / 2) return old;
  void *new = __libc_malloc(size);
  if (!new) return NULL;
  memcpy(new, old, size < has ? size : has);
  free(old);
  return new;
}

bool cwipe_works(void) { return dlsym(RTLD_DEFAULT, "free") == (void *)free; }

#endif
