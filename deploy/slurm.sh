#!/bin/bash
# A search on several nodes of Slurm: a Ray cluster over all of them, the master on the first.
# From the top of the repository, where .venv is; --workdir on storage that outlives the job:
#   sbatch deploy/slurm.sh --config=cifar100_search --workdir=runs/cifar100
# Preempted or out of time, the job goes back into the queue and the search goes on from there;
# cancelled, the same command goes on.
#SBATCH --job-name=bqnn-search
#SBATCH --nodes=4
#SBATCH --ntasks-per-node=1
#SBATCH --cpus-per-task=32
#SBATCH --gpus-per-node=4
#SBATCH --time=24:00:00
#SBATCH --requeue
#SBATCH --open-mode=append
#SBATCH --signal=B:TERM@120
set -euo pipefail

export PATH="$PWD/.venv/bin:$PATH"
# What a worker takes. Without GPUs: CPU=1, and no line --gpus-per-node above.
worker=GPU=1,CPU=8
# Jobs that share a node must not share a port or a folder.
head="$(hostname):$((20000 + SLURM_JOB_ID % 10000))"
export head folder="/tmp/ray-$SLURM_JOB_ID"
# Ray runs what anyone sends who has the token.
RAY_AUTH_TOKEN=$(head -c 32 /dev/urandom | od -An -v -tx1 | tr -d ' \n')
export RAY_AUTH_MODE=token RAY_AUTH_TOKEN

# Task 0 is on this node. A node that comes before the head, or was cut off, tries again.
srun --cpus-per-task="$SLURM_CPUS_PER_TASK" bash -c '
  if [ "$SLURM_PROCID" = 0 ]; then
    exec ray start --head --port="${head##*:}" --temp-dir="$folder" \
      --include-dashboard=false --num-cpus="$SLURM_CPUS_PER_TASK" --block
  fi
  while true; do
    ray start --address="$head" --num-cpus="$SLURM_CPUS_PER_TASK" --block || sleep 5
  done' &
nodes=$!
until ray health-check --address="$head" 2>/dev/null; do
  kill -0 "$nodes"  # fails, and ends the job, if there are no nodes to wait for
  sleep 2
done

# Two minutes before the end Slurm tells this script alone: the search stops, all is recorded.
trap 'kill -TERM "$!"' TERM
python -m launch.search --executor=ray --ray_address="$head" \
  --worker_resources="$worker" "$@" &
master=$!
status=0
wait "$master" || status=$?
# 143: the signal ended the wait, not the search.
if [ "$status" = 143 ]; then
  status=0
  wait "$master" || status=$?
fi
kill "$nodes" || true
# 130: the search was told to stop, and did.
if [ "$status" = 130 ]; then scontrol requeue "$SLURM_JOB_ID"; fi
exit "$status"
