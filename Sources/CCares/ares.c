#include "CCares.h"

#include <ares.h>
#include <limits.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <arpa/nameser.h>

#define MOST_RECORDS 32

struct sluice_dns {
    ares_channel channel;
    sluice_dns_answer answer;
    void *context;
};

struct question {
    struct sluice_dns *dns;
    uint64_t id;
};

static int open_channel(ares_channel *channel) {
    struct ares_options options;
    memset(&options, 0, sizeof options);
    options.timeout = 2000;
    options.tries = 2;
    return ares_init_options(channel, &options, ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES);
}

struct sluice_dns *sluice_dns_new(sluice_dns_answer answer, void *context) {
    struct sluice_dns *dns = calloc(1, sizeof *dns);
    if (!dns) return NULL;
    dns->answer = answer;
    dns->context = context;
    if (ares_library_init(ARES_LIB_INIT_ALL) == ARES_SUCCESS && open_channel(&dns->channel) == ARES_SUCCESS) return dns;
    free(dns);
    return NULL;
}

void sluice_dns_free(struct sluice_dns *dns) {
    if (!dns) return;
    dns->answer = NULL;
    ares_destroy(dns->channel);
    free(dns);
}

int sluice_dns_servers(struct sluice_dns *dns, const char *list) {
    if (*list) return ares_set_servers_ports_csv(dns->channel, list) == ARES_SUCCESS ? 0 : -1;
    ares_channel fresh;
    if (open_channel(&fresh) != ARES_SUCCESS) return -1;
    ares_destroy(dns->channel);
    dns->channel = fresh;
    return 0;
}

static struct question *question(struct sluice_dns *dns, uint64_t id) {
    struct question *asked = malloc(sizeof *asked);
    if (asked) {
        asked->dns = dns;
        asked->id = id;
    } else {
        dns->answer(dns->context, id, NULL, 0, 0);
    }
    return asked;
}

static void answered(struct question *asked, const struct sluice_dns_record *records, int count, int seconds) {
    if (asked->dns->answer) asked->dns->answer(asked->dns->context, asked->id, records, count, seconds);
    free(asked);
}

static void addresses_came(void *argument, int status, int timeouts, struct ares_addrinfo *info) {
    (void)timeouts;
    struct sluice_dns_record records[MOST_RECORDS];
    int count = 0, seconds = INT_MAX;
    for (struct ares_addrinfo_node *node = status == ARES_SUCCESS && info ? info->nodes : NULL; node && count < MOST_RECORDS; node = node->ai_next) {
        struct sluice_dns_record *record = &records[count];
        memset(record, 0, sizeof *record);
        if (node->ai_family == AF_INET) {
            record->family = 4;
            memcpy(record->bytes, &((struct sockaddr_in *)node->ai_addr)->sin_addr, 4);
        } else if (node->ai_family == AF_INET6) {
            record->family = 6;
            memcpy(record->bytes, &((struct sockaddr_in6 *)node->ai_addr)->sin6_addr, 16);
        } else {
            continue;
        }
        if (node->ai_ttl < seconds) seconds = node->ai_ttl;
        count++;
    }
    if (info) ares_freeaddrinfo(info);
    answered(argument, records, count, count ? seconds : 0);
}

// Seconds that the first to end of an answer's SRV records holds, INT_MAX when there is none: the library does not tell.
static int service_seconds(const unsigned char *message, int length) {
    int least = INT_MAX, questions = message[4] << 8 | message[5], records = message[6] << 8 | message[7];
    const unsigned char *at = message + 12, *end = message + length;
    for (int i = 0; i < questions + records; i++) {
        char *name = NULL;
        long used = 0;
        if (ares_expand_name(at, message, length, &name, &used) != ARES_SUCCESS) break;
        ares_free_string(name);
        at += used;
        if (i < questions) {
            at += 4;
            continue;
        }
        if (end - at < 10) break;
        unsigned kind = (unsigned)at[0] << 8 | at[1], ttl = (unsigned)at[4] << 24 | (unsigned)at[5] << 16 | (unsigned)at[6] << 8 | at[7];
        if (kind == ns_t_srv && ttl < (unsigned)least) least = (int)ttl;
        at += 10 + (at[8] << 8 | at[9]);
        if (at > end) break;
    }
    return least;
}

static void services_came(void *argument, int status, int timeouts, unsigned char *message, int length) {
    (void)timeouts;
    struct sluice_dns_record records[MOST_RECORDS];
    struct ares_srv_reply *list = NULL;
    int count = 0;
    if (status == ARES_SUCCESS && ares_parse_srv_reply(message, length, &list) == ARES_SUCCESS) {
        for (struct ares_srv_reply *each = list; each && count < MOST_RECORDS; each = each->next) {
            struct sluice_dns_record *record = &records[count];
            if (strlen(each->host) >= sizeof record->host) continue;
            memset(record, 0, sizeof *record);
            strcpy(record->host, each->host);
            record->port = each->port;
            record->priority = each->priority;
            record->weight = each->weight;
            count++;
        }
    }
    if (list) ares_free_data(list);
    answered(argument, records, count, count ? service_seconds(message, length) : 0);
}

void sluice_dns_ask(struct sluice_dns *dns, const char *name, uint64_t id) {
    struct question *asked = question(dns, id);
    if (!asked) return;
    struct ares_addrinfo_hints hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
    ares_getaddrinfo(dns->channel, name, NULL, &hints, addresses_came, asked);
}

void sluice_dns_ask_service(struct sluice_dns *dns, const char *name, uint64_t id) {
    struct question *asked = question(dns, id);
    if (asked) ares_query(dns->channel, name, ns_c_in, ns_t_srv, services_came, asked);
}

void sluice_dns_run(struct sluice_dns *dns, int wake) {
    while (1) {
        ares_socket_t sockets[ARES_GETSOCK_MAXNUM];
        struct pollfd wanted[ARES_GETSOCK_MAXNUM + 1];
        int bits = ares_getsock(dns->channel, sockets, ARES_GETSOCK_MAXNUM), count = 1;
        wanted[0] = (struct pollfd){.fd = wake, .events = POLLIN};
        for (int i = 0; i < ARES_GETSOCK_MAXNUM; i++) {
            // The library's macros shift a signed 1 into its sign.
            unsigned asked = (unsigned)bits >> i;
            short events = (asked & 1 ? POLLIN : 0) | (asked >> ARES_GETSOCK_MAXNUM & 1 ? POLLOUT : 0);
            if (events) wanted[count++] = (struct pollfd){.fd = sockets[i], .events = events};
        }
        struct timeval time;
        struct timeval *next = ares_timeout(dns->channel, NULL, &time);
        int wait = next ? (int)(next->tv_sec * 1000 + next->tv_usec / 1000 + 1) : -1;
        if (poll(wanted, (nfds_t)count, wait) > 0 && wanted[0].revents) return;
        int any = 0;
        for (int i = 1; i < count; i++) {
            if (!wanted[i].revents) continue;
            any = 1;
            int reads = (wanted[i].revents & (POLLIN | POLLERR | POLLHUP)) != 0, writes = (wanted[i].revents & POLLOUT) != 0;
            ares_process_fd(dns->channel, reads ? wanted[i].fd : ARES_SOCKET_BAD, writes ? wanted[i].fd : ARES_SOCKET_BAD);
        }
        if (!any) ares_process_fd(dns->channel, ARES_SOCKET_BAD, ARES_SOCKET_BAD);
    }
}
