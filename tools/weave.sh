#!/bin/sh
# weave.sh: calls weave.py, or says in words that Python is missing.
cd "$(dirname "$0")/.." || exit 1
sh tools/need.sh python3 || exit 1
PYTHONDONTWRITEBYTECODE=1 exec python3 tools/weave.py "$@"
