Sessions survive the loss of their control link: within `timeouts.resume` (60 s) the
client comes back over another one, and every stream goes on, no byte lost or doubled.
