#!/usr/bin/env bash
# quickstart.sh [--keep] [DICOM_DIR]: from nothing to a proven migration on Debian 12.
#
#   examples/quickstart.sh                 synthetic studies with the faults of legacy archives
#   examples/quickstart.sh ~/my-studies    your own files, which are only read
#   examples/quickstart.sh --keep          leaves Orthanc and Drover running, to be looked at
#
# Installs what is missing (as root or with sudo), builds build/release/drover, starts a real Orthanc as the legacy PACS, loads it,
# starts Drover, migrates everything through the shipped rules, checks it against the source and shows what happened.
# Everything it makes lies in one new folder; what it starts is stopped by its process id. Services of yours are not touched.
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)

keep= dicom=
for word in "$@"; do
    case "$word" in
    --keep) keep=yes ;;
    -*) sed -n '2,10s/^# \{0,1\}//p' "$0"; [ "$word" = --help ] && exit 0; exit 2 ;;
    *) [ -d "$word" ] || { echo "quickstart: there is no folder $word; name one with DICOM files, or none" >&2; exit 2; }
        dicom=$(cd "$word" && pwd) ;;
    esac
done

. "$root/examples/packages.sh"
say() { printf '\n== %s\n' "$*"; }
fail() { printf 'quickstart: %s\n' "$*" >&2; exit 1; }

say "what is needed"
install_packages build peers
echo "all packages are there"

say "build/release/drover"
(cd "$root" && { cmake --preset release && cmake --build --preset release --target drover --parallel "$(nproc)"; } >"${TMPDIR:-/tmp}/drover-build-$$.log" 2>&1) ||
    { tail -n 30 "${TMPDIR:-/tmp}/drover-build-$$.log"; fail "the build failed; all of it stands in ${TMPDIR:-/tmp}/drover-build-$$.log"; }
rm -f "${TMPDIR:-/tmp}/drover-build-$$.log"
drover=$root/build/release/drover
"$drover" version

work=$(mktemp -d "${TMPDIR:-/var/tmp}/drover-quickstart.XXXXXX")
data=$work/drover
started=()

# Stops by process id, waits, and insists after ten seconds.
stop_all() {
    local pid end
    for pid in "${started[@]}"; do kill "$pid" 2>/dev/null || true; done
    end=$((SECONDS + 10))
    for pid in "${started[@]}"; do
        while kill -0 "$pid" 2>/dev/null && [ $SECONDS -lt $end ]; do sleep 0.1; done
        kill -KILL "$pid" 2>/dev/null || true
        wait "$pid" 2>/dev/null || true
    done
}

ended() {
    local status=$?
    if [ -n "$keep" ] && [ $status = 0 ]; then
        echo
        echo "running: Orthanc (pid ${started[0]}) on http://127.0.0.1:$orthanc_http, Drover (pid ${started[1]}) on DICOM port $drover_port"
        echo "stop:    kill ${started[*]}"
        return
    fi
    stop_all
    if [ $status != 0 ]; then
        echo "quickstart ended with $status; the logs are in $work" >&2
        tail -n 5 "$work"/*.log >&2 2>/dev/null || true
    fi
}
trap ended EXIT
trap 'exit 130' INT TERM

# A port that nobody listens on; ports below Linux's own range for outgoing connections are not taken by chance.
free_port() {
    local port
    for _ in $(seq 200); do
        port=$((20000 + RANDOM % 12000))
        (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null || { echo $port; return; }
    done
    fail "found no free port"
}

# wait_for SECONDS PID WHAT COMMAND...
wait_for() {
    local end=$((SECONDS + $1)) pid=$2 what=$3
    shift 3
    until "$@" >/dev/null 2>&1; do
        kill -0 "$pid" 2>/dev/null || fail "$what ended; see the logs in $work"
        [ $SECONDS -lt $end ] || fail "$what did not get ready in time; see the logs in $work"
        sleep 0.1
    done
}

# The body of http://127.0.0.1:PORT/PATH. A bare system has no curl.
http_get() {
    exec 3<>"/dev/tcp/127.0.0.1/$1" || return 1
    printf 'GET %s HTTP/1.0\r\nHost: localhost\r\n\r\n' "$2" >&3
    sed '1,/^\r\{0,1\}$/d' <&3
    exec 3>&-
}
# Gives Orthanc a file, whatever its transfer syntax; false when it is not DICOM.
http_give() {
    local status
    exec 3<>"/dev/tcp/127.0.0.1/$orthanc_http" || return 1
    printf 'POST /instances HTTP/1.0\r\nHost: localhost\r\nContent-Length: %s\r\n\r\n' "$(stat -Lc %s "$1")" >&3
    cat "$1" >&3
    read -r _ status _ <&3
    exec 3>&-
    [ "$status" = 200 ]
}
orthanc_number() { http_get "$orthanc_http" /statistics | sed -n "s/.*\"$1\" : \([0-9]*\).*/\1/p"; }
ask() { sqlite3 -readonly -separator $'\t' "$data/catalog.db" "$1"; }

say "a legacy PACS: Orthanc"
orthanc_dicom=$(free_port) orthanc_http=$(free_port) drover_port=$(free_port)
mkdir "$work/orthanc"
cat >"$work/orthanc/orthanc.json" <<JSON
{ "Name": "legacy", "DicomAet": "LEGACY", "DicomPort": $orthanc_dicom, "HttpPort": $orthanc_http,
  "StorageDirectory": "$work/orthanc/db", "IndexDirectory": "$work/orthanc/db", "SyncStorageArea": false,
  "RemoteAccessAllowed": false, "AuthenticationEnabled": false, "Plugins": [], "LuaScripts": [], "DefaultEncoding": "Latin1",
  "DicomAlwaysAllowStore": true, "DicomAlwaysAllowFind": true, "DicomCheckModalityHost": false, "UnknownSopClassAccepted": true,
  "DicomModalities": { "drover": [ "DROVER", "127.0.0.1", $drover_port ] } }
JSON
PATH=$PATH:/usr/sbin Orthanc "$work/orthanc/orthanc.json" >"$work/orthanc.log" 2>&1 &
started+=($!)
wait_for 30 $! Orthanc http_get "$orthanc_http" /system
echo "AE title LEGACY, DICOM port $orthanc_dicom, pages on http://127.0.0.1:$orthanc_http"

if [ -z "$dicom" ]; then
    dicom=$work/legacy-files
    "$drover" synth "$dicom" | sed 's/^/    /'
fi
taken=0 refused=0
while IFS= read -r -d '' file; do
    if http_give "$file"; then taken=$((taken + 1)); else refused=$((refused + 1)); fi
done < <(find -L "$dicom" -type f -print0)
studies=$(orthanc_number CountStudies) instances=$(orthanc_number CountInstances)
[ "${instances:-0}" -gt 0 ] || fail "Orthanc took none of the $refused files in $dicom"
echo "loaded: $studies studies, $instances instances from $taken files$([ $refused = 0 ] || echo "; $refused are not DICOM to it")"

say "Drover"
"$drover" serve --data "$data" --dicom-port "$drover_port" --aet DROVER --allow-any >"$work/drover.log" 2>&1 &
started+=($!)
wait_for 30 $! "drover serve" grep -q "serve: ready" "$work/drover.log"
echo "drover serve --data $data --dicom-port $drover_port --aet DROVER --allow-any"
"$drover" peers --data "$data" add legacy --aet LEGACY --host 127.0.0.1 --port "$orthanc_dicom" --direction SourceOnly
"$drover" echo --data "$data" legacy

say "the migration: drover migrate --source legacy --all"
status=0
"$drover" migrate --data "$data" --source legacy --all --name quickstart || status=$?
[ $status = 0 ] || [ $status = 20 ] || fail "the migration failed"

say "what happened"
row() { printf '  %-16s %9s %10s\n' "$@"; }
row "" studies instances
row "at the source" "$(orthanc_number CountStudies)" "$(orthanc_number CountInstances)"
row here "$(ask 'SELECT count(*) FROM studies')" "$(ask 'SELECT count(*) FROM instances')"
for state in held rejected; do
    row $state "$(ask "SELECT count(DISTINCT received_study_uid) FROM quarantine WHERE state = '$state'")" \
        "$(ask "SELECT count(*) FROM quarantine WHERE state = '$state'")"
done

say "what rules did (all of it: drover audit UID)"
"$drover" audit --by-rule --data "$data"

say "hashes: every stored object is read again"
"$drover" verify --data "$data"

say "where things lie"
cat <<TEXT
  folder           $work
  objects          $data/objects/YEAR/MONTH/DAY/TIME/STUDY/INSTANCE.dcm, plain DICOM files
  catalog          $data/catalog.db
  kept out         $data/quarantine, listed by: drover quarantine list
  your rules       $data/rules
  logs             $work/drover.log, $work/orthanc.log
TEXT

# A rule to try, complete with its test. It lies aside, so that nothing happens until it is put into a rules folder.
cat >"$work/institution.lua" <<'LUA'
mapping "site-institution" {
  description = "one name for all that was bought over the years",
  actions = { { "InstitutionName", "set", "NEW HOSPITAL" } },
  tests = {
    { given = { InstitutionName = "GENERAL HOSPITAL" }, expect = { InstitutionName = "NEW HOSPITAL" } },
    { given = {}, expect = { InstitutionName = "NEW HOSPITAL" } },
  },
}
LUA
say "what to try next"
uid=$(ask "SELECT i.received_sop_uid FROM instances i ORDER BY (SELECT count(*) FROM edits e WHERE e.instance = i.id) DESC, i.id LIMIT 1")
[ -n "$keep" ] || cat <<TEXT
  Drover and Orthanc are stopped now. To have them stay: examples/quickstart.sh --keep
TEXT
cat <<TEXT
  export PATH=$root/build/release:\$PATH
  drover studies --data $data
  drover audit --data $data $uid
  See a rule of your own act: put it into the rules folder of a second archive, and take the same files there
    mkdir -p $work/second/rules && cp $work/institution.lua $work/second/rules/
    drover rules test mapping/site-institution --site $work/second/rules
    drover ingest --data $work/second ${dicom@Q}
    drover audit --data $work/second $uid
  Then change NEW HOSPITAL in that file. Where 'drover serve' runs, a saved file counts from the next dataset on.
  The guide goes on from here: docs/guide.md
TEXT
[ $status = 0 ] || echo "Not everything is complete: drover batches --data $data show 1"
