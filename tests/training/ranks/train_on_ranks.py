"""Train on several ranks with the environment of torchrun; test_training_on_ranks.py starts this script.

    python train_on_ranks.py JOBS.json

Each job is forked into its ranks, because importing PyTorch takes long. The job's `log` receives exit codes, seconds
and the messages of each rank. With a `signal` such as `["SIGKILL", 1]`, that rank receives it after a new checkpoint.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
import time
import traceback
from pathlib import Path
from typing import Any

import elinformer.models.elinformer
import elinformer.training.fit
import elinformer.training.ranks.strategy  # imported once, before the ranks are forked
from elinformer.errors import InputError
from elinformer.options import Settings
from elinformer.training.ranks.machines import Machines
from elinformer.workflows import resume_run, train_run


def main(path: str) -> None:
    for job in json.loads(Path(path).read_text(encoding="utf-8")):
        start, port, old_checkpoints = time.monotonic(), _free_port(), _checkpoints(job)
        ranks = [_fork(job, rank, port) for rank in range(job["world"])]
        if "signal" in job:
            name, rank = job["signal"]
            _wait_for_checkpoint(job, old_checkpoints)
            os.kill(ranks[rank], signal.Signals[name])
            start = time.monotonic()
        codes = [os.waitstatus_to_exitcode(os.waitpid(rank, 0)[1]) for rank in ranks]
        log = {"codes": codes, "seconds": time.monotonic() - start}
        log["messages"] = [Path(f"{job['log']}.{rank}").read_text(encoding="utf-8") for rank in range(job["world"])]
        Path(job["log"]).write_text(json.dumps(log), encoding="utf-8")


def _fork(job: dict[str, Any], rank: int, port: int) -> int:
    if pid := os.fork():
        return pid
    log = Path(f"{job['log']}.{rank}").open("w", encoding="utf-8", buffering=1)  # noqa: SIM115 open to the end
    os.dup2(log.fileno(), 2)
    if job["world"] > 1:
        os.environ |= _environment(rank, job["world"], port)
    try:
        _run(job)
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        os._exit(2)
    except SystemExit as end:
        os._exit(int(end.code or 0))
    except BaseException:
        traceback.print_exc()
        os._exit(1)
    os._exit(0)


def _run(job: dict[str, Any]) -> None:
    machines = Machines(series_parallel=job["series_parallel"])
    if not job["model"].get("dropout", 1.0):
        elinformer.models.elinformer.NEUTRAL_SHARE = 0.0  # without dropout, a step draws no random numbers
    if job["resume"]:
        resume_run(job["out"], machines=machines)
        return
    settings = Settings().updated({"window": 6, "horizon": 3, "model": job["model"], "training": job["training"]})
    train_run(job["data"], job["out"], settings, machines=machines)


def _environment(rank: int, world: int, port: int) -> dict[str, str]:
    """Return the variables that torchrun sets for a rank on one machine."""
    return {
        "TORCHELASTIC_RUN_ID": "test",
        "RANK": str(rank),
        "LOCAL_RANK": str(rank),
        "GROUP_RANK": "0",
        "WORLD_SIZE": str(world),
        "LOCAL_WORLD_SIZE": str(world),
        "GROUP_WORLD_SIZE": "1",
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
    }


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def _checkpoints(job: dict[str, Any]) -> set[Path]:
    return set((Path(job["out"]) / "checkpoints").glob("step-*.safetensors"))


def _wait_for_checkpoint(job: dict[str, Any], old_checkpoints: set[Path]) -> None:
    deadline = time.monotonic() + 60
    while not _checkpoints(job) - old_checkpoints and time.monotonic() < deadline:
        time.sleep(0.005)


if __name__ == "__main__":
    main(sys.argv[1])
