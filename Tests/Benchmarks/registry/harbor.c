// Harbor's own API, as far as listing goes: registries.md 5.
#include <string.h>

#include "http.h"

enum { PAGE_DEFAULT = 10, PAGE_MAX = 100, PROJECT_NAME = 12, ARTIFACT_MAX = 640 };

struct page {
  uint64_t first, end;
};

// Which of `total` entries; false when it was refused.
static bool numbered(struct connection *to, const struct request *request, uint64_t total, struct page *page) {
  int64_t number = number_field(request, "page", 1), size = number_field(request, "page_size", PAGE_DEFAULT);
  if (number < 1 || size < 1 || size > PAGE_MAX) {
    refuse(to, request, 422, "UNPROCESSABLE_ENTITY");
    return false;
  }
  page->first = (uint64_t)(number - 1) * size < total ? (uint64_t)(number - 1) * size : total;
  page->end = page->first + size < total ? page->first + size : total;
  SAY(&extra, "X-Total-Count: ");
  say_number(&extra, total);
  SAY(&extra, "\r\n");
  for (int next = -1; next <= 1; next += 2) {
    if (next < 0 ? number == 1 : page->end == total) continue;
    SAY(&extra, "Link: <");
    put(&extra, request->path, request->path_length);
    SAY(&extra, "?page=");
    say_number(&extra, number + next);
    SAY(&extra, "&page_size=");
    say_number(&extra, size);
    if (next < 0) SAY(&extra, ">; rel=\"prev\"\r\n");
    else SAY(&extra, ">; rel=\"next\"\r\n");
  }
  return true;
}

static void projects(struct connection *to, const struct request *request) {
  uint64_t total = (content.options.repositories + PROJECT_REPOSITORIES - 1) / PROJECT_REPOSITORIES;
  struct page page;
  if (!numbered(to, request, total, &page)) return;
  SAY(&body, "[");
  for (uint64_t i = page.first; i < page.end; i++) {
    char name[NAME_MAX_BYTES];
    repository_name(i * PROJECT_REPOSITORIES, name);
    uint64_t left = content.options.repositories - i * PROJECT_REPOSITORIES;
    if (i > page.first) SAY(&body, ",");
    SAY(&body, "{\"project_id\":");
    say_number(&body, i + 1);
    SAY(&body, ",\"name\":\"");
    put(&body, name, PROJECT_NAME);
    SAY(&body, "\",\"registry_id\":0,\"repo_count\":");
    say_number(&body, left < PROJECT_REPOSITORIES ? left : PROJECT_REPOSITORIES);
    SAY(&body, ",\"creation_time\":\"2025-01-10T08:00:00.000Z\",\"metadata\":{\"public\":\"true\"}}");
  }
  SAY(&body, "]");
  answer_json(to, request);
}

static void project_repositories(struct connection *to, const struct request *request, uint32_t first) {
  uint64_t left = content.options.repositories - first;
  struct page page;
  if (!numbered(to, request, left < PROJECT_REPOSITORIES ? left : PROJECT_REPOSITORIES, &page)) return;
  SAY(&body, "[");
  for (uint64_t i = first + page.first; i < first + page.end; i++) {
    if (i > first + page.first) SAY(&body, ",");
    SAY(&body, "{\"id\":");
    say_number(&body, i + 1);
    SAY(&body, ",\"project_id\":");
    say_number(&body, i / PROJECT_REPOSITORIES + 1);
    SAY(&body, ",\"name\":\"");
    say_repository(&body, i);
    SAY(&body, "\",\"artifact_count\":");
    say_number(&body, content.repositories[i].live);
    SAY(&body, ",\"pull_count\":10,\"update_time\":\"2026-01-01T00:00:00.000Z\"}");
  }
  SAY(&body, "]");
  answer_json(to, request);
}

// The most of a page, so what is the same in each is not measured out again.
#define SAY_AT(at, literal) (memcpy(at, literal, sizeof literal - 1), (at) += sizeof literal - 1)

static char *put_artifact(char *at, const struct entry *entry, uint32_t id) {
  char digits[10];
  int first = sizeof digits;
  do digits[--first] = '0' + id % 10; while (id /= 10);
  SAY_AT(at, "{\"id\":");
  at = mempcpy(at, digits + first, sizeof digits - first);
  SAY_AT(at, ",\"type\":\"IMAGE\",\"manifest_media_type\":\"application/vnd.oci.image.manifest.v1+json\",\"digest\":\"sha256:");
  hex(entry->manifest, at);
  at += 2 * DIGEST_BYTES;
  SAY_AT(at, "\",\"size\":1024,\"push_time\":\"");
  at = mempcpy(at, entry->created, CREATED_BYTES);
  SAY_AT(at, "\",\"extra_attrs\":{\"architecture\":\"amd64\",\"os\":\"linux\",\"created\":\"");
  at = mempcpy(at, entry->created, CREATED_BYTES);
  SAY_AT(at, "\"},\"references\":null,\"tags\":[{\"id\":");
  at = mempcpy(at, digits + first, sizeof digits - first);
  SAY_AT(at, ",\"name\":\"");
  at += tag_name(entry, at);
  SAY_AT(at, "\",\"push_time\":\"");
  at = mempcpy(at, entry->created, CREATED_BYTES);
  SAY_AT(at, "\",\"immutable\":false}],\"accessories\":null}");
  return at;
}

static void artifacts(struct connection *to, const struct request *request, uint32_t number) {
  const struct repository *repository = content.repositories + number;
  struct page page;
  if (!numbered(to, request, repository->live, &page)) return;
  size_t most = 2 + (page.end - page.first) * (ARTIFACT_MAX + 1);
  char *start = room(&body, most), *at = start;
  *at++ = '[';
  for (uint64_t i = page.first; i < page.end; i++) {
    if (i > page.first) *at++ = ',';
    at = put_artifact(at, repository->entries + i, i + 1);
  }
  *at++ = ']';
  body.length -= most - (at - start);
  answer_json(to, request);
}

// The first repository of a project; -1 for one that is not there.
static int64_t project_number(const char *name) {
  char first[PROJECT_NAME + 19], known[NAME_MAX_BYTES];
  int number = 0;
  for (int i = PROJECT_NAME - 4; i < PROJECT_NAME; i++) number = number * 10 + (uint8_t)(name[i] - '0') % 10;
  size_t length = repository_name(number * PROJECT_REPOSITORIES, known);
  memcpy(first, name, PROJECT_NAME);
  memcpy(first + PROJECT_NAME, known + PROJECT_NAME, length - PROJECT_NAME);
  return repository_number(&content, first, length);
}

// What lies below a project: `path` is after its name, up to `end`.
static void project(struct connection *to, const struct request *request, const char *name, const char *path, const char *end) {
  static const char inside[] = "/repositories", last[] = "/artifacts";
  const size_t inside_length = sizeof inside - 1, last_length = sizeof last - 1;
  size_t length = end - path;
  if (is(path, length, inside)) {
    counts.kinds[REPOSITORIES]++;
    int64_t first = project_number(name);
    if (first < 0) return refuse(to, request, 404, "NOT_FOUND");
    return project_repositories(to, request, first);
  }
  char repository[PROJECT_NAME + 1 + NAME_MAX_BYTES];
  if (length > inside_length + 1 + last_length && length - inside_length - last_length <= NAME_MAX_BYTES
      && !memcmp(path, inside, inside_length) && path[inside_length] == '/' && !memcmp(end - last_length, last, last_length)) {
    counts.kinds[ARTIFACTS]++;
    const char *written = path + inside_length + 1;
    size_t written_length = end - last_length - written;
    memcpy(repository, name, PROJECT_NAME);
    repository[PROJECT_NAME] = '/';
    memcpy(repository + PROJECT_NAME + 1, written, written_length);
    // The name is encoded twice: for the server before Harbor, and for Harbor.
    written_length = decode(repository + PROJECT_NAME + 1, decode(repository + PROJECT_NAME + 1, written_length));
    int64_t number = repository_number(&content, repository, PROJECT_NAME + 1 + written_length);
    if (number < 0) return refuse(to, request, 404, "NOT_FOUND");
    return artifacts(to, request, number);
  }
  counts.kinds[OTHER]++;
  refuse(to, request, 404, "NOT_FOUND");
}

static void other(struct connection *to, const struct request *request, const char *document) {
  counts.kinds[OTHER]++;
  put(&body, document, strlen(document));
  answer_json(to, request);
}

void harbor(struct connection *to, const struct request *request) {
  static const char version[] = "/api/v2.0", listed[] = "/projects/";
  const char *path = request->path, *end = path + request->path_length;
  if (is(path, end - path, "/api/version")) return other(to, request, "{\"version\":\"v2.0\"}");
  if ((size_t)(end - path) > sizeof version - 1 && !memcmp(path, version, sizeof version - 1)) path += sizeof version - 1;
  if (is(path, end - path, "/systeminfo")) return other(to, request, "{\"auth_mode\":\"db_auth\",\"harbor_version\":\"v2.12.1\"}");
  if (is(path, end - path, "/projects")) {
    counts.kinds[PROJECTS]++;
    return projects(to, request);
  }
  size_t start = sizeof listed - 1;
  if ((size_t)(end - path) > start + PROJECT_NAME && !memcmp(path, listed, start))
    return project(to, request, path + start, path + start + PROJECT_NAME, end);
  counts.kinds[OTHER]++;
  refuse(to, request, 404, "NOT_FOUND");
}
