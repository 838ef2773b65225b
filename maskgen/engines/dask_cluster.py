"""A Dask scheduler and workers on this machine, ended all at once.

`python -m maskgen.engines.dask_cluster WORKERS FOLDER` prints its address and lives until its standard input ends, as
it does when the build ends in any way. Dask's own `LocalCluster` takes seconds to stop workers that start or work, and
loses for good a worker that dies as it starts.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time

import dask
from distributed import LocalCluster

LOOPBACK = "127.0.0.1"

CHECK_INTERVAL = 0.2
"""Seconds between two looks at whether a worker has died."""


def main(workers: int, folder: str) -> None:
    # On loopback only: who reaches a scheduler or a worker can run code as its user. Dask starts web servers also
    # without a dashboard, those of workers on all interfaces unless told otherwise; they have no page here.
    dask.config.set({"distributed.scheduler.http.routes": []})
    environment = {**os.environ, "DASK_DISTRIBUTED__WORKER__HTTP__ROUTES": "[]"}
    scheduler = LocalCluster(
        n_workers=0, host=LOOPBACK, dashboard_address=None, scheduler_kwargs={"allowed_failures": 1}
    )
    command = [sys.executable, "-m", "distributed.cli.dask_worker", scheduler.scheduler_address]
    # No memory limit: the system has its own, and Dask's would kill workers below it.
    command += [
        f"--host={LOOPBACK}",
        "--nthreads=1",
        "--no-nanny",
        "--no-dashboard",
        f"--dashboard-address={LOOPBACK}:0",
        "--memory-limit=0",
        "--death-timeout=60",
        f"--local-directory={folder}",
    ]
    running: list[subprocess.Popen[bytes]] = []
    held = threading.Lock()

    def keep_running() -> None:
        while True:
            with held:
                running[:] = [worker for worker in running if worker.poll() is None]
                while len(running) < workers:
                    running.append(
                        subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
                    )
            time.sleep(CHECK_INTERVAL)

    threading.Thread(target=keep_running, daemon=True).start()
    print(scheduler.scheduler_address, flush=True)
    sys.stdin.read()
    with held:
        for worker in running:
            worker.kill()
        for worker in running:
            worker.wait()
        os._exit(0)


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2])
