"""
Real programs through real tunnels, over every transport.
"""
