// Clients that queue known images for a scan, one a call, and check that each was queued.
//
//   enqueue SOCKET CLIENTS COUNT FIRST PREFIX
//
// Each of CLIENTS connections has one call of Images/RescanImages in flight, COUNT calls in all, of the images
// PREFIX@sha256:NUMBER from FIRST on. Prints calls a second, and the median and 99th percentile of the time of one in
// microseconds.
#include <errno.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

enum { HEADER = 10, FRAME_MAX = 8192, CLIENTS_MAX = 256 };
enum { REQUEST = 1, RESPONSE = 2 };

struct client {
  int descriptor;
  uint32_t stream;
  size_t held;
  uint8_t input[FRAME_MAX];
  double sent;
};

static struct client clients[CLIENTS_MAX];
static const char *prefix;
static long next_image;

static void fail(const char *what) {
  fprintf(stderr, "%s%s%s\n", what, errno ? ": " : "", errno ? strerror(errno) : "");
  exit(1);
}

static double now(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return time.tv_sec + time.tv_nsec * 1e-9;
}

static void put32(uint8_t *to, uint32_t value) {
  for (int i = 0; i < 4; i++) to[i] = value >> (24 - 8 * i);
}

static uint32_t get32(const uint8_t *from) {
  return (uint32_t)from[0] << 24 | (uint32_t)from[1] << 16 | (uint32_t)from[2] << 8 | from[3];
}

static uint8_t *put_varint(uint8_t *to, uint64_t value) {
  for (; value > 0x7f; value >>= 7) *to++ = value | 0x80;
  *to++ = value;
  return to;
}

static uint8_t *put_field(uint8_t *to, int number, const void *bytes, size_t length) {
  to = put_varint(to, number << 3 | 2);
  to = put_varint(to, length);
  memcpy(to, bytes, length);
  return to + length;
}

static uint64_t get_varint(const uint8_t **from, const uint8_t *end) {
  uint64_t value = 0;
  for (int shift = 0; *from < end && shift < 64; shift += 7) {
    uint8_t byte = *(*from)++;
    value |= (uint64_t)(byte & 0x7f) << shift;
    if (byte < 0x80) return value;
  }
  errno = 0;
  fail("an answer is malformed");
  return 0;
}

// A field's bytes, or its number in `*number`; 0 where the message has none. Only varints and bytes are known.
static int find(const uint8_t *from, const uint8_t *end, uint64_t wanted, const uint8_t **bytes, uint64_t *number) {
  while (from < end) {
    uint64_t key = get_varint(&from, end), value = get_varint(&from, end);
    if (key >> 3 == wanted) {
      *bytes = from;
      *number = value;
      return 1;
    }
    if ((key & 7) == 2) from += value;
  }
  return 0;
}

static void send_call(struct client *client) {
  static const char service[] = "tidewaiter.v1.Images", method[] = "RescanImages";
  char reference[512];
  int length = snprintf(reference, sizeof reference, "%s@sha256:%064lx", prefix, next_image++);
  uint8_t payload[600], frame[1024];
  size_t size = put_field(payload, 1, reference, length) - payload;
  uint8_t *to = frame + HEADER;
  to = put_field(to, 1, service, sizeof service - 1);
  to = put_field(to, 2, method, sizeof method - 1);
  to = put_field(to, 3, payload, size);
  put32(frame, to - frame - HEADER);
  put32(frame + 4, client->stream);
  frame[8] = REQUEST;
  frame[9] = 0;
  client->stream += 2;
  client->sent = now();
  if (write(client->descriptor, frame, to - frame) != to - frame) fail("write");
}

// Reads once; whether the answer came.
static int receive(struct client *client) {
  errno = 0;
  ssize_t count = read(client->descriptor, client->input + client->held, FRAME_MAX - client->held);
  if (count <= 0) fail("the server closed the connection");
  client->held += count;
  if (client->held < HEADER || client->held < HEADER + get32(client->input)) return 0;
  const uint8_t *start = client->input + HEADER, *end = start + get32(client->input), *bytes, *inner;
  uint64_t number;
  if (find(start, end, 1, &bytes, &number)) {
    fprintf(stderr, "refused: %.*s\n", (int)number, bytes);
    exit(1);
  }
  if (!find(start, end, 2, &bytes, &number) || !find(bytes, bytes + number, 1, &inner, &number) || number != 1)
    fail("an image was not queued");
  client->held = 0;
  return 1;
}

static int by_size(const void *one, const void *other) {
  double left = *(const double *)one, right = *(const double *)other;
  return (left > right) - (left < right);
}

int main(int argc, char **argv) {
  if (argc != 6) return 2;
  int count = atoi(argv[2]);
  long total = atol(argv[3]), sent = 0, done = 0;
  next_image = atol(argv[4]);
  prefix = argv[5];
  if (count < 1 || count > CLIENTS_MAX || total < count) return 2;
  double *times = calloc(total, sizeof *times);
  struct pollfd polled[CLIENTS_MAX];
  for (int i = 0; i < count; i++) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    strncpy(address.sun_path, argv[1], sizeof address.sun_path - 1);
    clients[i].descriptor = socket(AF_UNIX, SOCK_STREAM, 0);
    if (connect(clients[i].descriptor, (struct sockaddr *)&address, sizeof address)) fail("connect");
    clients[i].stream = 1;
    polled[i] = (struct pollfd){.fd = clients[i].descriptor, .events = POLLIN};
  }
  double start = now();
  for (int i = 0; i < count; i++, sent++) send_call(clients + i);
  while (done < total) {
    if (count > 1) poll(polled, count, -1);
    for (int i = 0; i < count; i++) {
      if (count > 1 && !(polled[i].revents & POLLIN)) continue;
      if (!receive(clients + i)) continue;
      times[done++] = now() - clients[i].sent;
      if (sent < total) {
        send_call(clients + i);
        sent++;
      } else {
        polled[i].fd = -1;
      }
    }
  }
  double seconds = now() - start;
  qsort(times, total, sizeof *times, by_size);
  printf("%.1f %.1f %.1f\n", total / seconds, times[total / 2] * 1e6, times[(long)(total * 0.99)] * 1e6);
}
