// libcurl's variadic setters and getters, one function per argument type, because Swift cannot call variadics; and the
// check of an address before a socket is made for it, which must not depend on Swift's runtime.
#pragma once
#include <curl/curl.h>
#include <netinet/in.h>
#include <stddef.h>
#include <stdint.h>

#include "ccurl_tls.h"

CURLcode ccurl_set_long(CURL *_Nonnull easy, CURLoption option, long value);
CURLcode ccurl_set_string(CURL *_Nonnull easy, CURLoption option, const char *_Nullable value);
CURLcode ccurl_set_pointer(CURL *_Nonnull easy, CURLoption option, void *_Nullable value);
CURLcode ccurl_set_list(CURL *_Nonnull easy, CURLoption option, struct curl_slist *_Nullable value);
// The bytes are not copied: they must stay where they are until the handle is cleaned up.
CURLcode ccurl_set_blob(CURL *_Nonnull easy, CURLoption option, const void *_Nonnull bytes, size_t count);

typedef size_t (*ccurl_data_callback)(
    char *_Nonnull bytes, size_t size, size_t count, void *_Nonnull context);
CURLcode ccurl_set_write(CURL *_Nonnull easy, ccurl_data_callback _Nonnull callback, void *_Nonnull context);
CURLcode ccurl_set_header(CURL *_Nonnull easy, ccurl_data_callback _Nonnull callback, void *_Nonnull context);

// libcurl's own words for a failure come into `buffer`, CURL_ERROR_SIZE bytes that must outlive the handle.
CURLcode ccurl_set_error_buffer(CURL *_Nonnull easy, char *_Nonnull buffer);

// Called when a connection is ready, new or kept, just before the request goes out on it.
CURLcode ccurl_set_ready(CURL *_Nonnull easy, curl_prereq_callback _Nonnull callback, void *_Nonnull context);

CURLcode ccurl_get_long(CURL *_Nonnull easy, CURLINFO info, long *_Nonnull value);
// Valid until the handle is cleaned up.
const char *_Nullable ccurl_get_string(CURL *_Nonnull easy, CURLINFO info);

CURLMcode ccurl_multi_set_long(CURLM *_Nonnull multi, CURLMoption option, long value);

// Called when libcurl wants to be told of other events of a socket, and of another time to be called again.
CURLMcode ccurl_multi_set_socket(
    CURLM *_Nonnull multi, curl_socket_callback _Nonnull callback, void *_Nonnull context);
CURLMcode ccurl_multi_set_timer(
    CURLM *_Nonnull multi, curl_multi_timer_callback _Nonnull callback, void *_Nonnull context);

CURLSHcode ccurl_share_data(CURLSH *_Nonnull share, curl_lock_data data);

// What the write callback returns to pause its transfer (CURL_WRITEFUNC_PAUSE).
extern const size_t ccurl_write_pause;

// What an address is, as bits.
extern const uint32_t ccurl_address_ordinary;
extern const uint32_t ccurl_address_loopback;
// Link-local networks and the clouds' metadata services.
extern const uint32_t ccurl_address_link_local;
// Unspecified, broadcast and multicast: no address of one host.
extern const uint32_t ccurl_address_unspecified;
// Networks that only their members reach (RFC 1918, RFC 4193, carrier-grade NAT).
extern const uint32_t ccurl_address_private;

// The kind of an address in text, as CURLINFO_PRIMARY_IP gives it; 0 when it is no address. An IPv4 address inside an
// IPv6 one (mapped, compatible, NAT64, 6to4) counts as what it is.
uint32_t ccurl_address_kind(const char *_Nonnull text);

typedef struct {
  uint32_t allowed;  // kinds a socket may be made for
  uint32_t refused;  // kinds refused since the transfer began
  char refused_address[INET6_ADDRSTRLEN];
} ccurl_address_policy;

// Makes `easy` ask `policy` before every socket; `policy` must outlive the handle.
CURLcode ccurl_set_address_policy(CURL *_Nonnull easy, ccurl_address_policy *_Nonnull policy);
