"""Durable workflows for Django.

    from django_durable import register, start_workflow

    @register.activity
    def send_welcome_email(user_id: int) -> None: ...

    @register.workflow
    def onboard_user(ctx, user_id: int):
        ctx.run_activity(send_welcome_email, user_id)
        ctx.sleep(3 * 24 * 3600)

    start_workflow(onboard_user, user_id=7)

May be imported before Django is set up: nothing here reads settings or models until it is called.
"""

from django_durable.api.handles import WorkflowHandle
from django_durable.api.messages import (
    acancel_workflow,
    asend_signal,
    asignal_workflow,
    aupdate_workflow,
    cancel_workflow,
    send_signal,
    signal_workflow,
    update_workflow,
)
from django_durable.api.queries import aquery_workflow, query_workflow
from django_durable.api.starting import (
    arun_workflow,
    asignal_with_start,
    astart_workflow,
    astart_workflows,
    run_workflow,
    signal_with_start,
    start_workflow,
    start_workflows,
)
from django_durable.api.waiting import await_workflow, wait_workflow
from django_durable.completions import (
    acomplete_activity,
    afail_activity,
    aheartbeat_activity,
    complete_activity,
    fail_activity,
    heartbeat_activity,
)
from django_durable.life import (
    afork_workflow,
    apause_workflow,
    aresume_workflow,
    aretry_workflow,
    fork_workflow,
    pause_workflow,
    resume_workflow,
    retry_workflow,
)
from django_durable.outputs import StreamItem, aget_event, aread_stream, get_event, read_stream
from django_durable.refs import ModelRef
from django_durable.registration import register
from durable_core.activity import activity_heartbeat, current_activity
from durable_core.async_context import AsyncWorkflowContext
from durable_core.context import WorkflowContext
from durable_core.definitions import remote_activity, remote_workflow
from durable_core.errors import (
    ActivityCanceled,
    ActivityError,
    ActivityTimeout,
    BatchFailed,
    BranchCanceled,
    ChildCanceled,
    CompleteLater,
    CompletionError,
    CompletionTokenExpired,
    CompletionTokenUnknown,
    CompletionTokenUsed,
    ConfigurationError,
    DurableError,
    LimitExceeded,
    NondeterminismError,
    NotForkable,
    NotInWorkflow,
    NotReopenable,
    PayloadError,
    QueryFailed,
    SagaError,
    ScopeCanceled,
    SideEffectError,
    StoreUnavailable,
    TimerCanceled,
    TransactionConflict,
    TransactionRefused,
    UnknownActivityError,
    UnknownExecutionError,
    UnknownQueryError,
    UnknownUpdateError,
    UnknownWorkflowError,
    UpdateFailed,
    UpdateRejected,
    WaitTimeout,
    WorkflowAlreadyStarted,
    WorkflowCanceled,
    WorkflowClosed,
    WorkflowError,
    WorkflowFailed,
    WorkflowTimeout,
)
from durable_core.policies import BatchResult, CompletionPolicy, ItemStatus
from durable_core.retry import RetryPolicy

__all__ = [
    "ActivityCanceled",
    "ActivityError",
    "ActivityTimeout",
    "AsyncWorkflowContext",
    "BatchFailed",
    "BatchResult",
    "BranchCanceled",
    "ChildCanceled",
    "CompleteLater",
    "CompletionError",
    "CompletionPolicy",
    "CompletionTokenExpired",
    "CompletionTokenUnknown",
    "CompletionTokenUsed",
    "ConfigurationError",
    "DurableError",
    "ItemStatus",
    "LimitExceeded",
    "ModelRef",
    "NondeterminismError",
    "NotForkable",
    "NotInWorkflow",
    "NotReopenable",
    "PayloadError",
    "QueryFailed",
    "RetryPolicy",
    "SagaError",
    "ScopeCanceled",
    "SideEffectError",
    "StoreUnavailable",
    "StreamItem",
    "TimerCanceled",
    "TransactionConflict",
    "TransactionRefused",
    "UnknownActivityError",
    "UnknownExecutionError",
    "UnknownQueryError",
    "UnknownUpdateError",
    "UnknownWorkflowError",
    "UpdateFailed",
    "UpdateRejected",
    "WaitTimeout",
    "WorkflowAlreadyStarted",
    "WorkflowCanceled",
    "WorkflowClosed",
    "WorkflowContext",
    "WorkflowError",
    "WorkflowFailed",
    "WorkflowHandle",
    "WorkflowTimeout",
    "acancel_workflow",
    "acomplete_activity",
    "activity_heartbeat",
    "afail_activity",
    "afork_workflow",
    "aget_event",
    "aheartbeat_activity",
    "apause_workflow",
    "aquery_workflow",
    "aread_stream",
    "aresume_workflow",
    "aretry_workflow",
    "arun_workflow",
    "asend_signal",
    "asignal_with_start",
    "asignal_workflow",
    "astart_workflow",
    "astart_workflows",
    "aupdate_workflow",
    "await_workflow",
    "cancel_workflow",
    "complete_activity",
    "current_activity",
    "fail_activity",
    "fork_workflow",
    "get_event",
    "heartbeat_activity",
    "pause_workflow",
    "query_workflow",
    "read_stream",
    "register",
    "remote_activity",
    "remote_workflow",
    "resume_workflow",
    "retry_workflow",
    "run_workflow",
    "send_signal",
    "signal_with_start",
    "signal_workflow",
    "start_workflow",
    "start_workflows",
    "update_workflow",
    "wait_workflow",
]
