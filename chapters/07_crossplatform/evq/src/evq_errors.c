/*
 * evq_errors.c: the portable errors in words, and how a system's errors become portable.
 *
 * The platform has the table (evq_posix.c, evq_windows.c). What is not in it is EVQ_EIO; os_err
 * keeps the number for the log.
 */
#include "evq_platform.h"

static const char *const error_words[EVQ_ERRORS] = {
    [-EVQ_OK] = "success",
    [-EVQ_ECANCELED] = "cancelled",
    [-EVQ_ECLOSED] = "the socket is closed for this",
    [-EVQ_ECONNRESET] = "connection reset by peer",
    [-EVQ_ECONNREFUSED] = "connection refused",
    [-EVQ_ETIMEDOUT] = "connection timed out",
    [-EVQ_EUNREACH] = "host or network unreachable",
    [-EVQ_ENOTCONN] = "not connected",
    [-EVQ_EADDR] = "address in use or not available",
    [-EVQ_EMFILE] = "out of descriptors",
    [-EVQ_ENOMEM] = "out of memory",
    [-EVQ_EACCES] = "permission denied",
    [-EVQ_EINVAL] = "invalid argument",
    [-EVQ_ENOTSUP] = "not supported",
    [-EVQ_EBUSY] = "busy: something is still pending",
    [-EVQ_ENOENT] = "no such operation is pending",
    [-EVQ_EIO] = "input/output error",
};

const char *evq_strerror(int err)
{
    if (err > 0 || err <= -EVQ_ERRORS)
        return "no error of evq";
    return error_words[-err];
}

int evq_error_of(int os_err)
{
    if (os_err == 0)
        return EVQ_OK;
    for (size_t i = 0; i < evq_os_errors_count; i++)
        if (evq_os_errors[i].os_err == os_err)
            return evq_os_errors[i].err;
    return EVQ_EIO;
}
