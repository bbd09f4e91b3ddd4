#!/usr/bin/env bash
# Runs a program under valgrind's memcheck:  memcheck.sh PROGRAM [ARGUMENT...]
#
# Fails if the program does, on any error that memcheck sees, and on any byte that is lost, definitely
# or indirectly. What is excused, and why, stands in memcheck.supp.
#
# First the check is shown to fail, on small programs that lose memory and that use what they may not.
set -u -o pipefail
SUPPRESSIONS=$(dirname "$0")/memcheck.supp
FOUND=99

memcheck() {
    valgrind --quiet --error-exitcode=$FOUND --leak-check=full \
        --show-leak-kinds=definite,indirect --errors-for-leak-kinds=definite,indirect \
        --suppressions="$SUPPRESSIONS" --num-callers=30 --fair-sched=try "$@"
}

# `must_find WHAT CODE`: memcheck must find fault with this body of main().
must_find() {
    local program=$SCRATCH/faulty code
    printf '#include <stdlib.h>\nint main(void) { %s }\n' "$2" >"$SCRATCH/faulty.c"
    cc -O0 -o "$program" "$SCRATCH/faulty.c" || exit 2
    memcheck "$program" >"$SCRATCH/said" 2>&1
    code=$?
    [[ $code -eq $FOUND ]] && return
    cat "$SCRATCH/said"
    echo "FAILED: memcheck did not find $1: it ended with $code"
    exit 2
}

[[ $# -gt 0 ]] || { echo "usage: memcheck.sh PROGRAM [ARGUMENT...]" >&2; exit 2; }
SCRATCH=$(mktemp -d) || exit 2
trap 'rm -rf "$SCRATCH"' EXIT
must_find "memory definitely lost" 'volatile char *p = malloc(9); p = 0; return p != 0;'
must_find "memory indirectly lost" \
    'void **volatile p = malloc(8); *p = malloc(8); p = 0; return p != 0;'
must_find "a read behind the end" 'volatile char *p = malloc(9); int c = p[9]; free((void *)p); return c & 0;'
must_find "a choice by what was never set" 'volatile int *p = malloc(8); if (*p) p[1] = 1; free((void *)p); return 0;'
echo "ok: memcheck finds what is wrong with four faulty programs"

memcheck "$@"
code=$?
[[ $code -eq $FOUND ]] && echo "FAILED: memcheck found errors or lost memory, see above"
[[ $code -eq 0 ]] && echo "ok: no errors, nothing lost: $1"
exit $code
