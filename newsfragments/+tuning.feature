`tuning.preset` (`--preset`) sets buffers and windows for `throughput`, `latency` or both in
balance; windows grow with the bandwidth and the delay of the path.
