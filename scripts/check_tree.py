#!/usr/bin/env python3
"""Checks what the crates pull in, with `cargo tree`.

- `tls-core` and `backend-rustls` pull in no libssl, whichever features are on.
- `tls-core` pulls in no native library at all, and neither does `tls-libssl`.
- Each C backend pulls in its own libssl and not the other; so does the facade with its feature.
- The facade without `cli` pulls in nothing but `tls-core`, its backends and what those pull in;
  none of the dependencies that `cli` names is a direct one.
"""

import json
import subprocess
import sys
import tomllib

# What is of one libssl, without packages that only have its name, as openssl-probe and openssl-macros.
OPENSSL = {"backend-openssl", "openssl", "openssl-sys", "openssl-src", "libressl-src"}
BORING = {"backend-boring", "boring", "boring-sys", "btls", "btls-sys"}
LIBSSL = OPENSSL | BORING | {"native-tls", "tls-libssl"}
# Packages that name a native library in `links` and bind to nothing: pure Rust crates use the key
# to keep two versions of themselves out of one build.
LINKS_WITHOUT_LIBRARY = {"rayon-core", "prettyplease"}

failures = 0


def run(*command):
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return done.stdout


def tree(package, *options):
    """Names of the packages in the normal and build dependencies, the package itself included."""
    command = ["cargo", "tree", "--locked", "--target", "all", "-p", package]
    command += ["-e", "normal,build", "--prefix", "none", "--format", "{p}", *options]
    names = {line.split()[0] for line in run(*command).splitlines() if line.strip()}
    if package not in names:
        sys.exit(f"cargo tree -p {package} does not list the package itself")
    return names


def expect_none(what, found):
    global failures
    if found:
        failures += 1
        print(f"FAILED: {what}: {', '.join(sorted(found))}")
    else:
        print(f"ok: {what}: none")


def main():
    core = tree("tls-core", "--all-features")
    rustls = tree("backend-rustls", "--all-features")
    expect_none("libssl in tls-core", core & LIBSSL)
    expect_none("libssl in backend-rustls", rustls & LIBSSL)
    openssl = tree("backend-openssl", "--all-features")
    boring = tree("backend-boring", "--all-features")
    # The check must be able to fail: the C backends do pull in a libssl.
    for package, names, own in (("backend-openssl", openssl, OPENSSL), ("backend-boring", boring, BORING)):
        if not names & own - {package}:
            sys.exit(f"FAILED: no libssl found even in {package}: the list of names is stale")
    expect_none("BoringSSL in backend-openssl", openssl & BORING)
    expect_none("OpenSSL in backend-boring", boring & OPENSSL)

    metadata = json.loads(run("cargo", "metadata", "--format-version", "1", "--locked"))
    native = {package["name"] for package in metadata["packages"] if package["links"]}
    expect_none("native libraries in tls-core", core & native - LINKS_WITHOUT_LIBRARY)
    shared = tree("tls-libssl", "--all-features")
    expect_none("native libraries in tls-libssl", shared & native - LINKS_WITHOUT_LIBRARY)

    with open("Cargo.toml", "rb") as manifest:
        features = tomllib.load(manifest)["features"]
    cli = {entry.removeprefix("dep:") for entry in features["cli"] if entry.startswith("dep:")}
    if not cli:
        sys.exit("FAILED: the feature `cli` names no dependency")
    for backends in ("rustls", "rustls-ring", "openssl", "boring", "rustls,rustls-ring,openssl", "rustls-ring,boring"):
        options = ("--no-default-features", "--features", backends)
        direct = tree("polytls", *options, "--depth", "1")
        expect_none(f"direct cli dependencies of polytls with {backends} only", direct & cli)
        pulled = tree("polytls", *options)
        allowed = core | {"polytls"}
        if "rustls" in backends:
            allowed |= rustls
        if "openssl" in backends:
            allowed |= openssl
        else:
            expect_none(f"OpenSSL in polytls with {backends}", pulled & OPENSSL)
        if "boring" in backends:
            allowed |= boring
        else:
            expect_none(f"BoringSSL in polytls with {backends}", pulled & BORING)
        extra = pulled - allowed
        expect_none(f"packages beyond the backends of polytls with {backends} only", extra)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
