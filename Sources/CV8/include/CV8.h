// V8 behind a plain C interface. Swift cannot import v8::Isolate, and V8's lifetime rules are kept here.
#ifndef SLUICE_CV8_H
#define SLUICE_CV8_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

const char *sluice_v8_version(void);

#ifdef __cplusplus
}
#endif
#endif
