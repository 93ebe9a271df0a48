#!/usr/bin/env bash
# Evaluates on a Slurm cluster; see slurm_train.sh.
#   [GPUS=4] [GPUS_PER_NODE=4] [CPUS_PER_TASK=5] [SRUN_ARGS=...] \
#   bash tools/slurm_test.sh PARTITION JOB_NAME CONFIG CHECKPOINT [arguments of test.py]
exec bash "$(dirname "$0")/slurm_launch.sh" test.py "$@"
