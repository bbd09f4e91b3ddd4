"""Python's `ssl` against the terminator: facts, endings in every order, both ways at once."""

import hashlib
import select
import socket
import ssl
import struct
import time

from front import read_to_end
from harness import HOST, Failure, expect, expect_equal, wait_until
from origin import Body, Digest, SpeaksFirst
from pki import NAME

MEBIBYTE = 1 << 20


def checks(suite, setup, fronts, version):
    label = f"{setup} {version} Python"
    suite.check(f"{label} sees the facts", facts, fronts.http, version)
    suite.check(f"{label} reaches an IP address by name", by_address, fronts.http, version)
    suite.check(f"{label} unwraps after the answer", unwrap_after, fronts.http, version)
    suite.check(f"{label} unwraps first", unwrap_first, fronts.echo, version)
    suite.check(f"{label} half-closes, then reads", half_close, fronts.digest, version)
    suite.check(f"{label} goes on after the server's half-close", server_first, fronts.first, version)
    suite.check(f"{label} sends and receives 16 MiB at once", both_ways, fronts.echo, version)
    suite.check(f"{label} does not read for a while", slow_reader, fronts.http, version)
    suite.check(f"{label} resumes", resumes, fronts.http, version)
    suite.check(f"{label} sends the ClientHello byte by byte", byte_by_byte, fronts.http, version)
    suite.check(f"{label} breaking off does not look like an end", truncation, fronts.digest, version)


def facts(front, version):
    context = front.setup.client_context(version)
    context.set_alpn_protocols(["h2"])
    with front.connect(context=context) as client:
        expect_equal(client.version(), f"TLSv{version}", "version")
        expect_equal(client.selected_alpn_protocol(), "h2", "ALPN")
        names = client.getpeercert()["subjectAltName"]
        expect_equal(names, (("DNS", NAME), ("IP Address", "127.0.0.1")), "names of the peer")
        return client.cipher()[0]


def by_address(front, version):
    with front.connect(version, name=HOST) as client:
        client.sendall(b"GET / HTTP/1.0\r\n\r\n")
        expect(read_to_end(client).endswith(b"hello from the origin\n"), "no answer")


def unwrap_after(front, version):
    with front.connect(version) as client:
        client.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        expect(read_to_end(client).endswith(b"hello from the origin\n"), "no answer")
        with client.unwrap() as plain:
            expect_equal(plain.recv(1), b"", "after both close_notify")


def unwrap_first(front, version):
    with front.connect(version) as client:
        client.sendall(b"ping")
        expect_equal(client.recv(4), b"ping", "the echo")
        # Returns only when the other side's close_notify has come too.
        with client.unwrap() as plain:
            expect_equal(plain.recv(1), b"", "after both close_notify")


def send_close_notify(client):
    """`unwrap` sends it at once, then wants the peer's: without blocking, it stops there."""
    client.settimeout(0)
    try:
        client.unwrap()
        raise Failure("the other side closed before it was asked to")
    except ssl.SSLWantReadError:
        client.settimeout(20)


def half_close(front, version):
    size = 5 * MEBIBYTE + 321
    with front.connect(version) as client:
        for block in Body.blocks(size):
            client.sendall(block)
        send_close_notify(client)
        # The origin answers only when it has seen the end.
        expect_equal(read_to_end(client).decode(), f"{size} {Body.sha256(size)}\n", "the answer")
        with client.unwrap() as plain:
            expect_equal(plain.recv(1), b"", "after both close_notify")


def server_first(front, version):
    # Its own text, to find it among what the origin has heard from others.
    size = 3 * MEBIBYTE
    text = f"{front.setup} {version}\n".encode() + b"".join(Body.blocks(size))
    with front.connect(version) as client:
        expect_equal(read_to_end(client), SpeaksFirst.GREETING, "before the server's half-close")
        client.sendall(text)
        client.unwrap()
        wait_until(lambda: text in SpeaksFirst.heard, "the origin hears everything")
    SpeaksFirst.heard.remove(text)


def both_ways(front, version):
    size = 16 * MEBIBYTE
    out = memoryview(b"".join(Body.blocks(size)))
    digest, received, sent, ended = hashlib.sha256(), 0, 0, False
    with front.connect(version) as client:
        client.settimeout(0)
        deadline = time.monotonic() + 60
        while received < size:
            expect(time.monotonic() < deadline, f"stuck: {sent} sent, {received} received")
            moved = False
            if sent < size:
                try:
                    sent += client.send(out[sent : sent + 65536])
                    moved = True
                except (ssl.SSLWantWriteError, ssl.SSLWantReadError):
                    pass
            try:
                piece = client.recv(65536)
                expect(piece, f"the end after {received} bytes")
                digest.update(piece)
                received += len(piece)
                moved = True
            except (ssl.SSLWantWriteError, ssl.SSLWantReadError):
                pass
            if not moved:
                select.select([client], [client] if sent < size else [], [], 5)
        expect_equal(digest.hexdigest(), Body.sha256(size), "SHA-256 of the echo")
        client.settimeout(20)
        client.unwrap()


def slow_reader(front, version):
    """Back-pressure: what the client does not read must not pile up in the terminator."""
    size = 128 * MEBIBYTE
    before = front.memory()
    with front.connect(version) as client:
        client.sendall(f"GET /body/{size} HTTP/1.0\r\n\r\n".encode())
        time.sleep(1.0)
        grown = (front.memory() - before) / 1024
        expect(grown < 16, f"the terminator holds {grown:.0f} MiB for a client that does not read")
        answer = hashlib.sha256()
        head, _, rest = client.recv(65536).partition(b"\r\n\r\n")
        while b"Content-Length" not in head or not rest:
            piece = client.recv(65536)
            expect(piece, "the end within the head")
            head, _, rest = (head + b"\r\n\r\n" + rest + piece).partition(b"\r\n\r\n")
        answer.update(rest)
        answer.update(read_to_end(client))
        expect_equal(answer.hexdigest(), Body.sha256(size), "SHA-256")
    return f"held at most {max(grown, 0):.1f} MiB meanwhile"


def resumes(front, version):
    context = front.setup.client_context(version)
    with front.connect(context=context) as client:
        client.sendall(b"GET / HTTP/1.0\r\n\r\n")
        read_to_end(client)  # TLS 1.3 tickets come with the data
        session = client.session
        expect(not client.session_reused, "the first connection was resumed")
    with front.connect(context=context, session=session) as client:
        resumed = not (front.setup.engine == "libressl" and version == "1.3")
        expect_equal(client.session_reused, resumed, "whether the second connection was resumed")
        client.sendall(b"GET / HTTP/1.0\r\n\r\n")
        expect(read_to_end(client).endswith(b"hello from the origin\n"), "no answer")


class InMemory:
    """A client that hands out its bytes, so that a check decides when they leave."""

    def __init__(self, front, version, name=NAME):
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        context = front.setup.client_context(version)
        self.tls = context.wrap_bio(self.incoming, self.outgoing, server_hostname=name)

    def step(self, function, *arguments):
        """The result, or None if the session wants bytes from the peer first."""
        try:
            return function(*arguments) or True
        except ssl.SSLWantReadError:
            return None


def byte_by_byte(front, version):
    client = InMemory(front, version)
    with front.connect_plain() as transport:
        transport.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        while not client.step(client.tls.do_handshake):
            for byte in client.outgoing.read():
                transport.sendall(bytes([byte]))
            client.incoming.write(transport.recv(65536))
        client.tls.write(b"GET / HTTP/1.0\r\n\r\n")
        for byte in client.outgoing.read():
            transport.sendall(bytes([byte]))
        answer = b""
        while not answer.endswith(b"hello from the origin\n"):
            piece = client.step(client.tls.read, 65536)
            if piece is None:
                received = transport.recv(65536)
                expect(received, f"the end after {answer!r}")
                client.incoming.write(received)
            else:
                answer += piece


def truncation(front, version):
    """A client that goes away without close_notify must not look to the origin like one that said
    it was done; and the terminator goes on."""
    cut = b"half of what I wanted to s"
    for reset in (False, True):
        client = front.connect(version)
        client.sendall(cut)
        if reset:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        client.close()
    wanted = ("client_truncated", "client_reset")
    wait_until(
        lambda: all(word in front.output() for word in wanted), f"the log says {' and '.join(wanted)}"
    )
    time.sleep(0.2)
    expect(len(cut) not in Digest.ended, "the origin took the broken-off upload for a whole one")
    with front.connect(version) as client:
        client.sendall(b"all")
        send_close_notify(client)
        expect_equal(read_to_end(client).decode(), f"3 {hashlib.sha256(b'all').hexdigest()}\n", "the next client")
