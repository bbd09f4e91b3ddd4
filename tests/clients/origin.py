"""What stands behind the terminator: a plain HTTP server, and small TCP servers for half-closes."""

import hashlib
import http.server
import json
import random
import re
import socket
import socketserver
import struct
import threading

from harness import HOST

BLOCK = 1 << 20


class Body:
    """A large body that is the same in every run, told apart block by block, never held whole."""

    _block = random.Random(8446).randbytes(BLOCK)
    _hashes = {}

    @classmethod
    def blocks(cls, size):
        for index in range(0, size, BLOCK):
            block = struct.pack(">Q", index) + cls._block[8:]
            yield block if size - index >= BLOCK else block[: size - index]

    @classmethod
    def sha256(cls, size):
        if size not in cls._hashes:
            digest = hashlib.sha256()
            for block in cls.blocks(size):
                digest.update(block)
            cls._hashes[size] = digest.hexdigest()
        return cls._hashes[size]


class Handler(http.server.BaseHTTPRequestHandler):
    """`GET /body/N`: N bytes. `PUT` and `POST`: the length and SHA-256 of what was sent."""

    protocol_version = "HTTP/1.1"
    timeout = 60

    def do_GET(self):
        wanted = re.fullmatch(r"/body/(\d+)", self.path)
        if self.path == "/":
            self.answer(b"hello from the origin\n")
        elif wanted:
            size = int(wanted[1])
            self.send_response(200)
            self.send_header("Content-Length", str(size))
            self.end_headers()
            for block in Body.blocks(size):
                self.wfile.write(block)
        else:
            self.send_error(404)

    def do_PUT(self):
        digest, size = hashlib.sha256(), 0
        for piece in self.pieces():
            digest.update(piece)
            size += len(piece)
        self.answer(json.dumps({"size": size, "sha256": digest.hexdigest()}).encode())

    do_POST = do_PUT

    def pieces(self):
        if self.headers.get("Transfer-Encoding", "").lower() == "chunked":
            while size := int(self.rfile.readline().split(b";")[0], 16):
                yield from self.exactly(size)
                self.rfile.readline()
            self.rfile.readline()
        else:
            yield from self.exactly(int(self.headers.get("Content-Length", 0)))

    def exactly(self, size):
        while size > 0:
            piece = self.rfile.read(min(size, 1 << 18))
            if not piece:
                raise ConnectionError(f"the body ended {size} bytes early")
            size -= len(piece)
            yield piece

    def answer(self, body):
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


class Quiet:
    """Clients that go away in the middle are part of the checks."""

    daemon_threads = True
    allow_reuse_address = True
    request_queue_size = 1024

    def handle_error(self, *_):
        pass


class HttpServer(Quiet, http.server.ThreadingHTTPServer):
    pass


class TcpServer(Quiet, socketserver.ThreadingTCPServer):
    pass


class Digest(socketserver.BaseRequestHandler):
    """Reads until the client half-closes, only then answers, and closes. `ended` keeps the sizes of
    what came to a proper end."""

    ended = []

    def handle(self):
        digest, size = hashlib.sha256(), 0
        while piece := self.request.recv(1 << 18):
            digest.update(piece)
            size += len(piece)
        self.ended.append(size)
        self.request.sendall(f"{size} {digest.hexdigest()}\n".encode())


class SpeaksFirst(socketserver.BaseRequestHandler):
    """Says its piece and half-closes at once, then reads to the end; keeps what it read."""

    GREETING = b"the origin has spoken\n"
    heard = []

    def handle(self):
        self.request.sendall(self.GREETING)
        self.request.shutdown(socket.SHUT_WR)
        everything = b""
        while piece := self.request.recv(1 << 18):
            everything += piece
        self.heard.append(everything)


class Echo(socketserver.BaseRequestHandler):
    """Sends back what it gets, until the client half-closes."""

    def handle(self):
        while piece := self.request.recv(1 << 18):
            self.request.sendall(piece)


class Origin:
    """A server in threads of this process; `port` is where."""

    def __init__(self, handler, server=TcpServer):
        self.server = server((HOST, 0), handler)
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()

    @classmethod
    def http(cls):
        return cls(Handler, HttpServer)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()
