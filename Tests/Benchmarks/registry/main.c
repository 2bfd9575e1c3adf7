// A registry of many repositories and tags on loopback, fast enough to measure clients with. It holds no file: everything
// it serves follows from its options and the day (content.h).
//
//   cc -O2 -D_GNU_SOURCE -o registry main.c http.c distribution.c harbor.c content.c -lcrypto -lz
//   registry --repositories 10000 --tags 100 [--port 0] [--vendor plain|harbor] [--born 50] [--moved 10] [--gone 10]
//            [--seed 1] [--epoch 1767225600] [--seconds 3600] [--with-parent]
//
// It prints its port and serves until --seconds have passed or, --with-parent, its standard input ends. The distribution
// API: /v2/, _catalog and tags/list in pages, manifests by tag and digest (with Etag), blobs. --vendor harbor: Harbor's
// API too. Its own: GET /_sim/ tells the day and what was asked for, by kind, since the last POST /_sim/reset;
// POST /_sim/day/N goes on to a later day. These are not counted. GET /_sim/head/PATH is answered and counted as HEAD /PATH
// is, for load generators that cannot send one, but says that no body follows. From POST /_sim/hold to POST /_sim/release
// whoever asks for a layer waits. After POST /_sim/delay/N each answer comes N microseconds after its request.
#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "http.h"

enum { EVENTS = 64, BACKLOG = 1024, HELD_MAX = 256, DELAYED_MAX = 4096 };

static const char *const kind_names[KINDS] = {"ping", "catalog", "tags", "manifestGet", "manifestHead", "configGet", "layerGet",
                                              "blobHead", "projects", "repositories", "artifacts", "other"};
static const int64_t SECOND = 1000000000;
static bool is_harbor;
static int epoll;
static struct connection *held[HELD_MAX];
static size_t held_count;
// Connections with a request whose answer is not due yet, the first first; NULL for one that has ended.
static struct {
  struct connection *connection;
  int64_t due;
} delayed[DELAYED_MAX];
static size_t delayed_first, delayed_end;
static int64_t delay;  // nanoseconds

// -- its own answers

static void control(struct connection *to, const struct request *request) {
  static const char days[] = "/_sim/day/", delays[] = "/_sim/delay/";
  char path[64];
  snprintf(path, sizeof path, "%.*s", (int)request->path_length, request->path);
  if (request->is_post && !strcmp(path, "/_sim/reset")) {
    counts = (struct counts){0};
  } else if (request->is_post && !strcmp(path, "/_sim/hold")) {
    holds_layers = true;
  } else if (request->is_post && !strcmp(path, "/_sim/release")) {
    holds_layers = false;
  } else if (request->is_post && !strncmp(path, delays, sizeof delays - 1)) {
    delay = strtoll(path + sizeof delays - 1, NULL, 10) * 1000;
  } else if (request->is_post && !strncmp(path, days, sizeof days - 1)) {
    unsigned long day = strtoul(path + sizeof days - 1, NULL, 10);
    if (day < content.day || day > DAYS_MAX) return refuse(to, request, 400, "NO_LATER_DAY");
    content_advance(&content, day);
  } else if (request->is_post || strcmp(path, "/_sim/")) {
    return refuse(to, request, 404, "UNSUPPORTED");
  }
  uint64_t total = 0, live = 0;
  for (uint32_t i = 0; i < content.options.repositories; i++) live += content.repositories[i].live;
  SAY(&body, "{\"day\":");
  say_number(&body, content.day);
  SAY(&body, ",\"tags\":");
  say_number(&body, live);
  SAY(&body, ",\"requests\":{");
  for (int i = 0; i < KINDS; i++) {
    total += counts.kinds[i];
    if (i) SAY(&body, ",");
    SAY(&body, "\"");
    put(&body, kind_names[i], strlen(kind_names[i]));
    SAY(&body, "\":");
    say_number(&body, counts.kinds[i]);
  }
  const struct {
    const char *name;
    uint64_t value;
  } sums[] = {{"},\"total\":", total}, {",\"refused\":", counts.refused}, {",\"notModified\":", counts.not_modified},
              {",\"bytes\":", counts.bytes}, {",\"connections\":", counts.connections}};
  for (size_t i = 0; i < sizeof sums / sizeof *sums; i++) {
    put(&body, sums[i].name, strlen(sums[i].name));
    say_number(&body, sums[i].value);
  }
  SAY(&body, "}\n");
  answer_json(to, request);
}

static void route(struct connection *to, struct request *request) {
  static const char as_head[] = "/_sim/head";
  body.length = extra.length = 0;
  if (request->path_length > sizeof as_head && !memcmp(request->path, as_head, sizeof as_head - 1) && request->path[sizeof as_head - 1] == '/') {
    request->path += sizeof as_head - 1;
    request->path_length -= sizeof as_head - 1;
    request->is_head = request->hides_length = true;
  }
  size_t length = request->path_length;
  if (length >= 6 && !memcmp(request->path, "/_sim/", 6)) return control(to, request);
  size_t before = to->output.length;
  if (request->is_post) {
    counts.kinds[OTHER]++;
    refuse(to, request, 405, "UNSUPPORTED");
  } else if (length >= 4 && !memcmp(request->path, "/v2/", 4)) {
    distribution(to, request);
  } else if (is_harbor && length >= 5 && !memcmp(request->path, "/api/", 5)) {
    harbor(to, request);
  } else {
    counts.kinds[OTHER]++;
    refuse(to, request, 404, "NOT_FOUND");
  }
  counts.bytes += to->output.length - before;
}

// -- reading

// The value of a header in a head that ends in an empty line; NULL when it is not there.
static const char *header(const char *head, const char *end, const char *name, size_t *length) {
  size_t name_length = strlen(name);
  for (const char *line = head; line < end;) {
    const char *stop = memchr(line, '\r', end - line);
    if (!stop) return NULL;
    if ((size_t)(stop - line) > name_length && line[name_length] == ':' && !strncasecmp(line, name, name_length)) {
      const char *value = line + name_length + 1;
      while (value < stop && *value == ' ') value++;
      *length = stop - value;
      return value;
    }
    line = stop + 2;
  }
  return NULL;
}

// Answers the first request that is held, if it is whole; how many bytes it took.
static size_t take(struct connection *connection, char *input, size_t held) {
  char *end = memmem(input, held, "\r\n\r\n", 4);
  if (!end) {
    connection->closes |= held == INPUT_MAX;
    return 0;
  }
  char *line_end = memmem(input, held, "\r\n", 2), *target = memchr(input, ' ', line_end - input);
  char *stop = target ? memrchr(target + 1, ' ', line_end - target - 1) : NULL;
  if (!stop) {
    connection->closes = true;
    return 0;
  }
  struct request request = {.path = target + 1, .path_length = stop - target - 1, .query = stop};
  char *question = memchr(request.path, '?', request.path_length);
  if (question) {
    request.query = question + 1;
    request.query_length = stop - question - 1;
    request.path_length = question - request.path;
  }
  size_t length = 0, method = target - input;
  request.is_head = is(input, method, "HEAD");
  request.is_post = !request.is_head && !is(input, method, "GET");
  request.etag = header(line_end + 2, end + 2, "if-none-match", &request.etag_length);
  const char *value = header(line_end + 2, end + 2, "connection", &length);
  connection->closes |= (value && length == 5 && !strncasecmp(value, "close", 5)) || !memcmp(line_end - 3, "1.0", 3);
  // Nothing here takes a body; one that is sent is passed over when it has come whole.
  value = header(line_end + 2, end + 2, "content-length", &length);
  size_t whole = end + 4 - input + (value ? strtoul(value, NULL, 10) : 0);
  if (whole > INPUT_MAX) connection->closes = true;
  if (whole > held) return 0;
  route(connection, &request);
  return whole;
}

// -- connections

static void end(struct connection *connection) {
  for (size_t i = 0; i < held_count; i++)
    if (held[i] == connection) held[i] = held[--held_count];
  for (size_t i = delayed_first; connection->is_delayed && i != delayed_end; i = (i + 1) % DELAYED_MAX)
    if (delayed[i].connection == connection) delayed[i].connection = NULL;
  close(connection->descriptor);
  free(connection->output.bytes);
  free(connection);
}

// Writes what there is; false when the connection has ended.
static bool flush(struct connection *connection) {
  struct text *output = &connection->output;
  while (connection->sent < output->length) {
    ssize_t count = send(connection->descriptor, output->bytes + connection->sent, output->length - connection->sent, MSG_NOSIGNAL);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0 && errno == EAGAIN) break;
    if (count < 0) return false;
    connection->sent += count;
  }
  bool waits = connection->sent < output->length;
  if (!waits) output->length = connection->sent = 0;
  if (waits != connection->waits) {
    struct epoll_event event = {.events = waits ? EPOLLOUT : EPOLLIN, .data.ptr = connection};
    if (epoll_ctl(epoll, EPOLL_CTL_MOD, connection->descriptor, &event)) fail("epoll_ctl");
    connection->waits = waits;
  }
  return true;
}

// Answers everything that is held, as far as answers do not pile up.
static bool serve(struct connection *connection) {
  size_t taken = 0;
  do {
    size_t start = taken;
    while (connection->output.length < OUTPUT_MAX && !connection->closes && !connection->is_held) {
      size_t count = take(connection, connection->input + taken, connection->held - taken);
      // A request that is held is taken again when it is let go.
      if (count == 0 || connection->is_held) break;
      taken += count;
    }
    if (!flush(connection)) return false;
    if (taken == start) break;
  } while (!connection->waits);
  connection->held -= taken;
  memmove(connection->input, connection->input + taken, connection->held);
  return !connection->closes || connection->waits;
}

static int64_t now(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return time.tv_sec * SECOND + time.tv_nsec;
}

// Answers what has come, as far as it may be answered.
static void go_on(struct connection *connection) {
  if (!serve(connection)) return end(connection);
  if (!connection->is_held) return;
  if (held_count == HELD_MAX) return end(connection);
  held[held_count++] = connection;
}

static void ready(struct connection *connection) {
  if (connection->waits) {
    if (!flush(connection)) return end(connection);
    if (connection->waits) return;
    if (connection->closes) return end(connection);
  } else {
    ssize_t count = recv(connection->descriptor, connection->input + connection->held, INPUT_MAX - connection->held, 0);
    if (count < 0 && (errno == EAGAIN || errno == EINTR)) return;
    if (count <= 0) return end(connection);
    connection->held += count;
    if (connection->is_held || connection->is_delayed) return;
    size_t next = (delayed_end + 1) % DELAYED_MAX;
    if (delay > 0 && next != delayed_first) {
      connection->is_delayed = true;
      delayed[delayed_end].connection = connection;
      delayed[delayed_end].due = now() + delay;
      delayed_end = next;
      return;
    }
  }
  go_on(connection);
}

// Nanoseconds until the next answer is due; a second where none is.
static int64_t answer_due(void) {
  int64_t time = now();
  for (; delayed_first != delayed_end; delayed_first = (delayed_first + 1) % DELAYED_MAX) {
    struct connection *connection = delayed[delayed_first].connection;
    if (!connection) continue;
    if (delayed[delayed_first].due > time) return delayed[delayed_first].due - time;
    connection->is_delayed = false;
    go_on(connection);
  }
  return SECOND;
}

static void let_go(void) {
  while (held_count > 0) {
    struct connection *connection = held[--held_count];
    connection->is_held = false;
    if (!serve(connection)) end(connection);
  }
}

static void take_connections(int listener) {
  for (;;) {
    int descriptor = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (descriptor < 0) return;
    setsockopt(descriptor, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
    struct connection *connection = calloc(1, sizeof *connection);
    if (!connection) fail("memory");
    connection->descriptor = descriptor;
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = connection};
    if (epoll_ctl(epoll, EPOLL_CTL_ADD, descriptor, &event)) fail("epoll_ctl");
    counts.connections++;
  }
}

static int listen_on(int port) {
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &(int){1}, sizeof(int));
  if (bind(listener, (struct sockaddr *)&address, sizeof address) || listen(listener, BACKLOG)) fail("bind");
  socklen_t length = sizeof address;
  getsockname(listener, (struct sockaddr *)&address, &length);
  printf("%d\n", ntohs(address.sin_port));
  fflush(stdout);
  return listener;
}

static void run(int listener, int64_t until, bool with_parent) {
  struct epoll_event events[EVENTS], listening = {.events = EPOLLIN, .data.ptr = &listener}, parent = {.events = EPOLLIN, .data.ptr = &until};
  epoll = epoll_create1(EPOLL_CLOEXEC);
  if (epoll_ctl(epoll, EPOLL_CTL_ADD, listener, &listening)) fail("epoll_ctl");
  if (with_parent && epoll_ctl(epoll, EPOLL_CTL_ADD, STDIN_FILENO, &parent)) fail("standard input");
  while (now() < until) {
    struct timespec wait = {.tv_nsec = answer_due()};
    if (wait.tv_nsec == SECOND) wait = (struct timespec){.tv_sec = 1};
    int count = epoll_pwait2(epoll, events, EVENTS, &wait, NULL);
    for (int i = 0; i < count; i++) {
      if (events[i].data.ptr == &listener) {
        take_connections(listener);
      } else if (events[i].data.ptr == &until) {
        char ignored[64];
        if (read(STDIN_FILENO, ignored, sizeof ignored) <= 0) return;
      } else {
        ready(events[i].data.ptr);
      }
    }
    if (!holds_layers) let_go();
  }
}

int main(int argc, char **argv) {
  struct options options = {.repositories = 100, .tags = 100, .born = 50, .moved = 10, .gone = 10, .seed = 1, .epoch = 1767225600};
  static const struct option known[] = {
    {"repositories", 1, NULL, 'r'}, {"tags", 1, NULL, 't'}, {"port", 1, NULL, 'p'}, {"vendor", 1, NULL, 'v'}, {"born", 1, NULL, 'b'},
    {"moved", 1, NULL, 'm'}, {"gone", 1, NULL, 'g'}, {"seed", 1, NULL, 's'}, {"epoch", 1, NULL, 'e'}, {"seconds", 1, NULL, 'l'},
    {"with-parent", 0, NULL, 'w'}, {0}};
  long port = 0, seconds = 3600;
  bool with_parent = false;
  for (int flag; (flag = getopt_long(argc, argv, "", known, NULL)) != -1;) {
    long long number = optarg ? strtoll(optarg, NULL, 10) : 0;
    switch (flag) {
    case 'r': options.repositories = number; break;
    case 't': options.tags = number; break;
    case 'p': port = number; break;
    case 'v': is_harbor = !strcmp(optarg, "harbor"); break;
    case 'b': options.born = number; break;
    case 'm': options.moved = number; break;
    case 'g': options.gone = number; break;
    case 's': options.seed = number; break;
    case 'e': options.epoch = number; break;
    case 'l': seconds = number; break;
    case 'w': with_parent = true; break;
    default: return 2;
    }
  }
  if (options.repositories > REPOSITORIES_MAX || options.tags > TAGS_MAX) {
    fprintf(stderr, "at most %d repositories of %d tags\n", REPOSITORIES_MAX, TAGS_MAX);
    return 2;
  }
  content_make(&content, &options);
  // The kernel's own slack of 50 microseconds would be part of each delay.
  prctl(PR_SET_TIMERSLACK, 1L);
  run(listen_on(port), now() + seconds * SECOND, with_parent);
}
