#!/usr/bin/env python3
"""An echo server that keeps the contract, in another language: the control of test_check.

One thread and one selector. A client has one bounded buffer: while it holds bytes the server
waits until they can be sent and reads nothing more, so a client that does not read is not read.
"""
import errno
import ipaddress
import os
import selectors
import signal
import socket
import sys
import time

BUFFER = 65536
REST_S = 0.1  # how long accepting rests when no descriptor is left
OUT_OF_RESOURCES = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)
USAGE = "usage: right.py [-p PORT] [-a ADDRESS] [-h]"


def end(status, words):
    print(f"right.py: {words}", file=sys.stderr)
    sys.exit(status)


def arguments(words):
    """(address, port), or the end of the program with one line."""
    address, port = "127.0.0.1", "0"
    words = list(words)
    while words:
        option = words.pop(0)
        if option == "-h":
            print(USAGE)
            sys.exit(0)
        if option not in ("-p", "-a"):
            end(2, f"'{option}' is not known here ({USAGE})")
        if not words:
            end(2, f"a value is missing after {option}")
        if option == "-p":
            port = words.pop(0)
        else:
            address = words.pop(0)
    if not (port.isascii() and port.isdigit() and len(port) < 6 and int(port) <= 65535):
        end(2, f"'{port}' is no port: give a number from 0 to 65535")
    try:
        ipaddress.ip_address(address)
    except ValueError:
        end(2, f"'{address}' is no numeric address")
    return address, int(port)


def listen_on(address, port):
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((address, port))
        listener.listen(4096)
    except OSError as error:
        end(1, f"cannot listen on {address}:{port}: {os.strerror(error.errno)}")
    listener.setblocking(False)
    return listener


class Server:
    def __init__(self, listener):
        self.listener = listener
        self.selector = selectors.DefaultSelector()
        self.clients = self.bytes = 0
        self.accept_again_at = None  # None: the listener is watched
        self.selector.register(listener, selectors.EVENT_READ)

    def accept(self):
        try:
            client, _ = self.listener.accept()
        except OSError as error:
            if error.errno in OUT_OF_RESOURCES:  # the client stays queued; asking again would spin
                self.selector.unregister(self.listener)
                self.accept_again_at = time.monotonic() + REST_S
            return  # anything else was that connection's trouble
        client.setblocking(False)
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.clients += 1
        self.selector.register(client, selectors.EVENT_READ, b"")

    def drop(self, client):
        self.selector.unregister(client)
        client.close()

    def serve(self, key):
        """One recv when the buffer is empty, then one send of what it holds."""
        client, held = key.fileobj, key.data
        try:
            if not held:
                held = client.recv(BUFFER)
                if not held:
                    return self.drop(client)
            sent = client.send(held)
        except (BlockingIOError, InterruptedError):
            sent = 0
        except OSError:
            return self.drop(client)
        self.bytes += sent
        held = held[sent:]
        wanted = selectors.EVENT_WRITE if held else selectors.EVENT_READ
        self.selector.modify(client, wanted, held)

    def turn(self):
        wait = None
        if self.accept_again_at is not None:
            wait = self.accept_again_at - time.monotonic()
            if wait <= 0:
                self.accept_again_at = wait = None
                self.selector.register(self.listener, selectors.EVENT_READ)
        for key, _ in self.selector.select(wait):
            if key.fileobj is self.listener:
                self.accept()
            else:
                self.serve(key)


def main(kind=Server):
    address, port = arguments(sys.argv[1:])
    server = kind(listen_on(address, port))

    def stop(_signo, _frame):
        # A handler of Python runs between two instructions of the program, so this is safe.
        os.write(1, f"totals: clients {server.clients}, bytes {server.bytes}\n".encode())
        os._exit(0)

    signal.signal(signal.SIGINT, stop)
    signal.signal(signal.SIGTERM, stop)
    name = server.listener.getsockname()
    shown = f"[{name[0]}]" if ":" in name[0] else name[0]
    print(f"listening on {shown}:{name[1]}", flush=True)
    while True:
        server.turn()


if __name__ == "__main__":
    main()
