// Name resolution by c-ares, as plain C. One thread uses it; see Sources/Reactor/NameLookup.swift.
#ifndef SLUICE_CCARES_H
#define SLUICE_CCARES_H

#include <stdint.h>

// One address, or one target of a service with its name.
struct sluice_dns_record {
    int family;  // 4, 6, or 0 for a service
    uint8_t bytes[16];
    uint16_t port, priority, weight;
    char host[256];
};

struct sluice_dns;

// `seconds` is how long the answer holds. No records: the name does not resolve.
typedef void (*sluice_dns_answer)(void *context, uint64_t id, const struct sluice_dns_record *records, int count, int seconds);

struct sluice_dns *sluice_dns_new(sluice_dns_answer answer, void *context);
// Questions that are open get no answer.
void sluice_dns_free(struct sluice_dns *dns);
// "address:port,address:port"; empty: those of /etc/resolv.conf. 0 when they can be used.
int sluice_dns_servers(struct sluice_dns *dns, const char *list);
void sluice_dns_ask(struct sluice_dns *dns, const char *name, uint64_t id);
void sluice_dns_ask_service(struct sluice_dns *dns, const char *name, uint64_t id);
// Goes on with open questions until the descriptor `wake` is readable.
void sluice_dns_run(struct sluice_dns *dns, int wake);

#endif
