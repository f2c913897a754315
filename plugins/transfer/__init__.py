"""The engine: it lists objects, copies them and proves the copies. Plain Python that does not depend on Airflow.

Only `transfer.backends` imports third-party libraries; the other packages use the standard library alone. A class or function
is thread-safe only where its docstring says so.
"""
