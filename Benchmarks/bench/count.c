// Counts what a process asks of the heap, in memory that the benchmark reads: preloaded into the worker only to measure.
// Words of the file named by SLUICE_COUNT: allocations on the main thread that the program itself asked for, those that
// libraries asked for (V8, OpenSSL, nghttp2), allocations on other threads.
#define _GNU_SOURCE
#include <fcntl.h>
#include <link.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

extern void *__libc_malloc(size_t);
extern void *__libc_calloc(size_t, size_t);
extern void *__libc_realloc(void *, size_t);
extern void *__libc_memalign(size_t, size_t);

static _Atomic uint64_t unwatched[3];
static _Atomic uint64_t *words = unwatched;
static __thread int is_main __attribute__((tls_model("initial-exec")));  // 0: not asked yet, 1: yes, 2: no

static uintptr_t first, last;  // the program's own code

static int find_program(struct dl_phdr_info *info, size_t size, void *unused) {
    (void)size;
    (void)unused;
    for (int i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *part = &info->dlpi_phdr[i];
        if (part->p_type != PT_LOAD || !(part->p_flags & PF_X)) continue;
        first = info->dlpi_addr + part->p_vaddr;
        last = first + part->p_memsz;
    }
    return 1;  // the first object is the program
}

__attribute__((constructor)) static void open_words(void) {
    dl_iterate_phdr(find_program, NULL);
    const char *path = getenv("SLUICE_COUNT");
    if (path == NULL) return;
    char name[4096];
    snprintf(name, sizeof name, "%s.%d", path, (int)getpid());
    int fd = open(name, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0 || ftruncate(fd, 4096) != 0) return;
    void *memory = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (memory != MAP_FAILED) words = memory;
    close(fd);
}

static void count(void *caller) {
    if (is_main == 0) is_main = syscall(SYS_gettid) == getpid() ? 1 : 2;
    const uintptr_t from = (uintptr_t)caller;
    const int word = is_main == 2 ? 2 : from >= first && from < last ? 0 : 1;
    atomic_fetch_add_explicit(&words[word], 1, memory_order_relaxed);
}
#define COUNT() count(__builtin_return_address(0))

void *malloc(size_t size) { COUNT(); return __libc_malloc(size); }
void *calloc(size_t count_, size_t size) { COUNT(); return __libc_calloc(count_, size); }
void *realloc(void *old, size_t size) { COUNT(); return __libc_realloc(old, size); }
void *memalign(size_t alignment, size_t size) { COUNT(); return __libc_memalign(alignment, size); }
void *aligned_alloc(size_t alignment, size_t size) { COUNT(); return __libc_memalign(alignment, size); }
int posix_memalign(void **out, size_t alignment, size_t size) {
    COUNT();
    *out = __libc_memalign(alignment, size);
    return *out ? 0 : 12;
}
