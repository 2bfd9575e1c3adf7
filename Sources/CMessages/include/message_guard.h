// What stands between bytes of a stranger and protobuf-c, which has no limit of its own: a linear check before the
// unpacking, and an arena with a ceiling to unpack into.
#pragma once
#include <protobuf-c/protobuf-c.h>
#include <stddef.h>
#include <stdint.h>

typedef struct cmessages_arena cmessages_arena;

// An arena that gives out at most `ceiling` bytes; NULL when there is no memory.
cmessages_arena *cmessages_arena_new(size_t ceiling);
void cmessages_arena_free(cmessages_arena *arena);
// Zeroed, aligned to 16; NULL above the ceiling.
void *cmessages_arena_alloc(cmessages_arena *arena, size_t size);

typedef struct {
  uint32_t depth;     // of messages in messages
  uint32_t elements;  // fields of all messages together, unknown ones too
} cmessages_limits;

typedef enum {
  cmessages_fine = 0,
  cmessages_cut_short,
  cmessages_wrong_wire_type,
  cmessages_bad_tag,
  cmessages_too_deep,
  cmessages_too_many,
  cmessages_repeated_message,  // a singular message field occurs twice: protobuf-c would merge in quadratic time
} cmessages_verdict;

// Looks at every tag and length once, without allocating. `where` gets the name of the message at fault (static
// storage), `field` the field number.
cmessages_verdict cmessages_check(
  const ProtobufCMessageDescriptor *descriptor, const uint8_t *bytes, size_t count, cmessages_limits limits,
  const char **where, uint32_t *field);

// protobuf_c_message_unpack into the arena; NULL when the bytes are malformed or the arena is at its ceiling.
void *cmessages_unpack(
  const ProtobufCMessageDescriptor *descriptor, cmessages_arena *arena, const uint8_t *bytes, size_t count);
