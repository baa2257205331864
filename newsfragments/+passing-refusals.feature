After `Refused("...", passing=True)` of a hook, a client asks again.
