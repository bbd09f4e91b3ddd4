#!/usr/bin/env python3
"""Writes the capability table of README.md from what the program says about its backends.

    capability_table.py --bin PATH          writes the table
    capability_table.py --bin PATH --check  fails if the table in README.md is not this one
"""

import argparse
import difflib
import json
import subprocess
import sys

README = "README.md"
BEGIN, END = "<!-- capabilities:begin -->", "<!-- capabilities:end -->"
SHOWN = {"native": "yes", "emulated": "emulated"}


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


def main():
    parser = argparse.ArgumentParser(description="The capability table of README.md.")
    parser.add_argument("--bin", required=True, help="polytls, with every backend compiled in")
    parser.add_argument("--check", action="store_true", help="compare, and write nothing")
    asked = parser.parse_args()

    said = subprocess.run([asked.bin, "backends", "--json"], check=True, stdout=subprocess.PIPE)
    backends = json.loads(said.stdout)["backends"]
    with open(README) as file:
        before = file.read()
    if before.count(BEGIN) != 1 or before.count(END) != 1:
        sys.exit(f"{README} does not have {BEGIN} and {END} once each")
    head, rest = before.split(BEGIN)
    tail = rest.split(END)[1]
    after = "\n".join([head + BEGIN, *table(backends), END + tail])
    if after == before:
        print(f"ok: the table in {README} is current: {len(backends)} backends")
        return 0
    if asked.check:
        sys.stdout.writelines(difflib.unified_diff(before.splitlines(True), after.splitlines(True), README, "generated"))
        print(f"FAILED: the table in {README} is stale: scripts/capability_table.py --bin {asked.bin}")
        return 1
    with open(README, "w") as file:
        file.write(after)
    return 0


if __name__ == "__main__":
    sys.exit(main())
