"""`openssl s_client` against the terminator: facts, data, alerts, resumption, key updates."""

import os
import re
import subprocess
import threading
import time

from harness import HOST, Failure, expect, expect_equal, run, shorten, wait_until
from pki import NAME

FLAG = {"1.2": "-tls1_2", "1.3": "-tls1_3"}
REQUEST = b"GET / HTTP/1.0\r\n\r\n"


def checks(suite, setup, fronts, version):
    label = f"{setup} {version} s_client"
    suite.check(f"{label} sees the facts", facts, fronts.http, version)
    suite.check(f"{label} moves data", data, fronts.http, version)
    suite.check(f"{label} resumes", resumes, fronts.http, version)
    suite.check(f"{label} with an unknown ALPN name gets no_application_protocol", wrong_alpn, fronts.http, version)
    suite.check(f"{label} without a common suite gets handshake_failure", no_suite, fronts.http, version)
    suite.check(f"{label} with another trusted root refuses", distrusts, fronts.http, version)
    suite.check(f"{label} is not served in another version", other_version, setup, fronts, version)
    suite.check(f"{label} with a ticket of another name authenticates", other_name, setup, fronts, version)
    if version == "1.3":
        suite.check(f"{label} updates keys", update_keys, fronts.http)
    else:
        suite.check(f"{label} asking to renegotiate is refused", renegotiate, fronts.http)


def version_1_1_check(suite, setup, fronts):
    suite.check(f"{setup} 1.1 s_client is refused", version_1_1, fronts.http)


def command(front, version, *words):
    return [
        "openssl", "s_client", "-connect", f"{HOST}:{front.port}", "-servername", NAME,
        "-verify_hostname", NAME, "-verify_return_error", "-CAfile", front.setup.pki.path("ca.pem"),
        FLAG[version], *words,
    ]


def facts(front, version):
    done = run(command(front, version, "-brief", "-alpn", "h2,http/1.1"))
    expect_equal(done.code, 0, f"exit code ({shorten(done.text)})")
    expect(f"Protocol version: TLSv{version}" in done.text, f"no TLS {version} in {shorten(done.text)}")
    expect("Verification: OK" in done.text, f"not verified: {shorten(done.text)}")
    expect("Verified peername: localhost" in done.text, f"no name verified: {shorten(done.text)}")
    suite = re.search(r"Ciphersuite: (\S+)", done.text)
    group = re.search(r"Server Temp Key: (\S+)|Negotiated TLS1.3 group: (\S+)", done.text)
    expect(suite, f"no suite in {shorten(done.text)}")
    expect(group, f"no group in {shorten(done.text)}")
    return f"{suite[1]}, {(group[1] or group[2]).rstrip(',')}"


def data(front, version):
    done = run(command(front, version, "-quiet", "-alpn", "http/1.1"), stdin=REQUEST)
    expect_equal(done.code, 0, f"exit code ({shorten(done.text)})")
    expect(done.out.endswith(b"\r\n\r\nhello from the origin\n"), f"the answer: {shorten(done.out)}")


def resumes(front, version):
    kept = front.setup.pki.path(f"{front.setup.backend}-{front.setup.mode}-{version}.session")
    if os.path.exists(kept):
        os.unlink(kept)
    # -ign_eof: the session is written when the tickets come, which is after the handshake.
    first = run(command(front, version, "-ign_eof", "-sess_out", kept), stdin=REQUEST)
    expect("New, TLSv" in first.text, f"the first is not new: {shorten(first.text)}")
    if front.setup.engine == "libressl" and version == "1.3":
        expect(not os.path.exists(kept), "LibreSSL gave a session of TLS 1.3")
        return "LibreSSL gives no session of TLS 1.3"
    expect(os.path.exists(kept), f"no session was given: {shorten(first.text)}")
    second = run(command(front, version, "-ign_eof", "-sess_in", kept), stdin=REQUEST)
    expect("Reused, TLSv" in second.text, f"the second is not resumed: {shorten(second.text, 3000)}")
    expect(b"hello from the origin\n" in second.out, f"no data after resumption: {shorten(second.text)}")


def expect_alert(done, number, name):
    expect(done.code != 0, f"s_client ended well: {shorten(done.text)}")
    found = re.search(r"SSL alert number (\d+)", done.text)
    expect(found, f"no alert, {name} ({number}) was due: {shorten(done.text, 600)}")
    expect_equal(int(found[1]), number, f"the alert ({name} was due)")


def wrong_alpn(front, version):
    expect_alert(run(command(front, version, "-alpn", "gopher")), 120, "no_application_protocol")
    front.expect_serves()


def no_suite(front, version):
    # Suites that need an RSA certificate, or that no backend has enabled.
    words = {"1.2": ["-cipher", "ECDHE-RSA-AES128-GCM-SHA256"], "1.3": ["-ciphersuites", "TLS_AES_128_CCM_8_SHA256"]}
    expect_alert(run(command(front, version, *words[version])), 40, "handshake_failure")
    front.expect_serves()


def distrusts(front, version):
    words = command(front, version, "-brief")
    words[words.index("-CAfile") + 1] = front.setup.pki.path("other-ca.pem")
    done = run(words)
    expect(done.code != 0 and "unable to get" in done.text, f"not refused: {shorten(done.text)}")
    front.expect_serves()


def other_version(setup, fronts, version):
    """A terminator for one version only answers a client of the other with protocol_version."""
    limits = {"1.2": ["--min-version", "1.3"], "1.3": ["--max-version", "1.2"]}
    with setup.terminate(fronts.http_port, *limits[version]) as front:
        expect_alert(run(command(front, version)), 70, "protocol_version")
        front.expect_serves()
        front.expect_no_panic()


def other_name(setup, fronts, version):
    """What s_client does not mind offering, a ticket under another name than it was given for."""
    pki = setup.pki
    members = f"members.{NAME}"
    bundles = f"{setup.backend}-{setup.mode}-{version}.bundles"
    directory = pki.path(bundles)
    os.mkdir(directory)
    bundle = pki.read("server.pem") + pki.read("server.key")
    pki.write(f"{bundles}/{NAME}.pem", bundle)
    pki.write(f"{bundles}/{members}.pem", bundle)
    pki.write(f"{bundles}/{members}.client-ca", pki.read("client-ca.pem"))
    kept = f"{directory}/kept.session"
    with setup.terminate_by_name(fronts.http_port, directory) as front:
        def connect(name, *words):
            words = command(front, version, "-ign_eof", *words)
            words[words.index("-servername") + 1] = name
            return run(words, stdin=REQUEST)

        first = connect(NAME, "-sess_out", kept)
        expect(b"hello from the origin\n" in first.out, f"not served: {shorten(first.text)}")
        offers = ["-sess_in", kept] if os.path.exists(kept) else []
        libressl = setup.engine == "libressl" and version == "1.3"
        expect(offers or libressl, "no session was given")
        refused = connect(members, *offers)
        expect(b"hello from the origin" not in refused.out, "served without a certificate")
        expect("Reused, TLSv" not in refused.text, f"resumed without a certificate: {shorten(refused.text)}")
        identity = ["-cert", pki.path("client.pem"), "-key", pki.path("client.key")]
        member = connect(members, *offers, *identity)
        expect(b"hello from the origin\n" in member.out, f"a member is not served: {shorten(member.text)}")
        expect("New, TLSv" in member.text, f"resumed by another's ticket: {shorten(member.text)}")
        if libressl:
            return "LibreSSL gives no session of TLS 1.3"
        again = connect(NAME, *offers)
        expect("Reused, TLSv" in again.text, f"not resumed where it was given: {shorten(again.text)}")


def version_1_1(front):
    words = [word for word in command(front, "1.2", "-cipher", "DEFAULT@SECLEVEL=0") if word != FLAG["1.2"]]
    done = run([*words, "-tls1_1"])
    front.expect_serves()
    if front.setup.engine == "rustls":
        # Known of the engine: it misses the signature algorithms, which TLS 1.1 does not have,
        # before it looks at the version.
        expect_alert(done, 40, "handshake_failure")
        return "handshake_failure from rustls"
    expect_alert(done, 70, "protocol_version")


class Dialogue:
    """s_client with commands on its standard input, one at a time."""

    def __init__(self, words):
        self.process = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        self.text = b""
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self):
        while piece := os.read(self.process.stdout.fileno(), 65536):
            self.text += piece

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()

    def say(self, words):
        self.process.stdin.write(words)
        self.process.stdin.flush()
        time.sleep(0.2)  # s_client takes a command only at the start of what it reads

    def wait_for(self, words):
        wait_until(lambda: words in self.text, f"{words!r} in {shorten(self.text[-400:])}")


def update_keys(front):
    with Dialogue(command(front, "1.3", "-alpn", "http/1.1")) as client:
        client.wait_for(b"---\nSSL handshake has read")
        for _ in range(3):
            client.say(b"K\n")  # KeyUpdate with a request for one in return
            client.wait_for(b"KEYUPDATE")
            client.text = client.text.replace(b"KEYUPDATE", b"")
        client.say(REQUEST)
        client.wait_for(b"hello from the origin\n")


def renegotiate(front):
    with Dialogue(command(front, "1.2", "-alpn", "http/1.1", "-legacy_renegotiation")) as client:
        client.wait_for(b"---\nSSL handshake has read")
        client.say(b"R\n")
        client.wait_for(b"RENEGOTIATING")
        # Either the engine says no_renegotiation, or it ends the connection; never a new handshake.
        wait_until(lambda: client.process.poll() is not None, f"an end: {shorten(client.text[-300:])}", 15)
        expect(client.process.returncode != 0, "the renegotiation went through")
        text = client.text.decode(errors="replace")
        if "alert" not in text and "no renegotiation" not in text:
            raise Failure(f"refused without an alert: {shorten(text[-500:], 600)}")
    front.expect_serves()
