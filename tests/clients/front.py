"""`polytls` as the program under test, and what all groups of checks share."""

import contextlib
import functools
import os
import signal
import socket
import ssl
import subprocess

from harness import HOST, Program, expect, free_port, wait_until
from origin import Digest, Echo, Origin, SpeaksFirst
from pki import NAME

PYTHON_VERSIONS = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}


class Setup:
    """One backend in one mode: where the program is, and how it is started."""

    def __init__(self, binary, backend, mode, pki):
        self.binary = binary
        self.backend = backend
        self.mode = mode
        self.pki = pki

    def __str__(self):
        return f"{self.backend}/{self.mode}"

    @functools.cached_property
    def engine(self):
        """`rustls` for `rustls-ring` too: what differs is the cryptography alone. `libressl` where
        the backend `openssl` is over LibreSSL."""
        told = subprocess.run([self.binary, "backends"], check=True, stdout=subprocess.PIPE, text=True).stdout
        if f"{self.backend}: LibreSSL " in told:
            return "libressl"
        return self.backend.split("-")[0]

    def choice(self):
        return ["--backend", self.backend, "--mode", self.mode]

    def identity(self, name="server"):
        return ["--cert", self.pki.path(f"{name}.pem"), "--key", self.pki.path(f"{name}.key")]

    def command(self, subcommand, *words):
        return [self.binary, subcommand, *words, *self.choice()]

    def terminate(self, to, *words, identity="server"):
        return Front(self, ["terminate", "--to", f"{HOST}:{to}", *self.identity(identity), *words])

    def terminate_by_name(self, to, directory, *words):
        return Front(self, ["terminate", "--to", f"{HOST}:{to}", "--sni-map", directory, *words])

    def serve(self, root, *words):
        return Front(self, ["serve", "--root", root, *self.identity(), *words])

    def client_context(self, version=None, certificate=None):
        """Python's TLS client that trusts the test root, and speaks this version only."""
        context = ssl.create_default_context(cafile=self.pki.path("ca.pem"))
        if version:
            context.minimum_version = context.maximum_version = PYTHON_VERSIONS[version]
        if certificate:
            context.load_cert_chain(self.pki.path(f"{certificate}.pem"), self.pki.path(f"{certificate}.key"))
        return context


class Front(Program):
    """`polytls terminate` or `polytls serve`, listening."""

    def __init__(self, setup, words):
        self.setup = setup
        self.port = free_port()
        super().__init__(setup.command(words[0], "--listen", f"{HOST}:{self.port}", *words[1:]))
        try:
            self.wait_for_port(self.port)
        except Exception:
            self.stop()
            raise

    def connect(self, version=None, context=None, name=NAME, timeout=20, **options):
        """A verified TLS connection by Python's `ssl`; a missing close_notify is an error."""
        context = context or self.setup.client_context(version)
        plain = socket.create_connection((HOST, self.port), timeout=timeout)
        try:
            return context.wrap_socket(plain, server_hostname=name, suppress_ragged_eofs=False, **options)
        except BaseException:
            plain.close()
            raise

    def connect_plain(self, timeout=20):
        return socket.create_connection((HOST, self.port), timeout=timeout)

    def expect_serves(self, version=None):
        """A good client is still served."""
        with self.connect(version) as client:
            client.sendall(b"GET / HTTP/1.0\r\n\r\n")
            answer = read_to_end(client)
        expect(answer.startswith(b"HTTP/1."), f"a good client afterwards got {answer[:80]!r}")

    def expect_no_panic(self):
        output = self.output()
        expect("panicked" not in output, f"a panic: {output[max(0, output.find('panicked') - 200):][:600]}")
        expect(self.running(), f"it has ended with code {self.process.returncode}: {output[-400:]}")

    def expect_idle(self, descriptors):
        """No connection is left over: descriptors are back to what they were."""
        wait_until(
            lambda: self.descriptors() <= descriptors,
            f"{self.descriptors()} descriptors fall back to {descriptors}",
        )

    def end(self, deadline=15):
        """Asks it to stop, as an operator would; the exit code."""
        os.kill(self.pid, signal.SIGTERM)
        return self.wait(deadline)


class Fronts:
    """A terminator before each of the origins, for one backend in one mode."""

    def __init__(self, setup, http_port):
        self.setup = setup
        with contextlib.ExitStack() as stack:
            ports = {"http": http_port}
            for name, handler in (("digest", Digest), ("echo", Echo), ("first", SpeaksFirst)):
                ports[name] = stack.enter_context(Origin(handler)).port
            self.all = {
                name: stack.enter_context(setup.terminate(port, "--alpn", "http/1.1,h2", "--threads", "2"))
                for name, port in ports.items()
            }
            self.stack = stack.pop_all()
        self.descriptors = {name: front.descriptors() for name, front in self.all.items()}

    def __getattr__(self, name):
        return self.all[name]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stack.close()

    def expect_all_well(self):
        """After all checks: none panicked, none holds a connection, each stops when asked."""
        memory = 0
        for name, front in self.all.items():
            front.expect_no_panic()
            front.expect_idle(self.descriptors[name])
            memory = max(memory, front.memory("VmHWM"))
        for front in self.all.values():
            code = front.end()
            expect(code == 0, f"exit code {code} after SIGTERM: {front.output()[-300:]}")
        return f"at most {memory / 1024:.0f} MiB resident"


def read_to_end(connection):
    """Everything up to the peer's close_notify."""
    pieces = []
    while True:
        try:
            piece = connection.recv(1 << 18)
        except ssl.SSLZeroReturnError:
            break
        if not piece:
            break
        pieces.append(piece)
    return b"".join(pieces)
