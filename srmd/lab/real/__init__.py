"""Scenarios on real processes: a pair whose heartbeats and control calls run through proxies.

`servers` starts the proxies' servers, `network` puts toxics on them, `wired` joins them and a pair,
`looking` reads what the nodes say, `orders` tells them what to do, `stage` offers all of it to
`srmd.lab.scenario`, `elsewhere` does as much of it as can be done to a pair that runs already.
"""
