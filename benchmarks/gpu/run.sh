#!/usr/bin/env bash
# Everything that is worth knowing of a GPU, in nine minutes, the most valuable first.
# Usage: bash benchmarks/gpu/run.sh [PART ...]
#
# README.md beside this file says what the parts are, what they leave in $OUT, and which variables change what.
set -u
cd "$(dirname "$0")/../.." || exit
DEVICE=${DEVICE:-cuda}
BUDGET=${BUDGET:-540}
OUT=${OUT:-work_dirs/gpu}
PYTHON=${PYTHON:-python}
mkdir -p "$OUT"
OUT=$(cd "$OUT" && pwd)
STATE=$OUT/state
WORK=$OUT/work
SUMMARY=$OUT/summary.txt
mkdir -p "$STATE/logs" "$WORK"
START=$SECONDS
[ "$DEVICE" = cpu ] && SMALL=1 || SMALL=
AMP=${AMP-$([ "$SMALL" ] || echo --amp)}
export PYTHONUNBUFFERED=1 PYTHONWARNINGS=ignore MPLBACKEND=Agg KINETO_LOG_LEVEL=99 TORCH_CPP_LOG_LEVEL=ERROR
export TRITON_CACHE_DIR=$STATE/triton TORCHINDUCTOR_CACHE_DIR=$STATE/inductor OMP_NUM_THREADS=${OMP_NUM_THREADS:-4}
export PYTHONPATH=${SITE:+$SITE:}$PWD${PYTHONPATH:+:$PYTHONPATH}
# Of the trainings; on a CPU only enough to see them run.
SHAPES_ITERATIONS=${ITERATIONS:-$([ "$SMALL" ] && echo 4 || echo 400)}
CAMVID_ITERATIONS=${ITERATIONS:-$([ "$SMALL" ] && echo 2 || echo 400)}
export DEVICE OUT STATE WORK SMALL AMP PYTHON

METHODS='non_local danet ccnet emanet psanet isanet apcnet ocnet dgmn carafe a2net glore'
TEST_ON_VAL='test_dataloader.dataset.data_prefix.img_path=val test_dataloader.dataset.data_prefix.seg_map_path=valannot'

say() { echo "$@" | tee -a "$SUMMARY"; }

# part NAME LIMIT FUNCTION [ARGUMENT ...]: in seconds. Its output goes to a log, and how it ended to the summary.
part() {
    local name=$1 limit=$(($2 * ${RELAX:-1})) began=$SECONDS code remaining
    shift 2
    [ -e "$STATE/done.$name" ] && { say "$name: done by a former call"; return 0; }
    remaining=$((BUDGET - (SECONDS - START)))
    [ "$remaining" -lt "$limit" ] && limit=$remaining
    [ "$limit" -lt 10 ] && { say "$name: left out, $remaining s are left"; return 1; }
    timeout -k 5 "$limit" bash -c '"$@"' part "$@" > "$STATE/logs/$name" 2>&1
    code=$?
    say "$name: exit $code after $((SECONDS - began)) of $limit s;" \
        "$(grep -v '^\s*$' "$STATE/logs/$name" | tail -1 | cut -c1-160)"
    # What ran out of time is tried again by the next call.
    [ $code -eq 124 ] || [ $code -eq 137 ] || touch "$STATE/done.$name"
    collect
    return $code
}

# After each part, so that who ends the whole loses one part only. Parts may run beside each other.
collect() {
    (
        flock 9
        for log in "$STATE"/logs/*; do
            echo "################ $(basename "$log")"
            tail -c 400000 "$log"
        done > "$OUT/logs.txt"
        cat "$STATE"/check_*.jsonl > "$OUT/checks.jsonl" 2>/dev/null
        cat "$STATE"/operations_*.jsonl > "$OUT/operations.jsonl" 2>/dev/null
        "$PYTHON" benchmarks/gpu/table.py "$OUT" > "$OUT/table.txt" 2>&1
    ) 9> "$STATE/lock"
}

machine() {
    if [ ! "$SMALL" ]; then nvidia-smi; fi
    "$PYTHON" benchmarks/gpu/machine.py "$DEVICE"
}

tests() {  # those of the kernels, which run on the GPU where there is one
    "$PYTHON" -m pytest -q -p no:cacheprovider -n "${JOBS:-8}" -m 'not slow' --durations 5 tests/ops/triton
}

check() {  # NAME PART [...]; cuBLAS is deterministic with this setting only
    local name=$1
    shift
    CUBLAS_WORKSPACE_CONFIG=:4096:8 "$PYTHON" -m benchmarks.gpu.check --device "$DEVICE" \
        --out "$STATE/check_$name.jsonl" "$@"
}

operations() {  # NAME PART [...]
    local name=$1
    shift
    "$PYTHON" -m benchmarks.gpu.operations --device "$DEVICE" --out "$STATE/operations_$name.jsonl" "$@"
}

heads() {  # LEVEL DTYPE RUNS [OPTION ...]
    local level=$1 dtype=$2 runs=$3
    shift 3
    local sizes='64x128 97x97' small=()
    if [ "$SMALL" ]; then
        sizes=9x13 small=(--in-channels 32 --channels 16 --warmup 1) runs=2
    else
        OMP_NUM_THREADS=$(nproc)  # results are checked in float64 on the CPU
        export OMP_NUM_THREADS
    fi
    # shellcheck disable=SC2086  # lists
    "$PYTHON" tools/benchmark.py --device "$DEVICE" --methods $METHODS --level "$level" --dtype "$dtype" \
        --sizes $sizes --runs "$runs" ${small[@]+"${small[@]}"} --out "$WORK/${level}s_$dtype" --overwrite "$@"
}

train() {  # CONFIG ITERATIONS [SETTING ...]
    local config=$1 iterations=$2 folder=$WORK/$1
    shift 2
    # All images of the validation take a CPU minutes.
    [ "$SMALL" ] && set -- "$@" val_dataloader.dataset.indices=4 test_dataloader.dataset.indices=4
    # shellcheck disable=SC2086  # nothing, or an option
    "$PYTHON" tools/train.py "configs/$config.py" $AMP --work-dir "$folder" --overwrite --cfg-options \
        "train_cfg.max_iters=$iterations" "train_cfg.val_interval=$iterations" \
        "default_hooks.checkpoint.interval=$iterations" "$@" || return
    "$PYTHON" tools/test.py "configs/$config.py" "$folder/iter_$iterations.pth" --work-dir "$folder/test" \
        --cfg-options "train_cfg.max_iters=$iterations" "$@" || return
    grep -h -o 'Iter(train) .*\|Iter(test) .*\|mIoU: [0-9.]*' "$folder"/*/*.log "$folder"/test/*/*.log | tail -4 \
        | cut -c1-160
}

use() {  # what was trained: predictions, pages and exported files
    local config=configs/non_local_r18_shapes.py checkpoint image failed=0
    checkpoint=$(ls "$WORK"/non_local_r18_shapes/iter_*.pth) || return
    image=$(ls data/context_shapes/JPEGImages/val_* | head -1)
    "$PYTHON" tools/infer.py $config "$checkpoint" "$image" --out "$WORK/predictions" --device "$DEVICE" \
        --overwrite || failed=1
    "$PYTHON" tools/explore_attention.py $config "$checkpoint" "$image" --out "$WORK/pages" --device "$DEVICE" \
        || failed=1
    rm -f "$WORK/exported".*
    "$PYTHON" tools/export.py $config "$checkpoint" --format torch-export --out "$WORK/exported.pt2" || failed=1
    "$PYTHON" tools/export.py $config "$checkpoint" --format onnx --out "$WORK/exported.onnx" || failed=1
    return $failed
}
export -f machine tests check operations heads train use
export METHODS

say "== $(date -u +%FT%TZ) parts: ${*:-all}; on $DEVICE, $BUDGET s at most"
for wanted in ${*:-machine tests check operations heads train camvid use more}; do
    case $wanted in
    machine) part machine 60 machine || tail -5 "$STATE/logs/machine" ;;
    tests) part tests 120 tests ;;
    check)  # beside each other, each in a process: what one loses does not end the others
        for group in blocks 'amp maps' 'heads losses graphs' syncs huge; do
            # shellcheck disable=SC2086  # several parts
            part "check_${group// /_}" 110 check "${group// /_}" $group &
            [ "$SMALL" ] && wait
        done
        wait ;;
    operations)  # alone, since they are timed
        part operations_unequal 100 operations unequal ceilings unequal
        part operations_attention 70 operations attention attention
        part operations_rest 80 operations rest cross carafe messages psa concat overhead ;;
    heads)
        part heads_bfloat16 110 heads head bfloat16 10 --against mmseg
        part heads_float32 80 heads head float32 5 --against mmseg ;;
    train) part train_shapes 90 train non_local_r18_shapes "$SHAPES_ITERATIONS" ;;
    camvid)
        # shellcheck disable=SC2086  # two settings
        [ -d data/camvid/train ] || { say 'camvid: left out, data/camvid is not there'; continue; }
        part train_camvid 90 train emanet_r18_camvid "$CAMVID_ITERATIONS" $TEST_ON_VAL ;;
    use) part use 80 use ;;
    more)
        part check_compile 100 check compile compile --budget 90
        part blocks_bfloat16 60 heads block bfloat16 5 ;;
    *) say "$wanted is no part" ;;
    esac
done
collect
say "== $((SECONDS - START)) s in all"
tail -c 7500 "$OUT/table.txt"
echo
cat "$SUMMARY"
