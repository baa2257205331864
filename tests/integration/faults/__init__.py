"""
Faults between real servers and clients: a relay that misbehaves, processes that are
killed and stopped, and the truth about every byte that should have come through.
"""
