#!/usr/bin/env python3
"""Fails if a source file of the project has 600 lines or more."""

import subprocess
import sys

LIMIT = 600
SUFFIXES = (".rs", ".py", ".sh", ".toml")


def main():
    # Files not committed yet count too.
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout.decode()
    checked, longest, too_long = 0, (0, ""), []
    for path in sorted(set(listed.split("\0")) - {""}):
        if not path.endswith(SUFFIXES) and path not in ("test", ".ci/run"):
            continue
        try:
            with open(path, "rb") as file:
                lines = sum(1 for _ in file)
        except FileNotFoundError:
            continue  # deleted in the working tree
        checked += 1
        longest = max(longest, (lines, path))
        if lines >= LIMIT:
            too_long.append(f"{path}: {lines} lines, at most {LIMIT - 1} allowed")
    print("\n".join(too_long) or f"ok: {checked} files, the longest is {longest[1]} with {longest[0]} lines")
    return 1 if too_long or not checked else 0


if __name__ == "__main__":
    sys.exit(main())
