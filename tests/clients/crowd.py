"""Thousands of connections through the terminator at once, each moving data both ways at once.

The clients and the origin are processes of their own, each one loop over all its connections:

    crowd.py origin SIZE                    prints its port; at the end of stdin, what it got
    crowd.py clients PORT CA COUNT SIZE     prints what they got
"""

import json
import os
import random
import resource
import selectors
import socket
import ssl
import struct
import subprocess
import sys
import threading
import time

from harness import HOST, expect, expect_equal, shorten
from pki import NAME

COUNT = 2000
SIZE = 1 << 20
PIECE = 1 << 16
STUCK = 60  # seconds without any progress
PER_CONNECTION = 256 << 10  # bytes of memory the terminator may hold, at most

# What every connection sends is its number and then a stretch of this, which begins elsewhere for
# each of its neighbours: data of two connections cannot be mistaken, and is held only once.
SHIFTS = 4096
COMMON = random.Random(1).randbytes(SIZE + SHIFTS)
COMMON_VIEW = memoryview(COMMON)
NUMBER = struct.Struct(">Q")


def checks(suite, setup):
    suite.check(f"{setup} carries {COUNT} connections at once, 1 MiB both ways each", carries, setup, deadline=400)


def carries(setup):
    script = os.path.abspath(__file__)
    origin = subprocess.Popen(
        [sys.executable, script, "origin", str(SIZE)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        port = int(origin.stdout.readline())
        with setup.terminate(port, "--handshake-timeout", "60") as front:
            before = front.memory("VmHWM")
            begin = time.monotonic()
            words = [script, "clients", front.port, setup.pki.path("ca.pem"), COUNT, SIZE]
            clients = subprocess.run(
                [sys.executable, *map(str, words)], capture_output=True, text=True, timeout=380, stdin=subprocess.DEVNULL
            )
            took = time.monotonic() - begin
            expect(clients.returncode == 0, f"the clients: {shorten(clients.stdout + clients.stderr[-600:], 1200)}")
            expect_equal(json.loads(clients.stdout), {"complete": COUNT, "failed": []}, "the clients")
            said, _ = origin.communicate(timeout=20)
            expect_equal(json.loads(said), {"complete": COUNT, "failed": []}, "the origin")
            grown = (front.memory("VmHWM") - before) << 10
            front.expect_no_panic()
            limit = COUNT * PER_CONNECTION
            expect(grown < limit, f"the terminator took {grown >> 20} MiB, {limit >> 20} MiB are allowed")
            moved = 2 * COUNT * SIZE / took / 1e6
            return f"{grown >> 20} MiB of memory, {grown // COUNT >> 10} KiB for each; {moved:.0f} MB/s"
    finally:
        if origin.poll() is None:
            origin.kill()
        origin.wait()
        origin.stdin.close()
        origin.stdout.close()


class Peer:
    """One end of one connection: what it still sends, and what it has got."""

    def __init__(self, connection, number, size):
        self.connection = connection
        self.number = NUMBER.pack(number)
        self.shift = number % SHIFTS
        self.size = size
        self.sent = 0
        self.got = 0
        self.head = b""
        self.done_sending = False
        self.ended = False

    def take(self, piece):
        if self.got + len(piece) > self.size:
            raise ValueError("more than was sent")
        skip = max(0, NUMBER.size - self.got)
        self.head += piece[:skip]
        if len(self.head) == NUMBER.size:
            shift = NUMBER.unpack(self.head)[0] % SHIFTS
            if piece[skip:] != COMMON[shift + self.got + skip : shift + self.got + len(piece)]:
                raise ValueError(f"wrong bytes after {self.got}")
        self.got += len(piece)

    def piece(self):
        if self.sent < NUMBER.size:
            return self.number[self.sent :]
        end = min(self.sent + PIECE, self.size)
        return COMMON_VIEW[self.shift + self.sent : self.shift + end]

    def end(self):
        self.ended = True
        if self.got != self.size:
            raise ValueError(f"the end after {self.got} of {self.size} bytes")

    def interest(self):
        sends = self.sent < self.size or (self.may_end_sending() and not self.done_sending)
        return selectors.EVENT_READ | (selectors.EVENT_WRITE if sends else 0)

    def step(self):
        """Moves what can be moved now; whether the connection is over."""
        progress = True
        while progress and not (self.done_sending and self.ended):
            progress = self.receive() | self.send()
        return self.done_sending and self.ended

    def receive(self):
        if self.ended:
            return False
        try:
            piece = self.connection.recv(PIECE)
        except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
            return False
        except ssl.SSLZeroReturnError:
            piece = b""
        if piece:
            self.take(piece)
        else:
            self.end()
        return True

    def send(self):
        if self.done_sending:
            return False
        try:
            if self.sent < self.size:
                self.sent += self.connection.send(self.piece())
            elif self.may_end_sending():
                self.end_sending()
                self.done_sending = True
            else:
                return False
        except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
            return False
        return True

    def may_end_sending(self):
        return True

    def end_sending(self):
        self.connection.shutdown(socket.SHUT_WR)


class TlsPeer(Peer):
    def may_end_sending(self):
        # The library loses data that comes between the two close_notify.
        return self.got == self.size

    def end_sending(self):
        try:
            self.connection.unwrap()
        except ssl.SSLWantReadError:
            return  # ours is out, the other side's is still to come
        self.ended = True


class Loop:
    def __init__(self):
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        self.selector = selectors.DefaultSelector()
        self.complete = 0
        self.heard = set()
        self.failed = []
        self.open = 0

    def add(self, peer):
        self.open += 1
        self.selector.register(peer.connection, peer.interest(), peer)

    def turn(self, timeout):
        events = self.selector.select(timeout)
        for key, _ in events:
            if key.data is None:
                self.accept(key.fileobj)
                continue
            try:
                over = key.data.step()
            except (OSError, ValueError) as error:
                over = True
                self.failed.append(f"{type(error).__name__}: {error}")
            else:
                self.complete += over
                if over:
                    self.heard.add(key.data.head)
            if over:
                self.selector.unregister(key.fileobj)
                key.fileobj.close()
                self.open -= 1
            elif key.events != key.data.interest():
                self.selector.modify(key.fileobj, key.data.interest(), key.data)
        return bool(events)

    def accept(self, listener):
        raise NotImplementedError

    def report(self):
        if len(self.heard) != self.complete:
            self.failed.append(f"{self.complete} connections heard {len(self.heard)} peers")
        print(json.dumps({"complete": self.complete, "failed": self.failed[:5]}), flush=True)


class OriginLoop(Loop):
    def __init__(self, size):
        super().__init__()
        self.size = size
        self.number = 0
        listener = socket.create_server((HOST, 0), backlog=4096)
        listener.setblocking(False)
        self.selector.register(listener, selectors.EVENT_READ, None)
        print(listener.getsockname()[1], flush=True)

    def accept(self, listener):
        while True:
            try:
                connection, _ = listener.accept()
            except BlockingIOError:
                return
            connection.setblocking(False)
            self.number += 1
            self.add(Peer(connection, self.number, self.size))

    def run(self):
        over = threading.Event()
        threading.Thread(target=lambda: (sys.stdin.read(), over.set()), daemon=True).start()
        while not over.is_set():
            self.turn(0.1)
        end = time.monotonic() + 10
        while self.open and time.monotonic() < end:
            self.turn(0.1)
        self.failed += [f"{self.open} still open"] if self.open else []
        self.report()


def run_clients(port, ca, count, size):
    loop = Loop()
    context = ssl.create_default_context(cafile=ca)
    context.options |= ssl.OP_NO_TICKET
    # Every connection stands before the first byte is sent: all are open at once.
    peers = []
    for number in range(count):
        plain = socket.create_connection((HOST, port), timeout=60)
        connection = context.wrap_socket(plain, server_hostname=NAME, suppress_ragged_eofs=False)
        connection.setblocking(False)
        peers.append(TlsPeer(connection, number, size))
    for peer in peers:
        loop.add(peer)
    moved, since = 0, time.monotonic()
    while loop.open:
        loop.turn(1)
        if time.monotonic() > since + STUCK:
            now = sum(peer.sent + peer.got for peer in peers)
            if now == moved:
                loop.failed.append(f"stuck: {loop.open} open, {now} bytes moved")
                break
            moved, since = now, time.monotonic()
    loop.report()


if __name__ == "__main__":
    if sys.argv[1] == "origin":
        OriginLoop(int(sys.argv[2])).run()
    else:
        run_clients(int(sys.argv[2]), sys.argv[3], int(sys.argv[4]), int(sys.argv[5]))
