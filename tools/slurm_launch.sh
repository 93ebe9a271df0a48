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
# SRUN_ARGS holds several arguments.
# shellcheck disable=SC2086
exec srun -p "$PARTITION" \
    --job-name="$JOB_NAME" \
    --gres="gpu:$GPUS_PER_NODE" \
    --ntasks="${GPUS:-4}" \
    --ntasks-per-node="$GPUS_PER_NODE" \
    --cpus-per-task="${CPUS_PER_TASK:-5}" \
    --kill-on-bad-exit=1 \
    ${SRUN_ARGS:-} \
    python -u "$TOOLS/$SCRIPT" "${@:4}" --launcher slurm
