"""curl through the terminator: downloads, uploads, reused connections, client certificates."""

import hashlib
import json
import os
import subprocess

from harness import HOST, Failure, expect, expect_equal, run, shorten
from origin import Body
from pki import NAME

DOWNLOAD = 200 << 20
UPLOAD = 50 << 20


def checks(suite, setup, fronts, version):
    label = f"{setup} {version} curl"
    suite.check(f"{label} downloads 200 MiB", download, fronts.http, version)
    suite.check(f"{label} uploads 50 MiB with a length", upload, fronts.http, version, False)
    suite.check(f"{label} uploads 50 MiB in chunks", upload, fronts.http, version, True)
    suite.check(f"{label} reuses a connection for 20 requests", reuse, fronts.http, version)


def client_certificate_checks(suite, setup, http_port, version):
    label = f"{setup} {version} curl"
    suite.check(f"{label} with a required client certificate", required, setup, http_port, version)
    suite.check(f"{label} with an optional client certificate", optional, setup, http_port, version)


def command(front, version, *words):
    ca = front.setup.pki.path("ca.pem")
    return [
        "curl", "--silent", "--show-error", "--fail", "--ipv4", "--http1.1", "--noproxy", "*",
        "--cacert", ca, f"--tlsv{version}", "--tls-max", version, "--max-time", "100", *words,
    ]


def url(front, path):
    return f"https://{NAME}:{front.port}{path}"


def download(front, version):
    words = command(front, version, url(front, f"/body/{DOWNLOAD}"))
    digest, size = hashlib.sha256(), 0
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL) as curl:
        while piece := curl.stdout.read(1 << 20):
            digest.update(piece)
            size += len(piece)
        said = curl.stderr.read().decode(errors="replace")
    expect_equal(curl.returncode, 0, f"exit code of curl ({shorten(said)})")
    expect_equal(size, DOWNLOAD, "bytes")
    expect_equal(digest.hexdigest(), Body.sha256(DOWNLOAD), "SHA-256")


def upload(front, version, chunked):
    words = command(front, version, "--request", "PUT", url(front, "/upload"))
    path = front.setup.pki.path("upload.bin")
    if not os.path.exists(path):
        with open(path, "wb") as file:
            for block in Body.blocks(UPLOAD):
                file.write(block)
    with open(path, "rb") as file:
        words += ["--upload-file", "-" if chunked else path]
        done = subprocess.run(words, stdin=file, capture_output=True, timeout=110)
    expect_equal(done.returncode, 0, f"exit code of curl ({shorten(done.stderr.decode(errors='replace'))})")
    found = json.loads(done.stdout)
    expect_equal(found, {"size": UPLOAD, "sha256": Body.sha256(UPLOAD)}, "what the origin got")


def reuse(front, version):
    words = command(front, version, "--write-out", "%{num_connects} %{http_version} %{ssl_verify_result}\n")
    done = run(words + [url(front, "/")] * 20)
    expect_equal(done.code, 0, f"exit code of curl ({shorten(done.text)})")
    lines = [line for line in done.out.decode().splitlines() if "origin" not in line]
    expect_equal(lines, ["1 1.1 0"] + ["0 1.1 0"] * 19, "connections, HTTP version, verification")
    expect_equal(done.out.count(b"hello from the origin\n"), 20, "answers")


def fetch(front, version, certificate):
    words = command(front, version, url(front, "/"))
    if certificate:
        pki = front.setup.pki
        words += ["--cert", pki.path(f"{certificate}.pem"), "--key", pki.path(f"{certificate}.key")]
    return run(words)


def expect_served(done, whom):
    expect(done.code == 0 and b"hello from the origin" in done.out, f"{whom} was not served: {shorten(done.text)}")


def expect_refused(done, whom):
    if done.code == 0 or b"hello" in done.out:
        raise Failure(f"{whom} was served: {shorten(done.text)}")
    expect("alert" in done.text, f"{whom} was refused without an alert: {shorten(done.text)}")


def required(setup, http_port, version):
    with setup.terminate(http_port, "--client-ca", setup.pki.path("client-ca.pem")) as front:
        expect_served(fetch(front, version, "client"), "a client with a certificate")
        expect_refused(fetch(front, version, None), "a client without a certificate")
        expect_refused(fetch(front, version, "stranger"), "a client with an untrusted certificate")
        expect_refused(fetch(front, version, "server"), "a client with a server's certificate")
        expect_served(fetch(front, version, "client"), "a client with a certificate, afterwards,")
        front.expect_no_panic()


def optional(setup, http_port, version):
    words = ["--client-ca", setup.pki.path("client-ca.pem"), "--client-auth", "optional"]
    with setup.terminate(http_port, *words) as front:
        expect_served(fetch(front, version, "client"), "a client with a certificate")
        expect_served(fetch(front, version, None), "a client without a certificate")
        expect_refused(fetch(front, version, "stranger"), "a client with an untrusted certificate")
        front.expect_no_panic()
