#!/usr/bin/env python3
"""Writes the capability table of README.md from what programs say about their backends.

    capability_table.py --bin PATH [--bin PATH...]          writes the table
    capability_table.py --bin PATH [--bin PATH...] --check  fails if README.md has another one

    capability_table.py --check --bin target/release/polytls --bin target/boring/release/polytls

OpenSSL, BoringSSL and LibreSSL cannot be in one program, so several are given. Together they must
have every backend of COLUMNS; where two have the same one, they must say the same about it.

LibreSSL is the backend `openssl` too. What it lacks stands in a list of its own, which is written or
compared only if one of the programs has LibreSSL; otherwise the list is left alone, and that is said.
"""

import argparse
import difflib
import json
import subprocess
import sys

README = "README.md"
COLUMNS = ("rustls", "rustls-ring", "openssl", "boring")
SHOWN = {"native": "yes", "emulated": "emulated"}


class Refused(Exception):
    """Why no table can be made."""


def collect(programs):
    """What the programs say about each backend, and what one says that has LibreSSL, if any."""
    found = {}
    for program in programs:
        said = subprocess.run([program, "backends", "--json"], check=True, stdout=subprocess.PIPE)
        for backend in json.loads(said.stdout)["backends"]:
            key = "LibreSSL" if backend["library"] == "LibreSSL" else backend["name"]
            if key not in (*COLUMNS, "LibreSSL"):
                raise Refused(f"{program} has the backend {key}, which COLUMNS does not name")
            if found.setdefault(key, backend)["features"] != backend["features"]:
                raise Refused(f"{program} says something else about {key} than the programs before it")
    if missing := [name for name in COLUMNS if name not in found]:
        raise Refused(f"no program has {', '.join(missing)}")
    return [found[name] for name in COLUMNS], found.get("LibreSSL")


def table(backends):
    names = [backend["name"] for backend in backends]
    yield "| feature | " + " | ".join(f"`{name}`" for name in names) + " |"
    yield "|---|" + "---|" * len(names)
    notes = []
    for feature in backends[0]["features"]:
        cells = []
        for backend in backends:
            support = backend["features"][feature]
            if support["support"] == "unsupported":
                if support["reason"] not in notes:
                    notes.append(support["reason"])
                cells.append(f"no ({notes.index(support['reason']) + 1})")
            else:
                cells.append(SHOWN[support["support"]])
        yield f"| `{feature}` | " + " | ".join(cells) + " |"
    if notes:
        yield ""
    for number, reason in enumerate(notes, 1):
        yield f"({number}) {reason}{'' if number == len(notes) else '  '}"


def differing(libressl, openssl):
    for feature, support in libressl["features"].items():
        if support == openssl["features"][feature]:
            continue
        if support["support"] == "unsupported":
            yield f"- no `{feature}`: {support['reason']}"
        else:
            yield f"- `{feature}`: {SHOWN[support['support']]}"


def replaced(text, name, lines):
    """The text with these lines between the two marks of this name."""
    begin, end = f"<!-- {name}:begin -->", f"<!-- {name}:end -->"
    if text.count(begin) != 1 or text.count(end) != 1:
        raise Refused(f"{README} does not have {begin} and {end} once each")
    head, rest = text.split(begin)
    return "\n".join([head + begin, *lines, end + rest.split(end)[1]])


def main():
    parser = argparse.ArgumentParser(description="The capability table of README.md.")
    parser.add_argument("--bin", required=True, action="append", metavar="PATH", help="a polytls program")
    parser.add_argument("--check", action="store_true", help="compare, and write nothing")
    asked = parser.parse_args()
    with open(README) as file:
        before = file.read()
    try:
        backends, libressl = collect(asked.bin)
        after = replaced(before, "capabilities", table(backends))
        if libressl:
            after = replaced(after, "libressl", differing(libressl, backends[COLUMNS.index("openssl")]))
    except Refused as reason:
        sys.exit(f"FAILED: {reason}")
    if not libressl:
        print("LibreSSL: not compared, none of the programs has it")
    if after == before:
        print(f"ok: {README} is current: {', '.join(COLUMNS)}{', LibreSSL' if libressl else ''}")
        return 0
    if asked.check:
        sys.stdout.writelines(difflib.unified_diff(before.splitlines(True), after.splitlines(True), README, "generated"))
        programs = " ".join(f"--bin {program}" for program in asked.bin)
        print(f"FAILED: the table in {README} is stale: scripts/capability_table.py {programs}")
        return 1
    with open(README, "w") as file:
        file.write(after)
    return 0


if __name__ == "__main__":
    sys.exit(main())
