"""`python -m emulators.twilio --port N`: the carrier double as a process of its own."""

from __future__ import annotations

import argparse
import asyncio
import logging
import signal
import sys
from pathlib import Path

import uvloop

from emulators.callers import keep_clips_in
from emulators.twilio.config import DoubleConfig
from emulators.twilio.double import TwilioDouble


async def serve(config: DoubleConfig) -> None:
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for name in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(name, stopped.set)
    async with TwilioDouble(config) as double:
        sys.stdout.write(f"{double.base_url}\n")  # the one line a parent process waits for
        sys.stdout.flush()
        await stopped.wait()


def main() -> None:
    parser = argparse.ArgumentParser(prog="emulators.twilio", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0, help="0 takes a free one; the address is printed")
    parser.add_argument("--speed", type=float, default=1.0, help="call time per wall time")
    parser.add_argument("--network-delay-ms", type=float, default=0.0, help="each way on the media socket")
    parser.add_argument("--lenient", action="store_true", help="TwiML schema warnings do not fail the document")
    parser.add_argument("--cache", type=Path, help="folder of clips, shared with other doubles")
    parser.add_argument("--sip-host", action="append", default=[], help="HOST=ws://…: who stands behind a SIP host")
    given = parser.parse_args()
    if given.cache is not None:
        keep_clips_in(given.cache)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s twilio %(levelname)s %(message)s")
    config = DoubleConfig(
        host=given.host,
        port=given.port,
        speed=given.speed,
        network_delay_ms=given.network_delay_ms,
        strict=not given.lenient,
        sip_hosts=dict(entry.split("=", 1) for entry in given.sip_host),
    )
    uvloop.run(serve(config))


if __name__ == "__main__":
    main()
