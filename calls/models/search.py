"""One search row per call: its facets, kept by a trigger, and the words spoken in it, written after the call (decision 17). Rows only."""

from __future__ import annotations

from django.contrib.postgres.fields import ArrayField
from django.contrib.postgres.indexes import GinIndex
from django.contrib.postgres.search import SearchVectorField
from django.db import models

from calls.models.call import Call
from tenants.base import TenantModel


class CallSearch(TenantModel):
    """What every filter and every search word of the calls list is looked up in, by one GIN index.

    `facets` holds plain words like `outcome:failed`, `tag:billing`, `day:20411`; calls.models.facets makes them. The one other way in
    is the call's own key: with a second index by time the planner would walk all of a large tenant's calls for a rare word.
    """

    call = models.OneToOneField(Call, on_delete=models.CASCADE, related_name="search")
    created_at = models.DateTimeField()  # the call's
    facets = ArrayField(models.TextField(), default=list)
    words = SearchVectorField(null=True)

    class Meta:
        indexes = [GinIndex(fields=["facets", "words"], name="call_search_all", fastupdate=False)]

    def __str__(self) -> str:
        return str(self.call_id)
