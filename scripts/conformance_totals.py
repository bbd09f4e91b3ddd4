#!/usr/bin/env python3
"""Counts the outcomes in a report of the conformance suite, by mode and version.

    conformance_totals.py REPORT.json BACKEND

Fails if a case failed, if any mode or version is missing or ran other cases than the rest, if
there are fewer cases than the suite promises, or if more than 5 % of the cases are known failures.
"""

import collections
import json
import sys

MODES = ("buffer", "socket")
VERSIONS = ("1.2", "1.3")
OUTCOMES = ("passed", "verified_unsupported", "known_failure", "failed")
FEWEST_CASES = 90
MOST_KNOWN_FAILURES = 0.05


def problems_of(report, backend):
    if report["backend"] != backend:
        yield f"the report is about {report['backend']!r}, not {backend!r}"
    names = {(mode, version): set() for mode in MODES for version in VERSIONS}
    seen = collections.Counter()
    for case in report["cases"]:
        key = (case["mode"], case["version"])
        if key not in names or case["outcome"] not in OUTCOMES:
            yield f"{case['name']}: an unknown mode, version or outcome: {case}"
            continue
        names[key].add(case["name"])
        seen[(case["name"], *key)] += 1
    for key, count in seen.items():
        if count > 1:
            yield f"{' '.join(key)} is reported {count} times"
    everything = set().union(*names.values())
    if len(everything) < FEWEST_CASES:
        yield f"{len(everything)} cases, at least {FEWEST_CASES} are promised"
    for (mode, version), found in names.items():
        if missing := everything - found:
            yield f"{mode} {version}: {len(missing)} cases did not report: {', '.join(sorted(missing)[:5])}"
    known = {case["name"] for case in report["cases"] if case["outcome"] == "known_failure"}
    if len(known) > MOST_KNOWN_FAILURES * len(everything):
        yield f"{len(known)} of {len(everything)} cases are known failures, at most 5 % may be"
    for case in report["cases"]:
        if case["outcome"] == "failed":
            yield f"failed: {case['name']} {case['mode']} {case['version']}: {case['reason']}"


def main():
    path, backend = sys.argv[1:]
    with open(path) as file:
        report = json.load(file)
    counts = collections.Counter(
        (case["mode"], case["version"], case["outcome"]) for case in report["cases"]
    )
    total = collections.Counter(case["outcome"] for case in report["cases"])
    print(f"{backend} ({report['library']}): {len({case['name'] for case in report['cases']})} cases")
    for mode in MODES:
        for version in VERSIONS:
            row = ", ".join(f"{counts[(mode, version, outcome)]} {outcome}" for outcome in OUTCOMES)
            print(f"  {mode:<6} TLS {version}: {row}")
    problems = list(problems_of(report, backend))
    for problem in problems:
        print(f"  FAILED: {problem}")
    print("  total: " + ", ".join(f"{total[outcome]} {outcome}" for outcome in OUTCOMES))
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
