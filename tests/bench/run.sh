#!/usr/bin/env bash
# run.sh [--quick] [dataset|files|receive|scale]: prints what docs/benchmarks.md records. Quiet machine, nothing beside it.
#
#   dataset   index + 6 reads + 3 edits + write of a CT header, and the whole pipeline with 60 rules, against dcmdata; rounds in turn
#   files     drover ingest beside cp and sync, drover verify beside sha256sum: files of 10 KB, 0.5 MB and 50 MB, rounds in turn
#   receive   C-STORE with everything on, on SQLite and on PostgreSQL, against floor-proof and Orthanc: CT and small instances, 1 and 4
#             associations, senders with TCP_NODELAY and as they ship; rounds in turn
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
    *) sed -n '2,13s/^# \{0,1\}//p' "$0"; [ "$word" = --help ] && exit 0; exit 2 ;;
    esac
done

. examples/packages.sh
install_packages build peers test
cmake --preset release >/dev/null
cmake --build --preset release --target drover >/dev/null
work=$(mktemp -d "${TMPDIR:-/var/tmp}/drover-bench.XXXXXX")
chmod 711 "$work" # PostgreSQL's user looks for its folder in it
trap '[ ! -d "$work/pg" ] || python3 tests/integration/lib/postgres.py stop "$work/pg"; rm -rf "$work"' EXIT
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

# CORPUS FOLDER OPTIONS...: synthetic CT instances in one folder with names that differ, as the tool wants them
corpus() {
    local made=$work/corpus-$1 flat=$work/$1 file
    shift
    "$drover" synth "$made" --modalities CT --defects none "$@" >/dev/null
    mkdir "$flat"
    (cd "$made" && find . -name '*.dcm' | while read -r file; do ln "$file" "$flat/$(echo "${file#./}" | tr / _)"; done)
}

bench_receive() {
    local tools=${DROVER_BENCH:-../shared/bench} study=10 per=50 runs=7 dsn size sender servers
    if [ ! -f "$tools/measure_receivers.py" ]; then
        echo "receive: left out, $tools/measure_receivers.py is not there; DROVER_BENCH names its folder"
        return
    fi
    [ -z "$quick" ] || study=4 runs=3
    corpus ct --studies $study --instances-per-study $per --size normal
    corpus small --studies $((2 * study)) --instances-per-study $per --size small
    local options="--dicom-port {port} --aet PEER --allow-any --log-level warn"
    local ours=(--server-cmd "drover=$drover serve --data {dir} $options") on_postgres=()
    if dsn=$(python3 tests/integration/lib/postgres.py start "$work/pg"); then
        # a database for each run
        cat >"$work/on-postgres" <<END
#!/bin/sh
name=run_\$(basename "\$1")
"$(ls -d /usr/lib/postgresql/*/bin | tail -n 1)/psql" -XAtq -d "$dsn" -c "CREATE DATABASE \"\$name\""
exec "$drover" serve --data "\$1" --set "database=${dsn% dbname=*} dbname=\$name" --dicom-port "\$2" --aet PEER --allow-any --log-level warn
END
        on_postgres=(--server-cmd "drover-postgres=sh $work/on-postgres {dir} {port}")
    else
        echo "receive on PostgreSQL: left out, its binaries do not start"
    fi
    for sender in nodelay stock; do
        servers=floor-proof,floor-proof-again,orthanc
        [ $sender = nodelay ] || servers=floor-proof on_postgres=()
        for size in ct small; do
            echo "$size, senders $([ $sender = nodelay ] && echo "with TCP_NODELAY" || echo "as they ship")"
            BENCH_TMP=$work python3 "$tools/measure_receivers.py" "$work/$size" --runs $runs --assoc 1,4 --sender $sender \
                --servers $servers --aet PEER "${ours[@]}" "${on_postgres[@]}"
        done
    done
    [ -z "$dsn" ] || python3 tests/integration/lib/postgres.py stop "$work/pg"
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
