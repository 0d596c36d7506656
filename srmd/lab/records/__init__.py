"""What nodes, fault proxies and scenarios have written down: replayed, explained, drawn.

reading.py    files -> lines, with all that is damaged or foreign counted
replaying.py  a journal fed through the machine again
clocks.py     the offset between hosts, from their heartbeats
history.py    what each node was and did, out of its journal and log
causes.py     why a change came about, back to what began it
timeline.py   everything on one time line
page.py       the time line as one HTML file
"""
