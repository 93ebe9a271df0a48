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
# How long torchrun lets the processes save when it gets a signal itself; releases that do not know it wait 30 s.
export TORCH_ELASTIC_SHUTDOWN_TIMEOUT=${TORCH_ELASTIC_SHUTDOWN_TIMEOUT:-120}

MASTER_ADDR=${MASTER_ADDR:-127.0.0.1}
if [[ "${MAX_RESTARTS:-0}" == 0 ]]; then
    MEETING=(--node-rank="${NODE_RANK:-0}" --master-addr="$MASTER_ADDR" --master-port="$PORT")
else # the processes of each start have a store of their own, which does not hold the addresses of the dead
    export TORCH_DISABLE_SHARE_RDZV_TCP_STORE=1
    MEETING=(--rdzv-backend=c10d --rdzv-endpoint="$MASTER_ADDR:$PORT" --rdzv-id="$PORT")
    if [[ "$NNODES" == 1 ]]; then
        MEETING+=(--local-addr=127.0.0.1)
    fi
fi

# A signal to this script goes to the processes and not to torchrun, which does not know SIGUSR1, kills them after a
# while, ends with code 1 and a trace, and starts them again if it may. They put their numbers and their exit code
# into a folder; see mmseg_attn/engine/launched.py.
export MMSEG_ATTN_LAUNCH_PID=$$ MMSEG_ATTN_LAUNCH
MMSEG_ATTN_LAUNCH=$(mktemp -d)
trap 'rm -rf "$MMSEG_ATTN_LAUNCH"' EXIT
SIGNALLED=
forward() { # NAME NUMBER
    local processes=("$MMSEG_ATTN_LAUNCH"/rank.*)
    if [[ -z "$SIGNALLED" && -e "${processes[0]}" ]]; then
        kill -s "$1" "${processes[@]##*.}" 2>/dev/null || true
    else # a second signal, or one before the processes can handle it
        kill -s TERM "$TORCHRUN" 2>/dev/null || true
    fi
    SIGNALLED=$2
}

set -m # Ctrl+C reaches this script only
( # All processes of a Slurm step get the signal: torchrun must not end by it.
    trap '' USR1
    exec python -m mmseg_attn.engine.elastic \
        --nnodes="$NNODES" \
        "${MEETING[@]}" \
        --nproc-per-node="$PROCESSES" \
        --max-restarts="${MAX_RESTARTS:-0}" \
        "$TOOLS/$SCRIPT" "${@:3}" --launcher pytorch
) &
TORCHRUN=$!
trap 'forward TERM 1' HUP
trap 'forward INT 2' INT
trap 'forward USR1 10' USR1
trap 'forward TERM 15' TERM
CODE=0
wait "$TORCHRUN" || CODE=$?
while kill -0 "$TORCHRUN" 2>/dev/null; do # a signal ended the wait
    CODE=0
    wait "$TORCHRUN" || CODE=$?
done
# Where torchrun was killed, the processes notice, and save.
for ((i = 0; i < 60; i++)); do
    LEFT=("$MMSEG_ATTN_LAUNCH"/rank.*)
    kill -0 "${LEFT[@]##*.}" 2>/dev/null || break
    sleep 1
done
if [[ -s "$MMSEG_ATTN_LAUNCH/code" ]]; then
    CODE=$(<"$MMSEG_ATTN_LAUNCH/code")
elif [[ "$CODE" != 0 && -n "$SIGNALLED" ]]; then
    CODE=$((128 + SIGNALLED))
fi
exit "$CODE"
