#!/usr/bin/env python3
"""What scripts/test tells of a ctest run. Whoever reads a log, maybe a part of it only, finds there why a test failed.

results.py watch <CTEST'S-OUTPUT       while the tests run: a line for each test; from the first failure on, failures only, with
                                       the end of their output, so that no crowd of lines stands between one and the next
results.py summary XML CTEST'S-OUTPUT  afterwards: the lanes, what was skipped and why; then ctest's own end; then, of each failed
                                       test, the end of its output; and last of all one line for each, with the reason
"""

import collections
import re
import sys
import time
import xml.etree.ElementTree as tree

LINES = 60  # of a failed test's output
COLUMNS = 400
QUIET_SECONDS = 60

RESULT = re.compile(r"^ *\d+/\d+ Test +#\d+: (\S+) [ .]*(.*?) +[\d.]+ sec")
START = re.compile(r"^ +Start +\d+: ")
END = re.compile(r"^\d+% tests passed")
FAILED = re.compile(r"^\s+\d+ - (\S+) \((.+)\)$")
# What says why, the best first. Of a kind the first one counts, but the last one of an exception's, which ends its traceback.
REASONS = (
    (re.compile(r"^SUMMARY: |ERROR: libFuzzer"), 0),  # sanitizers and fuzzers
    (re.compile(r"\[  ERROR   \]"), 0),  # cmocka, which says where in another line
    (re.compile(r"FAILED: |CMake Error|: error: "), 0),
    (re.compile(r"^([A-Za-z_.]*(Error|Exception|Expired|NotSeen|Crashed)\b)"), -1),
    (re.compile(r"[Ff]ailed|FAIL|[Ee]rror"), 0),
)
PLACE = "[   LINE   ] ---"
CULPRIT = re.compile(r"^(?:FAIL: |ERROR: (?=test_)|\[  FAILED  \] )(\w+)")  # Python's unittest, cmocka


def shortened(line):
    line = line.rstrip()
    return line if len(line) <= COLUMNS else f"{line[: COLUMNS // 2]} ... {line[-COLUMNS // 2 :]}"


def end_of(lines):
    """The last lines, those that say why among them even where they stood earlier."""
    while lines and not lines[-1].strip():
        lines = lines[:-1]
    if len(lines) <= LINES:
        return [shortened(line) for line in lines]
    first, last = lines[:-LINES], lines[-LINES:]
    earlier = [line for line in first if any(words.search(line) for words, _ in REASONS[:-1])][:10]
    return [shortened(line) for line in [f"({len(first)} lines before)", *earlier, *(["(...)"] if earlier else []), *last]]


def reason(lines, verdict):
    """One line that says why, and in which part of the test."""
    said = [line.strip() for line in lines if line.strip()] or ["it said nothing"]
    if verdict == "Timeout":
        return f"the last that it said: {shortened(said[-1])}"
    why = said[-1]
    for words, which in REASONS:
        matches = [number for number, line in enumerate(said) if words.search(line)]
        if matches:
            why = said[matches[which]]
            following = said[matches[which] + 1 :][:1]
            if following and following[0].startswith(PLACE):
                why += " " + following[0].removeprefix(PLACE)
            break
    culprits = [match.group(1) for line in said if (match := CULPRIT.search(line))]
    return shortened(": ".join([*culprits[:1], why]))


def watch():
    """Passes on what is worth a line of ctest's output as it comes."""
    failed, told, output = 0, time.monotonic(), None

    def tell(lines):
        print("\n".join(f"    {line}" for line in end_of(lines)), flush=True)

    for line in sys.stdin:
        result, starts = RESULT.match(line), START.match(line)
        if output is not None and (result or starts or END.match(line)):
            tell(output)
            output = None
        if END.match(line):
            break
        if result:
            good = result.group(2) == "Passed"
            if not good and "***Skipped" not in line:
                failed += 1
                output = []
            if not good or not failed or time.monotonic() - told > QUIET_SECONDS:
                told = time.monotonic()
                print(line.rstrip(), flush=True)
        elif output is not None:
            output.append(line)
    for line in sys.stdin:  # what follows is the summary's
        pass


def summary(xml, log):
    with open(log, encoding="utf-8", errors="replace") as file:
        end = file.read().splitlines()
    first = next((number for number, line in enumerate(end) if END.match(line)), len(end))
    end = end[first:]
    verdicts = dict(match.groups() for line in end if (match := FAILED.match(line)) and match.group(2) != "Skipped")
    lanes = collections.OrderedDict()
    seconds = collections.Counter()
    skipped, outputs = [], {}
    for case in tree.parse(xml).getroot().iter("testcase"):
        name = case.get("name")
        parts = name.split(".")
        lane = " ".join(parts[:2]) if parts[0] in ("asan", "tsan") else parts[0]
        lines = (case.findtext("system-out") or "").splitlines()
        verdict = "failed" if name in verdicts else "passed" if case.get("status") == "run" else "skipped"
        lanes.setdefault(lane, collections.Counter())[verdict] += 1
        seconds[lane] += float(case.get("time") or 0)
        if verdict == "failed":
            outputs[name] = lines
        elif verdict == "skipped":
            reasons = [line for line in lines if "skip" in line.lower()] or lines[-1:] or ["no reason given"]
            skipped.append(f"  {name}: {reasons[-1].strip()}")
    print("lanes, with the sum of their tests' times:")
    for lane, counts in lanes.items():
        print(f"  {lane + ':':12} {seconds[lane]:5.0f} s  " + ", ".join(f"{n} {verdict}" for verdict, n in sorted(counts.items())))
    print("\n".join(["skipped:", *skipped]) if skipped else "nothing was skipped")
    print("\n".join(end))
    for name, lines in outputs.items():
        print(f"\n==== {name} ({verdicts[name]}), the end of what it said:")
        print("\n".join(end_of(lines)))
    if verdicts:
        print(f"\n{len(verdicts)} failed:")
        for name, verdict in verdicts.items():
            print(f"  {name} ({verdict}): {reason(outputs.get(name, []), verdict)}")


def main():
    if sys.argv[1:] == ["watch"]:
        watch()
    elif sys.argv[1:2] == ["summary"] and len(sys.argv) == 4:
        summary(*sys.argv[2:])
    else:
        sys.exit(__doc__)


if __name__ == "__main__":
    main()
