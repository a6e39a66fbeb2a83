#include "clmdb.h"

#include <errno.h>
#include <lmdb.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

struct sluice_store {
    MDB_env *env;
    MDB_dbi entries, ends;
    MDB_txn *reader, *writer;
    MDB_cursor *walker;
    // The map may move only while nobody reads (`reading`) and nobody writes (`writing`).
    pthread_rwlock_t reading;
    pthread_mutex_t writing;
};

// In front of each value. Little-endian as the machine is: a file does not travel between kinds of machines.
typedef struct {
    uint64_t expires;
    uint32_t metadata_count;
    uint32_t version;
} header;

static const uint32_t HEADER_VERSION = 1;

static MDB_val value_of(const uint8_t *bytes, size_t count) {
    MDB_val value = {count, (void *)bytes};
    return value;
}

// MARK: Opening

static int open_tables(sluice_store *store) {
    MDB_txn *txn;
    int code = mdb_txn_begin(store->env, NULL, 0, &txn);
    if (code) return code;
    code = mdb_dbi_open(txn, "entries", MDB_CREATE, &store->entries);
    if (!code) code = mdb_dbi_open(txn, "ends", MDB_CREATE | MDB_DUPSORT, &store->ends);
    if (code) {
        mdb_txn_abort(txn);
        return code;
    }
    return mdb_txn_commit(txn);
}

static int open_reader(sluice_store *store) {
    int code = mdb_txn_begin(store->env, NULL, MDB_RDONLY, &store->reader);
    if (!code) mdb_txn_reset(store->reader);
    return code;
}

int sluice_store_open(const char *path, uint64_t bytes, sluice_store **out) {
    *out = NULL;
    if (mkdir(path, 0700) < 0 && errno != EEXIST) return errno;
    sluice_store *store = calloc(1, sizeof *store);
    if (!store) return ENOMEM;
    pthread_rwlock_init(&store->reading, NULL);
    pthread_mutex_init(&store->writing, NULL);
    int code = mdb_env_create(&store->env);
    if (!code) code = mdb_env_set_maxdbs(store->env, 4);
    if (!code) code = mdb_env_set_mapsize(store->env, bytes);
    // Transactions belong to objects, not to threads: one thread reads, another writes. Read-ahead is for scans; here
    // it would push other programs' pages out of memory.
    if (!code) code = mdb_env_open(store->env, path, MDB_NOTLS | MDB_NORDAHEAD, 0600);
    if (!code) {
        int dead;
        (void)mdb_reader_check(store->env, &dead);
        code = open_tables(store);
        if (code == MDB_MAP_RESIZED && !(code = mdb_env_set_mapsize(store->env, 0))) code = open_tables(store);
    }
    if (!code) code = open_reader(store);
    if (code) sluice_store_close(store);
    else *out = store;
    return code;
}

void sluice_store_close(sluice_store *store) {
    if (store->walker) mdb_cursor_close(store->walker);
    if (store->reader) mdb_txn_abort(store->reader);
    if (store->env) mdb_env_close(store->env);
    pthread_rwlock_destroy(&store->reading);
    pthread_mutex_destroy(&store->writing);
    free(store);
}

const char *sluice_store_error(int code) { return mdb_strerror(code); }

// Pages that were freed and not taken again: LMDB counts them as used. Its table of them (number 0) is shown to readers only; one within a
// write sees what the write began with. At most `most` records are looked at, one for each transaction that freed something.
static int count_free(sluice_store *store, uint64_t enough, uint64_t most, uint64_t *pages) {
    MDB_txn *txn;
    MDB_cursor *cursor;
    *pages = 0;
    int code = mdb_txn_begin(store->env, NULL, MDB_RDONLY, &txn);
    if (code) return code;
    code = mdb_cursor_open(txn, 0, &cursor);
    if (!code) {
        MDB_val key, data;
        while (*pages < enough && most-- > 0 && !(code = mdb_cursor_get(cursor, &key, &data, MDB_NEXT))) {
            size_t count = 0;
            if (data.mv_size >= sizeof count) memcpy(&count, data.mv_data, sizeof count);
            *pages += count;
        }
        if (code == MDB_NOTFOUND) code = 0;
        mdb_cursor_close(cursor);
    }
    mdb_txn_abort(txn);
    return code;
}

static int count_pages(sluice_store *store, uint64_t *used, uint64_t *size) {
    MDB_envinfo info;
    MDB_stat stat;
    int code = mdb_env_info(store->env, &info);
    if (!code) code = mdb_env_stat(store->env, &stat);
    if (code) return code;
    *used = info.me_last_pgno + 1;
    *size = stat.ms_psize;
    return 0;
}

int sluice_store_usage(sluice_store *store, uint64_t *used) {
    uint64_t pages, size, free;
    // All of it looks into the map, which another thread may move.
    pthread_mutex_lock(&store->writing);
    int code = count_pages(store, &pages, &size);
    if (!code) code = count_free(store, UINT64_MAX, 4096, &free);
    pthread_mutex_unlock(&store->writing);
    if (!code) *used = (pages - (free < pages ? free : pages)) * size;
    return code;
}

int sluice_store_reserve(sluice_store *store, uint64_t bytes, uint64_t most) {
    uint64_t used, size, free;
    int code = count_pages(store, &used, &size);
    if (code) return code;
    uint64_t with = used + bytes / size + 1, all = most / size;
    if (with <= all) return 0;
    code = count_free(store, with - all, UINT64_MAX, &free);
    return code ? code : with - all <= free ? 0 : MDB_MAP_FULL;
}

int sluice_store_resize(sluice_store *store, uint64_t bytes) {
    pthread_mutex_lock(&store->writing);
    pthread_rwlock_wrlock(&store->reading);
    int code = mdb_env_set_mapsize(store->env, bytes);
    pthread_rwlock_unlock(&store->reading);
    pthread_mutex_unlock(&store->writing);
    return code;
}

int sluice_store_check_readers(sluice_store *store) {
    int dead;
    return mdb_reader_check(store->env, &dead);
}

// MARK: Reading

// Another process let the file grow: this one follows.
static int follow_size(sluice_store *store) { return sluice_store_resize(store, 0); }

static int begin_reading(sluice_store *store) {
    pthread_rwlock_rdlock(&store->reading);
    int code = mdb_txn_renew(store->reader);
    if (code == MDB_MAP_RESIZED) {
        pthread_rwlock_unlock(&store->reading);
        if ((code = follow_size(store))) return code;
        pthread_rwlock_rdlock(&store->reading);
        code = mdb_txn_renew(store->reader);
    }
    if (code) pthread_rwlock_unlock(&store->reading);
    return code;
}

void sluice_store_release(sluice_store *store) {
    if (store->walker) {
        mdb_cursor_close(store->walker);
        store->walker = NULL;
    }
    mdb_txn_reset(store->reader);
    pthread_rwlock_unlock(&store->reading);
}

static int split(MDB_val key, MDB_val data, sluice_entry *entry) {
    header head;
    if (data.mv_size < sizeof head) return MDB_CORRUPTED;
    memcpy(&head, data.mv_data, sizeof head);
    if (head.version != HEADER_VERSION || head.metadata_count > data.mv_size - sizeof head) return MDB_CORRUPTED;
    const uint8_t *rest = (const uint8_t *)data.mv_data + sizeof head;
    entry->key = key.mv_data;
    entry->key_count = key.mv_size;
    entry->metadata = rest;
    entry->metadata_count = head.metadata_count;
    entry->value = rest + head.metadata_count;
    entry->value_count = data.mv_size - sizeof head - head.metadata_count;
    entry->expires = head.expires;
    return 0;
}

int sluice_store_find(sluice_store *store, const uint8_t *bytes, size_t count, sluice_entry *entry) {
    int code = begin_reading(store);
    if (code) return code;
    MDB_val key = value_of(bytes, count), data;
    code = mdb_get(store->reader, store->entries, &key, &data);
    if (!code) code = split(key, data, entry);
    if (code) sluice_store_release(store);
    return code;
}

static int step(sluice_store *store, MDB_val *key, MDB_cursor_op operation, sluice_entry *entry) {
    MDB_val data;
    int code = mdb_cursor_get(store->walker, key, &data, operation);
    return code ? code : split(*key, data, entry);
}

int sluice_store_seek(sluice_store *store, const uint8_t *from, size_t count, sluice_entry *entry) {
    int code = begin_reading(store);
    if (code) return code;
    MDB_val key = value_of(from, count);
    code = mdb_cursor_open(store->reader, store->entries, &store->walker);
    // LMDB knows no empty key.
    if (!code) code = step(store, &key, count ? MDB_SET_RANGE : MDB_FIRST, entry);
    if (code) sluice_store_release(store);
    return code;
}

int sluice_store_next(sluice_store *store, sluice_entry *entry) {
    MDB_val key;
    return step(store, &key, MDB_NEXT, entry);
}

// MARK: Writing

int sluice_store_begin(sluice_store *store) {
    pthread_mutex_lock(&store->writing);
    int code = mdb_txn_begin(store->env, NULL, 0, &store->writer);
    if (code == MDB_MAP_RESIZED) {
        pthread_rwlock_wrlock(&store->reading);
        code = mdb_env_set_mapsize(store->env, 0);
        pthread_rwlock_unlock(&store->reading);
        if (!code) code = mdb_txn_begin(store->env, NULL, 0, &store->writer);
    }
    if (code) pthread_mutex_unlock(&store->writing);
    return code;
}

int sluice_store_commit(sluice_store *store) {
    int code = mdb_txn_commit(store->writer);
    store->writer = NULL;
    pthread_mutex_unlock(&store->writing);
    return code;
}

void sluice_store_abort(sluice_store *store) {
    mdb_txn_abort(store->writer);
    store->writer = NULL;
    pthread_mutex_unlock(&store->writing);
}

// Big-endian, so that ends sort by time.
static void end_key(uint64_t expires, uint8_t bytes[8]) {
    for (int i = 0; i < 8; i++) bytes[i] = (uint8_t)(expires >> (56 - 8 * i));
}

static int forget_end(sluice_store *store, MDB_val key) {
    MDB_val data;
    int code = mdb_get(store->writer, store->entries, &key, &data);
    if (code) return code == MDB_NOTFOUND ? 0 : code;
    sluice_entry entry;
    if ((code = split(key, data, &entry))) return code;
    if (!entry.expires) return 0;
    uint8_t end[8];
    end_key(entry.expires, end);
    MDB_val time = value_of(end, sizeof end);
    code = mdb_del(store->writer, store->ends, &time, &key);
    return code == MDB_NOTFOUND ? 0 : code;
}

int sluice_store_put(sluice_store *store, const sluice_entry *entry) {
    MDB_val key = value_of(entry->key, entry->key_count), data = {0, NULL};
    int code = forget_end(store, key);
    if (code) return code;
    header head = {entry->expires, (uint32_t)entry->metadata_count, HEADER_VERSION};
    data.mv_size = sizeof head + entry->metadata_count + entry->value_count;
    if ((code = mdb_put(store->writer, store->entries, &key, &data, MDB_RESERVE))) return code;
    uint8_t *to = data.mv_data;
    memcpy(to, &head, sizeof head);
    if (entry->metadata_count) memcpy(to + sizeof head, entry->metadata, entry->metadata_count);
    if (entry->value_count) memcpy(to + sizeof head + entry->metadata_count, entry->value, entry->value_count);
    if (!entry->expires) return 0;
    uint8_t end[8];
    end_key(entry->expires, end);
    MDB_val time = value_of(end, sizeof end);
    return mdb_put(store->writer, store->ends, &time, &key, 0);
}

int sluice_store_remove(sluice_store *store, const uint8_t *bytes, size_t count) {
    MDB_val key = value_of(bytes, count);
    int code = forget_end(store, key);
    if (code) return code;
    code = mdb_del(store->writer, store->entries, &key, NULL);
    return code == MDB_NOTFOUND ? 0 : code;
}

// MARK: What is over

static int is_over(MDB_val time, uint64_t now) {
    uint64_t end = 0;
    if (time.mv_size != 8) return 0;
    for (int i = 0; i < 8; i++) end = end << 8 | ((const uint8_t *)time.mv_data)[i];
    return end <= now;
}

// Whether anything is over, without the lock of writers in other processes.
static int any_over(sluice_store *store, uint64_t now, int *any) {
    *any = 0;
    MDB_txn *txn;
    MDB_cursor *cursor;
    // The map stays where it is meanwhile.
    pthread_mutex_lock(&store->writing);
    int code = mdb_txn_begin(store->env, NULL, MDB_RDONLY, &txn);
    if (code) {
        pthread_mutex_unlock(&store->writing);
        return code;
    }
    code = mdb_cursor_open(txn, store->ends, &cursor);
    if (!code) {
        MDB_val time, key;
        code = mdb_cursor_get(cursor, &time, &key, MDB_FIRST);
        if (!code) *any = is_over(time, now);
        if (code == MDB_NOTFOUND) code = 0;
        mdb_cursor_close(cursor);
    }
    mdb_txn_abort(txn);
    pthread_mutex_unlock(&store->writing);
    return code;
}

static int remove_over(sluice_store *store, uint64_t now, uint32_t most, uint32_t *removed) {
    MDB_cursor *cursor;
    MDB_val time, key;
    int code = mdb_cursor_open(store->writer, store->ends, &cursor);
    if (code) return code;
    while (*removed < most && !(code = mdb_cursor_get(cursor, &time, &key, MDB_FIRST)) && is_over(time, now)) {
        // The key lies in a page that the deletions may change.
        uint8_t copy[512];
        size_t count = key.mv_size < sizeof copy ? key.mv_size : sizeof copy;
        memcpy(copy, key.mv_data, count);
        if ((code = mdb_cursor_del(cursor, 0))) break;
        MDB_val entry = value_of(copy, count);
        code = mdb_del(store->writer, store->entries, &entry, NULL);
        if (code && code != MDB_NOTFOUND) break;
        code = 0;
        (*removed)++;
    }
    mdb_cursor_close(cursor);
    return code == MDB_NOTFOUND ? 0 : code;
}

int sluice_store_expire(sluice_store *store, uint64_t now, uint32_t most, uint32_t *removed) {
    *removed = 0;
    int any, code = any_over(store, now, &any);
    if (code == MDB_MAP_RESIZED) {
        if (!(code = follow_size(store))) code = any_over(store, now, &any);
    }
    if (code || !any) return code;
    if ((code = sluice_store_begin(store))) return code;
    if ((code = remove_over(store, now, most, removed))) {
        sluice_store_abort(store);
        *removed = 0;
        return code;
    }
    return sluice_store_commit(store);
}
