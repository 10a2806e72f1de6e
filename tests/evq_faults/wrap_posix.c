/*
 * wrap_posix.c: the calls that each POSIX backend makes, as faults.h has them.
 *
 * Option by option: SO_TYPE and SO_LINGER are the same call to the linker, and not to the library.
 */
#include "faults.h"
#include "real.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdarg.h>

int __wrap_socket(int family, int type, int protocol);
int __wrap_bind(int fd, const struct sockaddr *addr, socklen_t len);
int __wrap_listen(int fd, int backlog);
int __wrap_connect(int fd, const struct sockaddr *addr, socklen_t len);
int __wrap_accept4(int fd, struct sockaddr *addr, socklen_t *len, int flags);
ssize_t __wrap_recv(int fd, void *buf, size_t len, int flags);
ssize_t __wrap_recvmsg(int fd, struct msghdr *message, int flags);
ssize_t __wrap_send(int fd, const void *buf, size_t len, int flags);
int __wrap_shutdown(int fd, int how);
int __wrap_close(int fd);
int __wrap_getsockname(int fd, struct sockaddr *addr, socklen_t *len);
int __wrap_getpeername(int fd, struct sockaddr *addr, socklen_t *len);
int __wrap_getsockopt(int fd, int level, int option, void *value, socklen_t *len);
int __wrap_setsockopt(int fd, int level, int option, const void *value, socklen_t len);
int __wrap_fcntl(int fd, int command, ...);
int __wrap_pipe2(int fds[2], int flags);
ssize_t __wrap_read(int fd, void *buf, size_t len);
ssize_t __wrap_write(int fd, const void *buf, size_t len);
int __wrap_poll(struct pollfd *fds, nfds_t count, int timeout_ms);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *block, size_t size);
void __wrap_free(void *block);

/* ---- memory ---------------------------------------------------------------------------------- */

void *__wrap_calloc(size_t count, size_t size)
{
    if (faults_fails(CALL_CALLOC))
        return NULL;
    void *block = __real_calloc(count, size);
    if (block != NULL)
        faults_note_block(1);
    return block;
}

void *__wrap_realloc(void *block, size_t size)
{
    if (faults_fails(CALL_REALLOC))
        return NULL;
    void *grown = __real_realloc(block, size);
    if (grown != NULL && block == NULL)
        faults_note_block(1);
    return grown;
}

void __wrap_free(void *block)
{
    if (block != NULL)
        faults_note_block(-1);
    __real_free(block);
}

/* ---- sockets --------------------------------------------------------------------------------- */

int __wrap_socket(int family, int type, int protocol)
{
    return faults_fails(CALL_SOCKET) ? -1 : __real_socket(family, type, protocol);
}

int __wrap_bind(int fd, const struct sockaddr *addr, socklen_t len)
{
    return faults_fails(CALL_BIND) ? -1 : __real_bind(fd, addr, len);
}

int __wrap_listen(int fd, int backlog)
{
    return faults_fails(CALL_LISTEN) ? -1 : __real_listen(fd, backlog);
}

int __wrap_connect(int fd, const struct sockaddr *addr, socklen_t len)
{
    struct verdict verdict = faults_judge(CALL_CONNECT);
    int result = verdict.hit && verdict.manner == INSTEAD ? -1 : __real_connect(fd, addr, len);
    if (verdict.hit)
        errno = verdict.err;
    return verdict.hit ? -1 : result;
}

static void tell_if_it_lied(int fd, struct verdict verdict)
{
    if (verdict.hit &&
        (verdict.manner == SHORT || verdict.err == EAGAIN || verdict.err == ENOTCONN))
        faults_tell_again(fd);
}

int __wrap_accept4(int fd, struct sockaddr *addr, socklen_t *len, int flags)
{
    struct verdict verdict = faults_judge(CALL_ACCEPT);
    if (!verdict.hit)
        return __real_accept4(fd, addr, len, flags);
    tell_if_it_lied(fd, verdict);
    errno = verdict.err;
    return -1;
}

ssize_t __wrap_recv(int fd, void *buf, size_t len, int flags)
{
    enum call call = (flags & MSG_PEEK) != 0 ? CALL_PEEK : CALL_RECV;
    struct verdict verdict = faults_judge(call);
    faults_note_asked(call, len);
    tell_if_it_lied(fd, verdict);
    if (verdict.hit && verdict.manner == SHORT)
        return __real_recv(fd, buf, 1, flags);
    if (!verdict.hit)
        return __real_recv(fd, buf, len, flags);
    errno = verdict.err;
    return -1;
}

ssize_t __wrap_recvmsg(int fd, struct msghdr *message, int flags)
{
    struct verdict verdict = faults_judge(CALL_RECVMSG);
    faults_note_asked(CALL_RECVMSG, message->msg_iov->iov_len);
    tell_if_it_lied(fd, verdict);
    if (verdict.hit && verdict.manner == SHORT)
        message->msg_iov->iov_len = 1;
    if (!verdict.hit || verdict.manner == SHORT)
        return __real_recvmsg(fd, message, flags);
    errno = verdict.err;
    return -1;
}

/* A short send owes nothing: only EAGAIN makes the kernel take note of who waits. */
ssize_t __wrap_send(int fd, const void *buf, size_t len, int flags)
{
    struct verdict verdict = faults_judge(CALL_SEND);
    if (verdict.hit && verdict.manner == SHORT)
        return __real_send(fd, buf, 1, flags);
    if (!verdict.hit)
        return __real_send(fd, buf, len, flags);
    tell_if_it_lied(fd, verdict);
    errno = verdict.err;
    return -1;
}

int __wrap_shutdown(int fd, int how)
{
    return faults_fails(CALL_SHUTDOWN) ? -1 : __real_shutdown(fd, how);
}

/* Closed it is in either case (Linux close(2), and the BSDs). */
int __wrap_close(int fd)
{
    struct verdict verdict = faults_judge(CALL_CLOSE);
    int result = __real_close(fd);
    if (!verdict.hit)
        return result;
    errno = verdict.err;
    return -1;
}

int __wrap_getsockname(int fd, struct sockaddr *addr, socklen_t *len)
{
    return faults_fails(CALL_GETSOCKNAME) ? -1 : __real_getsockname(fd, addr, len);
}

int __wrap_getpeername(int fd, struct sockaddr *addr, socklen_t *len)
{
    struct verdict verdict = faults_judge(CALL_GETPEERNAME);
    if (!verdict.hit)
        return __real_getpeername(fd, addr, len);
    tell_if_it_lied(fd, verdict);
    errno = verdict.err;
    return -1;
}

/* ---- options --------------------------------------------------------------------------------- */

static enum call option_got(int option)
{
    switch (option) {
    case SO_TYPE:
        return CALL_GET_TYPE;
    case SO_ACCEPTCONN:
        return CALL_GET_LISTENS;
    case SO_ERROR:
        return CALL_GET_ERROR;
    default:
        return CALL_GET_LINGER;
    }
}

int __wrap_getsockopt(int fd, int level, int option, void *value, socklen_t *len)
{
    return faults_fails(option_got(option)) ? -1 : __real_getsockopt(fd, level, option, value, len);
}

static enum call option_set(int level, int option)
{
    if (level == IPPROTO_TCP)
        return option == TCP_NODELAY ? CALL_SET_NODELAY : CALL_SET_INQ;
    if (level == IPPROTO_IPV6)
        return CALL_SET_V6ONLY;
    return option == SO_REUSEADDR ? CALL_SET_REUSE : CALL_SET_LINGER;
}

int __wrap_setsockopt(int fd, int level, int option, const void *value, socklen_t len)
{
    if (faults_fails(option_set(level, option)))
        return -1;
    return __real_setsockopt(fd, level, option, value, len);
}

static enum call command_call(int command)
{
    switch (command) {
    case F_GETFL:
        return CALL_GET_STATUS;
    case F_GETFD:
        return CALL_GET_FLAGS;
    case F_SETFL:
        return CALL_SET_STATUS;
    default:
        return CALL_SET_FLAGS;
    }
}

/* Each command that is used here takes a number or nothing. */
int __wrap_fcntl(int fd, int command, ...)
{
    va_list arguments;
    va_start(arguments, command);
    bool takes = command != F_GETFL && command != F_GETFD;
    int value = takes ? va_arg(arguments, int) : 0;
    va_end(arguments);
    return faults_fails(command_call(command)) ? -1 : __real_fcntl(fd, command, value);
}

/* ---- pipes and waiting ----------------------------------------------------------------------- */

int __wrap_pipe2(int fds[2], int flags)
{
    return faults_fails(CALL_PIPE) ? -1 : __real_pipe2(fds, flags);
}

ssize_t __wrap_read(int fd, void *buf, size_t len)
{
    return faults_fails(CALL_READ) ? -1 : __real_read(fd, buf, len);
}

ssize_t __wrap_write(int fd, const void *buf, size_t len)
{
    struct verdict verdict = faults_judge(CALL_WRITE);
    ssize_t n = verdict.hit && verdict.manner == INSTEAD ? -1 : __real_write(fd, buf, len);
    if (verdict.hit)
        errno = verdict.err;
    return verdict.hit ? -1 : n;
}

/* A look at one socket is not a wait for all. */
int __wrap_poll(struct pollfd *fds, nfds_t count, int timeout_ms)
{
    enum call call = count == 1 && timeout_ms == 0 ? CALL_LOOK : CALL_POLL;
    return faults_fails(call) ? -1 : __real_poll(fds, count, timeout_ms);
}
