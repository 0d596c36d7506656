"""What nodes, fault proxies and scenarios have written down: replayed, explained, drawn.

Files become lines (`reading`), a journal goes through the machine again (`replaying`), and what
both nodes were stands on one clock (`clocks`, `history`).  `causes` and `timeline` are made of it.
"""
