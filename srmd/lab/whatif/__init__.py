"""What if the link were worse, or the timers others: sweeps that nobody can do on hardware.

line      a link with chance on it, as toxics, and the closed formula for its runs of lost beats
sweep     one pair of timers on one line through simulated weeks; many of them on all cores
advice    timers for a line, and their price
report    table and CSV
plot      the picture, if matplotlib is there
"""
