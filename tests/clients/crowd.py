#!/usr/bin/env python3
"""crowd: a client that this project's harness has no part in.

    crowd.py PORT CLIENTS

Opens CLIENTS connections with asyncio. Each sends a text of its own in pieces, reads at the same time,
shuts its writing side, and wants every byte back, in order, and then the end. Prints one line; the
status is 0 only when all of them got theirs.
"""
import asyncio
import sys

PIECES = 20


async def one(port, number):
    reader, writer = await asyncio.open_connection('127.0.0.1', port)
    text = b''.join(b'client %d, piece %d\0\n' % (number, piece) * 50 for piece in range(PIECES))

    async def send():
        for at in range(0, len(text), len(text) // PIECES):
            writer.write(text[at:at + len(text) // PIECES])
            await writer.drain()
        writer.write_eof()

    _, back = await asyncio.gather(send(), reader.read())
    writer.close()
    return back == text


async def crowd(port, clients):
    results = await asyncio.gather(*(one(port, n) for n in range(clients)), return_exceptions=True)
    right = sum(result is True for result in results)
    wrong = [repr(result) for result in results if result is not True][:1]
    print('%d of %d clients got every byte back%s' % (right, clients, ''.join(', ' + w for w in wrong)))
    return 0 if right == clients else 1


if __name__ == '__main__':
    sys.exit(asyncio.run(crowd(int(sys.argv[1]), int(sys.argv[2]))))
