"""A Celery project for tests: an application on a real broker, and workers that deliver to a local Brain."""

from __future__ import annotations

import contextlib
import importlib
import os
import signal
import subprocess
import sys
import textwrap
from typing import TYPE_CHECKING, Any

from otas_middleware._delivery import Pipeline
from support.delivery import build, settings

if TYPE_CHECKING:
    from pathlib import Path

    from otas_middleware.localbrain import LocalBrain
    from support.brokers import Broker


class Farm:
    """A Celery project on one broker: an application, workers, and what lies in its queues."""

    def __init__(self, folder: Path, broker: Broker, brain: LocalBrain, conf: dict[str, object] | None = None) -> None:
        self.brain = brain
        self.broker = broker
        self.queue = f"otas-{folder.name}"
        self._folder = folder
        self._name = f"proj_{abs(hash(folder))}"
        self._workers: list[subprocess.Popen[bytes]] = []
        self._pipelines: list[Pipeline] = []
        (folder / f"{self._name}.py").write_text(
            textwrap.dedent(f"""
                from celery import Celery

                app = Celery("proj", broker={broker.url!r})
                app.conf.imports = ("otas_middleware.celery",)
                app.conf.worker_prefetch_multiplier = 1
                app.conf.broker_connection_retry_on_startup = True
                app.conf.worker_cancel_long_running_tasks_on_connection_loss = True
                app.conf.update({conf or {}!r})
                if app.conf.broker_url.startswith("redis"):
                    app.conf.broker_transport_options = {{
                        "visibility_timeout": 2,
                        "polling_interval": 0.1,
                        # Else kombu looks for messages that nobody acknowledged at its start and every 100 seconds.
                        "unacked_restore_interval": 1,
                        "unacked_restore_throttle": 1,
                    }}

                @app.task(name="capture", shared=False)
                def capture(url, key, token):
                    from support.delivery import Item, build, settings
                    from otas_middleware._delivery import Pipeline
                    Pipeline(settings(url, sdk_key=key, shutdown_timeout=20.0), build).put(Item("/task", token))
                """)
        )
        sys.path.insert(0, str(folder))

    def pipeline(self, **values: Any) -> Pipeline:
        """A pipeline that hands its events to this broker."""
        defaults: dict[str, Any] = {
            "transport": "celery",
            "celery_app": f"{self._name}:app",
            "celery_queue": self.queue,
            "sdk_key": self.brain.sdk_key,
        }
        opened = Pipeline(settings(self.brain.url, **{**defaults, **values}), build)
        self._pipelines.append(opened)
        return opened

    @property
    def app(self) -> Any:
        return importlib.import_module(self._name).app

    def worker(self, queue: str | None = None, **environ: str) -> subprocess.Popen[bytes]:
        """Start a worker with two processes."""
        command = [sys.executable, "-m", "celery", "-A", f"{self._name}:app", "worker", "-Q", queue or self.queue]
        command += ["-c", "2", "-l", "INFO", "--without-gossip", "--without-mingle", "-n", f"{len(self._workers)}@test"]
        base = {
            "PATH": os.environ["PATH"],
            "PYTHONPATH": f"{self._folder}:tests",
            "OTAS_SDK_KEY": self.brain.sdk_key,
            "OTAS_BRAIN_URL": self.brain.url,
            "OTAS_CELERY_QUEUE": self.queue,
            "OTAS_MAX_RETRY_DELAY": "0.2",
            "OTAS_MAX_RETRIES": "2",
        }
        with (self._folder / "worker.log").open("ab") as log:
            process = subprocess.Popen(command, env={**base, **environ}, stdout=log, stderr=log, start_new_session=True)
        self._workers.append(process)
        return process

    def log(self) -> str:
        return (self._folder / "worker.log").read_text()

    def kill(self, worker: subprocess.Popen[bytes]) -> None:
        """Kill a worker with all its processes, as the kernel does when memory runs out."""
        os.killpg(worker.pid, signal.SIGKILL)
        worker.wait(10)

    def waiting(self, queue: str | None = None) -> int:
        """How many messages wait in a queue."""
        with self.app.connection_for_read() as connection:
            try:
                found = connection.default_channel.queue_declare(queue or self.queue, passive=True)
            except connection.channel_errors:
                return 0  # a queue that nothing was ever put into, or an empty one of Redis
            count: int = found.message_count
            return count

    def close(self) -> None:
        for pipeline in self._pipelines:
            pipeline.close(0.0)
        for worker in self._workers:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(worker.pid, signal.SIGTERM)
        for worker in self._workers:
            try:
                worker.wait(15)
            except subprocess.TimeoutExpired:
                self.kill(worker)
        sys.path.remove(str(self._folder))
        self.app.close()
