#!/usr/bin/env bash
# The oldest PyTorch that pyproject.toml promises, with the oldest Python where there is one.
source .ci/environment.sh

python=python3
for candidate in python3.10 "${PYENV_ROOT:-$HOME/.pyenv}"/versions/3.10*/bin/python; do
    # pyenv has commands of versions that are not chosen, and they fail.
    if "$candidate" -c 'import sys; sys.exit(sys.version_info[:2] != (3, 10))' 2>/dev/null; then
        python=$candidate
        break
    fi
done
[ "$python" != python3 ] || echo "no Python 3.10 here: the oldest PyTorch runs with the default Python"

enter "$python"
pip install --quiet torch==2.6.0
pip install --quiet -e ".[onedl,test]"
pytest -n auto -m "not slow" tests/ops tests/attention tests/models
