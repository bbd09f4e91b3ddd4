"""`polytls connect` to `openssl s_server` and to servers that misbehave."""

import contextlib
import hashlib
import re
import socket
import ssl
import struct
import threading

from front import PYTHON_VERSIONS, read_to_end
from harness import HOST, Failure, Program, expect, expect_equal, free_port, run, shorten, wait_until
from origin import Body
from pki import NAME

FLAG = {"1.2": "-tls1_2", "1.3": "-tls1_3"}
SUITE = {"1.2": "ECDHE-ECDSA-AES256-GCM-SHA384", "1.3": "TLS_AES_128_GCM_SHA256"}
REGISTERED = {"1.2": "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384", "1.3": "TLS_AES_128_GCM_SHA256"}
FILE = 20 << 20

# What the server's certificate is, what the one sentence must speak of, which alerts fit (RFC 8446
# section 6.2): bad_certificate 42, unsupported_certificate 43, certificate_expired 45,
# certificate_unknown 46, unknown_ca 48.
REJECTED = {
    "expired": ("expired", {45}),
    "early": ("not valid yet", {42, 45, 46}),
    "wrong-name": ("not valid for the expected name", {42, 46}),
    "common-name": ("not valid for the expected name", {42, 46}),
    "wrong-purpose": ("purpose", {42, 43, 46}),
    "untrusted": ("issuer", {48}),
}


def checks(suite, setup, version):
    label = f"{setup} {version} connect"
    suite.check(f"{label} to s_server", echo, setup, version)
    suite.check(f"{label} to s_server with a client certificate", client_certificate, setup, version)
    suite.check(f"{label} to s_server that misses a certificate", no_certificate, setup, version)
    suite.check(f"{label} to s_server for a file of 20 MiB", download, setup, version)
    suite.check(f"{label} half-closes and reads on", half_close, setup, version)
    for identity, (words, alerts) in REJECTED.items():
        suite.check(f"{label} rejects a server that is {identity}", rejects, setup, version, identity, words, alerts)
    suite.check(f"{label} --insecure accepts an untrusted server", insecure, setup, version)
    suite.check(f"{label} tells a truncated answer", broken_off, setup, version, False)
    suite.check(f"{label} tells a reset", broken_off, setup, version, True)


def version_independent_checks(suite, setup):
    label = f"{setup} connect"
    suite.check(f"{label} to a closed port", closed_port, setup)
    suite.check(f"{label} to a server that speaks plain HTTP", not_tls, setup, b"HTTP/1.1 400 Bad Request\r\n\r\n")
    suite.check(f"{label} to a server that closes at once", not_tls, setup, b"")
    suite.check(f"{label} to a server that sends garbage", not_tls, setup, bytes(range(255, -1, -1)))
    suite.check(f"{label} to a server that says nothing", silent, setup)


@contextlib.contextmanager
def s_server(setup, version, identity, *words):
    port, pki = free_port(), setup.pki
    command = [
        "openssl", "s_server", "-accept", f"{HOST}:{port}", FLAG[version],
        "-cert", pki.path(f"{identity}.pem"), "-key", pki.path(f"{identity}.key"), "-alpn", "h2,http/1.1",
        "-cipher" if version == "1.2" else "-ciphersuites", SUITE[version], *words,
    ]
    with Program(command, cwd=pki.directory) as server:
        server.wait_for_port(port)
        server.port = port
        yield server


def command(setup, port, *words, ca="ca"):
    trust = ["--ca", setup.pki.path(f"{ca}.pem")] if ca else ["--insecure"]
    return setup.command("connect", f"{NAME}:{port}", *trust, *words)


def expect_well(done):
    expect("panicked" not in done.text, f"a panic: {shorten(done.text, 600)}")
    expect_equal(done.code, 0, f"exit code ({shorten(done.text, 600)})")


def expect_sentence(done, *words):
    """It failed, and said why in one sentence that has these words."""
    expect("panicked" not in done.text, f"a panic: {shorten(done.text, 600)}")
    expect(done.code > 0, f"exit code {done.code}: {shorten(done.text)}")
    said = done.err.decode(errors="replace")
    # What is wrong with the command line is told by its parser, over several lines, up to the usage.
    found = re.findall(r"^(?:polytls: .*|error: [^\n]*(?:\n  [^\n]*)*)", said, re.MULTILINE)
    expect_equal(len(found), 1, f"sentences in {shorten(said, 600)}")
    sentence = " ".join(found[0].split())
    for word in words:
        expect(word.lower() in sentence.lower(), f"{word!r} is not in {sentence!r}")
    return sentence


def echo(setup, version):
    with s_server(setup, version, "server", "-rev") as server:
        done = run(command(setup, server.port, "--alpn", "http/1.1"), stdin=b"drawer\nstressed\n")
        expect_well(done)
        expect_equal(done.out, b"reward\ndesserts\n", "what came back")
        said = done.err.decode(errors="replace")
        for fact in (f"TLSv{version}", REGISTERED[version], "http/1.1", "CN=a server"):
            expect(fact in said, f"{fact!r} is not among the facts: {shorten(said, 900)}")


def with_certificate(setup, port):
    return command(setup, port, "--cert", setup.pki.path("client.pem"), "--key", setup.pki.path("client.key"))


def client_certificate(setup, version):
    words = ["-rev", "-Verify", "2", "-verify_return_error", "-CAfile", setup.pki.path("client-ca.pem")]
    with s_server(setup, version, "server", *words) as server:
        done = run(with_certificate(setup, server.port), stdin=b"drawer\n")
        expect_well(done)
        expect_equal(done.out, b"reward\n", "what came back")
        expect("a client" in server.output(), f"the server saw no certificate: {shorten(server.output(), 600)}")


def no_certificate(setup, version):
    words = ["-rev", "-Verify", "2", "-verify_return_error", "-CAfile", setup.pki.path("client-ca.pem")]
    with s_server(setup, version, "server", *words) as server:
        done = run(command(setup, server.port), stdin=b"drawer\n")
        expect_equal(done.out, b"", "what came back")
        return expect_sentence(done, "alert", "received")


def download(setup, version):
    setup.pki.write("download.bin", b"".join(Body.blocks(FILE)))
    with s_server(setup, version, "server", "-WWW") as server:
        done = run(command(setup, server.port), stdin=b"GET /download.bin HTTP/1.0\r\n\r\n", deadline=60)
        expect_well(done)
        body = done.out.partition(b"\r\n\r\n")[2]
        expect_equal(hashlib.sha256(body).hexdigest(), Body.sha256(FILE), f"SHA-256 of {len(body)} bytes")


def rejects(setup, version, identity, words, alerts):
    with s_server(setup, version, identity, "-rev") as server:
        done = run(command(setup, server.port), stdin=b"drawer\n")
        expect_equal(done.out, b"", "what came back")
        sentence = expect_sentence(done, "certificate", words)
        # The server may still be about to read it.
        wait_until(lambda: "SSL alert number" in server.output(), f"the server gets an alert after {sentence}", 5)
        found = re.search(r"SSL alert number (\d+)", server.output())
        expect(int(found[1]) in alerts, f"alert {found[1]} instead of {sorted(alerts)}")
        return f"alert {found[1]}; {sentence}"


def insecure(setup, version):
    with s_server(setup, version, "untrusted", "-rev") as server:
        done = run(command(setup, server.port, ca=None), stdin=b"drawer\n")
        expect_well(done)
        expect_equal(done.out, b"reward\n", "what came back")


class OneConnection:
    """A server that handles one connection, in a thread."""

    def __init__(self, handle):
        self.listener = socket.create_server((HOST, 0))
        self.port = self.listener.getsockname()[1]
        self.result = None
        self.handle = handle
        self.thread = threading.Thread(target=self._serve, daemon=True)

    def _serve(self):
        connection, _ = self.listener.accept()
        connection.settimeout(20)
        try:
            self.result = self.handle(connection)
        except OSError as error:
            self.result = error

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.listener.close()


def tls_server(setup, version, connection):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = context.maximum_version = PYTHON_VERSIONS[version]
    context.load_cert_chain(setup.pki.path("server.pem"), setup.pki.path("server.key"))
    return context.wrap_socket(connection, server_side=True, suppress_ragged_eofs=False)


def half_close(setup, version):
    size = 3 << 20

    def handle(connection):
        with tls_server(setup, version, connection) as server:
            digest = hashlib.sha256(read_to_end(server))
            server.sendall(digest.hexdigest().encode())
            server.unwrap().close()

    with OneConnection(handle) as server:
        done = run(command(setup, server.port), stdin=b"".join(Body.blocks(size)))
        expect_well(done)
        expect_equal(done.out.decode(), Body.sha256(size), "what the server sent after our half-close")


def broken_off(setup, version, reset):
    def handle(connection):
        server = tls_server(setup, version, connection)
        server.recv(100)
        server.sendall(b"half an ans")
        # Unread data would turn the end into a reset.
        read_to_end(server)
        if reset:
            server.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        server.close()

    with OneConnection(handle) as server:
        done = run(command(setup, server.port), stdin=b"GET /")
        return expect_sentence(done, *(["reset"] if reset else ["without close_notify"]))


def closed_port(setup):
    port = free_port()
    return expect_sentence(run(command(setup, port)), str(port), "refused")


def not_tls(setup, answer):
    def handle(connection):
        if answer:
            connection.recv(65536)
            connection.sendall(answer)
            connection.shutdown(socket.SHUT_WR)
            while connection.recv(65536):
                pass
        connection.close()

    with OneConnection(handle) as server:
        done = run(command(setup, server.port))
        expect_equal(done.out, b"", "what came out")
        return expect_sentence(done, str(server.port))


def silent(setup):
    def handle(connection):
        while connection.recv(65536):
            pass

    with OneConnection(handle) as server:
        done = run(command(setup, server.port, "--timeout", "1"), deadline=10)
        if done.code == 0:
            raise Failure("it ended well")
        return expect_sentence(done, str(server.port), "timed out")
