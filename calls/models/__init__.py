"""The rooms' rows, gathered where Django looks for them."""

from calls.models.aftermath import AfterStep
from calls.models.call import Call, CallEvent, Leg, ToolRun, Turn, UsageRecord
from calls.models.desk import BulkAct, CallNote, ColumnChoice, SavedView, Tag
from calls.models.export import CallExport
from calls.models.ledger import LedgerEntry, Rate, RateCard
from calls.models.live import FlightChunk, Lease, OperatorEvent, Process
from calls.models.order import Listener, LiveOrder
from calls.models.outbox import WebhookAttempt, WebhookDelivery, WebhookEndpoint
from calls.models.recording import Recording
from calls.models.rollup import Budget, CallRollup, CostlyCall, CostRollup, RollupDay
from calls.models.route import Route
from calls.models.search import CallSearch
from calls.models.sip import SipInvitation, SipTrunk
from calls.models.trial import TrialCall

__all__ = [
    "RollupDay",
    "CostRollup",
    "CostlyCall",
    "CallRollup",
    "Budget",
    "AfterStep",
    "BulkAct",
    "Call",
    "CallEvent",
    "CallExport",
    "CallNote",
    "CallSearch",
    "ColumnChoice",
    "FlightChunk",
    "Lease",
    "LedgerEntry",
    "Leg",
    "Listener",
    "LiveOrder",
    "OperatorEvent",
    "Process",
    "Rate",
    "RateCard",
    "Recording",
    "Route",
    "SavedView",
    "SipInvitation",
    "SipTrunk",
    "Tag",
    "ToolRun",
    "TrialCall",
    "Turn",
    "UsageRecord",
    "WebhookAttempt",
    "WebhookDelivery",
    "WebhookEndpoint",
]
