// What Swift's Glibc module does not show: GNU extensions, variadics and macros, one small function each.
#pragma once
#include "event_loop.h"
#include "service_life.h"
#include "worker_process.h"
