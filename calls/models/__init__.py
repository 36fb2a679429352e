"""The rooms' rows, gathered where Django looks for them."""

from calls.models.aftermath import AfterStep
from calls.models.call import Call, CallEvent, Leg, ToolRun, Turn, UsageRecord
from calls.models.ledger import LedgerEntry, Rate, RateCard
from calls.models.live import FlightChunk, Lease, OperatorEvent, Process
from calls.models.recording import Recording
from calls.models.route import Route

__all__ = [
    "AfterStep",
    "Call",
    "CallEvent",
    "FlightChunk",
    "Lease",
    "LedgerEntry",
    "Leg",
    "OperatorEvent",
    "Process",
    "Rate",
    "RateCard",
    "Recording",
    "Route",
    "ToolRun",
    "Turn",
    "UsageRecord",
]
