#!/usr/bin/env python3
"""Checks that a program has one libssl, or none.

    check_libssl.py --one PROGRAM... --none PROGRAM...

    check_libssl.py --one target/release/polytls target/release/conformance
    check_libssl.py --none target/rustls-only/release/polytls

`--one`: each symbol below has exactly one provider: the program defines it, or one of the shared
libraries it loads exports it, never both. That is so for every program with a C backend. `--none`:
no provider at all, as for a program with rustls alone. Programs must not be stripped. The libraries
are those that `ldd` finds, so `LD_LIBRARY_PATH` must be what the program runs with.

Needs nm and ldd. What the check refuses it first shows on small programs of its own, made with cc.
"""

import argparse
import os
import re
import subprocess
import sys
import tempfile

# One of libssl, and one of libcrypto.
SYMBOLS = ("SSL_new", "ERR_get_error")


class Refused(Exception):
    """Why a program does not pass."""


def output(*command):
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    if done.returncode:
        raise Refused(f"{' '.join(command)}: {done.stderr.strip() or done.stdout.strip()}")
    return done.stdout


def defined(path, *options):
    """The symbols that a file defines, as often as it does, without their versions."""
    lines = output("nm", "--defined-only", "--format=posix", *options, path).splitlines()
    return [line.split()[0].split("@")[0] for line in lines if line.strip()]


def libraries(program):
    """The shared libraries that are loaded with a program, also those that libraries need."""
    said = output("ldd", program)
    if missing := re.findall(r"^\s*(\S+) => not found", said, re.M):
        raise Refused(f"{', '.join(missing)} is not found; is LD_LIBRARY_PATH as it should be?")
    return sorted({os.path.realpath(path) for path in re.findall(r"=> (/\S+)", said)})


def providers(program):
    """For each of the symbols, what provides it."""
    own = defined(program)
    if "main" not in own:
        raise Refused("it has no symbol `main`: it is stripped, and nothing can be told of it")
    exported = {path: set(defined(path, "--dynamic")) for path in libraries(program)}
    return {
        symbol: [program] * own.count(symbol) + [path for path, names in exported.items() if symbol in names]
        for symbol in SYMBOLS
    }


def check(program, expected):
    found = providers(program)
    for symbol, where in found.items():
        if len(where) != expected:
            raise Refused(f"{symbol} has {len(where)} providers, not {expected}: {', '.join(where) or 'none'}")
    places = {where[0] for where in found.values() if where}
    return ", ".join("itself" if path == program else path for path in sorted(places)) or "none"


# --- The check must be able to fail -----------------------------------------------------------------

BODY = "".join(f"int {symbol}(void) {{ return 1; }}\n" for symbol in SYMBOLS)
DECLARED = "".join(f"int {symbol}(void);\n" for symbol in SYMBOLS)
MAIN = "int main(void) { return %s; }\n"
CALLS = MAIN % " + ".join(f"{symbol}()" for symbol in SYMBOLS)


def self_check():
    with tempfile.TemporaryDirectory() as folder:
        def make(name, source, *options):
            path, code = os.path.join(folder, name), os.path.join(folder, name + ".c")
            with open(code, "w") as file:
                file.write(source)
            output("cc", "-o", path, code, f"-L{folder}", f"-Wl,-rpath,{folder}", *options)
            return path

        def library(name, source, *options):
            make(f"lib{name}.so", source, "-shared", "-fPIC", f"-Wl,-soname,lib{name}.so", *options)

        library("a", BODY)
        library("b", BODY)
        library("needs_b", "int other(void) { return 0; }\n", "-Wl,--no-as-needed", "-lb")
        empty = make("empty", MAIN % "0")
        static = make("static", BODY + CALLS)
        shared = make("shared", DECLARED + CALLS, "-la")
        two = [
            make("static_and_shared", BODY + CALLS, "-Wl,--no-as-needed", "-la"),
            make("two_shared", DECLARED + CALLS, "-Wl,--no-as-needed", "-la", "-lb"),
            make("by_another", BODY + CALLS, "-Wl,--no-as-needed", "-lneeds_b"),
        ]
        half = make("half", BODY.splitlines()[0] + "\n" + MAIN % "0")
        stripped = make("stripped", BODY + CALLS, "-s")
        passes = [(static, 1), (shared, 1), (empty, 0)]
        fails = [(path, 1) for path in [*two, half, empty, stripped]]
        fails += [(path, 0) for path in [*two, half, static, shared, stripped]]
        for path, expected in passes:
            check(path, expected)
        for path, expected in fails:
            try:
                check(path, expected)
            except Refused:
                continue
            raise Refused(f"{os.path.basename(path)} passes with {expected} expected")


def main():
    parser = argparse.ArgumentParser(description="Checks that a program has one libssl, or none.")
    parser.add_argument("--one", nargs="+", default=[], metavar="PROGRAM", help="with a C backend")
    parser.add_argument("--none", nargs="+", default=[], metavar="PROGRAM", help="without")
    asked = parser.parse_args()
    programs = [(path, 1) for path in asked.one] + [(path, 0) for path in asked.none]
    if not programs:
        parser.error("no program is named")
    try:
        self_check()
    except Refused as reason:
        sys.exit(f"FAILED: the check itself: {reason}")
    failures = 0
    for program, expected in programs:
        try:
            print(f"ok: {program}: libssl: {check(program, expected)}")
        except Refused as reason:
            failures += 1
            print(f"FAILED: {program}: {reason}")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
