"""Endurance: one pair of real processes, one fault after the other, and what grows meanwhile.

faults      a seed becomes one small story after the other
homeward    what an administrator does until the pair is in row 1 again
control     a bare timer in a process of its own: how punctual this machine is just now
sampling    what the nodes use, read once a second
judging     what must not grow, and how late a beat may be; pure
running     all of it: rest, story, way home, again, until the time is over
report      the result as JSON and text
plot        the result as one picture (needs the extra `plot`)
"""
