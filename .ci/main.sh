#!/usr/bin/env bash
# Installation as the README says, lint, the demo with what it learns, all tests.
source .ci/environment.sh

# Pages are tested in a real browser, where there is one; without it their tests are skipped.
if ! command -v chromedriver >/dev/null && [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    { apt-get update -qq && apt-get install -y -qq chromium chromium-driver; } >/dev/null || echo "no browser"
fi

enter python3
pip install --quiet torch==2.13.0
pip install --quiet -e ".[onedl,test]"
make lint VENV="$work/environment"
make demo VENV="$work/environment" WORK_DIR="$work/demo"
# 45.3 is what a head without attention reaches; with it, it is about 66 or about 90 (docs/context_shapes.md).
python .ci/require_miou.py "$work/demo" 55
pytest -n auto -m "not slow"
# They have not all been tried with warnings as errors yet.
pytest -n auto -m slow -W default
