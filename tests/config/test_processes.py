"""Programs started side by side: ready together, stopped in order, and never left behind."""

import os
import select
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import psutil
import pytest

from config.processes import (
    ProcessError,
    ProcessGroup,
    Program,
    StopRequested,
    python,
    when_answering,
    when_saying,
    when_true,
)
from tests.config.engines.harness import wait_until

DEADLINE_SECONDS = 10.0

# Says when it is up and when it was asked to stop; the file is shared by all programs of a test.
_POLITE = """
import pathlib, signal, sys
name, diary = sys.argv[1], pathlib.Path(sys.argv[2])
def leave(*_):
    with diary.open("a") as file:
        file.write(name + "\\n")
    sys.exit(0)
signal.signal(signal.SIGTERM, leave)
print("up", name)
while True:
    signal.pause()
"""
_STUBBORN = """
import signal
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print("up")
while True:
    signal.pause()
"""
_WITH_A_CHILD = """
import subprocess, sys
child = subprocess.Popen([sys.executable, "-c", "import signal; signal.pause()"])
print("child", child.pid, "up")
child.wait()
"""
# Opening a pipe waits for the other end: neither gets further alone.
_MEET = """
import signal, sys
open(sys.argv[1], sys.argv[2]).close()
print("up")
signal.pause()
"""
_HTTP = """
import http.server, sys
class Handler(http.server.BaseHTTPRequestHandler):
    hits = 0
    def do_GET(self):
        Handler.hits += 1
        self.send_response(200 if Handler.hits > 1 else 503)
        self.end_headers()
server = http.server.HTTPServer(("127.0.0.1", 0), Handler)
print("port", server.server_port, flush=True)
server.serve_forever()
"""


def make_program(name: str, code: str, *arguments: str, **options: object) -> Program:
    return Program(name=name, command=python("-c", code, *arguments), **{"is_ready": when_saying("up"), **options})  # type: ignore[arg-type] # options by name


def is_gone(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def test_batches_stop_in_reverse_order(tmp_path: Path) -> None:
    diary = tmp_path / "diary"
    with ProcessGroup(logs=tmp_path / "logs") as group:
        pids = [
            group.start(make_program(name, _POLITE, name, str(diary)))[0].pid for name in ("emulators", "web", "worker")
        ]
    assert diary.read_text().split() == ["worker", "web", "emulators"]
    assert all(is_gone(pid) for pid in pids)


def test_a_batch_is_launched_whole_before_anyone_is_waited_for(tmp_path: Path) -> None:
    meeting = tmp_path / "meeting"
    os.mkfifo(meeting)
    with ProcessGroup(logs=tmp_path / "logs") as group:
        group.start(make_program("left", _MEET, str(meeting), "w"), make_program("right", _MEET, str(meeting), "r"))


def test_a_program_that_dies_early_is_reported_with_its_last_lines(tmp_path: Path) -> None:
    code = "import sys; print('binding'); sys.exit('address already in use')"
    with (
        pytest.raises(ProcessError, match="web ended with status 1") as caught,
        ProcessGroup(logs=tmp_path / "logs") as group,
    ):
        group.start(make_program("web", code))
    assert "address already in use" in str(caught.value)


def test_a_program_that_dies_later_ends_the_wait_and_the_others(tmp_path: Path) -> None:
    with (  # noqa: PT012 # the error must come from the last line, and leave the block with everything stopped
        pytest.raises(ProcessError, match="worker was killed by SIGKILL"),
        ProcessGroup(logs=tmp_path / "logs") as group,
    ):
        web, worker = group.start(
            make_program("web", _POLITE, "web", str(tmp_path / "diary")),
            make_program("worker", _POLITE, "worker", str(tmp_path / "diary")),
        )
        os.kill(worker.pid, signal.SIGKILL)
        group.wait()
    assert is_gone(web.pid)
    assert (tmp_path / "diary").read_text().split() == ["web"]


def test_a_program_that_is_never_ready_is_named_with_its_limit(tmp_path: Path) -> None:
    with (
        pytest.raises(ProcessError, match=r"media was not ready within 0\.3 s"),
        ProcessGroup(logs=tmp_path / "logs") as group,
    ):
        group.start(
            make_program("media", _STUBBORN, is_ready=when_true(lambda: False), ready_seconds=0.3, stop_seconds=0.1)
        )


def test_a_program_that_does_not_exist_is_named(tmp_path: Path) -> None:
    with (
        pytest.raises(ProcessError, match="web could not be started"),
        ProcessGroup(logs=tmp_path / "logs") as group,
    ):
        group.start(Program(name="web", command=["/nowhere/web"]))


def test_ready_means_that_a_request_succeeds(tmp_path: Path) -> None:
    with ProcessGroup(logs=tmp_path / "logs") as group:
        (server,) = group.start(make_program("web", _HTTP, is_ready=when_saying("port")))
        port = server.read_output().split()[1]
        answers = when_answering(f"http://127.0.0.1:{port}/readyz?full=1")
        assert not answers(server)  # 503
        assert answers(server)
    assert not answers(server)  # refused


def test_who_ignores_the_stop_is_killed_with_everything_it_started(tmp_path: Path) -> None:
    with ProcessGroup(logs=tmp_path / "logs") as group:
        (stubborn,) = group.start(make_program("stubborn", _STUBBORN, stop_seconds=0.2))
        (parent,) = group.start(make_program("parent", _WITH_A_CHILD))
        child = int(parent.read_output().split()[1])
        assert not is_gone(child)
    assert is_gone(stubborn.pid)
    wait_until(lambda: is_gone(child), "the grandchild ended with its group")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_wait_and_stops_everything(tmp_path: Path, number: signal.Signals) -> None:
    before = signal.getsignal(signal.SIGINT)  # ignored when a shell started the suite in the background
    with pytest.raises(StopRequested), ProcessGroup(logs=tmp_path / "logs") as group:  # noqa: PT012 # the block is what the signal leaves
        (web,) = group.start(make_program("web", _POLITE, "web", str(tmp_path / "diary")))
        threading.Timer(0.1, os.kill, [os.getpid(), number]).start()
        group.wait()
    assert is_gone(web.pid)
    assert signal.getsignal(signal.SIGINT) is before


def test_a_second_ctrl_c_ends_the_patience_and_not_the_clean_up(tmp_path: Path) -> None:
    began = time.monotonic()
    with pytest.raises(StopRequested), ProcessGroup(logs=tmp_path / "logs") as group:  # noqa: PT012 # the block is what the signal leaves
        (stubborn,) = group.start(make_program("stubborn", _STUBBORN, stop_seconds=60.0))
        threading.Timer(0.1, os.kill, [os.getpid(), signal.SIGINT]).start()
        threading.Timer(0.6, os.kill, [os.getpid(), signal.SIGINT]).start()
        group.wait()
    assert is_gone(stubborn.pid)
    assert time.monotonic() - began < DEADLINE_SECONDS


def test_what_programs_say_is_repeated_after_their_names_and_kept_in_files(tmp_path: Path) -> None:
    said: list[str] = []
    with ProcessGroup(logs=tmp_path / "logs", echo=said.append) as group:
        group.start(make_program("web", "print('one'); print('two up', end=''); import signal; signal.pause()"))
    assert said == ["       web | one", "       web | two up"]
    assert (tmp_path / "logs" / "web.log").read_text() == "one\ntwo up"


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a child that its parent died")
def test_programs_end_when_we_are_killed_with_kill_9(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from config.processes import *\n"
        "with ProcessGroup(logs=Path(sys.argv[1])) as group:\n"
        "    (web,) = group.start(Program(name='web', command=python('-c', 'import signal; signal.pause()')))\n"
        "    print(web.pid, flush=True)\n"
        "    group.wait()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)],
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    ) as parent:
        assert parent.stdout is not None
        assert select.select([parent.stdout], [], [], DEADLINE_SECONDS)[0]
        web = int(parent.stdout.readline())
        assert not is_gone(web)
        parent.kill()
    wait_until(lambda: is_gone(web), "the orphan ended")
