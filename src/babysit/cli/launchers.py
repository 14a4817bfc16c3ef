"""Detection of job launchers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

# The variable that each launcher sets in the processes it starts, the most specific first. A launcher treats a nonzero
# exit code as a failed job: torchrun restarts all ranks and trains again, Slurm and MPI end the other tasks.
_VARIABLES: Final = {
    "TORCHELASTIC_RUN_ID": "torchrun",  # torchrun, torch.distributed.run, and accelerate launch on several devices
    "ACCELERATE_MIXED_PRECISION": "accelerate launch",  # set on a single device too
    "OMPI_COMM_WORLD_RANK": "mpirun",  # Open MPI
    "MV2_COMM_WORLD_RANK": "mpirun",  # MVAPICH
    "PMIX_RANK": "mpirun",  # PMIx: Open MPI 5, PRRTE
    "PMI_RANK": "mpirun",  # PMI: MPICH, Intel MPI
    "SLURM_PROCID": "Slurm",  # sbatch and srun
    "LOCAL_RANK": "a distributed launcher",  # torch's env:// variables: DeepSpeed, Lightning, scripts that start ranks
    "RANK": "a distributed launcher",
    "WORLD_SIZE": "a distributed launcher",
}


def launcher(environment: Mapping[str, str]) -> str:
    """Return the name of the launcher that started this process; "" if there is none."""
    return next((name for variable, name in _VARIABLES.items() if environment.get(variable)), "")
