#!/usr/bin/env bash
# Trains on a Slurm cluster. REQUEUE=1 queues again and goes on when the time limit is near; see docs/clusters.md.
#   [GPUS=4] [GPUS_PER_NODE=4] [CPUS_PER_TASK=5] [SIGNAL_SECONDS=120] [REQUEUE=0] [SRUN_ARGS=...] \
#   bash tools/slurm_train.sh PARTITION JOB_NAME CONFIG [arguments of train.py]
exec bash "$(dirname "$0")/slurm_launch.sh" train.py "$@"
