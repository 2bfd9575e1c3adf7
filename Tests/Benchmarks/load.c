// Puts a load of one unary ttrpc call on a server, and checks that every answer is the one expected, byte for byte.
//
//   load SOCKET seq|pipe8|conn8 SECONDS REQUEST ANSWER
//
// REQUEST and ANSWER are the data of a Request and of a Response frame, in hex. seq: one call at a time; pipe8: 8 calls in
// flight on one connection; conn8: 8 connections with one call each. After a warm-up it counts for SECONDS, and prints
// the median and 99th percentile of the time of a call in microseconds, and calls a second.
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

enum { HEADER = 10, FRAME_MAX = 4096, WINDOW_MAX = 8, INPUT = 1 << 16, SAMPLES_MAX = 1 << 22 };
static const double WARM_UP_SECONDS = 0.3;

struct frame {
  size_t length;  // header included
  uint8_t bytes[FRAME_MAX];
};

struct connection {
  int descriptor;
  uint32_t next_stream;
  size_t held;  // bytes of `input`
  uint8_t input[INPUT];
  double sent[64];  // by call, modulo
};

static struct frame request, answer;
static float *samples;
static size_t sample_count;

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

static void read_hex(struct frame *frame, const char *hex, uint8_t kind) {
  size_t length = strlen(hex) / 2;
  if (length > FRAME_MAX - HEADER) fail("a frame is too long");
  for (size_t i = 0; i < length; i++) {
    unsigned value;
    if (sscanf(hex + 2 * i, "%2x", &value) != 1) fail("not hex");
    frame->bytes[HEADER + i] = value;
  }
  put32(frame->bytes, length);
  frame->bytes[8] = kind;
  frame->length = HEADER + length;
}

static void open_connection(struct connection *connection, const char *path) {
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  strncpy(address.sun_path, path, sizeof address.sun_path - 1);
  connection->descriptor = socket(AF_UNIX, SOCK_STREAM, 0);
  if (connect(connection->descriptor, (struct sockaddr *)&address, sizeof address)) fail("connect");
  connection->next_stream = 1;
}

// All in one write.
static void send_calls(struct connection *connection, int count) {
  uint8_t output[WINDOW_MAX * FRAME_MAX];
  size_t length = 0;
  double time = now();
  for (int i = 0; i < count; i++) {
    memcpy(output + length, request.bytes, request.length);
    put32(output + length + 4, connection->next_stream);
    connection->sent[connection->next_stream / 2 % 64] = time;
    connection->next_stream += 2;
    length += request.length;
  }
  for (size_t done = 0; done < length;) {
    ssize_t count = write(connection->descriptor, output + done, length - done);
    if (count < 0 && errno != EINTR) fail("write");
    if (count > 0) done += count;
  }
}

// Reads once; how many answers came.
static int receive(struct connection *connection) {
  errno = 0;
  ssize_t count = read(connection->descriptor, connection->input + connection->held, INPUT - connection->held);
  if (count <= 0) fail("the server closed the connection");
  connection->held += count;
  int answers = 0;
  size_t start = 0;
  double time = now();
  for (; connection->held - start >= answer.length; start += answer.length, answers++) {
    uint8_t *frame = connection->input + start;
    uint32_t stream = get32(frame + 4);
    put32(frame + 4, 0);
    if (memcmp(frame, answer.bytes, answer.length)) fail("an answer is not the one expected");
    if (sample_count < SAMPLES_MAX) samples[sample_count++] = time - connection->sent[stream / 2 % 64];
  }
  // A shorter answer than expected would be waited for for ever.
  if (connection->held - start >= 4 && get32(connection->input + start) != answer.length - HEADER)
    fail("an answer is not as long as the one expected");
  connection->held -= start;
  memmove(connection->input, connection->input + start, connection->held);
  return answers;
}

static double run(struct connection *connections, int count, int window, double seconds) {
  struct pollfd polled[WINDOW_MAX];
  double start = now(), time = start;
  sample_count = 0;
  for (int i = 0; i < count; i++) {
    polled[i] = (struct pollfd){.fd = connections[i].descriptor, .events = POLLIN};
    send_calls(connections + i, window);
  }
  for (int in_flight = count * window; in_flight > 0;) {
    if (count > 1) poll(polled, count, -1);
    for (int i = 0; i < count; i++) {
      if (count > 1 && !(polled[i].revents & POLLIN)) continue;
      int answers = receive(connections + i);
      time = now();
      if (time - start > seconds) in_flight -= answers;
      else if (answers > 0) send_calls(connections + i, answers);
    }
  }
  return time - start;
}

static int by_size(const void *one, const void *other) {
  float left = *(const float *)one, right = *(const float *)other;
  return (left > right) - (left < right);
}

int main(int argc, char **argv) {
  if (argc != 6) return 2;
  read_hex(&request, argv[4], 1);
  read_hex(&answer, argv[5], 2);
  int count = strcmp(argv[2], "conn8") ? 1 : 8, window = strcmp(argv[2], "pipe8") ? 1 : 8;
  struct connection *connections = calloc(count, sizeof *connections);
  samples = malloc(SAMPLES_MAX * sizeof *samples);
  for (int i = 0; i < count; i++) open_connection(connections + i, argv[1]);
  run(connections, count, window, WARM_UP_SECONDS);
  double seconds = run(connections, count, window, atof(argv[3]));
  qsort(samples, sample_count, sizeof *samples, by_size);
  printf("%.2f %.2f %.0f\n", samples[sample_count / 2] * 1e6, samples[(size_t)(sample_count * 0.99)] * 1e6,
         sample_count / seconds);
}
