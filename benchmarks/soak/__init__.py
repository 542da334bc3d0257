"""Hours of use in minutes: random users on all tabs, trainings, cancels, reloads, crashes; and what is left of it.

`studio` is the app as a process that can be killed, `users` are browsers that press buttons by lot, `kept` looks
afterwards whether anything was lost. Run it as `python -m benchmarks.soak`; never part of the tests.
"""
