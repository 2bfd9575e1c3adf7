// See content.h.
#define OPENSSL_API_COMPAT 0x10100000L
#include "content.h"

#include <openssl/sha.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <zlib.h>

enum purpose { BORN = 1, MOVED, GONE, CREATED };
enum { STABLE_EACH = 50, TAR_BLOCK = 512, DAY_SECONDS = 86400 };

static void *need(void *memory) {
  if (!memory) abort();
  return memory;
}

// -- chance

static uint64_t mix(uint64_t x) {
  x += 0x9e3779b97f4a7c15;
  x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9;
  x = (x ^ x >> 27) * 0x94d049bb133111eb;
  return x ^ x >> 31;
}

static uint64_t drawn(const struct options *o, enum purpose purpose, uint32_t repository, uint32_t slot, uint32_t birth, uint32_t day) {
  return mix(mix(mix(mix(o->seed + purpose) ^ repository) ^ slot) ^ (birth << 16 | day));
}

static bool happens(const struct options *o, enum purpose purpose, uint32_t repository, uint32_t slot, uint32_t birth, uint32_t day) {
  uint32_t limit = purpose == BORN ? o->born : purpose == MOVED ? o->moved : o->gone;
  return drawn(o, purpose, repository, slot, birth, day) % 1000 < limit;
}

// -- names

static size_t digits(uint32_t number, int width, char *text) {
  for (int i = width - 1; i >= 0; i--, number /= 10) text[i] = '0' + number % 10;
  return width;
}

size_t repository_name(uint32_t repository, char *name) {
  memcpy(name, "project-", 8);
  digits(repository / PROJECT_REPOSITORIES, 4, name + 8);
  memcpy(name + 12, "/repository-", 12);
  digits(repository, 6, name + 24);
  return 30;
}

size_t tag_name(const struct entry *entry, char *name) {
  size_t length = digits(entry->slot, 6, name);
  if (entry->birth) {
    name[length++] = '.';
    length += digits(entry->birth, 3, name + length);
  }
  const char *kind = entry->slot % STABLE_EACH ? "-build" : "-stable";
  memcpy(name + length, kind, strlen(kind));
  return length + strlen(kind);
}

int64_t repository_number(const struct content *content, const char *name, size_t length) {
  char known[NAME_MAX_BYTES];
  if (length != 30) return -1;
  uint32_t number = 0;
  for (int i = 24; i < 30; i++) number = number * 10 + (uint8_t)(name[i] - '0') % 10;
  if (number >= content->options.repositories || repository_name(number, known) != length || memcmp(known, name, length)) return -1;
  return number;
}

void hex(const uint8_t *digest, char *text) {
  static char pairs[256][2];
  if (!pairs[0][0]) {
    for (int byte = 0; byte < 256; byte++) {
      pairs[byte][0] = "0123456789abcdef"[byte >> 4];
      pairs[byte][1] = "0123456789abcdef"[byte & 15];
    }
  }
  for (int i = 0; i < DIGEST_BYTES; i++) memcpy(text + 2 * i, pairs[digest[i]], 2);
}

// -- documents

static size_t put(char *document, size_t at, const char *text) {
  size_t length = strlen(text);
  memcpy(document + at, text, length);
  return at + length;
}

static size_t put_digest(char *document, size_t at, const uint8_t *digest) {
  at = put(document, at, "sha256:");
  hex(digest, document + at);
  return at + 2 * DIGEST_BYTES;
}

static size_t put_number(char *document, size_t at, uint64_t number) {
  char text[24];
  snprintf(text, sizeof text, "%llu", (unsigned long long)number);
  return put(document, at, text);
}

size_t config_document(const struct content *content, uint32_t repository, const struct entry *entry, char *document) {
  char name[NAME_MAX_BYTES];
  size_t at = put(document, 0, "{\"created\":\"");
  memcpy(document + at, entry->created, CREATED_BYTES);
  at = put(document, at + CREATED_BYTES, "\",\"architecture\":\"amd64\",\"os\":\"linux\",\"config\":{\"Labels\":{\"name\":\"");
  size_t length = repository_name(repository, name);
  memcpy(document + at, name, length);
  at = put(document, at + length, ":");
  length = tag_name(entry, name);
  memcpy(document + at, name, length);
  at = put(document, at + length, "\",\"version\":\"");
  at = put_number(document, at, entry->version);
  at = put(document, at, "\"}},\"rootfs\":{\"type\":\"layers\",\"diff_ids\":[\"");
  at = put_digest(document, at, content->diff_id);
  return put(document, at, "\"]},\"history\":[{\"created_by\":\"COPY . /\"}]}");
}

size_t manifest_document(const struct content *content, uint32_t repository, const struct entry *entry, char *document) {
  char config[DOCUMENT_MAX];
  size_t at = put(document, 0, "{\"schemaVersion\":2,\"mediaType\":\"application/vnd.oci.image.manifest.v1+json\",\"config\":{\"mediaType\":"
                               "\"application/vnd.oci.image.config.v1+json\",\"digest\":\"");
  at = put_digest(document, at, entry->config);
  at = put(document, at, "\",\"size\":");
  at = put_number(document, at, config_document(content, repository, entry, config));
  at = put(document, at, "},\"layers\":[{\"mediaType\":\"application/vnd.oci.image.layer.v1.tar+gzip\",\"digest\":\"");
  at = put_digest(document, at, content->layer_digest);
  at = put(document, at, "\",\"size\":");
  at = put_number(document, at, content->layer_size);
  return put(document, at, "}]}");
}

static void hash(const void *bytes, size_t length, uint8_t *digest) {
  SHA256_CTX context;
  SHA256_Init(&context);
  SHA256_Update(&context, bytes, length);
  SHA256_Final(digest, &context);
}

// Of an entry that is new or has changed on `day`: when it was created, and its digests.
static void fill(const struct content *content, uint32_t repository, uint32_t day, struct entry *entry) {
  const struct options *o = &content->options;
  time_t created = day ? o->epoch + (int64_t)day * DAY_SECONDS + DAY_SECONDS / 2
                       : o->epoch - (int64_t)(drawn(o, CREATED, repository, entry->slot, 0, 0) % (365 * DAY_SECONDS));
  struct tm parts;
  char text[CREATED_BYTES + 1];
  strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&created, &parts));
  memcpy(entry->created, text, CREATED_BYTES);
  char document[DOCUMENT_MAX];
  hash(document, config_document(content, repository, entry, document), entry->config);
  hash(document, manifest_document(content, repository, entry, document), entry->manifest);
}

// -- the one layer

static size_t put_file(uint8_t *tar, size_t at, const char *path, const char *text) {
  char *header = (char *)tar + at;
  unsigned size = strlen(text);
  snprintf(header, 100, "%s", path);
  snprintf(header + 100, 8, "%07o", 0644);
  snprintf(header + 108, 8, "%07o", 0);
  snprintf(header + 116, 8, "%07o", 0);
  snprintf(header + 124, 12, "%011o", size);
  snprintf(header + 136, 12, "%011o", 0);
  memset(header + 148, ' ', 8);
  header[156] = '0';
  memcpy(header + 257, "ustar\00000", 8);
  unsigned sum = 0;
  for (int i = 0; i < TAR_BLOCK; i++) sum += tar[at + i];
  snprintf(header + 148, 8, "%06o", sum);
  memcpy(tar + at + TAR_BLOCK, text, size);
  return at + TAR_BLOCK + (size + TAR_BLOCK - 1) / TAR_BLOCK * TAR_BLOCK;
}

static void make_layer(struct content *content) {
  static uint8_t tar[8 * TAR_BLOCK];
  size_t length = put_file(tar, 0, "etc/os-release", "ID=alpine\nVERSION_ID=3.20.0\nNAME=\"Alpine Linux\"\n");
  length = put_file(tar, length, "lib/apk/db/installed", "P:musl\nV:1.2.5-r0\nA:x86_64\nT:the musl c library\no:musl\n\n");
  length += 2 * TAR_BLOCK;
  hash(tar, length, content->diff_id);
  z_stream stream = {.next_in = tar, .avail_in = length};
  if (deflateInit2(&stream, 9, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY) != Z_OK) abort();
  content->layer = need(malloc(sizeof tar));
  stream.next_out = content->layer;
  stream.avail_out = sizeof tar;
  if (deflate(&stream, Z_FINISH) != Z_STREAM_END) abort();
  content->layer_size = stream.total_out;
  deflateEnd(&stream);
  hash(content->layer, content->layer_size, content->layer_digest);
}

// -- days


// What day `day` makes of a repository that is at the day before.
static void advance(const struct content *content, uint32_t number, uint32_t day) {
  struct repository *repository = content->repositories + number;
  const struct options *o = &content->options;
  size_t most = (size_t)repository->count + repository->live + o->tags;
  struct entry *next = need(malloc(most * sizeof *next)), *past = need(malloc((repository->live + 1) * sizeof *past));
  uint32_t live = 0, old = 0, at = 0;
  for (uint32_t slot = 0; slot < o->tags; slot++) {
    for (; at < repository->live && repository->entries[at].slot == slot; at++) {
      struct entry entry = repository->entries[at];
      if (happens(o, GONE, number, slot, entry.birth, day)) {
        past[old++] = entry;
        continue;
      }
      if (happens(o, MOVED, number, slot, entry.birth, day)) {
        past[old++] = entry;
        entry.version++;
        fill(content, number, day, &entry);
      }
      next[live++] = entry;
    }
    if (!happens(o, BORN, number, slot, day, day)) continue;
    struct entry entry = {.slot = slot, .birth = day};
    fill(content, number, day, &entry);
    next[live++] = entry;
  }
  uint32_t before = repository->count - repository->live;
  if (before) memcpy(next + live, repository->entries + repository->live, before * sizeof *next);
  if (old) memcpy(next + live + before, past, old * sizeof *next);
  free(past);
  free(repository->entries);
  uint32_t count = live + before + old;
  *repository = (struct repository){need(realloc(next, (count + 1) * sizeof *next)), live, count};
}

void content_advance(struct content *content, uint32_t day) {
  while (content->day < day) {
    content->day++;
    for (uint32_t number = 0; number < content->options.repositories; number++) advance(content, number, content->day);
  }
}

void content_make(struct content *content, const struct options *options) {
  *content = (struct content){.options = *options};
  make_layer(content);
  content->repositories = need(calloc(options->repositories, sizeof *content->repositories));
  for (uint32_t number = 0; number < options->repositories; number++) {
    struct repository *repository = content->repositories + number;
    *repository = (struct repository){need(calloc(options->tags, sizeof *repository->entries)), options->tags, options->tags};
    for (uint32_t slot = 0; slot < options->tags; slot++) {
      repository->entries[slot].slot = slot;
      fill(content, number, 0, repository->entries + slot);
    }
  }
}

// -- finding

uint32_t entry_after(const struct repository *repository, const char *name, size_t length) {
  uint32_t low = 0, high = repository->live;
  while (low < high) {
    uint32_t middle = low + (high - low) / 2;
    char known[NAME_MAX_BYTES];
    size_t known_length = tag_name(repository->entries + middle, known);
    int order = memcmp(known, name, known_length < length ? known_length : length);
    if (order < 0 || (order == 0 && known_length <= length)) low = middle + 1;
    else high = middle;
  }
  return low;
}

const struct entry *entry_named(const struct repository *repository, const char *name, size_t length) {
  char known[NAME_MAX_BYTES];
  uint32_t after = entry_after(repository, name, length);
  if (after == 0) return NULL;
  const struct entry *entry = repository->entries + after - 1;
  return tag_name(entry, known) == length && !memcmp(known, name, length) ? entry : NULL;
}

const struct entry *entry_of_manifest(const struct repository *repository, const uint8_t *digest) {
  for (uint32_t i = 0; i < repository->count; i++)
    if (!memcmp(repository->entries[i].manifest, digest, DIGEST_BYTES)) return repository->entries + i;
  return NULL;
}

const struct entry *entry_of_config(const struct repository *repository, const uint8_t *digest) {
  for (uint32_t i = 0; i < repository->count; i++)
    if (!memcmp(repository->entries[i].config, digest, DIGEST_BYTES)) return repository->entries + i;
  return NULL;
}
