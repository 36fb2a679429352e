"""The double's own routes below /_double/: clips, script, faults and what was seen. No vendor has these."""

from __future__ import annotations

import wave
from collections.abc import Mapping
from typing import Protocol

import orjson
from aiohttp import web

from emulators.openai.conversation import decode_audio
from emulators.openai.faults import LIVE_KINDS, Fault, FaultQueue
from emulators.openai.script import Script, ScriptError
from emulators.openai.session import RealtimeSession
from emulators.openai.wire import JsonObject, RequestError
from emulators.sound import measure_ms, read_wav
from emulators.speech import CALLER_VOICE, Synthesiser


class Controlled(Protocol):
    """The double as these routes see it."""

    script: Script
    sessions: list[RealtimeSession]
    faults: FaultQueue
    synthesiser: Synthesiser

    def register_clip(self, mulaw: bytes, text: str) -> None: ...
    def inject(self, fault: Fault) -> None: ...


def add_control_routes(app: web.Application, double: Controlled) -> None:
    async def register_clips(request: web.Request) -> web.Response:
        """One clip, or {clips: […]} as the carrier's double lists what a caller will say."""
        body = await _read_object(request)
        listed = body.get("clips", [body])
        if not isinstance(listed, list):
            raise RequestError("clips is no list")
        registered = [await _read_clip(clip, synthesiser=double.synthesiser) for clip in listed]
        for text, audio in registered:
            double.register_clip(audio, text)
        return web.json_response([{"text": text, "audio_ms": measure_ms(audio)} for text, audio in registered])

    async def load_script(request: web.Request) -> web.Response:
        try:
            double.script = Script.parse(await request.text())
        except ScriptError as error:
            raise RequestError(str(error), code="invalid_script") from error
        return web.json_response({"rules": len(double.script.rules)})

    async def add_fault(request: web.Request) -> web.Response:
        try:
            fault = Fault.read(await _read_object(request))
        except ValueError as error:
            raise RequestError(str(error), code="invalid_fault") from error
        if fault.kind not in LIVE_KINDS:
            double.inject(fault)
            return web.json_response({"waiting": fault.kind})
        struck = [
            session
            for session in double.sessions
            if not session.is_closed and fault.session_index in (None, session.index)
        ]
        for session in struck:
            session.strike(fault)
        return web.json_response({"struck": [session.index for session in struck]})

    async def clear_faults(request: web.Request) -> web.Response:
        double.faults.clear()
        return web.json_response({})

    async def list_sessions(request: web.Request) -> web.Response:
        return _answer([_describe(session) for session in double.sessions])

    async def show_session(request: web.Request) -> web.Response:
        index = request.match_info["index"]
        session = next((one for one in double.sessions if str(one.index) == index), None)
        if session is None:
            raise RequestError(f"no session {index}", status=404)
        items = [item.copy_body() | {"heard": item.heard, "audio_ms": item.audio_ms} for item in session.items]
        return _answer(_describe(session) | {"events": session.events, "sent": session.sent, "items": items})

    app.router.add_post("/_double/clips", register_clips)
    app.router.add_post("/_double/script", load_script)
    app.router.add_post("/_double/faults", add_fault)
    app.router.add_delete("/_double/faults", clear_faults)
    app.router.add_get("/_double/sessions", list_sessions)
    app.router.add_get("/_double/sessions/{index}", show_session)


async def _read_clip(clip: object, *, synthesiser: Synthesiser) -> tuple[str, bytes]:
    """{text, audio?: base64 μ-law, wav?: base64}; without sound the text is spoken by the usual caller's voice."""
    text = clip.get("text") if isinstance(clip, dict) else None
    if not isinstance(clip, dict) or not isinstance(text, str):
        raise RequestError("a clip needs a text")
    if "wav" in clip:
        return text, _read_wav(decode_audio(str(clip["wav"]), param="wav"))
    if "audio" in clip:
        return text, decode_audio(str(clip["audio"]), param="audio")
    return text, await synthesiser.speak_soon(text, voice=CALLER_VOICE)


def _read_wav(sound: bytes) -> bytes:
    try:
        return read_wav(sound)[0]
    except (ValueError, EOFError, wave.Error) as error:
        raise RequestError(f"not an 8 kHz 16-bit WAV: {error}") from error


def _describe(session: RealtimeSession) -> JsonObject:
    return {
        "index": session.index,
        "id": session.id,
        "model": session.model.id,
        "closed": session.is_closed,
        "close_code": session.record.close_code,
        "appends": session.record.append_count,
        "audio_in_ms": session.record.audio_in_ms,
        "truncations": [
            {
                "item_id": truncation.item_id,
                "content_index": truncation.content_index,
                "audio_end_ms": truncation.audio_end_ms,
                "generated_ms": truncation.generated_ms,
            }
            for truncation in session.truncations
        ],
    }


def _answer(data: object) -> web.Response:
    return web.Response(body=orjson.dumps(data), content_type="application/json")


async def _read_object(request: web.Request) -> Mapping[str, object]:
    try:
        body = orjson.loads(await request.read())
    except orjson.JSONDecodeError as error:
        raise RequestError(f"not JSON: {error}") from error
    if not isinstance(body, dict):
        raise RequestError("expected a JSON object")
    return body
