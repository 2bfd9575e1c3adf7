// See http.h.
#include "http.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct content content;
struct counts counts;
struct text body, extra;
bool holds_layers;

void fail(const char *what) {
  perror(what);
  exit(1);
}

// -- text

char *room(struct text *text, size_t length) {
  if (text->length + length > text->capacity) {
    text->capacity = 2 * (text->length + length);
    text->bytes = realloc(text->bytes, text->capacity);
    if (!text->bytes) fail("memory");
  }
  text->length += length;
  return text->bytes + text->length - length;
}

void put(struct text *text, const char *bytes, size_t length) { memcpy(room(text, length), bytes, length); }

void say_number(struct text *text, uint64_t number) {
  char digits[20];
  int at = sizeof digits;
  do digits[--at] = '0' + number % 10; while (number /= 10);
  put(text, digits + at, sizeof digits - at);
}

void say_digest(struct text *text, const uint8_t *digest) {
  SAY(text, "sha256:");
  hex(digest, room(text, 2 * DIGEST_BYTES));
}

void say_repository(struct text *text, uint32_t number) {
  char name[NAME_MAX_BYTES];
  put(text, name, repository_name(number, name));
}

void say_tag(struct text *text, const struct entry *entry) {
  char name[NAME_MAX_BYTES];
  put(text, name, tag_name(entry, name));
}

// -- answers

static const char *reason(int status) {
  switch (status) {
  case 200: return "OK";
  case 304: return "Not Modified";
  case 400: return "Bad Request";
  case 404: return "Not Found";
  case 405: return "Method Not Allowed";
  case 422: return "Unprocessable Entity";
  default: return "Error";
  }
}

void answer(struct connection *to, const struct request *request, int status, const char *type, const uint8_t *digest,
            const char *bytes, size_t length) {
  struct text *output = &to->output;
  counts.refused += status >= 400;
  SAY(output, "HTTP/1.1 ");
  say_number(output, status);
  SAY(output, " ");
  put(output, reason(status), strlen(reason(status)));
  SAY(output, "\r\nContent-Type: ");
  put(output, type, strlen(type));
  SAY(output, "\r\nContent-Length: ");
  say_number(output, request->hides_length ? 0 : length);
  SAY(output, "\r\nDocker-Distribution-Api-Version: registry/2.0\r\n");
  if (digest) {
    SAY(output, "Docker-Content-Digest: ");
    say_digest(output, digest);
    SAY(output, "\r\nEtag: \"");
    say_digest(output, digest);
    SAY(output, "\"\r\n");
  }
  if (extra.length) put(output, extra.bytes, extra.length);
  SAY(output, "\r\n");
  if (!request->is_head && status != 304) put(output, bytes, length);
}

void answer_json(struct connection *to, const struct request *request) {
  answer(to, request, 200, "application/json", NULL, body.bytes, body.length);
}

void refuse(struct connection *to, const struct request *request, int status, const char *code) {
  char document[256];
  int length = snprintf(document, sizeof document, "{\"errors\":[{\"code\":\"%s\",\"message\":\"%s\"}]}\n", code, reason(status));
  extra.length = 0;
  answer(to, request, status, "application/json", NULL, document, length);
}

// -- what was asked

bool is(const char *bytes, size_t length, const char *text) {
  return length == strlen(text) && !memcmp(bytes, text, length);
}

const char *field(const struct request *request, const char *name, size_t *length) {
  const char *at = request->query, *end = at + request->query_length;
  while (at < end) {
    const char *next = memchr(at, '&', end - at), *stop = next ? next : end;
    const char *equals = memchr(at, '=', stop - at);
    if (equals && is(at, equals - at, name)) {
      *length = stop - equals - 1;
      return equals + 1;
    }
    at = next ? next + 1 : end;
  }
  return NULL;
}

int64_t number_field(const struct request *request, const char *name, int64_t otherwise) {
  size_t length = 0;
  const char *text = field(request, name, &length);
  if (!text) return otherwise;
  int64_t number = 0;
  if (length == 0 || length > 9) return -1;
  for (size_t i = 0; i < length; i++) {
    if (text[i] < '0' || text[i] > '9') return -1;
    number = number * 10 + text[i] - '0';
  }
  return number;
}

size_t decode(char *text, size_t length) {
  size_t to = 0;
  for (size_t from = 0; from < length; from++) {
    char pair[3] = {0};
    if (text[from] == '%' && from + 2 < length) memcpy(pair, text + from + 1, 2);
    char *end = pair;
    long value = pair[0] ? strtol(pair, &end, 16) : 0;
    if (end == pair + 2) {
      text[to++] = value;
      from += 2;
    } else {
      text[to++] = text[from];
    }
  }
  return to;
}
