#!/usr/bin/env python3
"""Runs the scenarios test_*.py of this folder and prints TAP.

    tests/integration/run.py [-k NAME] [--all]      DROVER_BIN names the binary, default build/dev/drover

-k takes scenarios whose name holds NAME (a blank or an underscore between words); --all lengthens those that have a long form.
"""
import argparse
import os
import pathlib
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


def main():
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("-k", default="", metavar="NAME")
    options.add_argument("--all", action="store_true")
    chosen = options.parse_args()
    if chosen.all:
        os.environ["DROVER_ALL"] = "1"
    sys.path.insert(0, str(HERE))
    wanted = chosen.k.replace(" ", "_")
    suite = unittest.TestSuite(t for t in each(unittest.defaultTestLoader.discover(str(HERE))) if wanted in t.id())
    result = Tap()
    suite.run(result)
    print(f"1..{result.number}")
    # With a filter that names a unit test nothing may be left here: that is no failure.
    return 0 if result.wasSuccessful() else 1


sys.exit(main())
