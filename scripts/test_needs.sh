# What ./test needs, and how it gets it; sourced by it.
# shellcheck shell=bash

RUST_AT_LEAST=1.88

# `need PACKAGE COMMAND...`: the Debian package is missing if the command fails.
MISSING=()
need() {
    local package=$1
    shift
    "$@" >/dev/null 2>&1 || MISSING+=("$package")
}

needs() {
    MISSING=()
    need gcc command -v cc
    need libc6-dev test -e /usr/include/stdlib.h
    need git command -v git
    need curl command -v curl
    need openssl command -v openssl
    need valgrind command -v valgrind
    need strace command -v strace
    need make command -v make
    need perl perl -MFindBin -MIPC::Cmd -e 1
    if [[ -z ${BORING_BSSL_PATH-} ]]; then
        need cmake command -v cmake
        need g++ command -v c++
    fi
    need libclang-dev libclang
    need binutils command -v nm
    need ca-certificates test -e /etc/ssl/certs/ca-certificates.crt
    need python3 python3 -c 'import ssl, tomllib'
    if [[ -z ${OPENSSL_DIR-} ]]; then
        need pkg-config command -v pkg-config
        need libssl-dev pkg-config --exists 'openssl >= 3.0'
    fi
}

# What bindgen looks for.
libclang() {
    [[ -n ${LIBCLANG_PATH-} ]] || compgen -G '/usr/lib*/libclang*.so*' ||
        compgen -G '/usr/lib/*/libclang*.so*' || compgen -G '/usr/lib/llvm-*/lib/libclang*.so*'
}

install_needs() {
    needs
    [[ ${#MISSING[@]} -eq 0 ]] && return
    if [[ $(id -u) -eq 0 ]] && command -v apt-get >/dev/null; then
        echo "installing ${MISSING[*]}"
        export DEBIAN_FRONTEND=noninteractive
        apt-get -qq update </dev/null &&
            apt-get -qq install -y --no-install-recommends "${MISSING[@]}" </dev/null
        needs
        [[ ${#MISSING[@]} -eq 0 ]] && return
    fi
    echo "Missing: ${MISSING[*]} (named as in Debian 12; python3 must be 3.11 or later)." >&2
    echo "Install with: apt-get install ${MISSING[*]}" >&2
    exit 1
}

rust_needs() {
    local have
    if ! have=$(rustc --version 2>/dev/null | cut -d' ' -f2) || ! command -v cargo >/dev/null; then
        echo "Missing: Rust $RUST_AT_LEAST or later. Install it from https://rustup.rs." >&2
        exit 1
    fi
    if [[ $(printf '%s\n' "$RUST_AT_LEAST" "$have" | sort -V | head -1) != "$RUST_AT_LEAST" ]]; then
        echo "Rust $have is too old, $RUST_AT_LEAST or later is needed: rustup update stable" >&2
        exit 1
    fi
    cargo fmt --version >/dev/null 2>&1 && cargo clippy --version >/dev/null 2>&1 && return
    rustup component add rustfmt clippy </dev/null && return
    echo "Missing: rustfmt and clippy. Install with: rustup component add rustfmt clippy" >&2
    exit 1
}
