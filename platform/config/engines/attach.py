"""Makes this process a client of the embedded engines, starting them if nobody has; stops nothing itself.

The doors of the product call it once each, before the first connection::

    from config.engines.attach import attach_engines
    attach_engines()          # does nothing when DATABASE_URL and REDIS_URL are set

The engines run as long as any client lives: each holds a shared lock that the kernel drops at its death, kill -9 included.
"""

import json
import os
import select
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from config.engines.accounts import make_open_dir
from config.engines.errors import EngineError
from config.engines.locks import hold_lock, is_locked, open_lock, take_lock
from config.engines.places import Places
from config.engines.postgres import can_open_session
from config.engines.redis import can_ping
from config.engines.urls import EnginePlan

_DEADLINE_SECONDS = 90.0  # above the supervisor's own limits, so that its message is heard instead of ours
_LOOK_SECONDS = 0.02

_held: dict[Path, int] = {}  # data directory → descriptor of the clients' lock, kept open as long as we live


def attach_engines(plan: EnginePlan | None = None) -> None:
    """Returns when the wanted engines answer. Raises EngineError. Calling it again is cheap and harmless."""
    if plan is None:
        from django.conf import settings  # not at the top: tests and scripts give a plan and need no settings

        plan = settings.ENGINES
    if not plan.is_needed:
        return
    places = plan.places
    deadline = time.monotonic() + _DEADLINE_SECONDS
    try:
        make_open_dir(places.data_dir)
        for folder in (places.control, places.logs):
            folder.mkdir(mode=0o700, exist_ok=True)
    except OSError as error:
        raise EngineError(
            f"The data directory of the embedded engines cannot be made: {error}.",
            mend="set SWITCHBOARD_DATA_DIR to a directory that this account may write",
            permanent=True,
        ) from error
    _join_clients(places, deadline=deadline)
    with hold_lock(
        places.control / "start.lock", deadline=deadline, waiting_for="another process that starts the engines"
    ):
        while not _is_answering(plan):
            if not is_locked(places.control / "supervisor.lock"):
                _start_supervisor(plan, deadline=deadline)
            elif time.monotonic() > deadline:
                raise EngineError(
                    "The embedded engines are running, but do not answer.",
                    mend=f"read the logs in {places.logs}, end the process that holds "
                    f"{places.control / 'supervisor.lock'} and try again",
                    permanent=False,
                    log=places.logs / "engines.log",
                )
            else:
                _check_same_wishes(plan)
                time.sleep(_LOOK_SECONDS)


def detach_engines(plan: EnginePlan) -> None:
    """Stops being a client before the end of the process; the engines stop when nobody else is one."""
    descriptor = _held.pop(plan.places.data_dir, None)
    if descriptor is not None:
        os.close(descriptor)


def _join_clients(places: Places, *, deadline: float) -> None:
    if places.data_dir in _held:
        return
    descriptor = open_lock(places.control / "clients.lock")
    # Held exclusively only by a supervisor that is stopping its engines: wait for the end, then start new ones.
    if not take_lock(descriptor, deadline=deadline, shared=True):
        os.close(descriptor)
        raise EngineError(
            "The embedded engines are being stopped and do not come to an end.",
            mend=f"read the logs in {places.logs} and end the process that holds {places.control / 'clients.lock'}",
            permanent=False,
            log=places.logs / "engines.log",
        )
    _held[places.data_dir] = descriptor


def _is_answering(plan: EnginePlan) -> bool:
    return (not plan.wants_postgres or can_open_session(plan.places.postgres_socket)) and (
        not plan.wants_redis or can_ping(plan.places.redis_socket)
    )


def _check_same_wishes(plan: EnginePlan) -> None:
    """The first client decides which engines run; one that wants more is told so, instead of waiting in vain."""
    try:
        running = json.loads(plan.places.wishes.read_text())
    except (FileNotFoundError, json.JSONDecodeError):
        return  # just being written
    for name, wanted in (("postgres", plan.wants_postgres), ("redis", plan.wants_redis)):
        if wanted and not running[name]:
            raise EngineError(
                f"The embedded engines of {plan.places.data_dir} run without {name}: a process with other settings came first.",
                mend="set DATABASE_URL and REDIS_URL alike for all processes of one data directory, and end that process",
                permanent=False,
            )


def _start_supervisor(plan: EnginePlan, *, deadline: float) -> None:
    places = plan.places
    wanted = {
        "data_dir": str(places.data_dir),
        "home": str(places.home),
        "postgres": plan.wants_postgres,
        "redis": plan.wants_redis,
        "throwaway": plan.is_throwaway,
    }
    search_path = [str(Path(__file__).parents[2]), *filter(None, [os.environ.get("PYTHONPATH")])]
    log = places.logs / "engines.log"
    reading, writing = os.pipe()
    with log.open("ab") as stderr, os.fdopen(reading, "rb") as reports:
        try:
            launcher = subprocess.Popen(  # noqa: S603 # our own module
                [sys.executable, "-P", "-m", "config.engines.supervisor", json.dumps(wanted)],
                stdin=subprocess.DEVNULL,
                stdout=writing,
                stderr=stderr,
                cwd="/",
                start_new_session=True,
                env={**os.environ, "PYTHONPATH": os.pathsep.join(search_path)},
            )
        finally:
            os.close(writing)
        launcher.wait()  # it forks at once, and the fork is the supervisor
        ready, _, _ = select.select([reports], [], [], max(0.0, deadline - time.monotonic()))
        line = reports.readline() if ready else b""
    report: dict[str, Any] = json.loads(line) if line else {"status": "silent"}
    if report["status"] == "failed":
        raise EngineError(**report["error"])
    if report["status"] == "silent":
        raise EngineError(
            "The supervisor of the embedded engines said nothing.",
            mend=f"read {log}",
            permanent=False,
            log=log,
        )
