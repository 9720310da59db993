#!/bin/bash
# Many nodes, a rank for each GPU:  sbatch many-nodes.sh protein.yaml [key=value ...]
#SBATCH --job-name=flashrex
#SBATCH --partition=gpu
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=4
#SBATCH --gpus-per-node=4
#SBATCH --cpus-per-task=4
#SBATCH --time=24:00:00
#SBATCH --signal=B:USR1@120
#SBATCH --output=%x-%j.log

launch=${LAUNCH:-srun --mpi=pmix} # or LAUNCH="mpirun --bind-to none"
export OMP_NUM_THREADS=$SLURM_CPUS_PER_TASK SRUN_CPUS_PER_TASK=$SLURM_CPUS_PER_TASK

# Two minutes before its time is over this shell is told (--signal=B: above), and tells the run, which writes a checkpoint and
# ends with exit code 75. Submit the script again to go on.
trap 'kill -USR1 $run' USR1
$launch flashrex run "$@" --continue &
run=$!
wait $run
code=$?
if [ $code = 138 ]; then # the signal ended the waiting, not the run
    wait $run
    code=$?
fi
exit $code
