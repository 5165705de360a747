"""Random workflow programs, each with three meanings: a real workflow, a model of what it may do, and source text.

    program = generate(random.Random(seed), size=8)
    run(ctx, program, path="r1")                      # interpreter: the real workflow
    judge(seen, circumstances).complaints             # model: what of the outcome it does not allow
    source_of(program)                                # for the bug report

A new word of the language is a class in `steps`, with these meanings as its methods, and a line in `generator` that
says how often it is drawn.
"""

from tests.programs import steps as steps  # or no program could be read from its JSON
