// What the registry of main.c holds: a pure function of the options and the day, so that others can work it out for
// themselves (Tests/Integration/support/many_images.py does).
//
// Repository number r is "project-PPPP/repository-RRRRRR", a hundred of them a project. It has `tags` slots. A slot s has a
// tag "SSSSSS-KIND" from day 0 on, and another one "SSSSSS.DDD-KIND" from day D on when chance(born, r, s, D, D) is below
// `born`; KIND is "stable" where s is a multiple of 50, else "build". On each day D after the one it was born on, b, a tag
// goes for ever when chance(gone, r, s, b, D) is below `gone`, else gets another image when chance(moved, r, s, b, D) is
// below `moved`; its version counts those. Chances are in thousandths.
//
//   chance(purpose, r, s, b, D) = mix(mix(mix(mix(seed + purpose) ^ r) ^ s) ^ (b << 16 | D)) % 1000
//   purpose: 1 born, 2 moved, 3 gone, 4 created
//
// mix is the step of SplitMix64. An image was created at noon of its last change's day; one that is there from day 0 on, up
// to a year before: at epoch - mix(…) % 31536000, drawn as a chance is. Names sort as numbers do.
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { DIGEST_BYTES = 32, PROJECT_REPOSITORIES = 100, DAYS_MAX = 999, NAME_MAX_BYTES = 64, DOCUMENT_MAX = 1024, CREATED_BYTES = 20,
       REPOSITORIES_MAX = 999999, TAGS_MAX = 999999 };

struct options {
  uint32_t repositories, tags;
  uint32_t born, moved, gone;  // a day, in thousandths
  uint64_t seed;
  int64_t epoch;  // the beginning of day 0, seconds since 1970
};

// A tag, or what a tag was.
struct entry {
  uint32_t slot;
  uint16_t birth, version;
  char created[CREATED_BYTES];  // RFC 3339
  uint8_t manifest[DIGEST_BYTES], config[DIGEST_BYTES];
};

// The entries that are there, by name; behind them those that were, which are found by digest alone.
struct repository {
  struct entry *entries;
  uint32_t live, count;
};

struct content {
  struct options options;
  uint32_t day;
  struct repository *repositories;
  uint8_t *layer;  // gzip
  size_t layer_size;
  uint8_t layer_digest[DIGEST_BYTES], diff_id[DIGEST_BYTES];
};

void content_make(struct content *content, const struct options *options);

// Goes on to a later day.
void content_advance(struct content *content, uint32_t day);

// Name of a repository or a tag; its length.
size_t repository_name(uint32_t repository, char *name);
size_t tag_name(const struct entry *entry, char *name);

// The number of a repository; -1 for one that is not there.
int64_t repository_number(const struct content *content, const char *name, size_t length);

// The index of the first entry whose name is above `name`.
uint32_t entry_after(const struct repository *repository, const char *name, size_t length);
const struct entry *entry_named(const struct repository *repository, const char *name, size_t length);
const struct entry *entry_of_manifest(const struct repository *repository, const uint8_t *digest);
const struct entry *entry_of_config(const struct repository *repository, const uint8_t *digest);

// The documents of an entry, at most DOCUMENT_MAX bytes; their length.
size_t manifest_document(const struct content *content, uint32_t repository, const struct entry *entry, char *document);
size_t config_document(const struct content *content, uint32_t repository, const struct entry *entry, char *document);

void hex(const uint8_t *digest, char *text);
