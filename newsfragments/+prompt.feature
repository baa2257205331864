What a socket can take is written to it at once, and not in the reactor's next turn: a
round trip through the mux takes about a fifth less time.
