// Requests as they were read, the text of answers, and counts of what was asked for.
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "content.h"

enum { INPUT_MAX = 16384, OUTPUT_MAX = 1 << 20 };

enum kind { PING, CATALOG, TAGS, MANIFEST_GET, MANIFEST_HEAD, CONFIG_GET, LAYER_GET, BLOB_HEAD, PROJECTS, REPOSITORIES, ARTIFACTS,
            OTHER, KINDS };

struct text {
  char *bytes;
  size_t length, capacity;
};

struct connection {
  int descriptor;
  bool closes, waits;  // for room to write
  bool is_held;        // for POST /_sim/release
  bool is_delayed;
  size_t held, sent;
  char input[INPUT_MAX];
  struct text output;
};

struct request {
  const char *path, *query, *etag;
  size_t path_length, query_length, etag_length;
  bool is_head, is_post;
  bool hides_length;  // an answer to HEAD for a client that would wait for as many bytes as its head says
};

struct counts {
  uint64_t kinds[KINDS], refused, not_modified, bytes, connections;
};

extern struct content content;
extern struct counts counts;
extern struct text body;  // of the answer that is being made
extern struct text extra;  // its own header lines
extern bool holds_layers;   // whoever asks for a layer waits for POST /_sim/release

__attribute__((noreturn)) void fail(const char *what);

// Makes the text longer; where the new bytes go.
char *room(struct text *text, size_t length);
void put(struct text *text, const char *bytes, size_t length);
void say_number(struct text *text, uint64_t number);
void say_digest(struct text *text, const uint8_t *digest);
void say_repository(struct text *text, uint32_t number);
void say_tag(struct text *text, const struct entry *entry);

#define SAY(text, literal) put(text, literal, sizeof literal - 1)

// The head, with the lines of `extra`, and, unless that was asked for alone, `bytes`.
void answer(struct connection *to, const struct request *request, int status, const char *type, const uint8_t *digest,
            const char *bytes, size_t length);
// 200 with `body`.
void answer_json(struct connection *to, const struct request *request);
void refuse(struct connection *to, const struct request *request, int status, const char *code);

bool is(const char *bytes, size_t length, const char *text);
// The value of a field of the query; NULL when it is not there.
const char *field(const struct request *request, const char *name, size_t *length);
// -1 when it is no number.
int64_t number_field(const struct request *request, const char *name, int64_t otherwise);
// Takes percent-encoding back, in place of what was there; the new length.
size_t decode(char *text, size_t length);

void distribution(struct connection *to, const struct request *request);
void harbor(struct connection *to, const struct request *request);
