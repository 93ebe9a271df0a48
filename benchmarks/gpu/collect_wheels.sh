#!/usr/bin/env bash
# For a machine without network that has PyTorch: the wheels of OpenMMLab and of what it imports, about 3 MiB.
#
#   bash benchmarks/gpu/collect_wheels.sh wheels 3.12          here, for Python 3.12 there
#   pip install --no-index --no-deps --target site wheels/*.whl       there, in the root of the project
#   SITE=$PWD/site bash benchmarks/gpu/run.sh
#
# Further packages may follow the version of Python; run.sh's part `machine` says which are missing.
set -euo pipefail
[ $# -ge 2 ] || { sed -n '2,8s/^# \{0,1\}//p' "$0" >&2; exit 2; }
folder=$1 python=$2
shift 2
mkdir -p "$folder"
# The first of these is an archive of sources, and is built here: without compiled operators it fits every machine.
MMCV_WITH_OPS=0 pip wheel --quiet --no-deps --wheel-dir "$folder" \
    'onedl-mmcv>=2.3.6' 'onedl-mmengine>=0.10.12' 'onedl-mmsegmentation>=1.4.2'
pip download --quiet --no-deps --only-binary=:all: --dest "$folder" --python-version "$python" --implementation cp \
    --platform manylinux_2_28_x86_64 --platform manylinux_2_17_x86_64 --platform manylinux2014_x86_64 --platform any \
    addict yapf platformdirs ftfy wcwidth prettytable termcolor rich markdown-it-py mdurl pygments filelock "$@"
ls "$folder"
