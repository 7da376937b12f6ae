"""
Putting the helper on a machine for good: which files, which commands, in which order; and taking it away again.

A plan is data, and made from facts alone, so that what is done on each system can be looked at on any. One module, the
executor, carries plans out.
"""
