A hook whose decisions are waited for (a coroutine, or one in a thread) is named in the
log, once, when one takes more than ten times `timeouts.slow_hook`.
