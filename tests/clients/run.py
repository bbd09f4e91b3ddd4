#!/usr/bin/env python3
"""Real clients and servers against the `polytls` program.

    run.py --bin PATH --backends rustls,openssl [--modes socket,buffer] [--only PATTERN]

Everything runs on loopback; certificates are made at run time. Needs curl and openssl, and nothing
but the standard library of Python.
"""

import argparse
import os
import sys
import tempfile

import bad_input
import bad_peers
import crowd
import files
import outgoing
import with_curl
import with_python
import with_s_client
from front import Fronts, Setup
from harness import Suite
from origin import Origin
from pki import Pki

VERSIONS = ("1.2", "1.3")


def options():
    parser = argparse.ArgumentParser(description="Real clients and servers against the polytls program.")
    parser.add_argument("--bin", required=True, help="the program")
    parser.add_argument("--backends", required=True, help="names, separated by commas")
    parser.add_argument("--modes", default="socket,buffer")
    parser.add_argument("--only", default="*", metavar="PATTERN", help="checks whose name matches")
    return parser.parse_args()


def check_setup(suite, setup, http_port):
    try:
        fronts = Fronts(setup, http_port)
    except Exception as error:
        suite.check(f"{setup} starts", fail_with, error)
        return
    fronts.http_port = http_port
    with fronts:
        for version in VERSIONS:
            with_curl.checks(suite, setup, fronts, version)
            with_s_client.checks(suite, setup, fronts, version)
            with_python.checks(suite, setup, fronts, version)
        with_s_client.version_1_1_check(suite, setup, fronts)
        suite.check(f"{setup} is well after all clients", fronts.expect_all_well)
    for version in VERSIONS:
        with_curl.client_certificate_checks(suite, setup, http_port, version)
        outgoing.checks(suite, setup, version)
    outgoing.version_independent_checks(suite, setup)
    bad_peers.checks(suite, setup, http_port)
    bad_input.checks(suite, setup)
    files.checks(suite, setup)
    crowd.checks(suite, setup)


def fail_with(error):
    raise error


def main():
    asked = options()
    binary = os.path.abspath(asked.bin)
    suite = Suite(asked.only)
    backends = asked.backends.split(",")
    with tempfile.TemporaryDirectory(prefix="clients-") as directory, Origin.http() as origin:
        pki = Pki(directory)
        bad_input.unknown_backend_check(suite, Setup(binary, backends[0], "socket", pki), backends)
        for backend in backends:
            for mode in asked.modes.split(","):
                check_setup(suite, Setup(binary, backend, mode, pki), origin.port)
    return suite.totals()


if __name__ == "__main__":
    sys.exit(main())
