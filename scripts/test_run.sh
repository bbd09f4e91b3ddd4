# How ./test runs a part, and what it tells about it; sourced by it.
# shellcheck shell=bash

NAMES=() VERDICTS=() SECONDS_OF=() NOTES=()
PASSED=0 FAILED=0

record() { # name, verdict, seconds, note
    NAMES+=("$1") VERDICTS+=("$2") SECONDS_OF+=("$3") NOTES+=("${4-}")
}

# `part NAME COMMAND...` runs a part, with its output in a log, and goes on whatever happens.
# NOTE is what the table says about it.
part() {
    local name=$1 log begin=$SECONDS
    shift
    log=$LOGS/$(printf '%02d' ${#NAMES[@]})-$(tr -c 'a-z0-9\n' - <<<"${name,,}").log
    echo "== $name"
    if "$@" >"$log" 2>&1 </dev/null; then
        totals "$log"
        PASSED=$((PASSED + 1))
        record "$name" passed $((SECONDS - begin)) "${NOTE-}"
    else
        echo "-- what failed in $log, and its last lines"
        grep -aE '^(error|test .* FAILED$|FAILED|failed: |thread .* panicked at)' "$log" | sort -u | head -n 40
        echo "--"
        tail -n 60 "$log"
        totals "$log"
        FAILED=$((FAILED + 1))
        record "$name" FAILED $((SECONDS - begin)) "${NOTE-}"
    fi
    echo "   ${VERDICTS[-1]} in $((SECONDS - begin)) s"
    NOTE=
}

not_run() { # name, why
    echo "== $1: not run, because $2"
    record "$1" "not run" 0 "$2"
}

# The lines of a log that a reader wants to see even when all is well.
totals() {
    awk '/^test result:/ { passed += $4; failed += $6; ignored += $8; runs++ }
         END { if (runs) printf "   tests: %d passed, %d failed, %d ignored, in %d programs\n", passed, failed, ignored, runs }' "$1"
    grep -E '^(  total:|[a-z-]+ \(.*\): [0-9]+ cases$|  (buffer|socket) +TLS|[0-9]+ passed, [0-9]+ failed|[0-9]+ cells of [0-9]+ steps: |reduced:|ok: no errors|ok: [0-9]+ calls were interrupted|[0-9]+ saboteurs noticed|every byte: )' "$1" | sed 's/^/   /'
    return 0
}

summary() {
    local i
    echo
    printf '%-40s %-8s %7s  %s\n' part verdict seconds note
    for i in "${!NAMES[@]}"; do
        printf '%-40s %-8s %7d  %s\n' "${NAMES[i]}" "${VERDICTS[i]}" "${SECONDS_OF[i]}" "${NOTES[i]}"
    done
    printf '%-40s %-8s %7d\n\n' total "" "$SECONDS"
    echo "$PASSED passed, $FAILED failed"
}
