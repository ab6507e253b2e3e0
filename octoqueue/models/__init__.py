"""Models: what an arm asks, and who answers.

    arm ──Prompt(purpose, goal, …)──► ModelClient ──Completion(text, usage)──► replies ──► a value

`protocol` is the seam, `replies` turns the text of an answer into a value or refuses it, `offline`
is a model without a network that answers by rules anyone can read.

The weakness: a model is believed only in form. Whether its plan is sensible or its code correct is
found out afterwards, by running it and by the judge.
"""
