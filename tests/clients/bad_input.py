"""What an operator can get wrong: each is refused at once, in one clear sentence."""

import os
import socket

from front import Front
from harness import HOST, expect, free_port, run, shorten
from outgoing import expect_sentence


def checks(suite, setup):
    label = f"{setup} start"
    pki = setup.pki

    def refused(name, words, *subject, subcommand="terminate"):
        suite.check(f"{label} refuses {name}", refuses, setup, subcommand, words, subject)

    def key(name):
        return ["--cert", pki.path("server.pem"), "--key", pki.path(name)]

    def certificate(name):
        return ["--cert", pki.path(name), "--key", pki.path("server.key")]

    refused("a missing key", key("nowhere.key"), "nowhere.key", "No such file")
    refused("a missing certificate", certificate("nowhere.pem"), "nowhere.pem", "No such file")
    refused("a directory as key", key(""), pki.directory, "directory")
    if os.getuid() != 0:  # nothing is unreadable to root
        closed = pki.write("closed.key", pki.read("server.key"))
        os.chmod(closed, 0)
        refused("a key it may not read", key("closed.key"), "closed.key", "denied")
    refused("the key of another certificate", key("client.key"), "client.key", "does not belong")
    refused("a key of another kind", key("server-rsa.key"), "server-rsa.key", "does not belong")
    refused("an encrypted key", key("encrypted.key"), "encrypted.key", "is encrypted")
    refused("an encrypted key of the old form", key("encrypted.old.key"), "encrypted.old.key", "is encrypted")
    refused("a torn key", key("torn.key"), "torn.key", "torn")
    refused("a key that is not base64", key("scrambled.key"), "scrambled.key")
    refused("a torn certificate", certificate("torn.pem"), "torn.pem", "torn")
    refused("an empty file as certificate", certificate("empty.pem"), "empty.pem", "no certificate")
    refused("an empty file as key", key("empty.pem"), "empty.pem", "no private key")
    refused("text as certificate", certificate("garbage.pem"), "garbage.pem", "no certificate")
    refused("a key as certificate", certificate("server.key"), "server.key", "no certificate")
    refused("a certificate as key", key("server.pem"), "server.pem", "no private key")
    good = setup.identity()
    for name, words in (("missing", "No such file"), ("torn", "torn"), ("empty", "no certificate")):
        file = {"missing": "nowhere.pem", "torn": "torn.pem", "empty": "empty.pem"}[name]
        refused(f"a {name} file of client roots", [*good, "--client-ca", pki.path(file)], file, words)
    refused("an unknown cipher suite", [*good, "--ciphers", "TLS_NO_SUCH_SUITE"], "TLS_NO_SUCH_SUITE")
    refused("an unknown group", [*good, "--groups", "X1"], "X1")
    refused("an unknown version", [*good, "--min-version", "1.1"], "1.1")
    refused("an empty range of versions", [*good, "--min-version", "1.3", "--max-version", "1.2"], "version")
    refused("an ALPN name that is too long", [*good, "--alpn", "x" * 256], "ALPN")
    refused("an address that is none", [*good, "--listen", "nowhere"], "nowhere")
    refused("neither certificate nor --self-signed", [], "--cert")
    refused("client authentication without roots", [*good, "--client-auth", "required"], "--client-ca")
    refused("a root that is missing", [*good, "--root", pki.path("nowhere")], "nowhere", subcommand="serve")
    refused("a root that is a file", [*good, "--root", pki.path("server.pem")], "server.pem", subcommand="serve")
    suite.check(f"{label} refuses a port in use", port_in_use, setup)
    suite.check(f"{label} takes keys as PKCS#1 and SEC1 too", other_forms, setup)
    suite.check(f"{label} --self-signed serves", self_signed, setup)
    suite.check(f"{label} connect refuses a torn root", connect_refuses, setup)


def unknown_backend_check(suite, setup, backends):
    suite.check("start refuses an unknown backend", unknown_backend, setup, backends)


def refuses(setup, subcommand, words, subject):
    base = ["--listen", f"{HOST}:{free_port()}"] if "--listen" not in words else []
    if subcommand == "terminate":
        base += ["--to", f"{HOST}:1"]
    return expect_sentence(run(setup.command(subcommand, *base, *words), deadline=10), *subject)


def unknown_backend(setup, backends):
    words = [setup.binary, "terminate", "--listen", f"{HOST}:0", "--to", f"{HOST}:1", *setup.identity()]
    return expect_sentence(run([*words, "--backend", "gnutls"], deadline=10), "gnutls", *backends)


def port_in_use(setup):
    with socket.create_server((HOST, 0)) as taken:
        port = taken.getsockname()[1]
        words = ["--listen", f"{HOST}:{port}", "--to", f"{HOST}:1", *setup.identity()]
        first = expect_sentence(run(setup.command("terminate", *words), deadline=10), str(port), "in use")
    with setup.terminate(1) as front:  # another terminator, not just any listener
        words = ["--listen", f"{HOST}:{front.port}", "--to", f"{HOST}:1", *setup.identity()]
        expect_sentence(run(setup.command("terminate", *words), deadline=10), str(front.port), "in use")
    return first


def other_forms(setup):
    for certificate, key in (("server", "server.sec1.key"), ("server-rsa", "server-rsa.pkcs1.key"), ("server-rsa", "server-rsa.key")):
        words = ["--cert", setup.pki.path(f"{certificate}.pem"), "--key", setup.pki.path(key)]
        with Front(setup, ["serve", "--root", setup.pki.directory, *words]) as front:
            with front.connect() as client:
                expect(client.version() == "TLSv1.3", f"{client.version()} with {key}")


def self_signed(setup):
    with Front(setup, ["serve", "--root", setup.pki.directory, "--self-signed", "example.test"]) as front:
        words = ["openssl", "s_client", "-connect", f"{HOST}:{front.port}", "-servername", "example.test", "-verify_hostname", "example.test"]
        done = run(words)
        expect("self-signed certificate" in done.text, f"no certificate of its own: {shorten(done.text)}")
        front.expect_no_panic()


def connect_refuses(setup):
    words = setup.command("connect", "localhost:1", "--ca", setup.pki.path("torn.pem"))
    return expect_sentence(run(words, deadline=10), "torn.pem", "torn")
