Hooks get a say when a client comes back to its session over another control link:
`on_client_return` of `IReturnHook`. `auth`, `addresses`, `block` and `remote-policy` judge
it as they judge one that connects.
