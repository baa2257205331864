`reitunnel.testing` is for tests of hooks and of programs that embed Reitunnel: a server
and a client joined in memory, with a clock that the test moves, a hook that records what
it is told, and assertions.
