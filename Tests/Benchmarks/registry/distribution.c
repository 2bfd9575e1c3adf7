// The distribution API: registries.md 3.
#include <stdio.h>
#include <string.h>

#include "http.h"

enum { PAGE_DEFAULT = 100, PAGE_MAX = 1000 };

// The name after which a page begins, decoded.
static size_t last_field(const struct request *request, char *last) {
  size_t length = 0;
  const char *text = field(request, "last", &length);
  if (!text || length > 255) return 0;
  memcpy(last, text, length);
  return decode(last, length);
}

// The link to the page after `last`, or after the repository `number`.
static void say_next(const struct request *request, int64_t size, uint32_t number, const struct entry *last) {
  SAY(&extra, "Link: <");
  put(&extra, request->path, request->path_length);
  SAY(&extra, "?n=");
  say_number(&extra, size);
  SAY(&extra, "&last=");
  if (last) say_tag(&extra, last);
  else say_repository(&extra, number);
  SAY(&extra, ">; rel=\"next\"\r\n");
}

static void catalog(struct connection *to, const struct request *request) {
  char last[256];
  int64_t size = number_field(request, "n", PAGE_DEFAULT), after = 0;
  size_t length = last_field(request, last);
  if (size < 1 || size > PAGE_MAX) return refuse(to, request, 400, "PAGINATION_NUMBER_INVALID");
  if (length) after = repository_number(&content, last, length) + 1;
  if (length && !after) return refuse(to, request, 400, "PAGINATION_NUMBER_INVALID");
  int64_t end = after + size < content.options.repositories ? after + size : content.options.repositories;
  SAY(&body, "{\"repositories\":[");
  for (int64_t i = after; i < end; i++) {
    if (i > after) SAY(&body, ",");
    SAY(&body, "\"");
    say_repository(&body, i);
    SAY(&body, "\"");
  }
  SAY(&body, "]}\n");
  if (end < content.options.repositories) say_next(request, size, end - 1, NULL);
  answer_json(to, request);
}

static void tags(struct connection *to, const struct request *request, uint32_t number) {
  char last[256];
  const struct repository *repository = content.repositories + number;
  int64_t size = number_field(request, "n", repository->live);
  size_t length = last_field(request, last);
  if (size < 0) return refuse(to, request, 400, "PAGINATION_NUMBER_INVALID");
  if (size > PAGE_MAX && field(request, "n", &(size_t){0})) size = PAGE_MAX;
  uint32_t first = length ? entry_after(repository, last, length) : 0;
  uint32_t end = first + size < repository->live ? first + size : repository->live;
  SAY(&body, "{\"name\":\"");
  say_repository(&body, number);
  SAY(&body, "\",\"tags\":[");
  for (uint32_t i = first; i < end; i++) {
    if (i > first) SAY(&body, ",");
    SAY(&body, "\"");
    say_tag(&body, repository->entries + i);
    SAY(&body, "\"");
  }
  SAY(&body, "]}\n");
  if (end > first && end < repository->live) say_next(request, size, 0, repository->entries + end - 1);
  answer_json(to, request);
}

// A digest as it is written; false for what is none.
static bool read_digest(const char *text, size_t length, uint8_t *digest) {
  if (length != 7 + 2 * DIGEST_BYTES || memcmp(text, "sha256:", 7)) return false;
  for (int i = 0; i < DIGEST_BYTES; i++) {
    unsigned value;
    if (sscanf(text + 7 + 2 * i, "%2x", &value) != 1) return false;
    digest[i] = value;
  }
  return true;
}

static void manifest(struct connection *to, const struct request *request, uint32_t number, const char *reference, size_t length) {
  const struct repository *repository = content.repositories + number;
  uint8_t digest[DIGEST_BYTES];
  const struct entry *entry = memchr(reference, ':', length)
    ? read_digest(reference, length, digest) ? entry_of_manifest(repository, digest) : NULL
    : entry_named(repository, reference, length);
  if (!entry) return refuse(to, request, 404, "MANIFEST_UNKNOWN");
  char document[DOCUMENT_MAX], etag[7 + 2 * DIGEST_BYTES] = "sha256:";
  hex(entry->manifest, etag + 7);
  bool is_same = request->etag && memmem(request->etag, request->etag_length, etag, sizeof etag);
  counts.not_modified += is_same;
  answer(to, request, is_same ? 304 : 200, "application/vnd.oci.image.manifest.v1+json", entry->manifest, document,
         manifest_document(&content, number, entry, document));
}

static void blob(struct connection *to, const struct request *request, uint32_t number, const char *name, size_t length) {
  uint8_t digest[DIGEST_BYTES];
  char document[DOCUMENT_MAX];
  const char *bytes = (const char *)content.layer;
  size_t size = content.layer_size;
  bool is_digest = read_digest(name, length, digest), is_layer = is_digest && !memcmp(digest, content.layer_digest, DIGEST_BYTES);
  counts.kinds[request->is_head ? BLOB_HEAD : is_layer ? LAYER_GET : CONFIG_GET]++;
  if (!is_layer) {
    const struct entry *entry = is_digest ? entry_of_config(content.repositories + number, digest) : NULL;
    if (!entry) return refuse(to, request, 404, "BLOB_UNKNOWN");
    size = config_document(&content, number, entry, document);
    bytes = document;
  } else if (holds_layers && !request->is_head) {
    to->is_held = true;
    counts.kinds[LAYER_GET]--;
    return;
  }
  answer(to, request, 200, "application/octet-stream", digest, bytes, size);
}

void distribution(struct connection *to, const struct request *request) {
  const char *path = request->path + 4, *end = request->path + request->path_length;
  if (path == end) {
    counts.kinds[PING]++;
    SAY(&body, "{}");
    return answer_json(to, request);
  }
  if (is(path, end - path, "_catalog")) {
    counts.kinds[CATALOG]++;
    return catalog(to, request);
  }
  const char *slash = memrchr(path, '/', end - path);
  const char *before = slash ? memrchr(path, '/', slash - path) : NULL;
  int64_t number = before ? repository_number(&content, path, before - path) : -1;
  const char *what = before ? before + 1 : path, *last = slash ? slash + 1 : end;
  size_t length = slash ? slash - what : 0;
  bool is_manifest = is(what, length, "manifests"), is_tags = is(what, length, "tags") && is(last, end - last, "list");
  if (is_manifest) counts.kinds[request->is_head ? MANIFEST_HEAD : MANIFEST_GET]++;
  else if (is_tags) counts.kinds[TAGS]++;
  else if (!is(what, length, "blobs") || number < 0) counts.kinds[OTHER]++;
  if (number < 0) return refuse(to, request, 404, "NAME_UNKNOWN");
  if (is_manifest) return manifest(to, request, number, last, end - last);
  if (is_tags) return tags(to, request, number);
  if (is(what, length, "blobs")) return blob(to, request, number, last, end - last);
  refuse(to, request, 404, "UNSUPPORTED");
}
