#!/bin/sh
# Records tests/data/imports/dvc: the history of a small project, made by DVC and DVCLive themselves.
# Usage: record_dvc.sh FOLDER, with `dvc` and `python` of an environment with dvclive on PATH. Recorded with DVC 3.67.1
# and DVCLive 3.49.1.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
export DVC_NO_ANALYTICS=1 GIT_AUTHOR_NAME=Ann GIT_AUTHOR_EMAIL=ann@example.com GIT_COMMITTER_NAME=Ann \
  GIT_COMMITTER_EMAIL=ann@example.com
mkdir "$1" && cd "$1"
git init -q -b main
dvc init -q
cat > train.py <<'P'
import json, sys
from pathlib import Path
from dvclive import Live
import yaml
settings = yaml.safe_load(open("params.yaml"))
with Live() as live:
    live.log_params({"optimizer": {"name": "adam"}})
    for epoch in range(settings["epochs"]):
        live.log_metric("train/loss", settings["lr"] / (epoch + 1))
        live.log_metric("val/accuracy", 1 - settings["lr"] / (epoch + 1))
        live.next_step()
    live.log_metric("diverged", float("nan"))
Path("model.txt").write_text(json.dumps(settings))
P
cat > evaluate.py <<'P'
import json, sys
from pathlib import Path
name = sys.argv[1]
Path(f"{name}.json").write_text(json.dumps({"recall": 0.5 + len(name) / 100}))
P
cat > dvc.yaml <<'Y'
defaults: &runs
  deps: [evaluate.py]
stages:
  train:
    cmd: python train.py
    deps: [train.py]
    params: [lr, epochs]
    outs: [model.txt]
  evaluate:
    matrix:
      part: [test, holdout]
    <<: *runs
    cmd: python evaluate.py ${item.part}
    metrics: ["${item.part}.json"]
artifacts:
  wine: {path: model.txt, type: model}
metrics: [dvclive/metrics.json]
params: [dvclive/params.yaml]
plots:
- dvclive/plots/metrics: {x: step}
Y
sed -i '/^defaults/,/^  deps/d; s/^    <<: \*runs/    deps: [evaluate.py]/' dvc.yaml
printf 'lr: 0.1\nepochs: 3\n' > params.yaml
at() { export GIT_AUTHOR_DATE="$1T12:00:00Z" GIT_COMMITTER_DATE="$1T12:00:00Z"; }
at 2026-01-01; git add -A; git commit -q -m "A pipeline that never ran"
dvc repro -q; at 2026-01-02; git add -A; git commit -q -m "First metrics"
echo words > README; at 2026-01-03; git add -A; git commit -q -m "No metric changes"
git checkout -q -b faster
sed -i 's/0.1/0.25/' params.yaml; dvc repro -q; at 2026-01-04; git add -A; git commit -q -m "Faster"
unset GIT_AUTHOR_DATE GIT_COMMITTER_DATE
dvc exp run -q -n half -S lr=0.5 > /dev/null
git checkout -q -f .
git checkout -q main; at 2026-01-05; git merge -q --no-ff -m "Merge faster" faster
printf '{"train": {"loss": 0.' > dvclive/metrics.json; at 2026-01-06; git commit -q -a -m "Half a file"
git update-ref -d refs/exps/exec/EXEC_HEAD 2> /dev/null || true
rm -rf "$here/dvc"; mkdir "$here/dvc"
git bundle create -q "$here/dvc/history.bundle" --all
cp -r .dvc/cache/files "$here/dvc/cache"
