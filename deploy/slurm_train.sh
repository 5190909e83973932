#!/bin/bash
# One full training over several nodes of Slurm, a process for every GPU.
# From the top of the repository, where .venv is; --workdir on storage that all nodes see:
#   sbatch deploy/slurm_train.sh --search=runs/cifar100 --workdir=runs/final --config=cifar_final
# Preempted or out of time, it saves, goes back into the queue, and goes on from there.
#SBATCH --job-name=bqnn-train
#SBATCH --nodes=2
#SBATCH --gpus-per-node=4
#SBATCH --ntasks-per-node=4
#SBATCH --cpus-per-task=8
#SBATCH --time=24:00:00
#SBATCH --requeue
#SBATCH --open-mode=append
#SBATCH --signal=TERM@300
set -euo pipefail

export PATH="$PWD/.venv/bin:$PATH"
# JAX gives task i of a node its GPU i. So there are as many tasks as GPUs on a node, and no
# --gpus-per-task, with which each task would see one GPU, number 0.
status=0
srun --cpus-per-task="$SLURM_CPUS_PER_TASK" \
  python -m launch.train --distributed "$@" || status=$?
# 130: five minutes before the end Slurm told the processes to stop, and all is saved.
if [ "$status" = 130 ]; then scontrol requeue "$SLURM_JOB_ID"; fi
exit "$status"
