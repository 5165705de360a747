"""What projects call: start, wait, signal, query, cancel.

Everything that writes here joins the caller's transaction on the durable database. An *execution* may be given as a
handle, a UUID, its text, or a `WorkflowExecution`.
"""
