"""How processes end, and how they fork: each test runs a script of its own."""

from __future__ import annotations

import signal
import subprocess
import sys
import textwrap
from typing import TYPE_CHECKING

import pytest

from otas_middleware.localbrain import LocalBrain, Mode
from support.delivery import RawServer

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

HEAD = """
import atexit, multiprocessing, os, signal, sys, threading, time
from support.delivery import Item, balance, build, settings
from otas_middleware._delivery import Pipeline

url, key, token, spool = sys.argv[1:]
values = {"sdk_key": key, "spool_dir": spool or None, "shutdown_timeout": 20.0}

def open_pipeline(**more):
    return Pipeline(settings(url, **{**values, **more}), build)

def put(pipeline, *paths):
    for path in paths:
        pipeline.put(Item(path=path, token=token))
"""


class Script:
    """Runs scripts that send events to one Brain."""

    def __init__(self, brain: LocalBrain, folder: Path) -> None:
        self.brain = brain
        self.spool = ""
        self.url = brain.url
        self._token = brain.create_session()
        self._folder = folder

    def start(self, body: str, *options: str) -> subprocess.Popen[str]:
        path = self._folder / "script.py"
        path.write_text(HEAD + textwrap.dedent(body))
        arguments = [str(path), self.url, self.brain.sdk_key, self._token, self.spool]
        command = [sys.executable, *options, "-W", "error", *arguments]
        environ = {"PYTHONPATH": "tests", "PATH": ""}
        return subprocess.Popen(command, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environ)

    def run(self, body: str, *options: str, status: int = 0) -> str:
        """Run a script to its end, with options of the interpreter, and return what it printed."""
        process = self.start(body, *options)
        out, err = process.communicate(timeout=30)
        assert process.returncode == status, err
        return out + err

    def paths(self) -> list[str]:
        return sorted(event["path"] for event in self.brain.events())


@pytest.fixture
def script(tmp_path: Path) -> Iterator[Script]:
    with LocalBrain() as brain:
        yield Script(brain, tmp_path)


class TestTheEnd:
    def test_what_a_later_handler_of_the_end_records_is_delivered_there_and_then(self, script: Script) -> None:
        """Handlers run in the opposite order: the application's earliest are called after ours."""
        script.brain.faults.slow_ms = 300
        script.run(
            """
            atexit.register(lambda: put(pipeline, "/last"))
            pipeline = open_pipeline()
            put(pipeline, "/first")
            """
        )
        assert script.paths() == ["/first", "/last"]

    def test_a_later_handler_of_the_end_has_no_more_time_than_the_end_itself(self, script: Script) -> None:
        with RawServer(lambda _connection, _request: None) as hole:
            script.url = hole.url
            out = script.run(
                """
                def record():
                    put(pipeline, "/x")
                    begun = time.monotonic()
                    put(pipeline, *["/x"] * 20)
                    stats = pipeline.stats()
                    print(time.monotonic() - begun < 20, stats["captured"], stats["dropped"], balance(stats))

                atexit.register(record)
                pipeline = open_pipeline(shutdown_timeout=2.0)
                put(pipeline, "/x")
                """
            )
        assert "True 22 {'exit': 22} 0\n" in out

    def test_what_is_recorded_too_late_to_be_delivered_is_said_to_be_lost(self, script: Script) -> None:
        out = script.run(
            """
            class Left:  # as a response that nobody has closed
                def __init__(self, pipeline):
                    self.pipeline = pipeline

                def __del__(self, put=put):
                    put(self.pipeline, "/last")

            pipeline = open_pipeline()
            put(pipeline, "/first")
            left = Left(pipeline)
            """
        )
        assert "/last" in script.paths() or "events for brain were lost: 1 exit" in out

    @pytest.mark.parametrize("ending", ["", "sys.exit(0)", "raise SystemExit"])
    def test_what_is_queued_is_delivered_when_the_script_ends(self, script: Script, ending: str) -> None:
        script.run(f"put(open_pipeline(), '/a', '/b', '/c')\n{ending}")
        assert script.paths() == ["/a", "/b", "/c"]

    def test_events_are_delivered_after_an_exception_too(self, script: Script) -> None:
        script.run("put(open_pipeline(), '/a')\nraise ValueError", status=1)
        assert script.paths() == ["/a"]

    def test_events_are_delivered_after_control_c_too(self, script: Script) -> None:
        body = "put(open_pipeline(), '/a')\nos.kill(os.getpid(), signal.SIGINT)\ntime.sleep(9)"
        process = script.start(body)
        _, err = process.communicate(timeout=30)
        assert process.returncode in {1, -signal.SIGINT}, err
        assert "KeyboardInterrupt" in err
        assert script.paths() == ["/a"]

    def test_also_when_a_server_turns_sigterm_into_an_exit_and_its_handler_is_left_alone(self, script: Script) -> None:
        out = script.run(
            """
            def handler(*_):
                sys.exit(0)

            signal.signal(signal.SIGTERM, handler)
            before = [signal.getsignal(number) for number in signal.valid_signals()]
            pipeline = open_pipeline()
            put(pipeline, "/a")
            print(before == [signal.getsignal(number) for number in signal.valid_signals()])
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(9)
            """
        )
        assert out == "True\n"
        assert script.paths() == ["/a"]

    def test_also_what_another_exit_handler_adds_when_no_thread_can_be_started_any_more(self, script: Script) -> None:
        script.run(
            """
            pipeline = open_pipeline()
            atexit.register(put, pipeline, "/late")  # runs before ours, which was registered first
            """
        )
        assert script.paths() == ["/late"]

    def test_no_thread_is_started_at_the_end(self, script: Script) -> None:
        script.run(
            """
            pipeline = open_pipeline()

            def last():
                def refuse(self):
                    raise RuntimeError("can't create new thread at interpreter shutdown")

                threading.Thread.start = refuse
                put(pipeline, "/a", "/b")

            atexit.register(last)
            """
        )
        assert script.paths() == ["/a", "/b"]

    @pytest.mark.parametrize("spooled", [False, True])
    def test_a_black_hole_does_not_hold_up_the_end(self, script: Script, tmp_path: Path, spooled: bool) -> None:
        script.spool = str(tmp_path / "spool") if spooled else ""
        with RawServer(lambda _connection, _request: None) as hole:
            script.url = hole.url
            out = script.run(
                """
                begun = []

                @atexit.register
                def after_the_pipeline():
                    stats = pipeline.stats()
                    print(time.monotonic() - begun[0])
                    print(balance(stats), stats["queued"], stats["spooled"], stats["dropped"])

                pipeline = open_pipeline(shutdown_timeout=1.0, request_timeout=300.0)
                put(pipeline, *["/x"] * 500)
                time.sleep(0.2)
                atexit.register(lambda: begun.append(time.monotonic()))
                """
            )
        first, second, *_ = out.splitlines()
        assert float(first) < 10  # on a busy machine too; a request that hangs would take 300
        assert second == ("0 0 500 {}" if spooled else "0 0 0 {'exit': 500}")

    def test_what_is_left_when_somebody_is_tired_of_waiting_for_the_end_is_on_disk(
        self, script: Script, tmp_path: Path
    ) -> None:
        script.spool = str(tmp_path / "spool")
        with RawServer(lambda _connection, _request: None) as hole:
            script.url = hole.url
            out = script.run(
                """
                @atexit.register
                def after_the_pipelines():
                    first, second = (pipeline.stats() for pipeline in pipelines)
                    print(balance(first), first["spooled"], first["queued"], first["dropped"])
                    print(balance(second), second["spooled"] + second["dropped"].get("exit", 0), second["queued"])

                pipelines = [open_pipeline(sdk_key=key) for key in ("otas_aaaa_one", "otas_bbbb_two")]
                for pipeline in pipelines:
                    put(pipeline, *["/x"] * 20)

                def press_control_c():
                    while pipelines[0]._state.exporters[0]._ending is None:
                        time.sleep(0.01)
                    os.kill(os.getpid(), signal.SIGINT)

                threading.Thread(target=press_control_c, daemon=True).start()
                """
            )
        assert out.splitlines()[:2] == ["0 20 0 {}", "0 20 0"]

    def test_with_a_spool_and_brain_away_the_end_does_not_wait(self, script: Script, tmp_path: Path) -> None:
        script.spool = str(tmp_path / "spool")
        script.brain.faults.down()
        out = script.run(
            """
            pipeline = open_pipeline(shutdown_timeout=20.0)
            put(pipeline, *["/x"] * 100)
            time.sleep(0.3)
            begun = time.monotonic()
            pipeline.close()
            print(time.monotonic() - begun < 10.0, pipeline.stats()["spooled"])
            """
        )
        assert out.startswith("True 100\n")

    def test_with_a_spool_nothing_is_begun_at_the_end_that_cannot_be_answered_in_time_and_so_nothing_comes_twice(
        self, script: Script, tmp_path: Path
    ) -> None:
        script.spool = str(tmp_path / "spool")
        script.brain.faults.slow_ms = 1200
        out = script.run(
            """
            pipeline = open_pipeline(shutdown_timeout=2.2)
            put(pipeline, *(f"/{number}" for number in range(12)))
            while pipeline.stats()["delivered"] < 2:
                time.sleep(0.01)
            pipeline.close()
            stats = pipeline.stats()
            print(stats["spooled"], stats["delivered"])
            """
        )
        spooled, delivered = map(int, out.split())
        assert (spooled + delivered, spooled > 0) == (12, True)
        script.brain.faults.slow_ms = 0
        script.run(
            f"""
            pipeline = open_pipeline()
            put(pipeline, "/next")
            while pipeline.stats()["delivered"] < {spooled + 1}:
                time.sleep(0.01)
            """
        )
        assert len(script.paths()) == len(set(script.paths())) == 13

    def test_kill_dash_nine_loses_nothing_that_was_written_through(self, script: Script, tmp_path: Path) -> None:
        script.spool = str(tmp_path / "spool")
        with script.brain.faults.inject(Mode.HANG):
            script.run(
                """
                pipeline = open_pipeline(durability="spool")
                for number in range(20):
                    put(pipeline, f"/{number:02}")
                os.kill(os.getpid(), signal.SIGKILL)
                """,
                status=-signal.SIGKILL,
            )
        script.run(
            """
            pipeline = open_pipeline()
            put(pipeline, "/next")
            while pipeline.stats()["delivered"] < 21:
                time.sleep(0.01)
            """
        )
        assert set(script.paths()) == {*(f"/{number:02}" for number in range(20)), "/next"}


class TestForks:
    def test_the_parents_events_are_sent_once_and_the_childs_by_the_child(self, script: Script) -> None:
        out = script.run(
            """
            pipeline = open_pipeline()
            put(pipeline, "/parent-1", "/parent-2")
            child = os.fork()
            if child == 0:
                put(pipeline, "/child")
                print(pipeline.flush(10), pipeline.stats()["captured"], flush=True)
                os._exit(0)
            os.waitpid(child, 0)
            put(pipeline, "/parent-3")
            """
        )
        assert out == "True 1\n"
        assert script.paths() == ["/child", "/parent-1", "/parent-2", "/parent-3"]

    def test_a_fork_that_python_does_not_see(self, script: Script) -> None:
        """As uWSGI does it: no hook runs in the child, and a lock may be held by a thread that is not there."""
        out = script.run(
            """
            import ctypes

            pipeline = open_pipeline()
            put(pipeline, "/parent")
            pipeline.flush(10)
            pipeline._state.exporters[0]._queue._lock.acquire()
            child = ctypes.PyDLL(None).fork()
            if child == 0:
                put(pipeline, "/child")
                print(pipeline.flush(10), pipeline.stats()["captured"], flush=True)
                os._exit(0)
            pipeline._state.exporters[0]._queue._lock.release()
            os.waitpid(child, 0)
            """
        )
        assert out == "True 1\n"
        assert script.paths() == ["/child", "/parent"]

    def test_a_fork_in_the_middle_of_a_delivery_delivers_nothing_twice(self, script: Script) -> None:
        script.brain.faults.slow_ms = 300
        script.run(
            """
            pipeline = open_pipeline()
            put(pipeline, "/parent")
            time.sleep(0.15)
            child = os.fork()
            put(pipeline, "/child" if child == 0 else "/parent-2")
            if child:
                os.waitpid(child, 0)
            """
        )
        assert script.paths() == ["/child", "/parent", "/parent-2"]

    def test_a_child_that_a_thread_forks_delivers_and_ends_with_that_thread(self, script: Script) -> None:
        out = script.run(
            """
            pipeline = open_pipeline()
            put(pipeline, "/parent")

            def fork():
                child = os.fork()
                if child == 0:
                    put(pipeline, "/child")
                    sys.exit(0)  # ends this thread, and there is no other
                print(os.waitpid(child, 0)[1])

            import threading
            forking = threading.Thread(target=fork)
            forking.start()
            forking.join()
            """
        )
        assert out == "0\n"
        assert script.paths() == ["/child", "/parent"]

    def test_grandchildren_deliver_their_own_events(self, script: Script) -> None:
        script.run(
            """
            pipeline = open_pipeline()
            put(pipeline, "/0")
            for generation in (1, 2, 3):
                child = os.fork()
                if child:
                    os.waitpid(child, 0)
                    break
                put(pipeline, f"/{generation}")
            """
        )
        assert script.paths() == ["/0", "/1", "/2", "/3"]

    @pytest.mark.parametrize("method", ["fork", "forkserver", "spawn"])
    def test_workers_of_multiprocessing_deliver_at_their_end(self, script: Script, method: str) -> None:
        script.run(
            f"""
            def work(number):
                put(open_pipeline(), f"/worker-{{number}}")

            if __name__ == "__main__":
                context = multiprocessing.get_context("{method}")
                workers = [context.Process(target=work, args=(number,)) for number in range(3)]
                for worker in workers:
                    worker.start()
                for worker in workers:
                    worker.join()
            """
        )
        assert script.paths() == ["/worker-0", "/worker-1", "/worker-2"]

    def test_a_pipeline_made_before_the_fork_serves_the_workers_of_multiprocessing(self, script: Script) -> None:
        script.run(
            """
            pipeline = open_pipeline()
            put(pipeline, "/parent")
            context = multiprocessing.get_context("fork")
            workers = [context.Process(target=put, args=(pipeline, f"/worker-{number}")) for number in range(3)]
            for worker in workers:
                worker.start()
            for worker in workers:
                worker.join()
            """
        )
        assert script.paths() == ["/parent", "/worker-0", "/worker-1", "/worker-2"]

    def test_a_process_of_celerys_pool_delivers_at_its_end(self, script: Script, tmp_path: Path) -> None:
        pytest.importorskip("celery", reason="celery is not installed")
        script.brain.faults.slow_ms = 200  # so that most wait when the process ends, after one task
        process = script.start(
            f"""
            import warnings
            from pathlib import Path
            from celery import Celery

            warnings.simplefilter("ignore")  # tests may run as root, and Celery says that workers should not
            folder = Path({str(tmp_path)!r})
            places = {{name: str(folder / "messages") for name in ("data_folder_in", "data_folder_out")}}
            (folder / "messages").mkdir()
            (folder / "control").mkdir()
            ways = {{**places, "control_folder": str(folder / "control"), "polling_interval": 0.02}}
            app = Celery("work", broker="filesystem://", broker_transport_options=ways)
            app.conf.update(task_ignore_result=True, worker_enable_remote_control=False)

            @app.task(name="work")
            def work():
                put(open_pipeline(max_connections=1), *(f"/{{number}}" for number in range(12)))
                (folder / "done").touch()

            def end_when_done():
                while not (folder / "done").exists():
                    time.sleep(0.01)
                os.kill(os.getpid(), signal.SIGTERM)

            work.delay()
            threading.Thread(target=end_when_done, daemon=True).start()
            app.worker_main(["worker", "--concurrency=1", "--max-tasks-per-child=1", "--without-mingle", "-l", "ERROR"])
            """
        )
        _, err = process.communicate(timeout=60)
        assert script.paths() == sorted(f"/{number}" for number in range(12)), err

    def test_the_spools_file_is_not_carried_into_a_child(self, script: Script, tmp_path: Path) -> None:
        script.spool = str(tmp_path / "spool")
        script.brain.faults.down()
        process = script.start(
            """
            pipeline = open_pipeline()
            put(pipeline, *["/parent"] * 50)
            while pipeline.stats()["spooled"] < 50:
                time.sleep(0.01)
            children = []
            for _ in range(4):
                child = os.fork()
                if child == 0:
                    descriptors = [f"/proc/self/fd/{number}" for number in range(100)]
                    names = [os.readlink(name) for name in descriptors if os.path.islink(name)]
                    assert not any("sqlite" in name for name in names), names
                    put(pipeline, *["/child"] * 50)
                    pipeline.flush(10)
                    os._exit(0)
                children.append(child)
            for child in children:
                assert os.waitpid(child, 0)[1] == 0
            print("away", flush=True)
            while pipeline.stats()["delivered"] < 250:
                time.sleep(0.01)
            """
        )
        assert process.stdout is not None
        assert process.stdout.readline() == "away\n"
        script.brain.faults.up()
        _, err = process.communicate(timeout=30)
        assert process.returncode == 0, err
        assert len(script.paths()) == 250

    def test_a_child_that_has_its_parents_number_is_a_process_of_its_own(self, script: Script) -> None:
        """The first process of a container may fork one that is the first of a namespace within."""
        script.run(
            """
            os.getpid = lambda: 1
            pipeline = open_pipeline()
            put(pipeline, "/before")
            pipeline.flush(20)
            put(pipeline, "/parent")
            child = os.fork()
            if not child:
                put(pipeline, "/child")
                arrived = pipeline.flush(20)
                os._exit(0 if arrived and pipeline.stats()["captured"] == 1 else 3)
            sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
            """
        )
        assert script.paths() == ["/before", "/child", "/parent"]


class TestThreads:
    def test_where_no_thread_can_be_started_flush_delivers_and_says_so_once(self, script: Script) -> None:
        out = script.run(
            """
            def refuse(self):
                raise RuntimeError("can't start new thread")

            threading.Thread.start = refuse
            pipeline = open_pipeline()
            put(pipeline, "/a", "/b")
            print(pipeline.stats()["queued"], pipeline.flush(10), pipeline.stats()["queued"])
            put(pipeline, "/c")
            """
        )
        assert out.splitlines()[0] == "2 True 0"
        assert out.count("no thread can be started") == 1
        assert script.paths() == ["/a", "/b", "/c"]

    def test_uwsgi_without_threads_is_recognised(self, script: Script) -> None:
        out = script.run(
            """
            import types

            sys.modules["uwsgi"] = types.SimpleNamespace(has_threads=0)
            put(open_pipeline(), "/a")
            assert threading.active_count() == 1
            """
        )
        assert "--enable-threads" in out
        assert script.paths() == ["/a"]

    @pytest.mark.skipif(sys.version_info < (3, 14), reason="threads begin with an empty context")
    @pytest.mark.parametrize("durability", ["memory", "spool"])
    def test_where_threads_begin_with_their_starters_context_ours_keep_nothing_of_a_request(
        self, script: Script, tmp_path: Path, durability: str
    ) -> None:
        more = {"durability": durability, **({"spool_dir": str(tmp_path / "spool")} if durability == "spool" else {})}
        out = script.run(
            f"""
            import asyncio, contextvars, gc, weakref
            from otas_middleware.asgi import OtasMiddleware

            class User:
                pass

            seen = []
            user = contextvars.ContextVar("user")

            async def inner(scope, receive, send):
                user.set(User())
                seen.append(weakref.ref(user.get()))
                await send({{"type": "http.response.start", "status": 200, "headers": []}})
                await send({{"type": "http.response.body", "body": b"", "more_body": False}})

            async def send(message):
                pass

            app = OtasMiddleware(inner, brain_url=url, sdk_key=key, **{more})
            headers = [(b"x-otas-agent-session-token", token.encode())]
            scope = {{"type": "http", "asgi": {{"version": "3.0"}}, "method": "GET", "path": "/", "query_string": b""}}
            asyncio.run(app(scope | {{"headers": headers}}, None, send))
            print("threads of ours:", any(thread.name.startswith("otas") for thread in threading.enumerate()))
            gc.collect()
            print("kept:", seen[0]() is not None)
            """,
            "-X",
            "thread_inherit_context=1",
        )
        assert out == "threads of ours: True\nkept: False\n"
        assert script.paths() == ["/"]

    @pytest.mark.parametrize("transport", ["direct", "httpx"])
    def test_under_gevent_nobody_waits_for_what_the_first_event_needs(self, script: Script, transport: str) -> None:
        """A greenlet that imports for a quarter of a second keeps all requests of its process waiting."""
        pytest.importorskip("gevent")
        out = script.run(
            f"""
            import gevent.monkey; gevent.monkey.patch_all()
            from otas_middleware.wsgi import OtasMiddleware

            def application(environ, start_response):
                start_response("200 OK", [])
                return [b"{{}}"]

            wrapped = OtasMiddleware(application, brain_url=url, sdk_key=key, transport={transport!r})
            before = set(sys.modules)
            environ = {{"REQUEST_METHOD": "GET", "PATH_INFO": "/a", "HTTP_X_OTAS_AGENT_SESSION_TOKEN": token}}
            list(wrapped(environ, lambda *_: None))
            import otas_middleware
            assert otas_middleware.flush(20)
            print(sorted(name for name in set(sys.modules) - before if name.startswith(("otas", "http", "pydantic"))))
            """
        )
        assert out == "[]\n"
        assert script.paths() == ["/a"]

    def test_gevent_keeps_its_hub_free(self, script: Script) -> None:
        pytest.importorskip("gevent")
        script.brain.faults.slow_ms = 200
        out = script.run(
            """
            import gevent.monkey; gevent.monkey.patch_all()
            import gevent

            pipeline = open_pipeline()
            ticks = 0

            def tick():
                global ticks
                while True:
                    gevent.sleep(0.01)
                    ticks += 1

            gevent.spawn(tick)
            put(pipeline, "/a", "/b", "/c")
            print(pipeline.flush(10), ticks > 15)
            """
        )
        assert "True True" in out
        assert script.paths() == ["/a", "/b", "/c"]


def test_a_host_that_logs_everything_through_the_application_sees_nothing_of_ours(script: Script) -> None:
    out = script.run(
        """
        import logging

        pipeline = open_pipeline()

        class Everything(logging.Handler):
            def emit(self, record):
                put(pipeline, "/log/" + record.name)  # a handler that posts through the recorded application

        logging.getLogger().addHandler(Everything())
        logging.getLogger().setLevel(logging.DEBUG)
        put(pipeline, "/a")
        pipeline.flush(10)
        time.sleep(0.2)
        print(pipeline.stats()["captured"])
        """
    )
    assert out == "1\n"


def test_memory_of_a_process_is_bounded_while_brain_hangs(script: Script) -> None:
    with RawServer(lambda _connection, _request: None) as hole:
        script.url = hole.url
        out = script.run(
            """
            import resource

            pipeline = open_pipeline(shutdown_timeout=0.1)
            put(pipeline, *["/x"] * 20_000)
            before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
            put(pipeline, *["/x"] * 200_000)
            stats = pipeline.stats()
            print(balance(stats), stats["queued"], stats["dropped"]["queue_full"])
            print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 5_000)
            """
        )
    assert out.splitlines()[:2] == ["0 10000 210000", "True"]
