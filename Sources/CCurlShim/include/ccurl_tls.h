// What libcurl leaves to the TLS library below it: authorities parsed once and used by every connection, and the
// certificates that a server showed, also when the handshake failed because of them. Used by the curl thread alone, but
// for the functions that say otherwise.
#pragma once
#include <curl/curl.h>
#include <stddef.h>
#include <stdint.h>

// Parsed certificates.
typedef struct ccurl_certificates ccurl_certificates;

// Reads every certificate of a PEM text; private keys and other blocks in it are passed over. NULL when one cannot be
// read, or when memory is out. From any thread.
ccurl_certificates *_Nullable ccurl_certificates_read(const void *_Nonnull pem, size_t count);
size_t ccurl_certificates_count(const ccurl_certificates *_Nonnull certificates);
void ccurl_certificates_free(ccurl_certificates *_Nonnull certificates);

// What a chain may end in. The certificates are shared, not copied; each may be given up after this.
typedef struct ccurl_trust ccurl_trust;

// `folder` holds certificates under the names of their hashes, as c_rehash makes it. NULL when memory is out or the
// folder's name cannot be used.
ccurl_trust *_Nullable ccurl_trust_make(
    const ccurl_certificates *_Nullable system, const ccurl_certificates *_Nullable additional,
    const char *_Nullable folder);
void ccurl_trust_free(ccurl_trust *_Nonnull trust);

#define CCURL_CHAIN_MAX 6

typedef struct {
  char subject[256];
  char issuer[256];
  // DNS names and addresses, separated by ", ".
  char names[512];
  // Seconds since 1970.
  int64_t not_before;
  int64_t not_after;
} ccurl_certificate;

// What the peer showed in its last handshake, its own certificate first.
typedef struct {
  int count;
  // What the check said, as in X509_verify_cert: 0 is good. Names are not part of it.
  int error;
  // The place in the verified chain that the error is about.
  int depth;
  ccurl_certificate certificates[CCURL_CHAIN_MAX];
} ccurl_chain;

// Lives on in the connections that were made with it: free it with its handle.
typedef struct ccurl_observer ccurl_observer;

// Has the connections that `easy` makes verified against `trust`, if that is given, and observed.
ccurl_observer *_Nullable ccurl_observe_tls(CURL *_Nonnull easy, ccurl_trust *_Nullable trust);
const ccurl_chain *_Nonnull ccurl_observed_chain(const ccurl_observer *_Nonnull observer);
// Forgets what was observed: the handle is to be used for another request.
void ccurl_observer_reset(ccurl_observer *_Nonnull observer);
void ccurl_observer_free(ccurl_observer *_Nonnull observer);

// The words for `ccurl_chain.error`.
const char *_Nonnull ccurl_verify_reason(int error);

extern const int ccurl_verify_expired;
extern const int ccurl_verify_not_yet_valid;

typedef enum {
  ccurl_identity_good,
  ccurl_identity_bad_certificate,
  ccurl_identity_bad_key,
  ccurl_identity_encrypted_key,
  ccurl_identity_mismatch,
} ccurl_identity_check;

// Whether a client certificate (its chain may follow it) and a private key, both PEM, belong together. Never asks for a
// passphrase. From any thread.
ccurl_identity_check ccurl_check_identity(
    const void *_Nonnull certificate, size_t certificate_count, const void *_Nonnull key, size_t key_count);
