"""The table of /v1: paths, who may, what is taken, what is answered, what can go wrong."""

from __future__ import annotations

from typing import Any

from nullbay.agent.desk import Change, DriveHistory, JobCard, LotCard, ManifestReport, ScanAnswer
from nullbay.agent.web.api import ARCHIVE, BUNDLE, PDF, STATUSES, Api
from nullbay.agent.web.metrics import MEDIA_TYPE as METRICS_TYPE
from nullbay.agent.web.people import LOOK, STATUS_OR_LOOK, may
from nullbay.agent.web.shapes import (
    MANIFEST_MAX_BYTES,
    AskList,
    BayList,
    Bind,
    ByBay,
    ById,
    ByIdentity,
    ByReference,
    Consent,
    DestroyList,
    DriveList,
    Health,
    JobList,
    LotConsent,
    LotList,
    Manifest,
    OpenLot,
    RecordList,
    Scan,
    Window,
)
from nullbay.config.roles import Act
from nullbay.domain.status import BayStatus, StationStatus
from nullbay.web.bodies import JsonBody, RawBody
from nullbay.web.openapi import openapi
from nullbay.web.routes import Ask, EventAnswer, JsonAnswer, RawAnswer, Route
from nullbay.web.security import ANYONE

CHANGES = ("desk.conflict", "desk.forbidden", "desk.malformed", "desk.refused", "desk.stopped")
UNKNOWN = "desk.unknown"


def routes(api: Api, *, version: str) -> tuple[Route, ...]:
    """The table, the document about it included."""
    table = (*_reading(api), *_changing(api), *_records(api))
    document: dict[str, Any] = {}

    async def describe(_ask: Ask[None, None]) -> dict[str, Any]:
        return document

    whole = (
        *table,
        Route("GET", "/v1/openapi.json", "This document", LOOK, describe, JsonAnswer(Any)),
    )
    document |= openapi(whole, title="nullbay station", version=version, statuses=STATUSES)
    return whole


def _reading(api: Api) -> tuple[Route, ...]:
    return (
        Route("GET", "/healthz", "That it answers", ANYONE, api.healthz, JsonAnswer(Health)),
        Route(
            "GET",
            "/metrics",
            "For Prometheus",
            STATUS_OR_LOOK,
            api.get_metrics,
            RawAnswer((METRICS_TYPE,)),
        ),
        Route(
            "GET",
            "/v1/status",
            "The station now",
            STATUS_OR_LOOK,
            api.status,
            JsonAnswer(StationStatus),
        ),
        Route("GET", "/v1/bays", "Every bay now", LOOK, api.bays, JsonAnswer(BayList)),
        Route(
            "GET",
            "/v1/bays/{bay}",
            "One bay now",
            LOOK,
            api.bay,
            JsonAnswer(BayStatus),
            params=ByBay,
            errors=(UNKNOWN,),
        ),
        Route("GET", "/v1/drives", "Drives in bays now", LOOK, api.drives, JsonAnswer(DriveList)),
        Route(
            "GET",
            "/v1/drives/{identity}",
            "A drive's every stay and job here",
            LOOK,
            api.drive,
            JsonAnswer(DriveHistory),
            params=ByIdentity,
            errors=(UNKNOWN,),
        ),
        Route("GET", "/v1/lots", "Lots", LOOK, api.lots, JsonAnswer(LotList)),
        Route(
            "GET",
            "/v1/lots/{reference}",
            "A lot with its account",
            LOOK,
            api.lot,
            JsonAnswer(LotCard),
            params=ByReference,
            errors=(UNKNOWN,),
        ),
        Route(
            "GET",
            "/v1/jobs",
            "Proposals, then jobs, newest first",
            LOOK,
            api.jobs,
            JsonAnswer(JobList),
            params=Window,
            errors=(UNKNOWN,),
        ),
        Route(
            "GET",
            "/v1/jobs/{id}",
            "One job or proposal",
            LOOK,
            api.job,
            JsonAnswer(JobCard),
            params=ById,
            errors=(UNKNOWN,),
        ),
        Route(
            "GET",
            "/v1/scans",
            "Scans that wait for a person's answer",
            LOOK,
            api.asks,
            JsonAnswer(AskList),
        ),
        Route(
            "GET",
            "/v1/destroy-queue",
            "Drives to be destroyed",
            LOOK,
            api.destroy_queue,
            JsonAnswer(DestroyList),
        ),
        Route(
            "GET",
            "/v1/events",
            "What changes, as it does",
            LOOK,
            api.events,
            EventAnswer(Change),
            is_use=False,
        ),
    )


def _changing(api: Api) -> tuple[Route, ...]:
    approving = may(Act.APPROVE, Act.CONCUR)
    return (
        Route(
            "POST",
            "/v1/lots",
            "Open a lot",
            may(Act.LOTS),
            api.open_lot,
            JsonAnswer(LotCard),
            body=JsonBody(OpenLot),
            statuses=(201,),
            errors=(UNKNOWN, *CHANGES),
        ),
        Route(
            "POST",
            "/v1/lots/{reference}/close",
            "Close a lot",
            may(Act.LOTS),
            api.close_lot,
            JsonAnswer(LotCard),
            params=ByReference,
            errors=(UNKNOWN, *CHANGES),
        ),
        Route(
            "PUT",
            "/v1/lots/{reference}/manifest",
            "Bring the list of expected drives",
            may(Act.LOTS),
            api.take_manifest,
            JsonAnswer(ManifestReport),
            params=Manifest,
            body=RawBody(("text/csv",), MANIFEST_MAX_BYTES),
            errors=(UNKNOWN, *CHANGES),
        ),
        Route(
            "POST",
            "/v1/lots/{reference}/approve",
            "Approve the plans of a lot one has looked at",
            approving,
            api.approve_lot,
            JsonAnswer(JobList),
            params=ByReference,
            body=JsonBody(LotConsent),
            errors=(UNKNOWN, *CHANGES),
        ),
        Route(
            "POST",
            "/v1/jobs/{id}/approve",
            "Approve a plan",
            approving,
            api.approve,
            JsonAnswer(JobCard),
            params=ById,
            body=JsonBody(Consent),
            errors=(UNKNOWN, *CHANGES),
        ),
        Route(
            "POST",
            "/v1/jobs/{id}/abort",
            "Conclude a job now, or stop a countdown",
            may(Act.ABORT),
            api.abort,
            JsonAnswer(JobCard),
            params=ById,
            errors=(UNKNOWN, *CHANGES),
        ),
        Route(
            "POST",
            "/v1/scans",
            "What a scanner typed",
            may(Act.SCAN),
            api.scan,
            JsonAnswer(ScanAnswer),
            body=JsonBody(Scan),
            errors=CHANGES,
        ),
        Route(
            "POST",
            "/v1/scans/{id}/bind",
            "Say which drive a scan means",
            may(Act.SCAN),
            api.bind,
            JsonAnswer(ScanAnswer),
            params=ById,
            body=JsonBody(Bind),
            errors=CHANGES,
        ),
        Route(
            "POST",
            "/v1/scans/{id}/withdraw",
            "Take a scan back",
            may(Act.SCAN),
            api.withdraw,
            JsonAnswer(ScanAnswer),
            params=ById,
            errors=CHANGES,
        ),
    )


def _records(api: Api) -> tuple[Route, ...]:
    files = (
        ("bundle", "The signed record", api.bundle, BUNDLE),
        ("archive", "The evidence archive", api.archive, ARCHIVE),
        ("pdf", "The record as a document", api.pdf, PDF),
    )
    return (
        Route(
            "GET",
            "/v1/records",
            "Finished records, newest first",
            LOOK,
            api.records,
            JsonAnswer(RecordList),
            params=Window,
            errors=(UNKNOWN,),
        ),
        *(
            Route(
                "GET",
                f"/v1/records/{{id}}/{name}",
                summary,
                LOOK,
                handler,
                RawAnswer((media_type,)),
                params=ById,
                errors=(UNKNOWN,),
            )
            for name, summary, handler, media_type in files
        ),
    )
