Wrappers make hooks cheaper, in code and in the configuration file: `SampledHook`,
`AggregatingHook`, `AsyncHook` (for hooks that block) and `CombinedHook`. The manager
counts and times the calls of each hook and names slow ones in the log
(`timeouts.slow_hook`). Hooks can work in the background and finish when the server or
client stops (`IBackgroundHook`). `reitunnel hooks` lists the hooks that are installed,
with their options.
