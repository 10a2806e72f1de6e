/*
 * libuv: an echo server on libuv. The usual form is that of its own guide: a buffer is allocated
 * for each read and freed when the write of it is done. The fastest form (-f 1): one buffer for
 * all, uv_try_write() at once; only what the kernel does not take is written later.
 */
#include "peer.h"

#include <stdlib.h>
#include <string.h>
#include <uv.h>

static long fast;
static char piece[PEER_PIECE];

struct later {
    uv_write_t write;
    char *bytes;
};

/* ---- clients --------------------------------------------------------------------------------- */

static void on_closed(uv_handle_t *handle)
{
    free(handle);
}

static void end(uv_stream_t *stream)
{
    if (!uv_is_closing((uv_handle_t *)stream))
        uv_close((uv_handle_t *)stream, on_closed);
}

static void on_written(uv_write_t *write, int status)
{
    struct later *later = write->data;
    if (status < 0)
        end(write->handle);
    free(later->bytes);
    free(later);
}

static void write_later(uv_stream_t *stream, char *bytes, size_t at, size_t len)
{
    struct later *later = peer_memory(sizeof *later);
    uv_buf_t buf = uv_buf_init(bytes + at, (unsigned)len);
    later->bytes = bytes;
    later->write.data = later;
    if (uv_write(&later->write, stream, &buf, 1, on_written) < 0) {
        free(bytes);
        free(later);
        end(stream);
    }
}

static void write_now(uv_stream_t *stream, size_t len)
{
    uv_buf_t buf = uv_buf_init(piece, (unsigned)len);
    int n = uv_try_write(stream, &buf, 1);
    if (n < 0 && n != UV_EAGAIN) {
        end(stream);
        return;
    }
    size_t taken = n > 0 ? (size_t)n : 0;
    if (taken == len)
        return;
    char *rest = peer_memory(len - taken);
    memcpy(rest, piece + taken, len - taken);
    write_later(stream, rest, 0, len - taken);
}

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *buf)
{
    (void)handle, (void)suggested; /* 64 KiB; all servers here take 4 */
    // NOLINTNEXTLINE(clang-analyzer-unix.Malloc): on_read() or on_written() frees it
    *buf = uv_buf_init(fast ? piece : malloc(PEER_PIECE), PEER_PIECE);
}

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
    if (n > 0 && fast)
        write_now(stream, (size_t)n);
    else if (n > 0)
        write_later(stream, buf->base, 0, (size_t)n);
    else if (!fast)
        free(buf->base);
    if (n < 0)
        end(stream);
}

static void on_client(uv_stream_t *listener, int status)
{
    uv_tcp_t *client = peer_memory(sizeof *client);
    peer_must(status == 0 && uv_tcp_init(listener->loop, client) == 0, "uv_tcp_init");
    if (uv_accept(listener, (uv_stream_t *)client) < 0 || uv_tcp_nodelay(client, 1) < 0 ||
        uv_read_start((uv_stream_t *)client, on_alloc, on_read) < 0)
        end((uv_stream_t *)client);
}

int main(int argc, char **argv)
{
    static uv_tcp_t listener;
    uv_loop_t *loop = uv_default_loop();
    int fd = peer_start(argc, argv, "An echo server on libuv.", &fast);
    peer_must(uv_tcp_init(loop, &listener) == 0 && uv_tcp_open(&listener, fd) == 0, "uv_tcp_open");
    peer_must(uv_listen((uv_stream_t *)&listener, 4096, on_client) == 0, "uv_listen");
    return uv_run(loop, UV_RUN_DEFAULT);
}
