"""A pair in virtual time: the very core, wire, database rules and toxics that run live.

    moments     one heap of moments, and what a process plans in them
    flows       work that waits, as generators
    network     the four directed links, with the toxics of the fault proxy
    services, database, srm, node, pair     the second shell around `srmd.node` and `srmd.core`
    detection   only beats and deadlines, for weeks and years
    orders      what can be done to a pair
    stage       all of it as a stage of scenarios

Nothing here reads a clock or draws a random number that is not of a substream of the seed: the same
seed gives the same run, byte for byte.
"""
