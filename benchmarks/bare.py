"""The baseline of a burst: bare requests from a pool of threads, and nothing else.

python -m benchmarks.bare METHOD ADDRESS COUNT THREADS BYTES START; prints the seconds from START (Unix time) on.
"""

from __future__ import annotations

import sys
import time
from concurrent.futures import ThreadPoolExecutor

import requests


def main(method: str, address: str, count: int, threads: int, size: int, start: float) -> None:
    sessions = [requests.Session() for _ in range(threads)]
    for session in sessions:
        session.trust_env = False

    def call(number: int) -> None:
        sessions[number % threads].request(method, address, data=b"v" * size, timeout=60)

    with ThreadPoolExecutor(threads) as pool:
        time.sleep(max(0.0, start - time.time()))
        list(pool.map(call, range(count)))
    print(time.time() - start)


if __name__ == "__main__":
    method, address, count, threads, size, start = sys.argv[1:]
    main(method, address, int(count), int(threads), int(size), float(start))
