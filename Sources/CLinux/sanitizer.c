// What differs in a program that was built for tests with a sanitizer. No option and no environment variable leads here: only
// how the program was compiled.
#include "confine.h"

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define SLUICE_ADDRESS_SANITIZER 1
#elif __has_feature(thread_sanitizer)
#define SLUICE_THREAD_SANITIZER 1
#endif
#endif

#if defined(SLUICE_ADDRESS_SANITIZER) || defined(SLUICE_THREAD_SANITIZER)

int sluice_is_sanitized(void) { return 1; }

#else

int sluice_is_sanitized(void) { return 0; }

#endif

#if defined(SLUICE_ADDRESS_SANITIZER)

// The runtime asks for this at its start. Leaks are told by counters of our own: what V8 and OpenSSL keep for the life of a
// process is none. Where RLIMIT_DATA is missing, the runtime ends a process that holds 2 GiB; allocations that fail answer NULL as
// they do without it.
__attribute__((visibility("default"), used)) const char *__asan_default_options(void);
const char *__asan_default_options(void) {
    return "detect_leaks=0:allocator_may_return_null=1:hard_rss_limit_mb=2048";
}

#endif

#if defined(SLUICE_THREAD_SANITIZER)

void __tsan_acquire(void *address);
void __tsan_release(void *address);
void sluice_lock_taken(const void *lock) { __tsan_acquire((void *)lock); }
void sluice_lock_given(const void *lock) { __tsan_release((void *)lock); }

#else

void sluice_lock_taken(const void *lock) { (void)lock; }
void sluice_lock_given(const void *lock) { (void)lock; }

#endif
