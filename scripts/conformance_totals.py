#!/usr/bin/env python3
"""Counts the outcomes in a report of the conformance suite, by mode and version.

    conformance_totals.py REPORT.json [REPORT.json...] BACKEND

Several reports are the parts of one run. Fails if a case failed, if a mode or version is missing altogether, if a case is missing in one of
the versions or modes it is for, if there are fewer cases than the suite promises, or if more than
5 % of the cases are known failures.
"""

import collections
import itertools
import json
import pathlib
import sys

MODES = ("buffer", "socket")
VERSIONS = ("1.2", "1.3")
OUTCOMES = ("passed", "verified_unsupported", "known_failure", "failed")
# The report lists what ran; only this says what had to. It is the number of all cases, so that even
# a single one that drops out of the suite is noticed: raise it when you add some.
FEWEST_CASES = 405
MOST_KNOWN_FAILURES = 0.05


def problems_of(report, backend):
    if report["backend"] != backend:
        yield f"the report is about {report['backend']!r}, not {backend!r}"
    where = collections.defaultdict(set)
    seen = collections.Counter()
    for case in report["cases"]:
        key = (case["mode"], case["version"])
        if key[0] not in MODES or key[1] not in VERSIONS or case["outcome"] not in OUTCOMES:
            yield f"{case['name']}: an unknown mode, version or outcome: {case}"
            continue
        where[case["name"]].add(key)
        seen[(case["name"], *key)] += 1
    for key, count in seen.items():
        if count > 1:
            yield f"{' '.join(key)} is reported {count} times"
    if len(where) < FEWEST_CASES:
        yield f"{len(where)} cases, at least {FEWEST_CASES} are promised"
    for key in itertools.product(MODES, VERSIONS):
        if not any(key in found for found in where.values()):
            yield f"{' '.join(key)}: no case at all"
    for name, found in where.items():
        # A case may be for one mode or one version; within these it runs in every combination.
        modes, versions = {mode for mode, _ in found}, {version for _, version in found}
        if missing := set(itertools.product(modes, versions)) - found:
            yield f"{name} did not report in {missing}"
    known = {case["name"] for case in report["cases"] if case["outcome"] == "known_failure"}
    if len(known) > MOST_KNOWN_FAILURES * len(where):
        yield f"{len(known)} of {len(where)} cases are known failures, at most 5 % may be"
    for case in report["cases"]:
        if case["outcome"] == "failed":
            yield f"failed: {case['name']} {case['mode']} {case['version']}: {case['reason']}"


def whole(paths):
    first, *others = (json.loads(pathlib.Path(path).read_text()) for path in paths)
    for other in others:
        if (other["backend"], other["library"]) != (first["backend"], first["library"]):
            sys.exit(f"{paths}: parts of different runs")
        first["cases"] += other["cases"]
    return first


def main():
    *paths, backend = sys.argv[1:]
    report = whole(paths)
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
