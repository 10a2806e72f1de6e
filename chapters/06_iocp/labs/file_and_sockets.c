/*
 * Lab: a file and a socket at one completion port.
 *
 * epoll refuses a regular file with EPERM (lab regular_file of chapter 04): it tells when something
 * is ready, and a file is always ready, also while the disk turns. Completion tells when something
 * is finished, and that makes sense for a file. So a file that was opened with
 * FILE_FLAG_OVERLAPPED goes into the same port as a socket, and the same loop takes the packets of
 * both.
 *
 * A file has no stream and no position of its own then: each read says where, by Offset and
 * OffsetHigh in its OVERLAPPED. So several may be in flight, in any order. Whether a read really
 * goes on in the background is the system's choice: one that finds its bytes in memory may be
 * finished when ReadFile() returns. Its packet comes all the same. And at the end of the file the
 * answer is an error, ERROR_HANDLE_EOF, not 0 bytes (Microsoft, "ReadFile function").
 */
#include "iocp_lab.h"

enum { BLOCK = 4096, BLOCKS = 3, TEXT = 5 };
enum { KEY_FILE = 1, KEY_SOCKET = 2 };
enum { OWN = 0, PEER = 1 };

static struct op {
    OVERLAPPED overlapped;
    char buf[BLOCK];
    bool done;
} reads[BLOCKS], receive;

static HANDLE port, file;
static SOCKET ends[2];

/* A file of three blocks: all a, all b, all c. It is deleted when its handle is closed. */
static HANDLE open_file(void)
{
    char folder[MAX_PATH + 1], path[MAX_PATH + 1], block[BLOCK];
    DWORD written;
    iocp_must(GetTempPathA(MAX_PATH, folder) != 0, "GetTempPath");
    iocp_must(GetTempFileNameA(folder, "lab", 0, path) != 0, "GetTempFileName");
    HANDLE f =
        CreateFileA(path, GENERIC_WRITE, 0, NULL, CREATE_ALWAYS, FILE_ATTRIBUTE_NORMAL, NULL);
    iocp_must(f != INVALID_HANDLE_VALUE, "CreateFile");
    for (int i = 0; i < BLOCKS; i++) {
        memset(block, 'a' + i, BLOCK);
        iocp_must(WriteFile(f, block, BLOCK, &written, NULL) && written == BLOCK, "WriteFile");
    }
    (void)CloseHandle(f);
    f = CreateFileA(path, GENERIC_READ | DELETE, 0, NULL, OPEN_EXISTING,
                    FILE_FLAG_OVERLAPPED | FILE_FLAG_DELETE_ON_CLOSE, NULL);
    iocp_must(f != INVALID_HANDLE_VALUE, "CreateFile");
    return f;
}

/* Submits a read of one block: 0, ERROR_IO_PENDING, or another error. */
static DWORD read_block(struct op *op, int block)
{
    memset(&op->overlapped, 0, sizeof op->overlapped);
    op->overlapped.Offset = (DWORD)block * BLOCK;
    return ReadFile(file, op->buf, BLOCK, NULL, &op->overlapped) ? 0 : GetLastError();
}

/* ---- the experiment -------------------------------------------------------------------------- */

static void in_one_loop(void)
{
    int file_packets = 0, file_right = 0, socket_packets = 0, socket_right = 0;
    lab_say("1. A receive of a socket is in flight, and %d reads of a file: the last block first. "
            "The peer sends 5 bytes. One loop takes all packets.",
            BLOCKS);
    iocp_must(iocp_recv(ends[OWN], receive.buf, TEXT, &receive.overlapped) == WSA_IO_PENDING,
              "WSARecv");
    for (int block = BLOCKS - 1; block >= 0; block--)
        iocp_must(iocp_submitted(read_block(&reads[block], block)), "ReadFile");
    iocp_say(ends[PEER], "hello");
    for (int i = 0; i < BLOCKS + 1; i++) {
        struct iocp_packet packet = iocp_next(port, iocp_patience());
        iocp_must(packet.came && packet.err == 0, "a packet that should come");
        struct op *op = CONTAINING_RECORD(packet.overlapped, struct op, overlapped);
        if (packet.key == KEY_SOCKET) {
            socket_packets++;
            socket_right += op == &receive && memcmp(op->buf, "hello", TEXT) == 0 ? 1 : 0;
        } else {
            char want = (char)('a' + (op - reads)); /* which block it is, the operation says */
            file_packets++;
            file_right += packet.bytes == BLOCK && op->buf[0] == want && op->buf[BLOCK - 1] == want;
        }
    }
    lab_figure("file_packets", file_packets, "");
    lab_figure("file_blocks_right", file_right, "of 3");
    lab_figure("socket_packets", socket_packets, "");
    lab_expect(file_packets == BLOCKS && socket_packets == 1 && socket_right == 1,
               "packets of both come out of one port");
    lab_expect(file_right == BLOCKS, "each read has got the block that its offset names");
}

/* The error comes from the call or in the packet: both are allowed. */
static void at_the_end(void)
{
    lab_say("2. A read behind the end of the file.");
    DWORD err = read_block(&reads[0], BLOCKS);
    struct iocp_packet packet = {0};
    if (iocp_submitted(err))
        packet = iocp_next(port, iocp_patience());
    lab_word("end_error", iocp_word(packet.came ? packet.err : err));
    lab_figure("end_bytes", packet.bytes, "bytes");
    lab_expect((packet.came ? packet.err : err) == ERROR_HANDLE_EOF,
               "the end of a file is an error; that of a socket is 0 bytes");
}

int main(void)
{
    iocp_start();
    lab_question("A file and a socket are added to one completion port. What becomes of the file?",
                 "Its reads give packets, beside those of the socket.",
                 "It is refused, as epoll does with EPERM.",
                 "It is accepted, but its reads wait, and no packets come.", 'a',
                 "Can files be made in the folder for temporary files (TEMP)?");
    port = iocp_port(1);
    file = open_file();
    iocp_pair(ends);
    iocp_add(port, file, KEY_FILE);
    iocp_add(port, (HANDLE)ends[OWN], KEY_SOCKET);
    in_one_loop();
    at_the_end();
    (void)closesocket(ends[OWN]);
    (void)closesocket(ends[PEER]);
    (void)CloseHandle(file);
    (void)CloseHandle(port);
    return iocp_finding("by Microsoft's documentation (I/O Completion Ports): a file handle is any "
                        "endpoint of overlapped I/O, a file on disk, a TCP socket, a named pipe",
                        "what can be finished goes into one port, files too");
}
