#!/usr/bin/env python3
"""Checks that a program with two libssl is refused when it is built, in words that say what to do.

    check_both_refused.py [--target-dir DIR]

Without the option: `CARGO_TARGET_DIR`, or target. Small programs, of a workspace of their own below
the target directory, are built there for release, with the versions of Cargo.lock and without a
network; what was built for release before is used again, with `BORING_BSSL_PATH` and `OPENSSL_DIR`
as they were then.

Each program that must be refused differs from one that must build in one line of its manifest.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
import tomllib

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
REFUSAL = "evaluation panicked: this build of polytls holds two libssl"
ADVICE = "Give the program either the feature `openssl` or the feature `boring`"

LIBSSL = "backend-openssl/libssl"
# The paths that a program depends on, with features; what it calls; whether it must be built.
PROGRAMS = {
    "openssl-alone": ({"backend-openssl": []}, ["backend_openssl::OpenSsl::new()"], True),
    "boring-alone": ({"backend-boring": []}, ["backend_boring::Boring::new()"], True),
    "both": (
        {"backend-openssl": [], "backend-boring": []},
        ["backend_openssl::OpenSsl::new()", "backend_boring::Boring::new()"],
        False,
    ),
    # The constructors of each: with what the other backend switches on, but without it.
    "openssl-of-two": (
        {"backend-openssl": [], LIBSSL: ["boringssl"]}, ["backend_openssl::OpenSsl::default()"], False,
    ),
    "boring-of-two": (
        {"backend-boring": [], LIBSSL: ["openssl"]}, ["backend_boring::Boring::default()"], False,
    ),
    "facade-openssl": ({".": ["rustls-ring", "openssl"]}, ["polytls::openssl()"], True),
    "facade-boring": ({".": ["rustls-ring", "boring"]}, ["polytls::boring()"], True),
    "facade-both": (
        {".": ["rustls-ring", "openssl", "boring"]}, ["polytls::backend_names()"], False,
    ),
}
PACKAGES = {".": "polytls", LIBSSL: "tls-libssl"}


def write(path, text):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w") as file:
        file.write(text)


def write_programs(folder):
    """The workspace of the programs. They are packages, because features are joined in each build
    for the packages that are asked for, and not for the others."""
    shutil.rmtree(folder, ignore_errors=True)
    members = ", ".join(f'"{name}"' for name in PROGRAMS)
    with open(f"{ROOT}/Cargo.toml", "rb") as manifest:
        debug = tomllib.load(manifest)["profile"]["release"]["debug"]
    # With another profile the C libraries would be built anew.
    profile = f'[profile.release]\ndebug = "{debug}"\n'
    write(f"{folder}/Cargo.toml", f'[workspace]\nresolver = "3"\nmembers = [{members}]\n{profile}')
    shutil.copy(f"{ROOT}/Cargo.lock", folder)
    for name, (dependencies, calls, _) in PROGRAMS.items():
        lines = [
            "[package]", f'name = "one-libssl-{name}"', 'version = "0.0.0"', 'edition = "2024"',
            "publish = false", "[dependencies]",
        ]
        for path, features in dependencies.items():
            listed = ", ".join(f'"{feature}"' for feature in features)
            place = os.path.normpath(os.path.join(ROOT, path))
            package = PACKAGES.get(path, path)
            lines.append(f'{package} = {{ path = "{place}", default-features = false, features = [{listed}] }}')
        write(f"{folder}/{name}/Cargo.toml", "\n".join(lines) + "\n")
        body = "".join(f"    let _ = {call};\n" for call in calls)
        write(f"{folder}/{name}/src/main.rs", f"fn main() {{\n{body}}}\n")


def cargo(folder, target, command, name):
    """Whether cargo succeeded, and what it said."""
    whole = [
        "cargo", command, "--release", "--offline", "--target-dir", target, "--manifest-path", f"{folder}/Cargo.toml",
        "-p", f"one-libssl-{name}",
    ]
    done = subprocess.run(whole, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=folder)
    return done.returncode == 0, done.stdout


def why_not(built, said, must_build):
    """What is wrong with how a build went, if anything."""
    if must_build:
        return None if built else "it was not built"
    if built:
        return "it was built"
    errors = set(re.findall(r"^error(?:\[E\d+\])?: (.*)", said, re.M))
    others = [error for error in errors if REFUSAL not in error and not error.startswith("could not compile")]
    if others or len(errors) < 2:
        return f"it was not built, but for another reason: {'; '.join(others)}"
    if not all(ADVICE in error for error in errors if REFUSAL in error):
        return "the sentence does not say what to do"
    return None


def main():
    parser = argparse.ArgumentParser(description="Checks that a program with two libssl is refused.")
    parser.add_argument("--target-dir", default=os.environ.get("CARGO_TARGET_DIR", "target"))
    target = os.path.abspath(parser.parse_args().target_dir)
    folder = f"{target}/one-libssl"
    write_programs(folder)
    failures = 0
    for name, (_, _, must_build) in PROGRAMS.items():
        # Without making code, as in `cargo clippy` and `cargo doc`, all of them pass.
        for command, passes in (("check", True), ("build", must_build)):
            built, said = cargo(folder, target, command, name)
            verdict = "passes" if passes else "is refused"
            problem = why_not(built, said, passes)
            if problem is None:
                print(f"ok: cargo {command} of {name} {verdict}")
                continue
            failures += 1
            print(f"{said}\nFAILED: cargo {command} of {name}: {problem}")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
