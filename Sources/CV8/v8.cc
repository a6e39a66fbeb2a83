#include "CV8.h"

#include <v8.h>

const char *sluice_v8_version(void) { return v8::V8::GetVersion(); }
