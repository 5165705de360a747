"""Random workflow programs, each with three meanings: a real workflow, a model of what it may do, and source text.

    program = generate(random.Random(seed), size=8)
    run(ctx, program, path="r1")                      # interpreter: the real workflow
    judge(seen, program, circumstances).complaints    # model: what of the outcome it does not allow
    source_of(program)                                # for the bug report

A new word of the language is a class in `language`, a case in `interpreter`, `model` and `source`, and a line in
`generator`.
"""
