#!/usr/bin/env bash
# Trains with several processes, one per GPU, or on the CPU where there is none.
#   bash tools/dist_train.sh CONFIG GPUS [arguments of train.py]
# MAX_RESTARTS=3 starts all processes again when one has ended with an error; see docs/clusters.md.
# Several machines: NNODES=2 NODE_RANK=0 MASTER_ADDR=host PORT=29500, with the same PORT on all of them.
exec bash "$(dirname "$0")/launch.sh" train.py "$2" "$1" "${@:3}"
