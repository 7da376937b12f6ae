"""
Installing the helper as a service of the user, and uninstalling it.

A plan is data: which files to write and which commands to run, in order. It depends only on an ``InstallContext``, so
the plan of every platform can be tested on any of them. Plans are carried out by one module, the executor.
"""
