"""Random search: stories that nobody wrote, drawn from a seed, played in virtual time.

    drawing      a seed becomes a scenario in which anything may fail
    properties   what must hold meanwhile, on every decision and at every look; counted
    operator     what the handbook recommends, as verbs
    trial        one story: anything may fail; then heal, do as the handbook says, be at home
    shrinking    the shortest story that still fails, by Hypothesis where it is installed
    writing      a story as a scenario file
    many         many seeds, on all cores or on a Dask cluster
    summary      what they met, in words

A drawn story is a `Scenario` like any other: what fails here is a file that all stages can play.
"""
