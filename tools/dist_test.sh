#!/usr/bin/env bash
# Evaluates with several processes; see dist_train.sh.
#   bash tools/dist_test.sh CONFIG CHECKPOINT GPUS [arguments of test.py]
exec bash "$(dirname "$0")/launch.sh" test.py "$3" "$1" "$2" "${@:4}"
