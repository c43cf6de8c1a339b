"""The start of each process of a job: it writes down its number, redirects its output to files, becomes the program.

Run by path, as ``rank.py FOLDER PROGRAM...``, so that it imports nothing of the package.
"""

import os
import pathlib
import sys

RANK_VARIABLES = ("PMI_RANK", "OMPI_COMM_WORLD_RANK", "PMIX_RANK")
"""The environment variables for the number of a process: of MPICH and Intel's MPI, of Open MPI, and of others."""


def main() -> None:
    """Become the program."""
    folder, *program = sys.argv[1:]
    rank = next((os.environ[name] for name in RANK_VARIABLES if name in os.environ), None)
    if rank is None:
        sys.exit(f"mpiexec told this process no number: none of {', '.join(RANK_VARIABLES)} is in its environment")
    (pathlib.Path(folder) / f"{rank}.pid").write_text(str(os.getpid()), encoding="ascii")
    _write_into(f"{folder}/{rank}.err", sys.stderr.fileno())
    # Rank 0 prints for all; what another prints is no part of the job's output.
    _write_into(f"{folder}/0.out" if rank == "0" else f"{folder}/{rank}.err", sys.stdout.fileno())
    if rank != "0":
        os.environ.pop("FORCE_COLOR", None)
    os.execv(program[0], program)


def _write_into(path: str, descriptor: int) -> None:
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.dup2(file, descriptor)
    os.close(file)


if __name__ == "__main__":
    main()
