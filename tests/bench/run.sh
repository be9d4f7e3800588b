#!/usr/bin/env bash
# run.sh [--quick] [dataset|files|receive|scale]: prints what docs/benchmarks.md records. Quiet machine, nothing beside it.
#
#   dataset   index + 6 reads + 3 edits + write of a CT header, and the whole pipeline with 60 rules, against dcmdata; rounds in turn
#   files     drover ingest beside cp and sync, drover verify beside sha256sum: files of 10 KB, 0.5 MB and 50 MB, rounds in turn
#   receive   C-STORE with everything on, against the floor programs, storescp +B and Orthanc, over 1 and 4 associations; rounds in turn
#   scale     a catalog of 130,000 studies and 2 million instances on SQLite and on PostgreSQL: each kind of search, p50 and p99, one client
#             (DROVER_SCALE="1300000 20000000" for the full size: 16 GB and 20 minutes a database)
#
# --quick: fewer instances and rounds, for a look. The peers are measured by measure_receivers.py and floor.cc of $DROVER_BENCH
# (default ../shared/bench); without them `receive` is left out, and said so.
set -euo pipefail
cd "$(dirname "$0")/../.."

quick= only=
for word in "$@"; do
    case "$word" in
    --quick) quick=yes ;;
    dataset | files | receive | scale) only=$word ;;
    *) sed -n '2,12s/^# \{0,1\}//p' "$0"; [ "$word" = --help ] && exit 0; exit 2 ;;
    esac
done

. examples/packages.sh
install_packages build peers test
cmake --preset release >/dev/null
cmake --build --preset release --target drover >/dev/null
work=$(mktemp -d "${TMPDIR:-/var/tmp}/drover-bench.XXXXXX")
trap 'rm -rf "$work"' EXIT
# Installed, so that an edit of rules/ or scripts/ meanwhile does not count.
cmake --install build/release --prefix "$work/install" >/dev/null
drover=$work/install/bin/drover
echo "$("$drover" version | head -n 1), $(nproc) cores, $(date -u +%F), commit $(git rev-parse --short HEAD 2>/dev/null || echo none)"

bench_dataset() {
    local libraries=() name
    for name in rules catalog store db dicom base; do
        [ ! -f build/release/libdv_$name.a ] || libraries+=(build/release/libdv_$name.a)
    done
    g++ -std=c++17 -O2 -D_GNU_SOURCE -Iengine -Ibuild/release/generated tests/bench/dataset.cc -o "$work/dataset" \
        -Wl,--start-group "${libraries[@]}" -Wl,--end-group -ldcmdata -loflog -lofstd \
        $(pkg-config --libs lua5.4 sqlite3 libpq openssl libcjson libpcre2-8 zlib) -lpthread
    "$drover" synth "$work/ct" --studies 1 --modalities CT --defects none --instances-per-study 1 >/dev/null
    "$work/dataset" "$work"/ct/*/*/0001.dcm "$work/install/share/drover" "$PWD/tests/rules/sixty"
}

bench_receive() {
    local tools=${DROVER_BENCH:-../shared/bench} study=10 per=100 runs=5 file
    if [ ! -f "$tools/measure_receivers.py" ]; then
        echo "receive: left out, $tools/measure_receivers.py is not there; DROVER_BENCH names its folder"
        return
    fi
    [ -z "$quick" ] || study=4 per=50 runs=3
    "$drover" synth "$work/corpus" --studies $study --modalities CT --instances-per-study $per --size normal --defects none >/dev/null
    # The tool wants one folder and names that differ.
    mkdir "$work/flat"
    (cd "$work/corpus" && find . -name '*.dcm' | while read -r file; do ln "$file" "$work/flat/$(echo "${file#./}" | tr / _)"; done)
    BENCH_TMP=$work python3 "$tools/measure_receivers.py" "$work/flat" --runs $runs --assoc 1,4 \
        --servers floor-proof,floor-proof-again,storescp+B,orthanc --aet PEER \
        --server-cmd "drover=$drover serve --data {dir} --dicom-port {port} --aet PEER --allow-any --log-level warn"
}

bench_scale() {
    local size=${DROVER_SCALE:-130000 2000000} rounds=200 dsn
    [ -z "$quick" ] || size="26000 400000" rounds=50
    cmake --build --preset release --target scale >/dev/null
    echo "SQLite"
    build/release/scale fill "$work/scale.db" $size
    build/release/scale ask "$work/scale.db" $rounds || true
    rm -f "$work/scale.db"*
    if ! dsn=$(python3 tests/integration/lib/postgres.py start "$work/pg"); then
        echo "scale on PostgreSQL: left out, its binaries do not start"
        return
    fi
    echo "PostgreSQL"
    build/release/scale fill "$dsn" $size
    build/release/scale ask "$dsn" $rounds || true
    python3 tests/integration/lib/postgres.py stop "$work/pg"
}

wanted() { [ -z "$only" ] || [ "$only" = "$1" ]; }
if wanted dataset; then bench_dataset; fi
if wanted files; then python3 tests/bench/files.py "$drover" "$work" ${quick:+--quick}; fi
if wanted receive; then bench_receive; fi
if wanted scale; then bench_scale; fi
