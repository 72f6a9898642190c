"""A local Brain as a process of its own: `python -m otas_middleware._demo.brain_process DATABASE`.

Prints one line of JSON, how to reach it, once it answers; ends on SIGTERM.
"""

from __future__ import annotations

import json
import signal
import sys

from otas_middleware.localbrain import LocalBrain

if __name__ == "__main__":
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})  # before there are threads, which inherit it
    with LocalBrain(db=sys.argv[1]) as brain:
        print(json.dumps({"environ": brain.environment(), "user_token": brain.user_token}), flush=True)
        signal.sigwait({signal.SIGTERM})
