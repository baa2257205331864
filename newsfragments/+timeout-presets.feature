`timeouts.preset` (`--timeout-preset`) sets time-outs for a path: `lan`, `wan` or
`unreliable`, which are 10, 30 and 120 seconds.
