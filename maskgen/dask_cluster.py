"""A Dask cluster on this machine, in a process that can be ended at once: `python -m maskgen.dask_cluster N FOLDER`.

A cluster within the build's own process would be closed by messages to its workers, for seconds and more while they
start. This one says its address and lives until its standard input ends, as it does when the build ends in any way.
Its workers see it go and end too, in the midst of a shard or not.
"""

from __future__ import annotations

import os
import sys

from distributed import LocalCluster


def main(workers: int, folder: str) -> None:
    cluster = LocalCluster(
        n_workers=0,
        threads_per_worker=1,
        memory_limit=0,  # the system sets the limit; Dask's own would kill workers below it
        local_directory=folder,
        dashboard_address=None,
        scheduler_kwargs={"allowed_failures": 1},
    )
    cluster.scale(workers)
    print(cluster.scheduler_address, flush=True)
    sys.stdin.read()
    os._exit(0)


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2])
