# For the lanes to source. A fresh virtual environment is entered, and goes with the lane.
# shellcheck shell=bash
set -euo pipefail
# Modules are compiled when they are first imported, which few of the installed ones ever are.
export PIP_NO_COMPILE=1
# The clone is thrown away. Without these files every process would compile all modules again.
unset PYTHONDONTWRITEBYTECODE
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

enter() {  # enter PYTHON
    "$1" -m venv "$work/environment"
    export PATH="$work/environment/bin:$PATH"
    python --version
}
