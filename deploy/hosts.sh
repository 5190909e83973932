#!/bin/bash
# A Ray cluster over a plain list of hosts, by ssh. bqnn is in the same folder on all of them.
#   deploy/hosts.sh HOSTS up          a file of hosts, one a line; the first is the head
#   deploy/hosts.sh HOSTS search --config=cifar100_search --workdir=runs/cifar100
#   deploy/hosts.sh HOSTS join HOST   one more, or one that was lost, while a search runs
#   deploy/hosts.sh HOSTS down
# The search runs on the head. If this connection breaks, it stops; the same command goes on.
# BQNN: the folder, if it is not this one. RAY_OPTIONS: of `ray start`, as in --num-cpus=4.
# WORKER: what a worker takes, as in GPU=1,CPU=4; by default a core.
set -euo pipefail

hosts=$1 action=$2
shift 2
mapfile -t names < <(sed 's/#.*//; s/[[:space:]]//g; /^$/d' "$hosts")
address=${names[0]##*@}:6379
folder=$(printf %q "${BQNN:-$PWD}")

on() {  # on HOST COMMAND [OPTION OF SSH]
  # shellcheck disable=SC2086
  ssh ${3:-} "$1" "cd $folder && PATH=\$PWD/.venv/bin:\$PATH && $2"
}

join() {
  on "$1" "ray start --address=$address ${RAY_OPTIONS:-}"
}

case $action in
  up)
    on "${names[0]}" "ray start --head --port=6379 --include-dashboard=false ${RAY_OPTIONS:-}"
    for name in "${names[@]:1}"; do
      join "$name" || echo "error: $name did not join" >&2
    done ;;
  join)
    join "$1" ;;
  search)
    # With -t, Ctrl-C here is Ctrl-C there.
    on "${names[0]}" "python -m launch.search --executor=ray --ray_address=$address \
      --worker_resources=${WORKER:-CPU=1} $(printf '%q ' "$@")" -t ;;
  down)
    for name in "${names[@]}"; do on "$name" "ray stop" || true; done ;;
  *)
    echo "error: $action: want up, search, join or down" >&2
    exit 2 ;;
esac
