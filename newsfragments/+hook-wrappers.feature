Wrappers make hooks cheaper, in code and in the configuration file: `SampledHook`,
`AggregatingHook`, `AsyncHook` (for hooks that block) and `CombinedHook`.
