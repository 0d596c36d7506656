"""What a node does between the core and the world, without the world.

The daemon and the simulator are two shells around the same node.  What both of them must do alike,
and what is no decision of the state machine, is here: it knows settings, messages and rows, and
every moment is passed in.  No socket, no task, no clock.
"""
