"""How does Node's official Socket.IO server keep the same contract?

JavaScript beside this file, a module for each of the reference server's; its packages are installed once, outside
of this folder (see `install`), and found by NODE_PATH.
"""
