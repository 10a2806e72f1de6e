#!/usr/bin/env python3
"""right.py, made wrong in one way: wrong.py BUG [-p PORT] [-a ADDRESS] [-h].

test_check wants to see that the contract judges programs in any language, wrong ones too.
"""
import sys

import right


class DiesAtRst(right.Server):
    """Calls recv() without a thought that it may fail: the exception ends the program."""

    def serve(self, key):
        if not key.data:
            key.fileobj.recv(1, right.socket.MSG_PEEK)
        super().serve(key)


class ForgetsTheRest(right.Server):
    """What send() does not take at once is lost."""

    def serve(self, key):
        super().serve(key)
        if key.fileobj.fileno() >= 0:
            self.selector.modify(key.fileobj, right.selectors.EVENT_READ, b"")


class Strings(right.Server):
    """Decodes what has come as text and encodes it again."""

    def serve(self, key):
        client = key.fileobj
        try:
            text = client.recv(right.BUFFER).decode(errors="replace")
            if not text:
                return self.drop(client)
            client.send(text.encode())
        except OSError:
            self.drop(client)


class OneAtATime(right.Server):
    """Blocks in recv() for the first client until that one has gone."""

    def accept(self):
        client, _ = self.listener.accept()
        client.setblocking(True)
        self.clients += 1
        while data := client.recv(right.BUFFER):
            client.sendall(data)
            self.bytes += len(data)
        client.close()


class CountsWrong(right.Server):
    """Counts a client too many."""

    def __init__(self, listener):
        super().__init__(listener)
        self.clients = 1


BUGS = {
    "dies_at_rst": DiesAtRst,
    "forgets_the_rest": ForgetsTheRest,
    "strings": Strings,
    "one_at_a_time": OneAtATime,
    "counts_wrong": CountsWrong,
}

if __name__ == "__main__":
    bug = sys.argv.pop(1) if len(sys.argv) > 1 else ""
    if bug not in BUGS:
        sys.exit("wrong.py: the first word must be one of: " + " ".join(BUGS))
    right.main(BUGS[bug])
