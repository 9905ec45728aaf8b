"""The measured process: a whole controller on the free cloud, which answers `stats` and `stop` on its input.

Usage: python -m tests.bench.child KUBECONFIG STATE_FILE
"""

from __future__ import annotations

import json
import resource
import sys
import threading
from pathlib import Path

from lbctl.clock import SystemClock
from lbctl.engine.process import Process
from lbctl.obs.log import set_up
from lbctl.settings import load
from tests.bench import free_cloud

PAGE_MIB = resource.getpagesize() / 2**20


def stats(process: Process) -> dict[str, object]:
    """What this process has used and done so far."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    account = process.assembly.accounts["free"]
    settled = account.snapshot_at is not None and process.assembly.controller.is_settled
    return {
        "cpu": usage.ru_utime + usage.ru_stime,
        "rss": int(Path("/proc/self/statm").read_text().split()[1]) * PAGE_MIB,
        "peak": usage.ru_maxrss / 1024,
        "synced": process.is_synced,
        "settled": settled,
        "writes": account.driver.writes,
        "services": len(account.services),
    }


def main() -> None:
    """Run until told to stop."""
    kubeconfig, state = sys.argv[1:3]
    set_up(form="text", verbosity=0)
    load_aws_sdk()
    flags = {
        "kube.kubeconfig": kubeconfig,
        "kube.qps": 5000,
        "kube.burst": 5000,
        "obs.address": "",
        "cluster.id": "bench",
        "accounts.free.provider": "free",
        "accounts.free.settings.file": state,
    }
    settings = load(file=None, environ={}, flags=flags).settings
    process = Process(settings, clock=SystemClock(), find=lambda _name: free_cloud.INFO)
    runner = threading.Thread(target=process.run)
    runner.start()
    for line in sys.stdin:
        if line.strip() == "stats":
            print(json.dumps(stats(process)), flush=True)
        else:
            break
    process.stop()
    runner.join()


def load_aws_sdk() -> None:
    """Hold what the AWS driver holds, because the memory that is promised is with it loaded."""
    import boto3

    session = boto3.Session(aws_access_key_id="x", aws_secret_access_key="x", region_name="eu-west-1")
    load_aws_sdk.clients = [session.client(name) for name in ("ec2", "elb", "elbv2")]  # type: ignore[attr-defined]


if __name__ == "__main__":
    main()
