Streams on plain data links between plain sockets are moved inside the kernel
(`splice(2)`) where it can do that.
