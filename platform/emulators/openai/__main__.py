"""Runs the double as a process: `python -m emulators.openai --port 8090`. It ends on SIGINT and SIGTERM."""

from __future__ import annotations

import argparse
import asyncio
import dataclasses
import signal
import sys
from pathlib import Path

import uvloop

from emulators.openai.config import DoubleConfig, Timing
from emulators.openai.double import OpenAIDouble
from emulators.openai.script import Script


def read_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m emulators.openai", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0, help="0 takes any free port; the address is printed")
    parser.add_argument("--api-key", action="append", help="an accepted key; may be given more than once")
    parser.add_argument("--script", type=Path, help="YAML or JSON of rules")
    parser.add_argument("--cache", type=Path, help="folder for synthesised speech, may be shared")
    parser.add_argument("--keep-audio-ms", type=int, default=60_000, help="sound kept per session and direction")
    parser.add_argument("--first-delta-ms", type=int, default=Timing().first_delta_ms)
    parser.add_argument("--speech-factor", type=float, default=Timing().speech_factor)
    parser.add_argument("--project", default="", help="the SIP address's user part; empty takes any")
    parser.add_argument("--webhook-url", default="", help="where invitations are announced")
    parser.add_argument("--webhook-secret", default="")
    return parser.parse_args()


async def run(arguments: argparse.Namespace) -> None:
    config = DoubleConfig(
        host=arguments.host,
        port=arguments.port,
        cache_dir=arguments.cache,
        recorded_audio_ms=arguments.keep_audio_ms,
        project=arguments.project,
        webhook_url=arguments.webhook_url,
        webhook_secret=arguments.webhook_secret,
        timing=Timing(first_delta_ms=arguments.first_delta_ms, speech_factor=arguments.speech_factor),
    )
    if arguments.api_key:
        config = dataclasses.replace(config, api_keys=tuple(arguments.api_key))
    script = Script.parse(arguments.script.read_text()) if arguments.script else None
    stopped = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    async with OpenAIDouble(config, script=script) as double:
        sys.stdout.write(f"openai double on {double.api_base_url}\n")
        sys.stdout.flush()
        await stopped.wait()


if __name__ == "__main__":
    uvloop.run(run(read_arguments()))
