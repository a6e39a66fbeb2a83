// One namespace of entries in an LMDB environment, behind a plain C interface.
//
// An environment is one folder, shared by all worker processes. In a process one thread reads (find, next) and one
// other thread writes (begin to commit); both may run at the same time. An entry has an end of life in seconds since
// 1970 (0: none) and a second table sorts entries by it, so that what is over can be taken out without looking at all.
//
// Functions answer 0, a positive errno, or one of LMDB's own negative codes; sluice_store_error has words for all.
#ifndef SLUICE_CLMDB_H
#define SLUICE_CLMDB_H

#include <stddef.h>
#include <stdint.h>

typedef struct sluice_store sluice_store;

// Slices of the map: valid until sluice_store_release.
typedef struct {
    const uint8_t *_Nullable key;
    size_t key_count;
    const uint8_t *_Nullable metadata;
    size_t metadata_count;
    const uint8_t *_Nullable value;
    size_t value_count;
    uint64_t expires;
} sluice_entry;

enum sluice_store_code {
    SLUICE_STORE_MISSING = -30798,  // MDB_NOTFOUND
    SLUICE_STORE_FULL = -30792,     // MDB_MAP_FULL
    SLUICE_STORE_DAMAGED = -30796,  // MDB_CORRUPTED: also for a record of ours that makes no sense
};

// Makes the folder if it is not there (its parent must be). `bytes` is how large the file may become.
int sluice_store_open(const char *_Nonnull path, uint64_t bytes, sluice_store *_Nullable *_Nonnull store);
void sluice_store_close(sluice_store *_Nonnull store);
const char *_Nonnull sluice_store_error(int code);

// Bytes of the file that hold something. On the writing thread, outside of a transaction, as the functions below.
int sluice_store_usage(sluice_store *_Nonnull store, uint64_t *_Nonnull used);
// Lets the file become larger (or smaller, down to what is used).
int sluice_store_resize(sluice_store *_Nonnull store, uint64_t bytes);
// Frees reader slots of processes that are gone.
int sluice_store_check_readers(sluice_store *_Nonnull store);

// Reading. Between find/seek with result 0 and release the entry's slices are good.
int sluice_store_find(sluice_store *_Nonnull store, const uint8_t *_Nullable key, size_t count, sluice_entry *_Nonnull entry);
// Begins a walk at the first key that is not before `from`.
int sluice_store_seek(sluice_store *_Nonnull store, const uint8_t *_Nullable from, size_t count, sluice_entry *_Nonnull entry);
int sluice_store_next(sluice_store *_Nonnull store, sluice_entry *_Nonnull entry);
void sluice_store_release(sluice_store *_Nonnull store);

// Writing.
int sluice_store_begin(sluice_store *_Nonnull store);
int sluice_store_commit(sluice_store *_Nonnull store);
void sluice_store_abort(sluice_store *_Nonnull store);
// Whether `bytes` may be put so that the file holds `most` at most; MDB_MAP_FULL if not. Before the transaction changes anything.
int sluice_store_reserve(sluice_store *_Nonnull store, uint64_t bytes, uint64_t most);
int sluice_store_put(sluice_store *_Nonnull store, const sluice_entry *_Nonnull entry);
// 0 also when there is no such entry.
int sluice_store_remove(sluice_store *_Nonnull store, const uint8_t *_Nullable key, size_t count);
// Takes out entries whose end is not after `now`, at most `most`; a transaction of its own when there are any.
int sluice_store_expire(sluice_store *_Nonnull store, uint64_t now, uint32_t most, uint32_t *_Nonnull removed);
#endif
