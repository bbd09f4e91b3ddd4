#!/usr/bin/env python3
"""Fails if `unsafe` stands in a file that ARCHITECTURE.md does not name for it."""

import fnmatch
import re
import subprocess
import sys

ALLOWED = (
    "backend-*/src/ffi.rs",
    "backend-*/src/ffi/*.rs",
    "backend-openssl/libssl/src/ffi.rs",
    "backend-openssl/libssl/src/forwards.rs",  # a macro for the files above
    "backend-openssl/libssl/src/bio.rs",
    "backend-openssl/libssl/src/mock.rs",  # plays the C library in tests
    "backend-*/tests/*.rs",  # shows what an engine does without our code
)
UNSAFE = re.compile(r"\bunsafe\b(?!_)")
NOT_CODE = re.compile(r'//.*|"(?:[^"\\]|\\.)*"')


def main():
    listed = subprocess.run(["git", "ls-files", "-z", "*.rs"], check=True, stdout=subprocess.PIPE)
    files, blocks, strays = 0, 0, []
    for path in filter(None, listed.stdout.decode().split("\0")):
        try:
            with open(path) as file:
                found = [number for number, line in enumerate(file, 1) if UNSAFE.search(NOT_CODE.sub("", line))]
        except FileNotFoundError:
            continue  # deleted in the working tree
        files += bool(found)
        blocks += len(found)
        if found and not any(fnmatch.fnmatch(path, pattern) for pattern in ALLOWED):
            strays += [f"{path}:{number}: unsafe is not allowed here" for number in found]
    # None at all would mean that the search is broken: calling C needs it.
    print("\n".join(strays) or f"ok: {blocks} times, in {files} files")
    return 1 if strays or not blocks else 0


if __name__ == "__main__":
    sys.exit(main())
