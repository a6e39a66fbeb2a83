// Linux system interface as plain C: what Swift's Glibc module cannot express (macros, unions,
// variadics). No policy lives here.
#ifndef SLUICE_CLINUX_H
#define SLUICE_CLINUX_H

#include <stddef.h>
#include <stdint.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include "confine.h"
#include "crash.h"
#include "health.h"
#include "listening.h"
#include "local.h"
#include "net.h"
#include "resources.h"
#include "process.h"
#include "ring.h"
#include "schedules.h"
#include "series.h"
#include "shared.h"
#include "text.h"
#include "rates.h"
#include "watch.h"

#endif
