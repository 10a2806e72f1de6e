"""timeline_scene: the clients of every timeline. The same ones come at the same moments to each step.

They are those of `make demo` and `make peer`, few enough to be drawn one by one: visitors who say three
words and want each of them back, silent clients, one that floods and does not read, one that ends its
connection by RST. What a client did, and how long it waited, is written down by the client itself: the
picture shows it above what the server did.

A client is a thread with a socket that blocks, never beyond the end of the scene. Nothing here waits for a
time to pass in the hope that something has happened by then: the times are the script of the play.
"""
import socket
import struct
import threading
import time

END = 2000  # milliseconds, as all times of the script
WORD = 64
WORDS = 3
PAUSE = 40
PIECE = 65536
BUFFER = 65536       # of the flood's socket: so the flood is soon stuck, on every system alike
FLOOD_MOST = 8 << 20
TIMES = 1000
# Everybody says lines that begin with their own name: so the trace tells whose bytes are read.
FLOOD = b''.join(b'flood %04d\n' % i for i in range(TIMES))
PATTERN = FLOOD * (PIECE // len(FLOOD) + 2)
RST = b'rst\n' * 16384


class Client:
    """One of the cast: what it is called, when it comes and goes, and afterwards what came of it."""

    def __init__(self, name, comes, goes=None):
        self.name, self.comes, self.goes = name, comes, goes
        self.kind = name.split()[0]
        self.came = self.left = None
        self.spans = []          # (from, until, "waits" | "floods" | "reads", words)
        self.ended = 'could not connect'

    def longest_wait(self):
        return max([until - since for since, until, kind, _ in self.spans if kind == 'waits'], default=0)


def cast():
    return [Client('visitor 1', 100), Client('silent 1', 300, 1300), Client('visitor 2', 400),
            Client('silent 2', 550, 1300), Client('silent 3', 600, 1300), Client('silent 4', 650, 1300),
            Client('visitor 3', 750), Client('flood', 900, 1200), Client('visitor 4', 1000),
            Client('rst', 1450), Client('visitor 5', 1600)]


def same(back, said):
    """Is it the echo? The server of lines (chapter 03, step 3) answers in upper case."""
    return back in (said, said.upper())


class Scene:
    """Plays the cast against a port. All times are seconds of time.time(), which strace writes, too."""

    def __init__(self, port, pace=1.0):
        self.port, self.pace = port, pace
        self.clients = cast()
        self.start = None

    def at(self, ms):
        return self.start + ms * self.pace / 1000

    def end(self):
        return self.at(END)

    def latest(self):
        """How long after its time somebody came: with a whole machine for the scene, a millisecond or two."""
        return max([c.came - self.at(c.comes) for c in self.clients if c.came], default=0)

    def play(self):
        self.start = time.time()
        threads = [threading.Thread(target=self.live, args=(client,)) for client in self.clients]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.until(END)

    # ---- one client ---------------------------------------------------------------------------------

    def until(self, ms):
        time.sleep(max(0, self.at(ms) - time.time()))

    def now(self, since):
        """Now, but within the scene; a client that came after its end has not waited."""
        return max(since, min(time.time(), self.end()))

    def live(self, client):
        self.until(client.comes)
        with socket.socket() as sock:
            if client.kind == 'flood':
                for option in (socket.SO_SNDBUF, socket.SO_RCVBUF):
                    sock.setsockopt(socket.SOL_SOCKET, option, BUFFER)
            try:
                sock.settimeout(max(0.001, self.end() - time.time()))
                began = time.time()  # the server may accept before connect() returns here
                sock.connect(('127.0.0.1', self.port))
                client.came = began
                client.ended = getattr(self, client.kind)(client, sock)
            except TimeoutError:
                client.ended = 'never served' if client.came else 'could not connect'
            except OSError as error:
                client.ended = 'thrown out: %s' % error.strerror
        client.left = self.now(client.came) if client.came else None

    def receive(self, sock, most):
        sock.settimeout(max(0.001, self.end() - time.time()))
        return sock.recv(most)

    def visitor(self, client, sock):
        for number in range(1, WORDS + 1):
            word = (b'%s, word %d ' % (client.name.encode(), number)).ljust(WORD - 1, b'.') + b'\n'
            back, since = b'', time.time()
            try:
                sock.sendall(word)
                while len(back) < WORD:
                    piece = self.receive(sock, WORD - len(back))
                    if not piece:
                        return 'closed too early'
                    back += piece
            finally:
                client.spans.append((since, self.now(since), 'waits', 'waits for the echo of word %d' % number))
            if not same(back, word):
                return 'got wrong bytes'
            time.sleep(PAUSE * self.pace / 1000)
        return 'served'

    def silent(self, client, sock):
        self.until(client.goes)
        return 'said nothing'

    def rst(self, client, sock):
        sock.sendall(RST)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', 1, 0))
        return 'ended it by RST'

    def flood(self, client, sock):
        sent = self.send_all_that_goes(client, sock)
        sock.shutdown(socket.SHUT_WR)
        got, since = 0, time.time()
        try:
            while True:
                piece = self.receive(sock, PIECE)
                if not piece:
                    break
                if not same(piece, PATTERN[got % len(FLOOD):][:len(piece)]):
                    return 'got wrong bytes'
                got += len(piece)
        finally:
            client.spans.append((since, self.now(since), 'reads', 'reads %d of %d KiB' % (got >> 10, sent >> 10)))
        return 'got all back' if got == sent else 'lost bytes'

    def send_all_that_goes(self, client, sock):
        sent, since = 0, time.time()
        try:
            while sent < FLOOD_MOST:
                sock.settimeout(max(0.001, self.at(client.goes) - time.time()))
                sent += sock.send(PATTERN[sent % len(FLOOD):][:PIECE])
        except TimeoutError:
            pass
        self.until(client.goes)
        client.spans.append((since, self.now(since), 'floods', 'sends %d KiB and reads nothing' % (sent >> 10)))
        return sent
