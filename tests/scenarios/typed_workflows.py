"""Workflows whose payloads are more than JSON has."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from enum import Enum
from typing import TYPE_CHECKING, NamedTuple
from uuid import UUID

import pydantic

from django_durable import ModelRef, PayloadError, register
from django_durable.models import WorkflowExecution

if TYPE_CHECKING:
    from django_durable import WorkflowContext


class Size(Enum):
    SMALL = "S"
    LARGE = "L"


class Line(NamedTuple):
    size: Size
    net: Decimal


class Address(pydantic.BaseModel):
    city: str
    since: date


@dataclass(frozen=True)
class Order:
    id: UUID
    lines: tuple[Line, ...]
    to: Address
    express: timedelta | None = None


@register.activity
def total_of(order: Order, at: datetime) -> dict[Size, Decimal]:
    assert isinstance(order, Order)
    assert isinstance(at, datetime)
    totals: dict[Size, Decimal] = {}
    for line in order.lines:
        totals[line.size] = totals.get(line.size, Decimal(0)) + line.net
    return totals


@register.workflow
def sums_up(ctx: WorkflowContext, order: Order) -> tuple[str, Decimal, Address]:
    """What it is given, at every step."""
    totals = ctx.run_activity(total_of, order, ctx.now())
    ctx.sleep(0.01)
    more = ctx.wait_signal("line", type=Line)
    again = ctx.run_workflow(sums_one, line=more)
    return order.__class__.__name__, sum(totals.values(), Decimal(0)) + again, order.to


@register.workflow
def sums_one(ctx: WorkflowContext, line: Line) -> Decimal:
    return line.net


@register.activity
def name_of(ref: ModelRef[WorkflowExecution]) -> str:
    return ref.get().workflow_name


@register.workflow
def follows(ctx: WorkflowContext, ref: ModelRef[WorkflowExecution]) -> tuple[str, str]:
    """A reference is passed along, and followed where it may be."""
    said = ""
    try:
        ref.get()
    except Exception as error:  # noqa: BLE001 - what it says
        said = str(error)
    return ctx.run_activity(name_of, ref), said


@register.workflow
def hands_over_a_model(ctx: WorkflowContext, ref: ModelRef[WorkflowExecution]) -> str:
    try:
        ctx.run_activity("echo", WorkflowExecution(workflow_name="x"))
    except PayloadError as error:
        return str(error)
    return ""
