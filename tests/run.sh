#!/usr/bin/env bash
# run.sh [--all] [-k NAME]: installs what the tests need, builds with AddressSanitizer and UBSan, runs the tests.
#
#   tests/run.sh                 under 10 minutes on 2 cores; the last line is "N passed, N failed"
#   tests/run.sh -k accession    only suites, scenarios or unit tests whose name holds "accession"
#   tests/run.sh --all           the long ones too: 100 kills, every failing call, half a minute of fuzzing a target, benches, a bare system
#                                (DROVER_FUZZ_SECONDS=600 for ten minutes a target)
#
# Every suite speaks TAP into build/tests/NAME.log; this script counts. A suite that ends badly without a "not ok" (a crash,
# a sanitizer's report, a time-out) counts as one failure.
set -uo pipefail
cd "$(dirname "$0")/.."

all= only=
while [ $# -gt 0 ]; do
    case "$1" in
    --all) all=yes ;;
    -k) only=${2:?"-k needs a NAME"}; shift ;;
    *) sed -n '2,7s/^# \{0,1\}//p' "$0"; [ "$1" = --help ] && exit 0; exit 2 ;;
    esac
    shift
done

export ASAN_OPTIONS=detect_leaks=1:abort_on_error=0:strict_string_checks=1:detect_stack_use_after_return=1
export UBSAN_OPTIONS=print_stacktrace=1:halt_on_error=1
export DROVER_DATA=${DROVER_DATA:-$PWD/../shared/data}
logs=build/tests
mkdir -p $logs
rm -f $logs/*.log
passed=0 failed=0 skipped=0

# suite NAME SECONDS COMMAND...: runs it and counts its TAP.
suite() {
    local name=$1 limit=$2 log=$logs/${1//\//-}.log start=$SECONDS status ok nok skip
    shift 2
    timeout --kill-after=10 "$limit" "$@" >"$log" 2>&1
    status=$?
    ok=$(grep -c '^ok ' "$log")
    skip=$(grep -ciE '^(not )?ok .*# *skip' "$log") # cmocka calls a skipped test "not ok N # SKIP name"
    ok=$((ok + $(grep -ciE '^not ok .*# *skip' "$log")))
    nok=$(grep '^not ok ' "$log" | grep -cviE '# *skip')
    if [ $status != 0 ] && [ "$nok" = 0 ]; then
        nok=1
        echo "not ok - $name ended with status $status (124: it took over $limit s)" >>"$log"
    fi
    passed=$((passed + ok - skip)) failed=$((failed + nok)) skipped=$((skipped + skip))
    printf '%-34s %4d passed %3d failed %3d skipped  %3d s\n' "$name" $((ok - skip)) "$nok" "$skip" $((SECONDS - start))
    [ "$skip" = 0 ] || grep -iE '^(not )?ok .*# *skip|^# skip' "$log" | sort | uniq -c | sort -rn | head -n 3 | sed 's/^/    /'
    [ "$nok" = 0 ] || { grep -viE '^not ok .*# *skip' "$log" | grep -A 12 -E '^not ok|ERROR: |runtime error' | head -n 60 | sed 's/^/    /'; echo "    the whole of it: $log"; }
}

must() {
    "$@" >"$logs/build.log" 2>&1 || { tail -n 40 "$logs/build.log"; echo "$* failed; see $logs/build.log"; echo "0 passed, 1 failed"; exit 1; }
}

wanted() { [ -z "$only" ] || [[ $1 == *"$only"* ]]; }

. examples/packages.sh
install_packages build peers test ${all:+all} || { echo "0 passed, 1 failed"; exit 1; }

start=$SECONDS
must cmake --preset dev
must cmake --build --preset dev
# What AddressSanitizer would distort (memory, traces, the quickstart) is tried on the optimised build.
must cmake --preset release
must cmake --build --preset release --target drover
[ -z "$all" ] || { must cmake --preset tsan; must cmake --build --preset tsan --target drover; }
echo "built build/dev (AddressSanitizer, UBSan) and build/release in $((SECONDS - start)) s"

wanted layers && suite layers 60 tests/layers.sh

# NAME=PROGRAM of each unit test
tests() {
    ctest --test-dir build/dev --show-only=json-v1 | python3 -c '
import json, sys
for t in json.load(sys.stdin)["tests"]:
    if "command" in t: print(t["name"] + "=" + t["command"][0])'
}

for test in $(tests); do
    # A filter may also be words of one sentence; then its whole file runs.
    if wanted "${test%%=*}" || strings -a "${test#*=}" | grep -q "$only"; then
        suite "unit/${test%%=*}" 300 env CMOCKA_MESSAGE_OUTPUT=TAP "${test#*=}"
    fi
done

# The same suites once more on PostgreSQL: a server of its own, stopped by its pid.
postgres=$PWD/$logs/postgres.out server=
with_postgres=$(tests | grep -E '^(db/|catalog/test_(catalog|commitments|instances|peers|query)|migrate/|ingest/test_intake)')
for test in $with_postgres; do
    if wanted "${test%%=*}" || wanted "unit-pg/${test%%=*}"; then
        if [ -z "$server" ]; then
            server=$(mktemp -u /tmp/drover-pg-XXXXXX)
            trap 'python3 tests/integration/lib/postgres.py stop "$server"' EXIT
            dsn=$(python3 tests/integration/lib/postgres.py start "$server" 2>"$postgres") || {
                failed=$((failed + 1))
                echo "unit-pg: PostgreSQL does not run: $(tail -n 1 "$postgres")"
                break
            }
        fi
        suite "unit-pg/${test%%=*}" 300 env CMOCKA_MESSAGE_OUTPUT=TAP DROVER_TEST_PG="$dsn" "${test#*=}"
    fi
done

wanted rules && suite rules 120 build/dev/drover rules test --tap
suite integration ${all:+6}900 python3 tests/integration/run.py ${only:+-k "$only"} ${all:+--all}

if [ -n "$all" ]; then
    must cmake --preset fuzz
    must cmake --build --preset fuzz
    fuzz_seconds=${DROVER_FUZZ_SECONDS:-30}
    rm -rf build/fuzz/seeds
    [ ! -d "$DROVER_DATA" ] || must python3 tests/fuzz/seeds.py "$DROVER_DATA" build/fuzz/seeds
    for target in build/fuzz/fuzz_*; do
        [ -x "$target" ] || continue
        name=fuzz/${target##*/fuzz_}
        wanted "$name" || continue
        mkdir -p "build/fuzz/corpus/${name#fuzz/}"
        seeds=$(ls -d tests/fuzz/seeds/"${name#fuzz/}" build/fuzz/seeds/"${name#fuzz/}" 2>/dev/null)
        suite "$name" $((fuzz_seconds + 120)) sh -c '"$@" && echo "ok 1 - foreign bytes bring it to no fault"' sh \
            "$target" -max_total_time=$fuzz_seconds -rss_limit_mb=2048 -artifact_prefix=build/fuzz/ "build/fuzz/corpus/${name#fuzz/}" $seeds
    done
    wanted bench && suite bench 1800 sh -c 'tests/bench/run.sh && echo "ok 1 - every bench printed its figures"'
    wanted bare && suite bare 1800 tests/bare.sh
fi

[ "$skipped" = 0 ] || echo "$skipped skipped; with DROVER_REQUIRE_DATA=1 absent data is a failure"
echo "$passed passed, $failed failed"
[ "$failed" = 0 ] && [ "$passed" -gt 0 ]
