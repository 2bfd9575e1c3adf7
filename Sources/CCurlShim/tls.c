#include "CCurlShim.h"

#include <arpa/inet.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

struct ccurl_certificates {
  STACK_OF(X509) * list;
};

ccurl_certificates *ccurl_certificates_read(const void *pem, size_t count) {
  if (count > INT32_MAX) return NULL;
  BIO *bio = BIO_new_mem_buf(pem, (int)count);
  ccurl_certificates *certificates = calloc(1, sizeof *certificates);
  if (certificates) certificates->list = sk_X509_new_null();
  if (!bio || !certificates || !certificates->list) goto failed;
  while (1) {
    X509 *certificate = PEM_read_bio_X509_AUX(bio, NULL, NULL, "");
    if (!certificate) break;
    if (!sk_X509_push(certificates->list, certificate)) {
      X509_free(certificate);
      goto failed;
    }
  }
  // The end of the text shows as a missing first line.
  unsigned long last = ERR_peek_last_error();
  if (ERR_GET_LIB(last) != ERR_LIB_PEM || ERR_GET_REASON(last) != PEM_R_NO_START_LINE) goto failed;
  ERR_clear_error();
  BIO_free(bio);
  return certificates;
failed:
  ERR_clear_error();
  BIO_free(bio);
  if (certificates) ccurl_certificates_free(certificates);
  return NULL;
}

size_t ccurl_certificates_count(const ccurl_certificates *certificates) {
  return (size_t)sk_X509_num(certificates->list);
}

void ccurl_certificates_free(ccurl_certificates *certificates) {
  sk_X509_pop_free(certificates->list, X509_free);
  free(certificates);
}

struct ccurl_trust {
  X509_STORE *store;
};

static int add_all(X509_STORE *store, const ccurl_certificates *certificates) {
  if (!certificates) return 1;
  for (int i = 0; i < sk_X509_num(certificates->list); i++) {
    // One that is there already is no error.
    if (!X509_STORE_add_cert(store, sk_X509_value(certificates->list, i))) return 0;
  }
  return 1;
}

ccurl_trust *ccurl_trust_make(
    const ccurl_certificates *system, const ccurl_certificates *additional, const char *folder) {
  ccurl_trust *trust = calloc(1, sizeof *trust);
  if (!trust) return NULL;
  trust->store = X509_STORE_new();
  // A chain may end at any certificate that was given, also at the server's own.
  if (!trust->store || !X509_STORE_set_flags(trust->store, X509_V_FLAG_PARTIAL_CHAIN) ||
      !add_all(trust->store, system) || !add_all(trust->store, additional) ||
      (folder && !X509_STORE_load_path(trust->store, folder))) {
    ERR_clear_error();
    ccurl_trust_free(trust);
    return NULL;
  }
  return trust;
}

void ccurl_trust_free(ccurl_trust *trust) {
  X509_STORE_free(trust->store);
  free(trust);
}

// One reference is the handle's, one that of each TLS context it made.
struct ccurl_observer {
  int references;
  X509_STORE *store;
  ccurl_chain chain;
};

static void release(ccurl_observer *observer) {
  if (--observer->references > 0) return;
  X509_STORE_free(observer->store);
  free(observer);
}

static int observer_index = -1;

static void context_freed(void *parent, void *observer, CRYPTO_EX_DATA *data, int index, long argument, void *pointer) {
  (void)parent, (void)data, (void)index, (void)argument, (void)pointer;
  if (observer) release(observer);
}

static void make_index(void) { observer_index = SSL_CTX_get_ex_new_index(0, NULL, NULL, NULL, context_freed); }

static void copy_name(char *into, size_t size, const X509_NAME *name) {
  BIO *bio = BIO_new(BIO_s_mem());
  if (!bio) return;
  // UTF-8 as it is, control characters escaped.
  if (X509_NAME_print_ex(bio, name, 0, (XN_FLAG_ONELINE & ~ASN1_STRFLGS_ESC_MSB) & ~XN_FLAG_SPC_EQ) >= 0) {
    int count = BIO_read(bio, into, (int)size - 1);
    into[count > 0 ? count : 0] = 0;
  }
  BIO_free(bio);
}

static void append(char *into, size_t size, const char *text, size_t count) {
  size_t used = strlen(into);
  if (used > 0) {
    if (used + 3 > size) return;
    memcpy(into + used, ", ", 3);
    used += 2;
  }
  if (count >= size - used) count = size - used - 1;
  memcpy(into + used, text, count);
  into[used + count] = 0;
}

static void copy_alternative_names(char *into, size_t size, const X509 *certificate) {
  GENERAL_NAMES *names = X509_get_ext_d2i(certificate, NID_subject_alt_name, NULL, NULL);
  for (int i = 0; i < sk_GENERAL_NAME_num(names); i++) {
    const GENERAL_NAME *name = sk_GENERAL_NAME_value(names, i);
    if (name->type == GEN_DNS) {
      append(into, size, (const char *)ASN1_STRING_get0_data(name->d.dNSName), (size_t)ASN1_STRING_length(name->d.dNSName));
    } else if (name->type == GEN_IPADD) {
      char text[64];
      int length = ASN1_STRING_length(name->d.iPAddress);
      const unsigned char *bytes = ASN1_STRING_get0_data(name->d.iPAddress);
      int family = length == 4 ? AF_INET : AF_INET6;
      if ((length == 4 || length == 16) && inet_ntop(family, bytes, text, sizeof text)) {
        append(into, size, text, strlen(text));
      }
    }
  }
  GENERAL_NAMES_free(names);
}

static int64_t seconds(const ASN1_TIME *time) {
  struct tm parts;
  return time && ASN1_TIME_to_tm(time, &parts) ? (int64_t)timegm(&parts) : 0;
}

static int verify(X509_STORE_CTX *context, void *unused) {
  (void)unused;
  int isGood = X509_verify_cert(context);
  const SSL *ssl = X509_STORE_CTX_get_ex_data(context, SSL_get_ex_data_X509_STORE_CTX_idx());
  ccurl_observer *observer = ssl ? SSL_CTX_get_ex_data(SSL_get_SSL_CTX(ssl), observer_index) : NULL;
  if (!observer) return isGood;
  ccurl_chain *chain = &observer->chain;
  memset(chain, 0, sizeof *chain);
  chain->error = X509_STORE_CTX_get_error(context);
  chain->depth = X509_STORE_CTX_get_error_depth(context);
  // As sent: the verified chain may lack what the error is about.
  STACK_OF(X509) *sent = X509_STORE_CTX_get0_untrusted(context);
  for (int i = 0; i < sk_X509_num(sent) && i < CCURL_CHAIN_MAX; i++) {
    const X509 *certificate = sk_X509_value(sent, i);
    ccurl_certificate *entry = &chain->certificates[chain->count++];
    copy_name(entry->subject, sizeof entry->subject, X509_get_subject_name(certificate));
    copy_name(entry->issuer, sizeof entry->issuer, X509_get_issuer_name(certificate));
    copy_alternative_names(entry->names, sizeof entry->names, certificate);
    entry->not_before = seconds(X509_get0_notBefore(certificate));
    entry->not_after = seconds(X509_get0_notAfter(certificate));
  }
  ERR_clear_error();
  return isGood;
}

static CURLcode prepare(CURL *easy, void *context, void *pointer) {
  (void)easy;
  SSL_CTX *ctx = context;
  ccurl_observer *observer = pointer;
  // Not the context's own store: libcurl changes that one once more, and hands it to other connections.
  if (observer->store && !SSL_CTX_set1_verify_cert_store(ctx, observer->store)) return CURLE_OUT_OF_MEMORY;
  if (!SSL_CTX_set_ex_data(ctx, observer_index, observer)) return CURLE_OUT_OF_MEMORY;
  observer->references++;
  SSL_CTX_set_cert_verify_callback(ctx, verify, NULL);
  return CURLE_OK;
}

ccurl_observer *ccurl_observe_tls(CURL *easy, ccurl_trust *trust) {
  static pthread_once_t once = PTHREAD_ONCE_INIT;
  pthread_once(&once, make_index);
  ccurl_observer *observer = observer_index < 0 ? NULL : calloc(1, sizeof *observer);
  if (!observer) return NULL;
  observer->references = 1;
  if (trust) {
    X509_STORE_up_ref(trust->store);
    observer->store = trust->store;
  }
  if (curl_easy_setopt(easy, CURLOPT_SSL_CTX_FUNCTION, prepare) != CURLE_OK ||
      curl_easy_setopt(easy, CURLOPT_SSL_CTX_DATA, observer) != CURLE_OK) {
    release(observer);
    return NULL;
  }
  return observer;
}

const ccurl_chain *ccurl_observed_chain(const ccurl_observer *observer) { return &observer->chain; }

void ccurl_observer_reset(ccurl_observer *observer) { observer->chain.count = observer->chain.error = 0; }

void ccurl_observer_free(ccurl_observer *observer) { release(observer); }

const char *ccurl_verify_reason(int error) { return X509_verify_cert_error_string(error); }

const int ccurl_verify_expired = X509_V_ERR_CERT_HAS_EXPIRED;
const int ccurl_verify_not_yet_valid = X509_V_ERR_CERT_NOT_YET_VALID;

// Called where a key is encrypted: notes that, and has no passphrase to give.
static int no_passphrase(char *into, int size, int isWriting, void *wasAsked) {
  (void)into, (void)size, (void)isWriting;
  *(int *)wasAsked = 1;
  return -1;
}

ccurl_identity_check ccurl_check_identity(
    const void *certificate, size_t certificate_count, const void *key, size_t key_count) {
  if (certificate_count > INT32_MAX) return ccurl_identity_bad_certificate;
  if (key_count > INT32_MAX) return ccurl_identity_bad_key;
  ccurl_identity_check result = ccurl_identity_bad_certificate;
  int isEncrypted = 0;
  BIO *certificateBIO = BIO_new_mem_buf(certificate, (int)certificate_count);
  BIO *keyBIO = BIO_new_mem_buf(key, (int)key_count);
  X509 *x509 = certificateBIO ? PEM_read_bio_X509(certificateBIO, NULL, NULL, "") : NULL;
  EVP_PKEY *pkey = keyBIO ? PEM_read_bio_PrivateKey(keyBIO, NULL, no_passphrase, &isEncrypted) : NULL;
  if (x509) {
    result = isEncrypted                          ? ccurl_identity_encrypted_key
             : !pkey                              ? ccurl_identity_bad_key
             : !X509_check_private_key(x509, pkey) ? ccurl_identity_mismatch
                                                  : ccurl_identity_good;
  }
  X509_free(x509);
  EVP_PKEY_free(pkey);
  BIO_free(certificateBIO);
  BIO_free(keyBIO);
  ERR_clear_error();
  return result;
}
