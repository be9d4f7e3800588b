#!/usr/bin/env bash
# layers.sh: a lower folder of engine/ never includes a higher one. Prints TAP, a line a folder.
#
# The table is docs/architecture.md's: base <- {dicom, db} <- {rules, dimse, store, catalog} <- ingest <- migrate <-
# {sources, hl7, dicomweb} <- web <- cmd, inside a brace only rules -> catalog -> store and dicomweb -> web.
# Two fences more: DCMTK's headers stay in dimse/ and image/, and a *_internal.h stays in its folder.
set -uo pipefail
cd "$(dirname "$0")/.."

declare -A may=(
    [base]="base"
    [dicom]="base dicom"
    [db]="base db"
    [image]="base dicom image"
    [store]="base dicom db store"
    [dimse]="base dicom db dimse"
    [catalog]="base dicom db store catalog"
    [ops]="base dicom db store catalog ops"
    [rules]="base dicom db store catalog rules"
    [ingest]="base dicom db store catalog rules dimse ingest"
    [migrate]="base dicom db store catalog rules dimse ingest migrate"
    [sources]="base dicom db store catalog rules dimse ingest migrate sources"
    [hl7]="base dicom db store catalog rules dimse ingest migrate hl7"
    [web]="base dicom db store catalog rules dimse image ingest migrate sources hl7 ops web"
    [dicomweb]="base dicom db store catalog rules dimse image ingest migrate ops web dicomweb"
)

number=0 status=0
for folder in engine/*/; do
    name=$(basename "$folder")
    number=$((number + 1))
    faults=$(grep -rnoE '^[[:space:]]*#[[:space:]]*include[[:space:]]*["<][^">]+' "$folder" --include='*.[ch]' --include='*.cc' |
        sed -E 's/#[[:space:]]*include[[:space:]]*["<]//; s/[[:space:]]//g' |
        while IFS=: read -r file line header; do
            first=${header%%/*}
            [[ $first == dcmtk && $name != dimse && $name != image ]] && echo "$file:$line includes DCMTK's $header"
            [[ -d engine/$first ]] || continue
            [[ $name == cmd || " ${may[$name]:-} " == *" $first "* ]] || echo "$file:$line includes $header"
            [[ $header == *_internal.h && $first != "$name" ]] && echo "$file:$line includes the private $header"
        done)
    [[ $name == cmd || -n ${may[$name]:-} ]] || faults="engine/$name is in no layer: add it to tests/layers.sh and docs/architecture.md"
    if [ -z "$faults" ]; then
        echo "ok $number - engine/$name includes nothing above it"
    else
        echo "not ok $number - engine/$name includes nothing above it"
        echo "$faults" | sed 's/^/# /'
        status=1
    fi
done
echo "1..$number"
exit $status
