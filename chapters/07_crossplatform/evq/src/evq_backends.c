/*
 * evq_backends.c: the backends of this build, the best first. The one place that selects by
 * platform.
 *
 * EVQ_WITH_URING: liburing was found. EVQ_WITH_KQUEUE: on Linux, the kqueue of chapter 05 is linked
 * in; tests and examples of the source tree only.
 */
#include "evq_backend.h"

#if defined(_WIN32)
#define BACKENDS(ITEM) ITEM(iocp, "iocp")
#elif defined(__linux__)
#ifdef EVQ_WITH_URING
#define URING(ITEM) ITEM(uring, "io_uring") /* before epoll: README.md, "What it costs" */
#else
#define URING(ITEM)
#endif
#ifdef EVQ_WITH_KQUEUE
#define KQUEUE(ITEM) ITEM(kqueue, "kqueue")
#else
#define KQUEUE(ITEM)
#endif
#define BACKENDS(ITEM) URING(ITEM) ITEM(epoll, "epoll") ITEM(poll, "poll") KQUEUE(ITEM)
#else
#define BACKENDS(ITEM) ITEM(kqueue, "kqueue") ITEM(poll, "poll")
#endif

#define ADDRESS(id, text) &evq_backend_##id,
#define NAME(id, text)    text,

const struct evq_backend *const evq_backend_list[] = {BACKENDS(ADDRESS) NULL};
const char *const evq_backend_names[] = {BACKENDS(NAME) NULL};
