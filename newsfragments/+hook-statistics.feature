The manager counts and times the calls of each hook, for `/metrics` and for programs, and
names slow ones in the log (`timeouts.slow_hook`).
