"""A program as the source of a module, for a bug report: a workflow as people write them."""

from __future__ import annotations

from dataclasses import fields
from typing import Any, assert_never

from tests.programs import language as p

PRELUDE = '''\
"""To be run with two names more: register, a Registry, and scripted = install(register, ledger)."""

from tests.programs.activities import arguments, options, transfer, wrong_call
from tests.programs.interpreter import ended, gathered, selected
from tests.programs.language import Const, Script
from tests.programs.trace import ProgramError, Trace, entry_of_result, failure, is_cancel, odd


def spoiled():
    return object()  # which JSON cannot hold


def broken():
    raise ProgramError("from a side effect")


def returning(value):
    return lambda: value
'''


def source_of(program: p.Program) -> str:
    """Source that registers ``program(ctx, path)``, and its children likewise."""
    return _Writer().module(program)


class _Writer:
    def __init__(self) -> None:
        self.functions: list[str] = []
        self.children = 0
        self.lines: list[str] = []
        self.depth = 0

    def module(self, program: p.Program) -> str:
        self.function("program", program)
        return "\n\n".join([PRELUDE, *self.functions])

    def function(self, name: str, program: p.Program) -> None:
        """Functions of children come first, so that each can be read from above."""
        outer = self.lines, self.depth
        self.lines, self.depth = [], 0
        if program.timeout is not None:
            self.write(f"# started with timeout={program.timeout!r}")
        self.write("@register.workflow")
        self.write(f"def {name}(ctx, path):")
        self.depth = 1
        self.write("trace, run_id, value = Trace(), str(ctx.info.execution_id), None")
        self.write("activities = children = branches = 0")
        self.write("")
        self.write("def code():")
        self.depth = 2
        self.write("nonlocal activities, children, branches")
        self.block(program.body)
        self.depth = 1
        self.write("")
        self.write("try:")
        self.write("    value = code()")
        self.write("except Exception as error:")
        self.write("    if is_cancel(error):")
        self.write("        raise")
        self.write("    raise failure(run_id, trace, error) from error")
        self.write('return {"run": run_id, "trace": trace.entries, "value": value}')
        self.functions.append("\n".join(self.lines) + "\n")
        self.lines, self.depth = outer

    def block(self, steps: p.Block) -> None:
        for step in steps:
            self.step(step)
        if not steps:
            self.write("pass")

    def inner(self, head: str, steps: p.Block) -> None:
        self.write(head)
        self.depth += 1
        self.block(steps)
        self.depth -= 1

    def step(self, step: p.Step) -> None:
        match step:
            case p.RunActivity():
                self.bind(step, f"ctx.run_activity({self.activity(step.script)})")
            case p.StartActivity():
                self.write(f"{step.binds} = ctx.start_activity({self.activity(step.script)})")
            case p.WaitActivity():
                self.bind(step, f"ctx.wait_activity({step.handle}, timeout={step.timeout!r})")
            case p.RunChild():
                self.bind(step, f"ctx.run_workflow({self.child(step.program)})", "_child")
            case p.StartChild():
                self.write(f"{step.binds} = ctx.start_workflow({self.child(step.program)})")
            case p.WaitChild():
                self.bind(step, f"ctx.wait_workflow({step.handle}, timeout={step.timeout!r})", "_child")
            case p.Gather():
                self.call(step, f"gathered(ctx, [{', '.join(step.handles)}])", "_entry")
            case p.Select():
                waited = [f"{name!r}: {name}" for name in step.handles]
                waited += [f"'signal_{name}': ctx.signal({name!r})" for name in step.signals]
                self.call(step, f"selected(ctx, {{{', '.join(waited)}}}, {step.timeout!r})", "_entry")
            case p.StartTimer():
                self.write(f"{step.binds} = ctx.timer({step.seconds!r})")
            case p.WaitTimer():
                self.call(step, f"ctx.wait({step.handle})")
            case p.CancelTimer():
                self.call(step, f"ctx.cancel_timer({step.handle})")
            case p.Spawn():
                self.branch(step)
            case p.WaitBranch():
                self.call(step, f"entry_of_result(ctx.wait({step.handle}, timeout={step.timeout!r}))", "_entry")
            case p.Sleep():
                self.call(step, f"ctx.sleep({step.seconds!r})")
            case p.WaitSignal():
                self.bind(step, f"ctx.wait_signal({step.name!r}, timeout={step.timeout!r})")
            case p.Now():
                self.call(step, "ctx.now().isoformat()")
            case p.DrawRandom():
                self.bind(step, "ctx.random().random()")
            case p.DrawUuid():
                self.bind(step, "str(ctx.uuid4())")
            case p.SideEffect():
                made = {"raises": "broken", "spoils": "spoiled"}.get(step.how, f"returning({value_of(step.value)})")
                self.bind(step, f"ctx.side_effect({made})")
            case p.GetVersion():
                self.bind(step, f"ctx.get_version({step.change_id!r}, {step.version})")
            case p.Patched():
                self.bind(step, f"ctx.patched({step.change_id!r})")
            case p.DeprecatePatch():
                self.write(f"ctx.deprecate_patch({step.change_id!r})")
            case p.WrongCall():
                self.call(step, f"wrong_call(ctx, {step.how!r})")
            case p.Raise():
                self.write(f"raise ProgramError({step.message!r})")
            case p.Return():
                self.write(f"return {value_of(step.value)}")
            case p.Transfer():
                move = f"{step.source!r}, {step.target!r}, {step.amount}, {step.bounces}"
                self.bind(step, f"transfer(ctx, {move})")
            case p.Try():
                self.inner("try:", step.body)
                self.inner("except Exception:", step.handler)
                self.inner("finally:", step.final)
            case p.Shield():
                self.write("try:")
                self.depth += 1
                self.inner("with ctx.shield():", step.body)
                self.depth -= 1
                self.write("except Exception as error:")
                self.write(f"    trace.raised_at_the_end({step.label!r}, error)")
                self.write("    raise")
            case p.If():
                self.inner(f"if odd({value_of(step.condition)}):", step.then)
                self.inner("else:", step.otherwise)
            case p.For():
                self.inner(f"for {step.binds} in {[item.value for item in step.items]!r}:", step.body)
            case _:
                assert_never(step)

    def branch(self, step: p.Spawn) -> None:
        name = f"branch_{step.binds}"
        captured = "".join(f", {value}={value}" for value in sorted(p.free_names(step.body)))
        self.write("branches += 1")
        self.write(f'def {name}(path=f"{{path}}~{{branches}}"{captured}):')
        self.depth += 1
        self.write("trace, activities, children, branches = Trace(), 0, 0, 0")
        self.write("def code():")
        self.depth += 1
        self.write("nonlocal activities, children, branches")
        self.block(step.body)
        self.depth -= 1
        self.write("return ended(trace, code)")
        self.depth -= 1
        self.write(f"{step.binds} = ctx.spawn({name})")

    # Parts

    def bind(self, step: Any, call: str, kind: str = "") -> None:
        self.call(step, call, kind, f"{step.binds} = ")

    def call(self, step: p.Labeled, call: str, kind: str = "", target: str = "") -> None:
        note = "tried" if step.guarded else "noted"
        self.write(f"{target}trace.{note}{kind}({step.label!r}, lambda: {call})")

    def activity(self, script: p.Script) -> str:
        self.write("activities += 1")
        name = f"script{len(self.lines)}"
        changed = [field for field in fields(script) if getattr(script, field.name) != field.default]
        said = [f"{field.name}={getattr(script, field.name)!r}" for field in changed if field.name != "value"]
        self.write(f"{name} = Script({', '.join(['value=Const(None)', *said])})")
        key = 'f"{path}:{activities}"'
        return f"scripted.using(**options({name})), **arguments({name}, {key}, {value_of(script.value)})"

    def child(self, program: p.Program) -> str:
        self.children += 1
        name = f"child_{self.children}"
        self.function(name, program)
        self.write("children += 1")
        timeout = "" if program.timeout is None else f", timeout={program.timeout!r}"
        return f'{name!r}, path=f"{{path}}/{{children}}"{timeout}'

    def write(self, line: str) -> None:
        self.lines.append("    " * self.depth + line if line else "")


def value_of(expression: p.Expression) -> str:
    return expression.name if isinstance(expression, p.Ref) else repr(expression.value)
