#!/usr/bin/env bash
# slurm_launch.sh SCRIPT PARTITION JOB_NAME [arguments of SCRIPT]: what slurm_train.sh and slurm_test.sh share.
set -euo pipefail
TOOLS=$(cd "$(dirname "$0")" && pwd)
if (($# < 4)); then
    echo "error: too few arguments" >&2
    grep '^#   ' "$TOOLS/slurm_${1%.py}.sh" | sed 's/^#  */usage: /' >&2
    exit 2
fi
SCRIPT=$1 PARTITION=$2 JOB_NAME=$3 GPUS_PER_NODE=${GPUS_PER_NODE:-4}
export PYTHONPATH="$TOOLS/..${PYTHONPATH:+:$PYTHONPATH}"
SIGNAL= # before the time limit; a test has nothing to save
if [[ "$SCRIPT" == train.py ]]; then
    SIGNAL="--signal=USR1@${SIGNAL_SECONDS:-120}"
fi
tasks() {
    # SRUN_ARGS holds several arguments, SIGNAL one or none.
    # shellcheck disable=SC2086
    exec srun -p "$PARTITION" \
        --job-name="$JOB_NAME" \
        --gres="gpu:$GPUS_PER_NODE" \
        --ntasks="${GPUS:-4}" \
        --ntasks-per-node="$GPUS_PER_NODE" \
        --cpus-per-task="${CPUS_PER_TASK:-5}" \
        --kill-on-bad-exit=1 \
        $SIGNAL ${SRUN_ARGS:-} \
        python -u "$TOOLS/$SCRIPT" "$@" --launcher slurm
}
if [[ "${REQUEUE:-0}" == 0 ]]; then
    tasks "${@:4}"
fi

# 138: the time limit was near, and a checkpoint is saved.
RESUME=
while true; do
    set -m # srun is a process group of its own, and this script sends it what it gets
    tasks "${@:4}" $RESUME &
    SRUN=$!
    for name in HUP INT USR1 TERM; do
        # shellcheck disable=SC2064
        trap "kill -s $name $SRUN 2>/dev/null || true" "$name"
    done
    CODE=0
    wait "$SRUN" || CODE=$?
    while kill -0 "$SRUN" 2>/dev/null; do # a signal ended the wait
        CODE=0
        wait "$SRUN" || CODE=$?
    done
    if [[ "$CODE" != 138 ]]; then
        exit "$CODE"
    elif [[ -n "${SLURM_JOB_ID:-}" ]]; then # Slurm ends this script, and starts the job again
        exec scontrol requeue "$SLURM_JOB_ID"
    fi
    RESUME=--resume
done
