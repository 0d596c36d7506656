"""A fault proxy: Toxiproxy's HTTP API in front of UDP and TCP proxies that do harm on order.

The files, from the inside out:

    seeds       one random substream per (proxy, direction, toxic)
    toxic       what all toxics share: attributes, their ranges, how a change is checked
    datagrams   the toxics for datagrams; pure: (now, rng, datagram) -> releases
    pipeline    one direction of a UDP proxy: toxics in order, one bounded queue; pure
    streams     the toxics for byte streams; pure
    link        one direction of a TCP connection: a queue per toxic; pure
    catalogue   which types exist for which protocol
    udp, tcp    the sockets; the only other asyncio is in proxies, api and server
    address     addresses as Go writes them, and its words for what is wrong with them
    body        request bodies as Go's decoder takes them, answers as it writes them
    proxies     the proxies of a server, and every change to them: all of it or nothing
    api         routes, statuses, content types
    journal     the JSON-lines event log
    words       the command line of the process
    server      all of it together, for a process (`__main__`) or for a test

The virtual-time laboratory uses `pipeline` and `datagrams` alone.
What differs from Toxiproxy, and why, stands in `docs/faultproxy.md`.
"""
