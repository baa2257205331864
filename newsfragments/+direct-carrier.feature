Streams can travel on links of their own (`carrier = "direct"`, or `"auto"`, the
default, for those that move much): the client keeps `pool_size` data links ready.
