#include "CCurlShim.h"

#include <arpa/inet.h>
#include <string.h>
#include <sys/socket.h>

CURLcode ccurl_set_long(CURL *easy, CURLoption option, long value) {
  return curl_easy_setopt(easy, option, value);
}

CURLcode ccurl_set_string(CURL *easy, CURLoption option, const char *value) {
  return curl_easy_setopt(easy, option, value);
}

CURLcode ccurl_set_pointer(CURL *easy, CURLoption option, void *value) {
  return curl_easy_setopt(easy, option, value);
}

CURLcode ccurl_set_list(CURL *easy, CURLoption option, struct curl_slist *value) {
  return curl_easy_setopt(easy, option, value);
}

CURLcode ccurl_set_blob(CURL *easy, CURLoption option, const void *bytes, size_t count) {
  struct curl_blob blob = {.data = (void *)bytes, .len = count, .flags = CURL_BLOB_NOCOPY};
  return curl_easy_setopt(easy, option, &blob);
}

CURLcode ccurl_set_write(CURL *easy, ccurl_data_callback callback, void *context) {
  CURLcode code = curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, callback);
  return code != CURLE_OK ? code : curl_easy_setopt(easy, CURLOPT_WRITEDATA, context);
}

CURLcode ccurl_set_error_buffer(CURL *easy, char *buffer) {
  return curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, buffer);
}

CURLcode ccurl_set_header(CURL *easy, ccurl_data_callback callback, void *context) {
  CURLcode code = curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, callback);
  return code != CURLE_OK ? code : curl_easy_setopt(easy, CURLOPT_HEADERDATA, context);
}

CURLcode ccurl_set_ready(CURL *easy, curl_prereq_callback callback, void *context) {
  CURLcode code = curl_easy_setopt(easy, CURLOPT_PREREQFUNCTION, callback);
  return code != CURLE_OK ? code : curl_easy_setopt(easy, CURLOPT_PREREQDATA, context);
}

CURLcode ccurl_get_long(CURL *easy, CURLINFO info, long *value) {
  return curl_easy_getinfo(easy, info, value);
}

const char *ccurl_get_string(CURL *easy, CURLINFO info) {
  char *value = NULL;
  return curl_easy_getinfo(easy, info, &value) == CURLE_OK ? value : NULL;
}

CURLMcode ccurl_multi_set_long(CURLM *multi, CURLMoption option, long value) {
  return curl_multi_setopt(multi, option, value);
}

CURLMcode ccurl_multi_set_socket(CURLM *multi, curl_socket_callback callback, void *context) {
  CURLMcode code = curl_multi_setopt(multi, CURLMOPT_SOCKETFUNCTION, callback);
  return code != CURLM_OK ? code : curl_multi_setopt(multi, CURLMOPT_SOCKETDATA, context);
}

CURLMcode ccurl_multi_set_timer(CURLM *multi, curl_multi_timer_callback callback, void *context) {
  CURLMcode code = curl_multi_setopt(multi, CURLMOPT_TIMERFUNCTION, callback);
  return code != CURLM_OK ? code : curl_multi_setopt(multi, CURLMOPT_TIMERDATA, context);
}

CURLSHcode ccurl_share_data(CURLSH *share, curl_lock_data data) {
  return curl_share_setopt(share, CURLSHOPT_SHARE, data);
}

const size_t ccurl_write_pause = CURL_WRITEFUNC_PAUSE;

const uint32_t ccurl_address_ordinary = 1;
const uint32_t ccurl_address_loopback = 2;
const uint32_t ccurl_address_link_local = 4;
const uint32_t ccurl_address_unspecified = 8;
const uint32_t ccurl_address_private = 16;

static uint32_t kind_of_v4(const uint8_t a[4]) {
  static const uint8_t alibaba_metadata[4] = {100, 100, 100, 200};
  static const uint8_t azure_wire_server[4] = {168, 63, 129, 16};
  if (a[0] == 127) return ccurl_address_loopback;
  if (a[0] == 0 || a[0] >= 224) return a[0] >= 240 && a[0] < 255 ? ccurl_address_ordinary : ccurl_address_unspecified;
  if (a[0] == 169 && a[1] == 254) return ccurl_address_link_local;
  if (memcmp(a, alibaba_metadata, 4) == 0 || memcmp(a, azure_wire_server, 4) == 0) return ccurl_address_link_local;
  if (a[0] == 10 || (a[0] == 172 && (a[1] & 0xf0) == 16) || (a[0] == 192 && a[1] == 168) ||
      (a[0] == 100 && (a[1] & 0xc0) == 64)) {
    return ccurl_address_private;
  }
  return ccurl_address_ordinary;
}

static uint32_t kind_of_v6(const uint8_t a[16]) {
  static const uint8_t zeros[16] = {0};
  static const uint8_t mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
  static const uint8_t nat64[12] = {0x00, 0x64, 0xff, 0x9b};
  static const uint8_t amazon_metadata[16] = {0xfd, 0x00, 0x0e, 0xc2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x02, 0x54};
  if (memcmp(a, zeros, 16) == 0) return ccurl_address_unspecified;
  if (memcmp(a, zeros, 15) == 0 && a[15] == 1) return ccurl_address_loopback;
  if (memcmp(a, mapped, 12) == 0 || memcmp(a, nat64, 12) == 0 || memcmp(a, zeros, 12) == 0) return kind_of_v4(a + 12);
  if (a[0] == 0x20 && a[1] == 0x02) return kind_of_v4(a + 2);
  if (a[0] == 0xfe && (a[1] & 0xc0) == 0x80) return ccurl_address_link_local;
  if (memcmp(a, amazon_metadata, 16) == 0) return ccurl_address_link_local;
  if (a[0] == 0xff) return ccurl_address_unspecified;
  if ((a[0] & 0xfe) == 0xfc) return ccurl_address_private;
  return ccurl_address_ordinary;
}

uint32_t ccurl_address_kind(const char *text) {
  uint8_t bytes[16];
  if (inet_pton(AF_INET, text, bytes) == 1) return kind_of_v4(bytes);
  if (inet_pton(AF_INET6, text, bytes) == 1) return kind_of_v6(bytes);
  return 0;
}

static curl_socket_t open_socket(void *context, curlsocktype purpose, struct curl_sockaddr *address) {
  (void)purpose;
  ccurl_address_policy *policy = context;
  uint32_t kind = 0;
  const void *bytes = NULL;
  struct sockaddr_in v4;
  struct sockaddr_in6 v6;
  if (address->family == AF_INET) {
    memcpy(&v4, &address->addr, sizeof v4);
    bytes = &v4.sin_addr;
    kind = kind_of_v4((const uint8_t *)bytes);
  } else if (address->family == AF_INET6) {
    // curl_sockaddr declares the short generic structure, and lays the long one over it.
    memcpy(&v6, (const void *)&address->addr, sizeof v6);
    bytes = &v6.sin6_addr;
    kind = kind_of_v6((const uint8_t *)bytes);
  }
  if ((kind & policy->allowed) == 0) {
    policy->refused |= kind;
    if (bytes) inet_ntop(address->family, bytes, policy->refused_address, sizeof policy->refused_address);
    return CURL_SOCKET_BAD;
  }
  return socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
}

CURLcode ccurl_set_address_policy(CURL *easy, ccurl_address_policy *policy) {
  CURLcode code = curl_easy_setopt(easy, CURLOPT_OPENSOCKETFUNCTION, open_socket);
  return code != CURLE_OK ? code : curl_easy_setopt(easy, CURLOPT_OPENSOCKETDATA, policy);
}
