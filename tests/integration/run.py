#!/usr/bin/env python3
"""Runs the scenarios test_*.py of this folder and prints TAP.

    tests/integration/run.py [-k NAME] [--all]      DROVER_BIN names the binary, default build/dev/drover

-k takes scenarios whose name holds NAME (a blank or an underscore between words); --all lengthens those that have a long form.
Files run three at a time, since most of what they do is waiting; with --all one after the other. --file runs one in this process.
"""
import argparse
import concurrent.futures
import os
import pathlib
import re
import subprocess
import sys
import traceback
import unittest

sys.dont_write_bytecode = True  # the tree stays as git knows it
HERE = pathlib.Path(__file__).resolve().parent


class Tap(unittest.TestResult):
    """One line a scenario; why it failed stands behind it as comments."""
    number = 0
    broken = None

    def say(self, ok, test, note=""):
        self.number += 1
        name = str(getattr(test, "_testMethodName", test)).removeprefix("test_").replace("_", " ")
        print(f"{'ok' if ok else 'not ok'} {self.number} - {name}{note}", flush=True)

    def why(self, error):
        for line in "".join(traceback.format_exception(*error)).splitlines():
            print("#", line)
        sys.stdout.flush()

    def addSuccess(self, test):
        super().addSuccess(test)
        self.say(True, test)

    def addSkip(self, test, reason):
        super().addSkip(test, reason)
        self.say(True, test, f" # SKIP {reason}")

    def addFailure(self, test, error):
        super().addFailure(test, error)
        self.say(False, test)
        self.why(error)

    addError = addFailure

    def addSubTest(self, test, subtest, error):
        super().addSubTest(test, subtest, error)
        if error:
            self.broken = test
            print("#", subtest)
            self.why(error)

    def stopTest(self, test):
        super().stopTest(test)
        if self.broken is test:  # a scenario some of whose parts failed is told neither as success nor as failure
            self.say(False, test)


def each(suite):
    for item in suite:
        if isinstance(item, unittest.TestSuite):
            yield from each(item)
        else:
            yield item


def run_here(tests):
    result = Tap()
    unittest.TestSuite(tests).run(result)
    print(f"1..{result.number}")
    return 0 if result.wasSuccessful() else 1


def run_file(name, arguments):
    return subprocess.run([sys.executable, __file__, "--file", name, *arguments], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          text=True, errors="replace")


def run_files(names, arguments, at_once):
    """Each file in a process of its own; their TAP, numbered through."""
    number = status = 0
    with concurrent.futures.ThreadPoolExecutor(at_once) as pool:
        for done in concurrent.futures.as_completed([pool.submit(run_file, name, arguments) for name in names]):
            file = done.result()
            status = status or file.returncode
            for line in file.stdout.splitlines():
                told = re.match(r"((?:not )?ok) \d+ ", line)
                number += told is not None
                if not re.match(r"1\.\.\d+$", line):
                    print(f"{told[1]} {number} {line[told.end():]}" if told else line)
            sys.stdout.flush()
    print(f"1..{number}")
    return status


def main():
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("-k", default="", metavar="NAME")
    options.add_argument("--all", action="store_true")
    options.add_argument("--file", metavar="MODULE")
    chosen = options.parse_args()
    if chosen.all:
        os.environ["DROVER_ALL"] = "1"
    sys.path.insert(0, str(HERE))
    wanted = chosen.k.replace(" ", "_")
    tests = [t for t in each(unittest.defaultTestLoader.discover(str(HERE), f"{chosen.file or 'test_*'}.py")) if wanted in t.id()]
    # A file that cannot be loaded is a test of another module: it runs, and fails, here.
    names = list(dict.fromkeys(type(t).__module__ for t in tests))
    if chosen.file or len(names) < 2 or not all((HERE / f"{name}.py").exists() for name in names):
        return run_here(tests)
    return run_files(names, sys.argv[1:], 1 if chosen.all else 3)


sys.exit(main())
