#!/usr/bin/env python3
"""Compares the `rust-version` of every crate of the workspace with what its dependencies declare.

`tls-core` and the backends declare exactly the highest that their non-dev dependencies, direct or
not, declare on any platform (and no less than their own edition needs), so that a user of the
library is held back by nothing else. The other crates declare their own, which is at least that.
"""

import json
import subprocess
import sys

# The first release that has the edition.
EDITION_FLOOR = {"2015": (1, 0, 0), "2018": (1, 31, 0), "2021": (1, 56, 0), "2024": (1, 85, 0)}


def parse(text):
    parts = [int(part) for part in text.split("-")[0].split(".")]
    return tuple(parts + [0] * (3 - len(parts)))


def show(version):
    return ".".join(str(part) for part in (version[:2] if version[2] == 0 else version))


def is_exact(name):
    return name in ("tls-core", "tls-libssl") or name.startswith("backend-")


def dependencies(root, nodes):
    """The ids of all non-dev dependencies of a package, direct or not."""
    seen = set()
    waiting = [root]
    while waiting:
        for dependency in nodes[waiting.pop()]["deps"]:
            kinds = {kind["kind"] for kind in dependency["dep_kinds"]}
            if kinds != {"dev"} and dependency["pkg"] not in seen:
                seen.add(dependency["pkg"])
                waiting.append(dependency["pkg"])
    return seen


def main():
    command = ["cargo", "metadata", "--format-version", "1", "--locked"]
    metadata = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
    packages = {package["id"]: package for package in metadata["packages"]}
    nodes = {node["id"]: node for node in metadata["resolve"]["nodes"]}
    members = metadata["workspace_members"]
    failures = 0
    for member in sorted(members, key=lambda id: packages[id]["name"]):
        package = packages[member]
        declared = package["rust_version"]
        needed, because = EDITION_FLOOR[package["edition"]], f"edition {package['edition']}"
        for id in dependencies(member, nodes):
            version = packages[id]["rust_version"]
            if version and parse(version) > needed:
                needed = parse(version)
                because = f"{packages[id]['name']} {packages[id]['version']}"
        if declared is None:
            verdict = "FAILED: declares none"
        elif parse(declared) < needed:
            verdict = "FAILED: declares less than it needs"
        elif is_exact(package["name"]) and parse(declared) != needed:
            verdict = "FAILED: declares more than its dependencies do"
        else:
            verdict = "ok"
        failures += verdict != "ok"
        print(f"{package['name']:<18} declares {declared or '-':<7} needs {show(needed):<7} ({because}): {verdict}")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
