"""Runs one HTTP tool for a call: checks the arguments, sends within the tool's time, and always comes back with an output for the model.

It never raises (a cancelled call excepted), never repeats what might have been done unless the tool is declared idempotent
(product 7.1), and lets no secret out: not in outputs, summaries, logs or reprs.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

from agents.spec import ToolSpec
from agents.tools.answer import Scrubber, UnfitError, read_details, read_result, render_failure, render_success
from agents.tools.client import Answer, ExchangeError, Progress, Request, ToolClient
from agents.tools.request import RefusedError, Secrets, build_request, check_arguments, read_arguments

MAX_TIMEOUT_S = 60.0  # a caller on the phone waits no longer, whatever a declaration says
MAX_RETRIES = 3
FIRST_BACKOFF_S = 0.1  # doubled each time, with jitter of half to one and a half
FIRST_SHARE = 2 / 3  # of the time left goes to an attempt that may be repeated after a time-out

Status = Literal[
    "succeeded", "failed", "refused", "timed_out", "unknown"
]  # values of the call's vocabulary of tool states
Redeem = Callable[[str], str | None]

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ToolResult:
    """How a run ended. `output` is for the model; the rest is for the record and holds neither arguments nor bodies."""

    output: str = field(repr=False)
    status: Status
    http_status: int | None = None
    duration_ms: int = 0
    attempts: int = 0
    request: str = ""  # method and address without its query
    response: str = ""  # media type and size
    detail: str = ""  # the cause, for logs and operators


@dataclass(slots=True)
class _Run:
    """One run while it lasts."""

    tool: ToolSpec
    scrub: Scrubber
    started: float
    deadline: float
    attempts: int = 0
    request: Request | None = None
    redeemed: dict[str, str] = field(default_factory=dict, repr=False)  # reference → digits
    sent: bool = False  # by any attempt: the server may have acted

    def doubt(self) -> str:
        """What the model must know when an action may have been done although no good answer came (product 7.1)."""
        if not self.sent or self.tool.idempotent or (self.request is not None and self.request.method == "GET"):
            return ""
        return " Whether it was carried out is unknown: do not call it again, and tell the caller so."

    def left_s(self) -> float:
        return self.deadline - time.monotonic()


class ToolRunner:
    """Runs the tools of one tenant: `secrets` knows that tenant's secrets and no other's. Cheap; make one per call."""

    def __init__(self, secrets: Secrets, *, client: ToolClient, redeem: Redeem | None = None) -> None:
        """`redeem` turns a one-use reference to digits the caller typed in secret into those digits (product 4.5), or answers None."""
        self._secrets = secrets
        self._client = client
        self._redeem = redeem
        self._unspent: dict[
            str, str
        ] = {}  # digits whose run was refused before anything was sent: the model corrects and calls again

    async def run(self, tool: ToolSpec, arguments_json: str, *, call_id: str, idempotency_key: str) -> ToolResult:
        """Run the tool once, as the model sees it. Retries and redirects all happen inside the tool's time-out."""
        started = time.monotonic()
        timeout_s = min(max(tool.timeout_s, 0.0), MAX_TIMEOUT_S)
        run = _Run(tool, Scrubber.of([]), started, started + timeout_s)
        try:
            result = await self._prepare_and_send(run, arguments_json, idempotency_key)
        except RefusedError as refusal:
            # Wrong arguments are the model's to correct: it must not tell the caller that the tool failed.
            say = None if refusal.declaration else ""
            result = self._finish(run, "refused", str(refusal), say=say, detail=_cause_of(refusal))
        except Exception as error:
            # The call must get an answer whatever broke; the cause goes to the log with its trace, never to the model.
            logger.error(
                "tool %s of call %s broke: %s", tool.name, call_id, type(error).__name__, exc_info=_scrubbed(error)
            )
            result = self._finish(
                run, "failed", "The tool could not be run." + run.doubt(), detail=type(error).__name__
            )
        if not run.sent:
            self._unspent |= run.redeemed
        logger.info(
            "tool %s of call %s: %s, http %s, %d ms, %d attempt(s)%s",
            tool.name, call_id, result.status, result.http_status, result.duration_ms, result.attempts,
            f", {result.detail}" if result.detail else "",
        )  # fmt: skip
        return result

    async def _prepare_and_send(self, run: _Run, arguments_json: str, idempotency_key: str) -> ToolResult:
        tool = run.tool
        arguments = read_arguments(arguments_json)
        arguments = _replace_texts(arguments, lambda text: self._redeem_once(run, text))
        digits = list(run.redeemed.values())
        run.scrub = Scrubber.of(digits)  # a refusal quotes the argument it refuses
        check_arguments(tool, arguments)
        run.request, used = build_request(
            tool, arguments, fence=self._client.fence, secrets=self._secrets, idempotency_key=idempotency_key
        )
        run.scrub = Scrubber.of(digits + used)
        return await self._attempt_until_done(run, run.request)

    def _redeem_once(self, run: _Run, text: str) -> str:
        """The digits behind a reference, or the text itself; a reference named twice in one run is one use."""
        digits = run.redeemed.get(text) or self._unspent.pop(text, None)
        if digits is None and self._redeem is not None:
            digits = self._redeem(text)
        if digits is None:
            return text
        run.redeemed[text] = digits
        return digits

    async def _attempt_until_done(self, run: _Run, request: Request) -> ToolResult:
        retries = min(max(run.tool.http.retries if run.tool.http else 0, 0), MAX_RETRIES)
        while True:
            run.attempts += 1
            may_repeat = run.attempts <= retries
            progress = Progress()
            budget_s = run.left_s() * (FIRST_SHARE if may_repeat and run.tool.idempotent else 1.0)
            answer: Answer | None = None
            error: ExchangeError | TimeoutError | None = None
            try:
                answer = await self._client.exchange(request, timeout_s=budget_s, progress=progress)
            except (ExchangeError, TimeoutError) as caught:
                error = caught
            finally:
                run.sent = run.sent or progress.sent
            if may_repeat and self._worth_repeating(run.tool, answer, error, progress):
                pause_s = _pause_before(run.attempts, answer)
                if pause_s < run.left_s():
                    await asyncio.sleep(pause_s)
                    continue
            if answer is not None:
                return self._judge(run, answer)
            assert error is not None  # noqa: S101 - an exchange answers or raises
            return self._explain(run, error)

    @staticmethod
    def _worth_repeating(
        tool: ToolSpec, answer: Answer | None, error: ExchangeError | TimeoutError | None, progress: Progress
    ) -> bool:
        """Only when nothing was sent, or when doing it twice is declared to be the same as doing it once."""
        if answer is not None:
            return tool.idempotent and (answer.status >= 500 or answer.status == 429)
        if isinstance(error, ExchangeError) and error.permanent:
            return False
        return not progress.sent or tool.idempotent

    def _judge(self, run: _Run, answer: Answer) -> ToolResult:
        tool = run.tool
        if not 200 <= answer.status < 300:
            message = _describe_refusal(answer.status) + (run.doubt() if answer.status >= 500 else "")
            return self._finish(run, "failed", message, details=read_details(answer), answer=answer)
        try:
            result = read_result(answer, tool.http.response_path if tool.http else "")
        except UnfitError as error:
            return self._finish(run, "failed", str(error) + run.doubt(), answer=answer, detail=str(error))
        return self._finish(run, "succeeded", "", result=result, answer=answer)

    def _explain(self, run: _Run, error: ExchangeError | TimeoutError) -> ToolResult:
        if isinstance(error, TimeoutError):
            return self._finish(run, "timed_out", "The tool did not answer in time." + run.doubt(), detail="time-out")
        status: Status = "failed"
        if error.fault == "fenced":
            message = "The address of this tool may not be called."
            if not run.sent:
                status = "refused"
        elif error.fault == "unreachable" or not run.sent:
            message = "The tool's server cannot be reached."
        elif error.fault == "broken":
            message = "The connection to the tool's server broke."
            if run.doubt():
                status = "unknown"
        else:
            message = "The tool's server answered in a way that cannot be read."
        return self._finish(run, status, message + run.doubt(), detail=f"{error.fault}: {error}")

    def _finish(
        self,
        run: _Run,
        status: Status,
        message: str,
        *,
        say: str | None = None,
        result: Any = None,
        details: Any = None,
        answer: Answer | None = None,
        detail: str = "",
    ) -> ToolResult:
        if status == "succeeded":
            output = render_success(result, run.scrub)
        else:
            words = run.tool.on_failure if say is None else say
            output = render_failure(message, run.scrub, say=words, details=details)
        request = run.request
        address = "" if request is None else request.target.url.partition("?")[0]
        return ToolResult(
            output=output,
            status=status,
            http_status=None if answer is None else answer.status,
            duration_ms=round((time.monotonic() - run.started) * 1000),
            attempts=run.attempts,
            request="" if request is None else run.scrub.clean(f"{request.method} {address}"),
            response="" if answer is None else f"{answer.media_type or 'no type'}, {_describe_size(answer)}",
            detail=run.scrub.clean(detail)[:300],
        )


def _describe_refusal(status: int) -> str:
    if status in (401, 403):
        return "The tool's server did not accept our credentials."
    if status in (404, 410):
        return f"The tool's server found nothing (HTTP {status})."
    if status == 429:
        return "The tool's server is too busy now."
    if status >= 500:
        return f"The tool's server failed (HTTP {status})."
    return f"The tool's server did not accept the request (HTTP {status})."


def _describe_size(answer: Answer) -> str:
    return f"more than {len(answer.body)} bytes" if answer.cut else f"{len(answer.body)} bytes"


def _pause_before(attempt: int, answer: Answer | None) -> float:
    pause_s: float = FIRST_BACKOFF_S * 2 ** (attempt - 1) * random.uniform(0.5, 1.5)
    wanted = "" if answer is None else answer.headers.get("retry-after", "")
    if wanted.isascii() and wanted.isdecimal() and len(wanted) < 6:
        pause_s = max(pause_s, float(wanted))
    return pause_s


def _replace_texts(value: Any, replace: Callable[[str], str]) -> Any:
    if isinstance(value, str):
        return replace(value)
    if isinstance(value, dict):
        return {name: _replace_texts(entry, replace) for name, entry in value.items()}
    if isinstance(value, list):
        return [_replace_texts(entry, replace) for entry in value]
    return value


def _cause_of(refusal: RefusedError) -> str:
    cause = refusal.__cause__
    return f"{type(cause).__name__}: {cause}" if cause is not None and refusal.declaration else ""


def _scrubbed(error: Exception) -> Exception:
    """The error with its trace but without its text, which could quote a header."""
    return RuntimeError(type(error).__name__).with_traceback(error.__traceback__)
