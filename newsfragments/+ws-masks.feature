Masks of WebSocket frames are put on and taken off in place: bulk over `ws` from the
client to the server takes about a tenth less of the processor.
