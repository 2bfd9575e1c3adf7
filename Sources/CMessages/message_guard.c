#include "message_guard.h"

#include <stdlib.h>
#include <string.h>

// ---- arena --------------------------------------------------------------------------------------------------------

typedef struct chunk {
  struct chunk *next;
  size_t size, used;
  _Alignas(16) uint8_t bytes[];
} chunk;

// With room of its own, so that a small message costs one allocation, of a size that glibc keeps at hand for each
// thread (up to 1,032 bytes).
enum { own_bytes = 960, first_chunk = 4096 - sizeof(chunk) };

struct cmessages_arena {
  chunk *first;
  size_t ceiling, given, used;
  _Alignas(16) uint8_t bytes[own_bytes];
};

cmessages_arena *cmessages_arena_new(size_t ceiling) {
  cmessages_arena *arena = malloc(sizeof *arena);
  if (!arena) return NULL;
  arena->first = NULL;
  arena->ceiling = ceiling;
  arena->given = arena->used = 0;
  return arena;
}

void cmessages_arena_free(cmessages_arena *arena) {
  if (!arena) return;
  for (chunk *c = arena->first; c;) {
    chunk *next = c->next;
    free(c);
    c = next;
  }
  free(arena);
}

void *cmessages_arena_alloc(cmessages_arena *arena, size_t size) {
  // What is counted is what is taken: many small pieces must not add up to more than the ceiling.
  size_t rounded = (size + 15) & ~(size_t)15;
  if (rounded < size || rounded > arena->ceiling - arena->given) return NULL;
  if (own_bytes - arena->used >= rounded) {
    void *given = arena->bytes + arena->used;
    arena->used += rounded;
    arena->given += rounded;
    return memset(given, 0, size);
  }
  chunk *c = arena->first;
  if (!c || c->size - c->used < rounded) {
    size_t wanted = c ? c->size * 2 : (size_t)first_chunk;
    if (wanted > (1 << 20)) wanted = 1 << 20;
    if (wanted < rounded) wanted = rounded;
    chunk *fresh = malloc(sizeof *fresh + wanted);
    if (!fresh) return NULL;
    fresh->next = c;
    fresh->size = wanted;
    fresh->used = 0;
    arena->first = c = fresh;
  }
  void *given = c->bytes + c->used;
  c->used += rounded;
  arena->given += rounded;
  return memset(given, 0, size);
}

static void *allocate(void *arena, size_t size) { return cmessages_arena_alloc(arena, size); }
static void release(void *arena, void *pointer) {
  (void)arena;
  (void)pointer;
}

void *cmessages_unpack(
  const ProtobufCMessageDescriptor *descriptor, cmessages_arena *arena, const uint8_t *bytes, size_t count) {
  ProtobufCAllocator allocator = {.alloc = allocate, .free = release, .allocator_data = arena};
  return protobuf_c_message_unpack(descriptor, &allocator, count, bytes);
}

// ---- check --------------------------------------------------------------------------------------------------------

typedef struct {
  const uint8_t *at, *end;
  cmessages_limits limits;
  uint32_t elements;
  const char *where;
  uint32_t field;
} checker;

static int varint(checker *c, uint64_t *value) {
  uint64_t result = 0;
  for (unsigned shift = 0; shift < 70; shift += 7) {
    if (c->at == c->end) return 0;
    uint8_t byte = *c->at++;
    result |= (uint64_t)(byte & 0x7f) << (shift < 64 ? shift : 63);
    if (byte < 0x80) {
      *value = result;
      return 1;
    }
  }
  return 0;
}

static unsigned wire_type(ProtobufCType type) {
  switch (type) {
    case PROTOBUF_C_TYPE_SFIXED32:
    case PROTOBUF_C_TYPE_FIXED32:
    case PROTOBUF_C_TYPE_FLOAT: return 5;
    case PROTOBUF_C_TYPE_SFIXED64:
    case PROTOBUF_C_TYPE_FIXED64:
    case PROTOBUF_C_TYPE_DOUBLE: return 1;
    case PROTOBUF_C_TYPE_STRING:
    case PROTOBUF_C_TYPE_BYTES:
    case PROTOBUF_C_TYPE_MESSAGE: return 2;
    default: return 0;
  }
}

static cmessages_verdict check(checker *c, const ProtobufCMessageDescriptor *descriptor, uint32_t depth) {
  uint64_t seen = 0;
  c->where = descriptor->name;
  c->field = 0;
  if (depth > c->limits.depth) return cmessages_too_deep;
  while (c->at < c->end) {
    uint64_t tag, length = 0;
    if (!varint(c, &tag)) return cmessages_cut_short;
    if (tag >> 32 || tag >> 3 == 0) return cmessages_bad_tag;
    unsigned type = tag & 7;
    c->field = (uint32_t)(tag >> 3);
    if (++c->elements > c->limits.elements) return cmessages_too_many;
    const uint8_t *value = NULL;
    switch (type) {
      case 0:
        if (!varint(c, &length)) return cmessages_cut_short;
        break;
      case 1:
      case 5:
        length = type == 1 ? 8 : 4;
        if ((size_t)(c->end - c->at) < length) return cmessages_cut_short;
        c->at += length;
        break;
      case 2:
        if (!varint(c, &length) || length > (size_t)(c->end - c->at)) return cmessages_cut_short;
        value = c->at;
        c->at += length;
        break;
      default: return cmessages_wrong_wire_type;
    }
    const ProtobufCFieldDescriptor *field = protobuf_c_message_descriptor_get_field(descriptor, c->field);
    if (!field) continue;
    unsigned expected = wire_type(field->type);
    if (type != expected) {
      // A repeated number may come packed.
      if (type != 2 || expected == 2 || field->label != PROTOBUF_C_LABEL_REPEATED) return cmessages_wrong_wire_type;
      if (length > c->limits.elements - c->elements) return cmessages_too_many;
      c->elements += (uint32_t)length;
      continue;
    }
    if (field->type != PROTOBUF_C_TYPE_MESSAGE) continue;
    if (field->label != PROTOBUF_C_LABEL_REPEATED) {
      unsigned index = (unsigned)(field - descriptor->fields);
      if (index < 64) {
        if (seen & (1ull << index)) return cmessages_repeated_message;
        seen |= 1ull << index;
      }
    }
    const uint8_t *end = c->end, *next = c->at;
    uint32_t number = c->field;
    c->at = value;
    c->end = next;
    cmessages_verdict verdict = check(c, field->descriptor, depth + 1);
    if (verdict != cmessages_fine) return verdict;
    c->where = descriptor->name;
    c->field = number;
    c->end = end;
  }
  return cmessages_fine;
}

cmessages_verdict cmessages_check(
  const ProtobufCMessageDescriptor *descriptor, const uint8_t *bytes, size_t count, cmessages_limits limits,
  const char **where, uint32_t *field) {
  checker c = {.at = bytes, .end = bytes + count, .limits = limits};
  cmessages_verdict verdict = check(&c, descriptor, 1);
  *where = c.where;
  *field = c.field;
  return verdict;
}
