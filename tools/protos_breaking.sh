#!/bin/sh
# Refuses a change of the contracts that breaks a neighbouring version: compares protos/ with the branch `main`.
# On `main` itself the comparison is with the commit before, so that it says something there too.
set -eu
cd "$(dirname "$0")/.."
against=
for branch in origin/main main; do
  if git rev-parse --quiet --verify "$branch^{commit}" >/dev/null 2>&1; then
    against=$branch
    break
  fi
done
if [ -n "$against" ] && [ "$(git rev-parse "$against")" = "$(git rev-parse HEAD)" ]; then
  against=$(git rev-parse --quiet --verify HEAD~1 || true)
fi
if [ -z "$against" ] || ! git cat-file -e "$against:protos/buf.yaml" 2>/dev/null; then
  echo "buf breaking: the history has no earlier contracts to compare with"
  exit 0
fi
earlier=$(mktemp -d)
trap 'rm -rf "$earlier"' EXIT
git archive "$against" protos | tar -x -C "$earlier"
cd protos
"${BUF:-buf}" breaking --against "$earlier/protos"
