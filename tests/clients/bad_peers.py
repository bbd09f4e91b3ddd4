"""What a peer can do to the terminator: it is dropped, with the fitting alert; the others are served."""

import random
import socket
import ssl
import struct
import time

from harness import Failure, expect, shorten, wait_until
from pki import NAME
from with_python import InMemory

HANDSHAKE, ALERT, CHANGE, DATA = 22, 21, 20, 23
ALERTS = {10: "unexpected_message", 20: "bad_record_mac", 22: "record_overflow", 40: "handshake_failure",
          47: "illegal_parameter", 50: "decode_error", 70: "protocol_version", 80: "internal_error"}


# Where an engine is known to send another alert than the RFC has, or none, and gives no way to send
# the right one: exactly this one is expected of it. RFC 8446 sections 5 and 6.2 ask for
# unexpected_message throughout.
LIBRESSL = "LibreSSL ends some handshakes without an alert"
RUSTLS = "rustls takes it for a record that cannot be decoded"
KNOWN = {
    ("rustls", "a record of unknown kind"): (50, RUSTLS),
    ("rustls", "a flood of empty handshake records"): (50, RUSTLS),
    ("rustls", "a flood of warning alerts"): (None, "rustls ends at its limit without an alert"),
    ("libressl", "garbage in records"): (None, LIBRESSL),
    ("libressl", "a ClientHello that is too long"): (None, LIBRESSL),
    ("libressl", "a flood of warning alerts"): (47, "LibreSSL refuses an error alert of the level warning"),
    ("openssl", "a fatal alert"): (10, "OpenSSL takes no alert before a ClientHello for one"),
}


def record(kind, content, version=0x0303):
    return struct.pack(">BHH", kind, version, len(content)) + content


def checks(suite, setup, http_port):
    label = f"{setup} peer"
    with setup.terminate(http_port, "--handshake-timeout", "1", "--threads", "2") as front:
        front.expect_serves()
        descriptors = front.descriptors()
        noise = random.Random(2026)
        # An engine may end without an alert if the first bytes are no TLS: such a peer could not
        # read it.
        dropped = {
            "plain HTTP": (b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n", {10, 50, 70, 22, None}),
            "garbage": (noise.randbytes(65536), {10, 22, 50, 70, None}),
            "garbage in records": (b"".join(record(HANDSHAKE, noise.randbytes(500)) for _ in range(100)), {10, 47, 50}),
            "a record that is too long": (record(HANDSHAKE, b"")[:3] + b"\xff\xff" + bytes(70000), {22, 50, 10}),
            "a record of unknown kind": (record(99, bytes(100)), {10}),
            "a ClientHello that is too long": (hello_of(1 << 20), {10, 22, 47, 50, 80, 40}),
            "data before the handshake": (record(DATA, b"hello"), {10}),
            "a flood of empty handshake records": (record(HANDSHAKE, b"") * 20000, {10}),
            "a flood of warning alerts": (record(ALERT, b"\x01\x64") * 20000, {10, 40}),
            "a flood of change_cipher_spec": (record(CHANGE, b"\x01") * 20000, {10}),
            "a fatal alert": (record(ALERT, b"\x02\x28"), {None}),
        }
        for name, (content, alerts) in dropped.items():
            known = KNOWN.get((setup.engine, name))
            suite.check(f"{label} that sends {name} is dropped", is_dropped, front, content, alerts, known)
        suite.check(f"{label} with half a ClientHello is dropped in time", half_a_hello, front)
        suite.check(f"{label} that says nothing is dropped in time", says_nothing, front)
        for version in ("1.2", "1.3"):
            for reset in (True, False):
                how = "resets" if reset else "ends"
                suite.check(f"{label} that {how} after any byte, {version}", cut_anywhere, front, version, reset)
        suite.check(f"{label} whose record was changed on the way gets bad_record_mac", changed_record, front)
        suite.check(f"{setup} is well after them", all_well, front, descriptors)
    suite.check(f"{setup} goes on while the server behind it is away", server_away, setup)
    suite.check(f"{setup} drops idle connections", idle, setup, http_port)
    suite.check(f"{setup} finishes what is open before it stops", graceful, setup, http_port)
    suite.check(f"{setup} keeps to --max-connections", many_at_once, setup, http_port)


def hello_of(length):
    """The beginning of a handshake message of this length, cut into records."""
    message = struct.pack(">I", 1 << 24 | length) + b"\x03\x03" + bytes(length - 2)
    return b"".join(record(HANDSHAKE, message[at : at + 16384], 0x0301) for at in range(0, len(message), 16384))


def send_and_listen(front, content, timeout=10):
    """Everything the terminator answers, until it ends the connection; and whether it reset it."""
    with front.connect_plain(timeout) as peer:
        answer = b""
        try:
            peer.sendall(content)
            while piece := peer.recv(65536):
                answer += piece
        except ConnectionError:
            return answer, True
        except TimeoutError:
            raise Failure(f"not dropped within {timeout} s; it answered {shorten(answer)}") from None
        return answer, False


def alert_in(answer):
    """The fatal alert at the end of the plaintext records, or None."""
    at, found = 0, None
    while at + 5 <= len(answer):
        kind, _, length = struct.unpack(">BHH", answer[at : at + 5])
        content = answer[at + 5 : at + 5 + length]
        if kind == ALERT and len(content) == 2 and content[0] == 2:
            found = content[1]
        at += 5 + length
    return found


def is_dropped(front, content, alerts, known):
    answer, was_reset = send_and_listen(front, content)
    found = alert_in(answer)
    front.expect_serves()
    if known:
        expect(found == known[0], f"alert {found} instead of {known[0]}, which is known: remove the entry")
        return f"alert {ALERTS.get(found, found)}: {known[1]}"
    if found is None and was_reset and not alerts <= {None}:
        # A reset overtook the alert: a flood is still arriving when the terminator closes.
        expect(len(content) > 50000, "reset without an alert")
    else:
        expect(found in alerts, f"alert {found} instead of one of {alerts}; it answered {shorten(answer)}")
    return f"alert {ALERTS.get(found, found)}" + (", reset" if was_reset else "")


def client_hello(front, version):
    client = InMemory(front, version)
    client.step(client.tls.do_handshake)
    return client.outgoing.read()


def half_a_hello(front):
    hello = client_hello(front, "1.3")
    begin = time.monotonic()
    answer, _ = send_and_listen(front, hello[: len(hello) // 2], 8)
    took = time.monotonic() - begin
    expect(0.8 < took < 7, f"dropped after {took:.1f} s, the limit is 1 s")
    front.expect_serves()
    return f"after {took:.1f} s, alert {alert_in(answer)}"


def says_nothing(front):
    begin = time.monotonic()
    send_and_listen(front, b"", 8)
    took = time.monotonic() - begin
    expect(0.8 < took < 7, f"dropped after {took:.1f} s, the limit is 1 s")
    front.expect_serves()


def cut_anywhere(front, version, reset):
    """Connections that end after each number of bytes, up to a whole request."""
    limit = 0
    while not talk_until(front, version, limit, reset):
        limit += 1
    expect(limit > 300, f"a whole exchange had only {limit} bytes")
    front.expect_serves(version)
    return f"{limit} connections"


def talk_until(front, version, limit, reset):
    """Speaks TLS until `limit` bytes have been sent; whether that was everything."""
    client, sent = InMemory(front, version), 0
    with front.connect_plain() as transport:
        if reset:
            transport.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        steps = [(client.tls.do_handshake,), (client.tls.write, b"GET / HTTP/1.0\r\n\r\n")]
        while steps:
            done = client.step(*steps[0])
            piece = client.outgoing.read()[: limit - sent]
            transport.sendall(piece)
            sent += len(piece)
            if sent == limit:
                return False
            if done:
                steps.pop(0)
                continue
            received = transport.recv(65536)
            expect(received, f"the terminator ended after {sent} bytes")
            client.incoming.write(received)
    return True


def changed_record(front):
    """TLS 1.3 and 1.2 alike: bad_record_mac, read with the keys of the connection."""
    for version in ("1.2", "1.3"):
        client = InMemory(front, version)
        with front.connect_plain() as transport:
            while not client.step(client.tls.do_handshake):
                transport.sendall(client.outgoing.read())
                client.incoming.write(transport.recv(65536))
            transport.sendall(client.outgoing.read())
            client.tls.write(b"GET / HTTP/1.0\r\n\r\n")
            sealed = bytearray(client.outgoing.read())
            sealed[-1] ^= 1
            transport.sendall(sealed)
            try:
                while received := transport.recv(65536):
                    client.incoming.write(received)
                client.incoming.write_eof()
                while client.tls.read(65536):
                    pass
                raise Failure(f"{version}: closed without an alert")
            except ssl.SSLError as error:
                # Known of the engine: it ends a session of TLS 1.3 without the alert.
                silent = front.setup.engine == "libressl" and version == "1.3"
                reason = "UNEXPECTED_EOF" if silent else "BAD_RECORD_MAC"
                expect(reason in str(error.reason), f"{version}: {error} instead of {reason}")
    front.expect_serves()


def all_well(front, descriptors):
    front.expect_no_panic()
    front.expect_idle(descriptors)
    front.expect_serves("1.2")
    front.expect_serves("1.3")
    peak = front.memory("VmHWM") / 1024
    expect(peak < 200, f"{peak:.0f} MiB resident at most")
    code = front.end()
    expect(code == 0, f"exit code {code} after SIGTERM")
    return f"at most {peak:.0f} MiB resident"


def server_away(setup):
    with setup.terminate(1) as front:  # nobody listens on port 1
        for _ in range(3):
            try:
                with front.connect() as client:
                    client.sendall(b"GET / HTTP/1.0\r\n\r\n")
                    answer = client.recv(100)
                    expect(not answer, f"an answer from nowhere: {answer!r}")
            except (ssl.SSLError, ConnectionError):
                pass
        wait_until(lambda: "upstream" in front.output(), "the log speaks of the upstream")
        front.expect_no_panic()


def idle(setup, http_port):
    with setup.terminate(http_port, "--idle-timeout", "1") as front:
        begin = time.monotonic()
        with front.connect() as client:
            try:
                client.recv(1)
            except (ssl.SSLError, ConnectionError):
                pass
        took = time.monotonic() - begin
        expect(0.8 < took < 7, f"dropped after {took:.1f} s, the limit is 1 s")
        front.expect_serves()
        front.expect_no_panic()


def graceful(setup, http_port):
    size = 64 << 20
    with setup.terminate(http_port) as front:
        with front.connect() as client:
            client.sendall(f"GET /body/{size} HTTP/1.0\r\n\r\n".encode())
            got = len(client.recv(65536))
            front.process.terminate()
            wait_until(lambda: not accepts(front), "no new connection is accepted")
            expect(front.running(), "it ended in the middle of a download")
            while piece := client.recv(1 << 18):
                got += len(piece)
            expect(got > size, f"{got} of {size} bytes")
            client.unwrap()
        code = front.wait()
        expect(code == 0, f"exit code {code}: {front.output()[-300:]}")


def accepts(front):
    try:
        front.connect_plain(2).close()
        return True
    except ConnectionError:
        return False


def many_at_once(setup, http_port):
    """Connections above the limit wait; they are served when others end."""
    with setup.terminate(http_port, "--max-connections", "2", "--threads", "1") as front:
        held = [front.connect() for _ in range(2)]
        waiting = front.connect_plain(1)
        try:
            waiting.sendall(client_hello(front, "1.3"))
            waiting.recv(1)
            raise Failure("a third connection was served")
        except TimeoutError:
            pass
        for client in held:
            client.close()
        waiting.settimeout(15)
        expect(waiting.recv(1) == b"\x16", "the third connection was not served when others had ended")
        waiting.close()
        front.expect_serves()
        front.expect_no_panic()
