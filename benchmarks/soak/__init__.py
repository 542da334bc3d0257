"""The soak test: hours of use in minutes, with random users on all tabs, trainings, cancels, reloads and crashes.

`server` runs the app as a process that can be killed, `users` are browsers that press random buttons, `integrity`
checks afterwards whether anything was lost. Start it with `python -m benchmarks.soak`; it is not part of the tests.
"""
