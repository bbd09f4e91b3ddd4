#!/usr/bin/env bash
# Runs the conformance suite over sockets while system calls on them are interrupted:
#
#   interrupted.sh CONFORMANCE --backend NAME
#
# The system interrupts no call on a non-blocking socket of its own accord, so strace does: every
# third call that receives or sends, and every third read and write, fails with EINTR. Reads and
# writes are those of engines that drive the descriptor themselves; the first are the loader's.
set -u -o pipefail

[[ $# -ge 1 ]] || { sed -n '2,/^set/{/^#/s/^# \{0,1\}//p}' "$0" >&2; exit 2; }
# An interrupted call leads nowhere, so at least this many must have been.
FEWEST=1000
calls=recvfrom,recvmsg,sendto,sendmsg
log=$(mktemp) && trap 'rm -f "$log"' EXIT

strace -f -qq -o "$log" -e "trace=$calls,read,write" -e "inject=$calls,read,write:error=EINTR:when=60+3" \
    "$@" --filter '{data,buffering,close,shutdown,plain,descriptor,readiness}.*/socket/*' || exit 1
interrupted=$(grep -c INJECTED "$log")
[[ $interrupted -ge $FEWEST ]] && echo "ok: $interrupted calls were interrupted" && exit
echo "FAILED: only $interrupted calls were interrupted, expected $FEWEST"
exit 1
