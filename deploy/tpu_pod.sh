#!/bin/bash
# A Cloud TPU slice of several hosts. From the top of the repository, with gcloud set up:
#   deploy/tpu_pod.sh NAME ZONE install     bqnn on all hosts
#   deploy/tpu_pod.sh NAME ZONE up          a Ray cluster over all hosts
#   deploy/tpu_pod.sh NAME ZONE search --config=cifar100_search --workdir=/mnt/runs/cifar100
#   deploy/tpu_pod.sh NAME ZONE down        a full training needs all chips
#   deploy/tpu_pod.sh NAME ZONE train --search=/mnt/runs/cifar100 --workdir=/mnt/runs/final \
#       --config=cifar_final
# In a search every chip trains candidates of its own; a full training is one program on all of
# them. /mnt/runs: an NFS share (Filestore), mounted on all hosts. Not a bucket: it has no locks.
set -euo pipefail

name=$1 zone=$2 action=$3
shift 3

on() {  # on HOSTS COMMAND: all, or numbers of hosts
  gcloud compute tpus tpu-vm ssh "$name" --zone="$zone" --worker="$1" \
    --command="cd ~/bqnn && export RAY_AUTH_MODE=token && $2"
}

describe() {  # describe FIELD
  gcloud compute tpus tpu-vm describe "$name" --zone="$zone" --format="value($1)"
}

# Quoted, for a shell reads them once more.
arguments=$(printf '%q ' "$@")

case $action in
  install)
    files=$(mktemp -d)
    git archive --output="$files/bqnn.tar" HEAD
    # Ray runs what anyone sends who has the token.
    (umask 077 && head -c 32 /dev/urandom | od -An -v -tx1 | tr -d ' \n' >"$files/auth_token")
    gcloud compute tpus tpu-vm scp "$files"/* "$name:" --zone="$zone" --worker=all
    rm -r "$files"
    gcloud compute tpus tpu-vm ssh "$name" --zone="$zone" --worker=all \
      --command="mkdir -p bqnn .ray && tar -xf bqnn.tar -C bqnn && mv auth_token .ray/"
    # The image has Python 3.10.
    on all "sudo apt-get install --yes python3.11-venv && python3.11 -m venv .venv"
    on all ".venv/bin/pip install --constraint=requirements.txt '.[ray,tpu]'" ;;
  up)
    head=$(describe 'networkEndpoints[0].ipAddress') hosts=$(describe 'networkEndpoints.len()')
    on 0 ".venv/bin/ray start --head --node-ip-address=$head --port=6379 \
      --include-dashboard=false"
    if [ "$hosts" -gt 1 ]; then
      on "1-$((hosts - 1))" ".venv/bin/ray start --address=$head:6379"
    fi ;;
  search)
    on 0 ".venv/bin/python -m launch.search --executor=ray --ray_address=auto \
      --worker_resources=TPU=1,CPU=4 $arguments" ;;
  train)
    on all ".venv/bin/python -m launch.train --distributed $arguments" ;;
  down)
    on all ".venv/bin/ray stop" ;;
  *)
    echo "error: $action: want install, up, search, train or down" >&2
    exit 2 ;;
esac
