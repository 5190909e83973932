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

# Ray runs what anyone sends who has the token: this user's, made where there is none.
token=$HOME/.ray/auth_token
if [ ! -s "$token" ]; then
  mkdir -p "$HOME/.ray"
  (umask 077 && head -c 32 /dev/urandom | od -An -v -tx1 | tr -d ' \n' >"$token")
fi

on() {  # on HOST COMMAND [OPTION OF SSH]
  # shellcheck disable=SC2029,SC2086
  ssh ${3:-} "$1" "cd $folder && export PATH=\$PWD/.venv/bin:\$PATH RAY_AUTH_MODE=token && $2"
}

start() {  # start HOST OPTIONS
  on "$1" "umask 077 && mkdir -p ~/.ray && cat >~/.ray/auth_token.new \
    && mv ~/.ray/auth_token.new ~/.ray/auth_token && ray start $2 ${RAY_OPTIONS:-}" <"$token"
}

case $action in
  up)
    start "${names[0]}" "--head --port=6379 --include-dashboard=false"
    for name in "${names[@]:1}"; do
      start "$name" "--address=$address" || echo "error: $name did not join" >&2
    done ;;
  join)
    start "$1" "--address=$address" ;;
  search)
    # With -t, Ctrl-C here is Ctrl-C there.
    on "${names[0]}" "python -m launch.search --executor=ray --ray_address=$address \
      --worker_resources=${WORKER:-CPU=1} $(printf '%q ' "$@")" -t ;;
  down)
    for name in "${names[@]}"; do on "$name" "ray stop" </dev/null || true; done ;;
  *)
    echo "error: $action: want up, search, join or down" >&2
    exit 2 ;;
esac
