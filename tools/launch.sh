#!/usr/bin/env bash
# launch.sh SCRIPT PROCESSES [arguments of SCRIPT]: what dist_train.sh and dist_test.sh share.
set -euo pipefail
TOOLS=$(cd "$(dirname "$0")" && pwd)
if ! [[ "${2:-}" =~ ^[1-9][0-9]*$ ]]; then
    echo "error: the number of processes per machine must be a positive integer, got '${2:-}'" >&2
    grep '^#   bash' "$TOOLS/dist_${1%.py}.sh" | sed 's/^#  */usage: /' >&2
    exit 2
fi
SCRIPT=$1 PROCESSES=$2 NNODES=${NNODES:-1}
if [[ -z "${PORT:-}" ]]; then
    PORT=29500
    if [[ "$NNODES" == 1 ]]; then
        PORT=$(python -c 'import socket; s = socket.socket(); s.bind(("", 0)); print(s.getsockname()[1])')
    fi
fi
export PYTHONPATH="$TOOLS/..${PYTHONPATH:+:$PYTHONPATH}"
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-1}
exec python -m torch.distributed.run \
    --nnodes="$NNODES" \
    --node-rank="${NODE_RANK:-0}" \
    --master-addr="${MASTER_ADDR:-127.0.0.1}" \
    --master-port="$PORT" \
    --nproc-per-node="$PROCESSES" \
    "$TOOLS/$SCRIPT" "${@:3}" --launcher pytorch
